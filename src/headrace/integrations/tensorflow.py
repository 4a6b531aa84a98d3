"""TensorFlow: flows as `tf.data` datasets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from ..errors import EmptySourceError
from ..flow import as_flow
from ._import import import_extra
from .structure import map_leaves

__all__ = ["to_tf"]


def to_tf(flow: Any, signature: Any = None, batched: bool = True) -> Any:
    """A flow as a ``tf.data.Dataset``.

    Args:
        flow: the flow, or any iterable. Lists become tuples, as TensorFlow wants it.
        signature: what the datapoints are: nested tuples and dicts of ``tf.TensorSpec``. Default: what the first
            datapoint is; it is read at once, and is the first one that the dataset gives.
        batched: for a signature that is taken from the first datapoint: whether the first dimension of arrays is a
            batch, which may be of another size later on.

    Returns:
        A dataset; each iteration of it is a pass of the flow. (As there is one iterator of a parallel flow at a time,
        so there is of this.)

    State: TensorFlow has none; save ``flow.state_dict()``. It covers what TensorFlow has taken: exactly what you were
    given, as long as nothing behind this reads ahead (``prefetch``, ``shuffle``, parallel ``map``): headrace has read
    ahead already. Load a state before you call this.

    Raises:
        ImportError: tensorflow is not installed.
        EmptySourceError: there is no first datapoint.

    Example:
        >>> import headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([[1, 2.0], [3, 4.0], [5, 6.0]], shuffle=False), 2, remainder=True)
        >>> dataset = to_tf(flow)
        >>> dataset.element_spec[0].shape.as_list()
        [None]
        >>> [numbers.numpy().tolist() for numbers, _ in dataset]
        [[1, 3], [5]]
    """
    tf = import_extra("tensorflow", "tensorflow")
    flow = as_flow(flow)
    begun: list[Iterator[Any]] = []
    if signature is None:
        running = iter(flow)
        try:
            first = _tuples(next(running))
        except StopIteration:
            raise EmptySourceError(f"{type(flow).__name__} gives nothing to take a signature from; give one") from None
        signature = map_leaves(lambda leaf: _spec(tf, leaf, batched), first)
        begun.append(itertools.chain([first], map(_tuples, running)))

    def one_pass() -> Iterator[Any]:
        return begun.pop() if begun else map(_tuples, flow)

    dataset = tf.data.Dataset.from_generator(one_pass, output_signature=signature)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # it would take datapoints that nobody was given yet
    return dataset.with_options(options)


def _spec(tf: Any, leaf: Any, batched: bool) -> Any:
    spec = tf.type_spec_from_value(tf.convert_to_tensor(leaf))
    if not batched or spec.shape.rank == 0:
        return spec
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)


def _tuples(datapoint: Any) -> Any:
    if isinstance(datapoint, dict):
        return {key: _tuples(part) for key, part in datapoint.items()}
    if isinstance(datapoint, (list, tuple)):
        return tuple(map(_tuples, datapoint))
    return datapoint
