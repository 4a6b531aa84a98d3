"""Apply a function to one component of each datapoint."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .._checks import component_of
from ..flow import ProxyDataFlow
from ..mapping import MapFunction
from ..state import State

__all__ = ["MapDataComponent"]


class MapDataComponent(ProxyDataFlow):
    """Replace one component of each datapoint by a function of it; ``None`` discards the datapoint.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        func: called with the component; may have a keyword ``rng``, see `MapFunction`.
        index: the index or key of the component.

    Order and integrity: input order, each datapoint once, less the discarded ones (``len`` does not know of them).
    A tuple comes out as a list; the input datapoints are not changed.

    Raises:
        TypeError: ``func`` is not callable; later, a datapoint that is no list, tuple or dict.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[1, "a"], [2, "b"]], shuffle=False)
        >>> list(hr.MapDataComponent(ds, lambda x: x * 10))
        [[10, 'a'], [20, 'b']]
    """

    elementwise = True

    def __init__(self, ds: Any, func: Callable[..., Any], index: Any = 0):
        super().__init__(ds)
        self._function = MapFunction(func)
        self.func = func
        self.index = index

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        index = self.index
        if self._function.wants_rng:
            call = self._function.bind_rng(state.place.item_key(state.pass_index), private=True)
        else:
            function = self._function.bind(private=True)
            call = lambda component, number: function(component)  # noqa: E731
        state.setdefault("index", 0)
        for dp in source:
            before = component_of(dp, index, "MapDataComponent")
            number = state["index"]
            state["index"] = number + 1
            component = call(before, state.place.index_of(number))
            if component is not None:
                result = dict(dp) if isinstance(dp, dict) else list(dp)
                result[index] = component
                yield result
