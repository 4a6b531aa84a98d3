"""Make any number of datapoints of each one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from ..errors import NoLengthError, StateError
from ..flow import ProxyDataFlow
from ..mapping import MapFunction
from ..state import State

__all__ = ["FlatMap"]

_END = object()


class FlatMap(ProxyDataFlow):
    """Apply a function that gives an iterable to each datapoint, and give the elements of all iterables in a row.

    Args:
        ds: the input flow.
        func: called as ``func(dp)``, or with the components, or with a keyword ``rng``, as the function of `MapData`.
            It returns an iterable (a generator is fine), maybe an empty one.

    Order and integrity: input order. No length. The state holds the datapoint in progress and how many elements of it
    were given; on resuming, ``func`` is called for it again, and must give the same.

    Raises:
        TypeError: at construction, ``func`` is not callable; later, it returned no iterable.
        StateError: on resuming, ``func`` gave fewer elements than before.

    Example:
        >>> import headrace as hr
        >>> list(hr.FlatMap(hr.DataFromList(["ab", "", "c"], shuffle=False), lambda word: list(word)))
        ['a', 'b', 'c']
    """

    elementwise = True

    def __init__(self, ds: Any, func: Callable[..., Iterable[Any]]):
        super().__init__(ds)
        self._function = MapFunction(func)
        self.func = func

    def __len__(self) -> int:
        raise NoLengthError("FlatMap has no length: it depends on the data")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        function = self._function.bind_indexed(state)
        state.setdefault("index", 0)
        if state.get("current"):
            yield from self._elements(function, state)
        for dp in source:
            state["current"], state["given"] = [dp], 0
            yield from self._elements(function, state)

    def _elements(self, function: Callable[[Any, int], Any], state: State) -> Generator[Any, None, None]:
        """The elements of the datapoint in progress, from the first one that was not given."""
        elements = self._iterate(function(state["current"][0], state["index"]))
        for number in range(state["given"]):
            if next(elements, _END) is _END:
                raise StateError(f"FlatMap: func gave {state['given']} elements of a datapoint, but now only {number}")
        for element in elements:
            state["given"] += 1
            yield element
        state["current"] = []
        state["index"] += 1

    def _iterate(self, result: Any) -> Iterator[Any]:
        try:
            return iter(result)
        except TypeError:
            raise TypeError(f"FlatMap: func must return an iterable, got {type(result).__name__}") from None
