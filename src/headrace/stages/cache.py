"""Keep the datapoints of the first pass."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Generator
from typing import Any

from ..errors import StateError
from ..flow import ProxyDataFlow
from ..state import Input, State

__all__ = ["CacheData"]


class CacheData(ProxyDataFlow):
    """Read one pass of the input, once, and give its datapoints in every pass.

    They are the same objects in every pass: leave them as they are.

    Args:
        ds: the input flow; finite, and small enough for the memory.
        shuffle: whether passes that begin with the cache complete are shuffled, each in its own way.

    Order and integrity: each datapoint of the input's pass once per pass; in input order, or shuffled. A pass that is
    left early costs nothing: the next one goes on reading where it stopped.
    The cache is not part of the state: a resumed flow reads the input's pass again, from its beginning. Not reentrant;
    a pickled copy begins with an empty cache.

    Raises:
        StateError: the input gives fewer datapoints on resuming than it did before.

    Example:
        >>> import headrace as hr
        >>> def slow():
        ...     print("reading")
        ...     yield from range(3)
        >>> flow = hr.CacheData(hr.DataFromGenerator(slow))
        >>> list(flow), list(flow)
        reading
        ([0, 1, 2], [0, 1, 2])
    """

    keeps = True

    elementwise = True

    def __init__(self, ds: Any, shuffle: bool = False):
        super().__init__(ds)
        self.shuffle = bool(shuffle)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        source.pin()
        cache = state.kept.get("cache", False)
        if not isinstance(cache, _Cache):
            cache, was_complete = _Cache(), cache
            state.kept["cache"] = cache
            if was_complete:
                cache.reaches(sys.maxsize, source)
        order: Any = itertools.count()
        if state.setdefault("shuffled", self.shuffle and cache.complete):
            order = state.generator().permutation(len(cache.datapoints)).tolist()
        count = state.setdefault("count", 0)
        if count and not cache.reaches(count - 1, source):
            raise StateError(f"CacheData had given {count} datapoints, but its input gave only {len(cache.datapoints)}")
        for index in itertools.islice(order, count, None):
            if not cache.reaches(index, source):
                return
            state["count"] += 1
            yield cache.datapoints[index]


class _Cache:
    """The datapoints of one pass of the input, as far as it has been read. Saved is only whether that was all."""

    def __init__(self) -> None:
        self.datapoints: list[Any] = []
        self.complete = False

    def snapshot(self) -> bool:
        return self.complete

    def reaches(self, index: int, source: Input) -> bool:
        """Whether there is a datapoint ``index``; reads on until that is known."""
        while index >= len(self.datapoints) and not self.complete:
            try:
                self.datapoints.append(next(iter(source)))
            except StopIteration:
                self.complete = True
            except BaseException:
                self.datapoints.clear()  # the input's pass is broken: the next one is read from its beginning
                source.restart()
                raise
        return index < len(self.datapoints)
