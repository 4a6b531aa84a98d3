"""Keep some datapoints."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ..errors import NoLengthError
from ..flow import ProxyDataFlow
from ..mapping import MapFunction
from ..state import State

__all__ = ["Filter"]


class Filter(ProxyDataFlow):
    """Keep the datapoints for which a function says yes.

    Args:
        ds: the input flow.
        predicate: called as ``predicate(dp)``, or with the components, or with a keyword ``rng``, as the function of
            `MapData`; a true result keeps the datapoint.

    Order and integrity: input order, the datapoints themselves. No length: it depends on the data.

    Raises:
        TypeError: ``predicate`` is not callable.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([["a", 1], ["b", 2], ["c", 3]], shuffle=False)
        >>> list(hr.Filter(ds, lambda name, number: number % 2))
        [['a', 1], ['c', 3]]
    """

    elementwise = True

    def __init__(self, ds: Any, predicate: Callable[..., Any]):
        super().__init__(ds)
        self._function = MapFunction(predicate)
        self.predicate = predicate

    def __len__(self) -> int:
        raise NoLengthError("Filter has no length: it depends on the data")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        keeps = self._function.bind_indexed(state)
        for dp in source:
            index = state.get("index", 0)
            state["index"] = index + 1
            if keeps(dp, index):
                yield dp
