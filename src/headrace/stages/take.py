"""The first datapoints of a pass."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count, known_length
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["Take"]


class Take(ProxyDataFlow):
    """The first ``count`` datapoints of each pass of the input; the rest of the pass is not read.

    (`FixedSizeData` goes on in the input with its next pass.)

    Args:
        ds: the input flow.
        count: how many datapoints a pass has at most, 0 or more.

    Order and integrity: input order. The length is the smaller one of ``count`` and the input's; ``count``, if the
    input has none.

    Raises:
        TypeError, ValueError: at construction, a bad ``count``.

    Example:
        >>> import headrace as hr
        >>> flow = hr.Take(hr.DataFromList([1, 2, 3], shuffle=False), 2)
        >>> list(flow), list(flow)
        ([1, 2], [1, 2])
    """

    def __init__(self, ds: Any, count: int):
        super().__init__(ds)
        self.count = check_count("count", count, least=0)

    def __len__(self) -> int:
        length = known_length(self.ds)
        return self.count if length is None else min(self.count, length)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        taken = state.setdefault("taken", 0)
        if taken < self.count:
            for dp in source:
                state["taken"] += 1
                yield dp
                if state["taken"] == self.count:
                    break
        source.restart()  # the rest of this pass is nobody's
