"""Take batches apart."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from ..errors import BatchError, NoLengthError
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["Unbatch"]


class Unbatch(ProxyDataFlow):
    """The datapoints of each batch, one by one: what `BatchData` does, undone.

    Args:
        ds: the input flow, of batches: lists or tuples (a datapoint is a list), dicts (a dict), or bare arrays.
        use_list: whether components are lists of values, as `BatchData` makes them with ``use_list=True``; if not,
            lists and dicts within a batch are taken for structure, and arrays are taken apart.

    Arrays become views of the batch (numpy scalars, if they have one dimension); a view that is kept keeps its whole
    batch.

    Order and integrity: input order, each datapoint once. No length. The state holds the batch in progress.

    Raises:
        BatchError: components of different lengths, or one that cannot be taken apart; it names them.

    Example:
        >>> import headrace as hr
        >>> batches = hr.BatchData(hr.DataFromList([["a", 1], ["b", 2], ["c", 3]], shuffle=False), 2, remainder=True)
        >>> for name, number in hr.Unbatch(batches):
        ...     print(name, number)
        a 1
        b 2
        c 3
    """

    elementwise = True

    def __init__(self, ds: Any, use_list: bool = False):
        super().__init__(ds)
        self.use_list = bool(use_list)

    def __len__(self) -> int:
        raise NoLengthError("Unbatch has no length: it depends on the sizes of the batches")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if state.get("batch"):
            yield from self._rows(state)
        for batch in source:
            state["batch"], state["given"] = [batch], 0
            yield from self._rows(state)

    def _rows(self, state: State) -> Generator[Any, None, None]:
        (batch,) = state["batch"]
        for row in range(state["given"], self._size(batch)):
            state["given"] += 1
            yield self._row(batch, row, 0)
        state["batch"] = []

    def _size(self, batch: Any) -> int:
        sizes = dict(self._sizes(batch, "", 0))
        if len(set(sizes.values())) != 1:
            shown = ", ".join(f"{name}: {size}" for name, size in sizes.items()) or "no component"
            raise BatchError(f"Unbatch: the components of a batch differ in length: {shown}")
        return next(iter(sizes.values()))

    def _sizes(self, value: Any, name: str, depth: int) -> Iterator[tuple[str, int]]:
        if self._is_structure(value, depth):
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                yield from self._sizes(part, f"{name}[{key!r}]", depth + 1)
        elif isinstance(value, (list, tuple)) if self.use_list else isinstance(value, np.ndarray) and value.ndim > 0:
            yield name or "the batch", len(value)
        else:
            raise BatchError(f"Unbatch: {name or 'a batch'} is of type {type(value).__name__}, which has no rows")

    def _row(self, value: Any, row: int, depth: int) -> Any:
        if not self._is_structure(value, depth):
            return value[row]
        if isinstance(value, dict):
            return {key: self._row(part, row, depth + 1) for key, part in value.items()}
        return [self._row(part, row, depth + 1) for part in value]

    def _is_structure(self, value: Any, depth: int) -> bool:
        return isinstance(value, (list, tuple, dict)) and not (self.use_list and depth)
