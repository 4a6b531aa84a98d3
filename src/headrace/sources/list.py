"""A flow over a list."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import StateError
from ..flow import DataFlow, RNGDataFlow
from ..seeding import Place
from ..shared_list import SharedList, travelling
from ..state import Cursor, Rows, Running, State

__all__ = ["DataFromList"]


_LONG = 10_000
_SOME = 4096


class DataFromList(RNGDataFlow):
    """The elements of a list (or of anything with ``len`` and ``[i]``), shuffled anew in each pass.

    Args:
        lst: the list. It is not copied; if a process runner ships the flow, a list of 10,000 or more goes once, as a
            `SharedList`.
        shuffle: whether each pass is a new permutation, decided by the seed and the number of the pass.

    Order and integrity: each element once per pass. Resumes in O(1), reading no element again. Of a share, only its own
    elements are read.

    Raises:
        TypeError: ``lst`` has no length or no ``[i]``.

    Example:
        >>> import headrace as hr
        >>> list(hr.DataFromList(["a", "b", "c"], shuffle=False))
        ['a', 'b', 'c']
        >>> sorted(hr.DataFromList(["a", "b", "c"], shuffle=True))
        ['a', 'b', 'c']
    """

    takes_share = True

    _shared: SharedList | None = None

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

    def run(self, source: None, state: State) -> Running:
        """One pass; see `DataFlow.run`."""
        return Rows.of(self._rows(state))

    def _rows(self, state: State) -> Generator[Iterable[Any], None, None]:
        position = state.get("position", 0)
        trusted = type(self.lst) in (list, tuple, range)  # to give its elements without raising
        if not self.shuffle and trusted and state.share == (0, 1):
            cursor = state["position"] = Cursor(cast(Any, self.lst), position)
            yield cursor.iterator
            return
        index, count = state.share
        order = self._order(state.place, state.pass_index)[index::count]
        if position > len(order):
            raise StateError(f"{position} elements had been read when the state was saved, of {len(order)} now")
        for base in range(position, len(order), _SOME):  # as Python ints, a long order would be larger than the list
            some = order[base : base + _SOME]
            cursor = state["position"] = Cursor(some if isinstance(some, range) else some.tolist(), base=base)
            elements = map(self.lst.__getitem__, cursor.iterator)
            if trusted:
                yield elements
            else:
                for element in elements:
                    yield (element,)

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`."""
        place = self._runtime.place
        if place is None or place.share[1] > 1:
            return None
        order = self._order(place, pass_index)
        return lambda number: self.lst[int(order[number])]

    def _order(self, place: Place, pass_index: int) -> npt.NDArray[np.int64] | range:
        count = len(self.lst)
        return place.generator(pass_index).permutation(count) if self.shuffle else range(count)

    def __getstate__(self) -> dict[str, Any]:
        """A long list goes to worker processes as a `SharedList`: made once, and read by all."""
        state = super().__getstate__()
        if travelling() and type(self.lst) is list and len(self.lst) >= _LONG:
            if self._shared is None or len(self._shared) != len(self.lst):
                self._shared = SharedList(self.lst)
            state["lst"] = self._shared
        state.pop("_shared", None)
        return state

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"{len(self.lst)} datapoints, shuffle={self.shuffle}"
