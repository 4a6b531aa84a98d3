"""Datapoints as sequences of different lengths: how long they are, and how they become one batch."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .mapping import refuse_rng
from .stacking import Out, stack_datapoints

__all__ = ["LengthFunction", "check_length_function", "check_pad_value", "length_of", "padding", "stack_padded"]

LengthFunction = Callable[[Any], int]


def check_length_function(length: LengthFunction | None) -> LengthFunction:
    """What tells the length of a datapoint; by default that of its first component.

    Raises:
        TypeError: it is not callable, or wants an ``rng``.
    """
    if length is None:
        return first_length
    if not callable(length):
        raise TypeError(f"length must be a function of a datapoint, got {type(length).__name__}: {length!r:.60}")
    refuse_rng(length, "length", "draw in a MapData below, and put the result into the datapoint")
    return length


def length_of(length: LengthFunction, dp: Any) -> int:
    """The length of a datapoint.

    Raises:
        TypeError: the function gave no number.
        ValueError: it gave a negative one.
    """
    found = length(dp)
    if not isinstance(found, numbers.Real):
        raise TypeError(f"length must return a number, got {type(found).__name__}: {found!r:.60}")
    if not found >= 0:
        raise ValueError(f"length must return a number of at least 0, got {found}")
    return found


def check_pad_value(value: Any) -> Any:
    """What arrays are filled up with.

    Raises:
        TypeError: it is no number.
    """
    if not isinstance(value, numbers.Real):
        raise TypeError(f"pad_value must be a number, got {type(value).__name__}: {value!r:.60}")
    return value


def padding(value: Any, dtype: np.dtype[Any]) -> Any:
    """The value, if an array of this type can hold it.

    Raises:
        ValueError: it would become another number.
    """
    if dtype.kind in "biu":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (least <= value <= most and value == int(value)):
            raise ValueError(f"pad_value {value} does not fit into arrays of {dtype}")
    return value


def first_length(dp: Any) -> int:
    """The length of the first component of a list, tuple or dict, or of a bare object.

    Raises:
        TypeError: it has none.
    """
    first = dp
    if isinstance(dp, (list, tuple, dict)):
        if not dp:
            raise TypeError("a datapoint without components has no length; give a function, length=")
        first = next(iter(dp.values())) if isinstance(dp, dict) else dp[0]
    try:
        return len(first)
    except TypeError:
        name = type(first).__name__
        raise TypeError(f"a {name} has no length, so the datapoint has none; give a function, length=") from None


def stack_padded(datapoints: Sequence[Any], pad_value: float, out: Out | None = None) -> Any:
    """One batch of datapoints whose arrays may differ in their first dimension.

    Args:
        datapoints: at least one; arrays of a component whose shapes differ in the first dimension only are filled up at
            their end to the longest of them.
        pad_value: with what.
        out: see `stack_datapoints`.

    Raises:
        BatchError: see `stack_datapoints`.
        ValueError: arrays that are to be filled up cannot hold ``pad_value``.
    """
    first = datapoints[0]
    if isinstance(first, dict) and all(isinstance(dp, dict) and dp.keys() == first.keys() for dp in datapoints):
        columns = [_padded([dp[key] for dp in datapoints], pad_value) for key in first]
        datapoints = [dict(zip(first, row, strict=True)) for row in zip(*columns, strict=True)]
    elif isinstance(first, (list, tuple)):
        if all(isinstance(dp, (list, tuple)) and len(dp) == len(first) for dp in datapoints):
            columns = [_padded([dp[i] for dp in datapoints], pad_value) for i in range(len(first))]
            datapoints = [list(row) for row in zip(*columns, strict=True)]
    else:
        datapoints = _padded(list(datapoints), pad_value)
    return stack_datapoints(datapoints, out=out)


def _padded(values: list[Any], pad_value: float) -> list[Any]:
    if not all(isinstance(v, np.ndarray) and v.ndim for v in values):
        return values
    lengths = {len(v) for v in values}
    if len(lengths) == 1 or len({v.shape[1:] for v in values}) > 1:
        return values  # nothing to do, or nothing that padding can mend
    longest = max(lengths)
    return [_pad(v, longest, pad_value) if len(v) < longest else v for v in values]


def _pad(array: np.ndarray[Any, Any], length: int, pad_value: float) -> np.ndarray[Any, Any]:
    padded = np.full((length, *array.shape[1:]), padding(pad_value, array.dtype), array.dtype)
    padded[: len(array)] = array
    return padded
