"""Batches put together row by row: each result is copied into its batch while it is still in the cache."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..stacking import stack_datapoints

__all__ = ["Assembly"]

Empty = Callable[[tuple[int, ...], "np.dtype[Any]"], "np.ndarray[Any, Any]"]


class Assembly:
    """Takes results one by one, as they are at that moment, and makes batches of them (a `Sink`).

    Args:
        size: rows of a batch.
        empty: gives the arrays of a batch, from shape and dtype.
    """

    def __init__(self, size: int, empty: Empty):
        self.plain: list[Any] = []
        """The results, with `_Row` where an array was."""
        self._size = size
        self._empty = empty
        self._targets: dict[tuple[int, Any], np.ndarray[Any, Any]] = {}  # (batch, component) -> array of the batch

    @property
    def added(self) -> int:
        """How many results are there."""
        return len(self.plain)

    def add(self, datapoint: Any) -> None:
        """Take a result; what becomes of it later makes no difference."""
        if type(datapoint) in (list, tuple):
            datapoint = [self._taken(index, value) for index, value in enumerate(datapoint)]
        elif type(datapoint) is dict:
            datapoint = {key: self._taken(key, value) for key, value in datapoint.items()}
        else:
            datapoint = self._taken(None, datapoint)
        self.plain.append(datapoint)

    def settle(self) -> None:
        """All was copied at once."""

    def batches(self) -> list[Any]:
        """All of them. Raises what stacking raises."""
        return [self._batch(at) for at in range(0, len(self.plain), self._size)]

    def rows(self) -> list[Any]:
        """The results by themselves."""
        return [_restored(row) for row in self.plain]

    def _taken(self, component: Any, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype.hasobject:
            return copy.deepcopy(value)
        batch, row = divmod(len(self.plain), self._size)
        if row == 0:
            self._targets[batch, component] = self._empty((self._size, *value.shape), value.dtype)
        target = self._targets.get((batch, component))
        if target is None or target.shape[1:] != value.shape or target.dtype != value.dtype:
            return value.copy()  # not like the first row: stacking will say what comes of that
        target[row] = value
        return _Row(target, row)

    def _batch(self, at: int) -> Any:
        rows = self.plain[at : at + self._size]
        first = rows[0]
        if isinstance(first, (list, dict)) and all(type(r) is type(first) and len(r) == len(first) for r in rows):
            if isinstance(first, list):
                columns = [_column([row[i] for row in rows]) for i in range(len(first))]
                if not any(column is None for column in columns):
                    return columns
            elif all(row.keys() == first.keys() for row in rows):
                named = {key: _column([row[key] for row in rows]) for key in first}
                if not any(column is None for column in named.values()):
                    return named
        elif isinstance(first, _Row):
            column = _column(rows)
            if column is not None:
                return column
        # Something that is not simply rows of arrays, or does not fit: the general way knows, or names what is wrong.
        return stack_datapoints([_restored(row) for row in rows], out=self._empty)


class _Row:
    """A row of an array of a batch."""

    __slots__ = ("row", "target")

    def __init__(self, target: np.ndarray[Any, Any], row: int):
        self.target, self.row = target, row


_NUMBERS = frozenset((int, float, bool))


def _column(values: list[Any]) -> Any:
    """One component of a batch, if that is easy; None if not."""
    first = values[0]
    if isinstance(first, _Row):
        return first.target if all(type(v) is _Row and v.target is first.target for v in values) else None
    return stack_datapoints(values) if type(first) in _NUMBERS and len(set(map(type, values))) == 1 else None


def _restored(row: Any) -> Any:
    """A result with its arrays in it, apart from the batch."""
    if isinstance(row, _Row):
        return row.target[row.row].copy()
    if isinstance(row, list):
        return [_restored(value) if isinstance(value, _Row) else value for value in row]
    if isinstance(row, dict):
        return {key: _restored(value) if isinstance(value, _Row) else value for key, value in row.items()}
    return row
