"""A flow over a list."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

from ..flow import DataFlow
from ..seeding import Place
from ..state import Cursor, State

__all__ = ["DataFromList"]


class DataFromList(DataFlow):
    """The elements of a list (or of anything with ``len`` and ``[i]``), shuffled anew in each pass.

    Args:
        lst: the list. It is not copied.
        shuffle: whether each pass is a new permutation, decided by the seed and the number of the pass.

    Order and integrity: each element once per pass. Resumes in O(1), reading no element again.

    Raises:
        TypeError: ``lst`` has no length or no ``[i]``.

    Example:
        >>> import headrace as hr
        >>> list(hr.DataFromList(["a", "b", "c"], shuffle=False))
        ['a', 'b', 'c']
        >>> sorted(hr.DataFromList(["a", "b", "c"], shuffle=True))
        ['a', 'b', 'c']
    """

    def __init__(self, lst: Sequence[Any], shuffle: bool = True):
        if not (hasattr(lst, "__len__") and hasattr(lst, "__getitem__")) or isinstance(lst, dict):
            raise TypeError(f"expected a list, or what has len() and [i], got {type(lst).__name__}: {lst!r:.60}")
        self.lst = lst
        self.shuffle = shuffle

    def __len__(self) -> int:
        return len(self.lst)

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """None: flows in the list are datapoints."""
        return ()

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        position = state.get("position", 0)
        if not self.shuffle and type(self.lst) in (list, tuple, range):
            cursor = state["position"] = Cursor(cast(Any, self.lst), position)
            yield from cursor.iterator
        else:
            cursor = state["position"] = Cursor(self._order(state.place, state.pass_index), position)
            yield from map(self.lst.__getitem__, cursor.iterator)

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`."""
        place = self._runtime.place
        if place is None or place.share[1] > 1:
            return None
        order = self._order(place, pass_index)
        return lambda number: self.lst[order[number]]

    def _order(self, place: Place, pass_index: int) -> list[int] | range:
        count = len(self.lst)
        if not self.shuffle:
            return range(count)
        order: list[int] = place.generator(pass_index).permutation(count).tolist()
        return order

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"{len(self.lst)} datapoints, shuffle={self.shuffle}"
