"""Sources that make each datapoint from its number."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import StateError
from ..flow import RNGDataFlow
from ..seeding import Place
from ..state import State

__all__ = ["IndexedSource"]


class IndexedSource(RNGDataFlow):
    """The base of sources that know how many datapoints they have, and can make each of them by itself.

    A subclass defines ``__len__`` and ``_datapoint(number)``, and has an attribute ``shuffle``.

    Order and integrity: each datapoint once per pass, in a new permutation if ``shuffle``. Resumes in O(1). Of a share,
    only its own datapoints are made.
    """

    takes_share = True
    shuffle: bool = False

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        for number in self._numbers(state):
            yield self._datapoint(number)

    def _numbers(self, state: State) -> Iterator[int]:
        """The numbers of the datapoints to give, from where the state stands."""
        index, count = state.share
        order = self._order(state.place, state.pass_index)[index::count]
        begin = state.get("position", 0)
        if begin > len(order):
            raise StateError(f"{begin} datapoints had been read when the state was saved, of {len(order)} now")
        for position in range(begin, len(order)):
            state["position"] = position + 1
            yield int(order[position])

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`."""
        place = self._runtime.place
        if place is None or place.share[1] > 1:
            return None
        order = self._order(place, pass_index)
        return lambda number: self._datapoint(int(order[number]))

    def _order(self, place: Place, pass_index: int) -> npt.NDArray[np.int64]:
        return place.generator(pass_index).permutation(len(self)) if self.shuffle else np.arange(len(self))

    def _datapoint(self, number: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _datapoint(number)")
