"""Apply a function to each datapoint, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ..flow import ProxyDataFlow
from ..mapping import MapFunction
from ..state import State

__all__ = ["MapData"]


class MapData(ProxyDataFlow):
    """Apply a function to each datapoint; ``None`` discards the datapoint.

    Args:
        ds: the input flow.
        func: called as ``func(dp)``; or with the components, or with a keyword ``rng``, see `MapFunction`. List and
            dict datapoints are copied first (not deeply), so the function may assign to them.

    Order and integrity: input order, each datapoint once, less the discarded ones (``len`` does not know of them).

    Raises:
        TypeError: ``func`` is not callable.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[1, 2], [3, 4]], shuffle=False)
        >>> list(hr.MapData(ds, lambda a, b: a + b))
        [3, 7]
    """

    elementwise = True

    def __init__(self, ds: Any, func: Callable[..., Any]):
        super().__init__(ds)
        self._function = MapFunction(func)
        self.func = func

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if self._function.wants_rng:
            call = self._function.bind_rng(state.place.item_key(state.pass_index), private=False)
            for dp in source:
                index = state.get("index", 0)
                state["index"] = index + 1
                result = call(dp, state.place.index_of(index))
                if result is not None:
                    yield result
        else:
            function = self._function.bind(private=False)
            for dp in source:
                result = function(dp)
                if result is not None:
                    yield result
