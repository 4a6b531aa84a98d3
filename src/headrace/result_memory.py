"""Memory for results, from which they are sent without a copy."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["empty"]

source: Callable[[tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]] = np.empty
"""Where arrays come from, in this process; a worker process sets it."""


def _forget_source() -> None:
    global source
    source = np.empty


os.register_at_fork(after_in_child=_forget_source)  # it is the parent's alone


def empty(shape: int | tuple[int, ...], dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    """A new array, like `numpy.empty`, made where a worker sends its results from.

    For functions that make large arrays: what a worker process returns is copied once, into memory that the consumer
    sees. An array that was made there need not be. It is an ordinary array. If it is returned, by itself or in a list,
    tuple or dict, and nobody has kept it or a view of it, it is sent as it is; if somebody has, a copy is sent. So the
    worst that can happen is that nothing is gained. Below some hundred kB little is, and nothing in the flow of a
    runner, whose stages hold a datapoint until they are asked for the next one.

    Anywhere but in a worker process this is `numpy.empty`. Batches of `MultiProcessMapAndBatchData` are made so anyway.

    Args:
        shape: the lengths of its dimensions.
        dtype: the type of its elements.

    Returns:
        The array, C-contiguous, with whatever was in that memory. A process that the worker forks shares this memory
        with it, and has no copy of its own.

    Raises:
        TypeError, ValueError: as `numpy.empty`.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> def load(number):
        ...     frame = hr.empty((1080, 1920, 3), np.uint8)
        ...     frame[:] = number  # or read, or decode, or ``out=frame``
        ...     return frame
        >>> with hr.MultiProcessMapData(hr.DataFromList([7], shuffle=False), 1, load) as ds:
        ...     [(frame.shape, int(frame.max())) for frame in ds]
        [((1080, 1920, 3), 7)]
    """
    lengths = tuple(map(operator.index, shape)) if isinstance(shape, tuple | list) else (operator.index(shape),)
    if any(length < 0 for length in lengths):
        raise ValueError(f"the lengths of an array must not be negative, got {lengths}")
    return source(lengths, np.dtype(dtype))
