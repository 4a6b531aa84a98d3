"""A pass without its first datapoints."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["Skip"]


class Skip(ProxyDataFlow):
    """Each pass of the input without its first ``count`` datapoints, which are read and dropped.

    Args:
        ds: the input flow.
        count: how many datapoints are dropped, 0 or more.

    Order and integrity: input order. The length is the input's, less ``count``.

    Raises:
        TypeError, ValueError: at construction, a bad ``count``.

    Example:
        >>> import headrace as hr
        >>> list(hr.Skip(hr.DataFromList([1, 2, 3], shuffle=False), 2))
        [3]
    """

    def __init__(self, ds: Any, count: int):
        super().__init__(ds)
        self.count = check_count("count", count, least=0)

    def __len__(self) -> int:
        return max(0, len(self.ds) - self.count)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        datapoints = iter(source)
        if not state.get("skipped"):
            for _ in itertools.islice(datapoints, self.count):
                pass
            state["skipped"] = True
        yield from datapoints
