"""JAX: arrays on devices ahead of time, sharded if you like."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._import import import_extra
from .ahead import Mover, ReadAhead
from .structure import map_leaves

__all__ = ["DevicePrefetch"]


class DevicePrefetch(ReadAhead):
    """Put datapoints on JAX devices while the consumer is busy with those before.

    Args:
        ds: the input flow; mostly of batches.
        sharding: None (the default device), a ``jax.Device``, or a ``jax.sharding.Sharding``, by which each array is
            laid out. In a job of several processes, each process gives its share of the global array
            (``jax.make_array_from_process_local_data``).
        depth: how many datapoints are under way beyond the one that the consumer has. Each takes its room on the
            devices.

    JAX has 32-bit types by default: it makes int32 and float32 of 64-bit arrays unless ``jax_enable_x64`` is set.
    What JAX has no type for (strings, objects, records, times) and what is no array stays as it is.

    Order and integrity: input order, each datapoint once. The state holds the datapoints that were read ahead (as
    arrays: with large batches, a large state).

    Raises:
        ImportError: at construction, jax is not installed.
        TypeError, ValueError: at construction, a bad ``depth`` or ``sharding``; later, an array that the sharding does
            not divide.

    Example:
        >>> import headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([1, 2, 3, 4], shuffle=False), 2)
        >>> [int(batch.sum()) for batch in DevicePrefetch(flow)]
        [3, 7]
    """

    def __init__(self, ds: Any, sharding: Any = None, depth: int = 2):
        super().__init__(ds, depth)
        jax = import_extra("jax", "jax")
        if sharding is not None and not isinstance(sharding, (jax.Device, jax.sharding.Sharding)):
            raise TypeError(f"sharding must be a jax.Device or a jax.sharding.Sharding, got {type(sharding).__name__}")
        self.sharding = sharding

    def mover(self) -> Mover:
        """See `ReadAhead`."""
        return _Mover(import_extra("jax", "jax"), self.sharding)


class _Mover:
    def __init__(self, jax: Any, sharding: Any):
        self._jax = jax
        self._sharding = sharding

    def start(self, dp: Any) -> Any:
        return map_leaves(self._put, dp)  # JAX itself does not wait for the copy

    def finish(self, started: Any) -> Any:
        return started

    def close(self) -> None:
        pass

    def _put(self, leaf: Any) -> Any:
        if not isinstance(leaf, (np.ndarray, np.generic)) or leaf.dtype.kind in "OSUVmM":
            return leaf
        if not leaf.dtype.isnative:
            leaf = leaf.astype(leaf.dtype.newbyteorder("="))
        if not isinstance(self._sharding, self._jax.sharding.Sharding):
            return self._jax.device_put(leaf, self._sharding)
        try:
            return self._jax.make_array_from_process_local_data(self._sharding, np.asarray(leaf))
        except (AssertionError, ValueError) as error:  # the former for arrays of too few dimensions
            shape = leaf.shape
            raise ValueError(f"an array of shape {shape} cannot be laid out as {self._sharding}: {error}") from error
