"""Cut a flow into passes of a given size."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State
from .repeat import forever

__all__ = ["FixedSizeData"]


class FixedSizeData(ProxyDataFlow):
    """Passes of exactly ``size`` datapoints, whatever the length of the input.

    Args:
        ds: the input flow.
        size: datapoints in a pass; when the input ends earlier, its next pass follows.
        keep_state: whether a pass goes on where the last one stopped in the input (an iterator that is dropped counts
            as a pass); if not, each begins a new pass of the input.

    Order and integrity: input order. With ``keep_state`` each datapoint of the input comes once before any comes again,
    and the flow is not reentrant.

    Raises:
        TypeError, ValueError: at construction, ``size`` is not an integer, or less than 1.
        EmptySourceError: the input gives nothing.

    Example:
        >>> import headrace as hr
        >>> flow = hr.FixedSizeData(hr.DataFromList([0, 1, 2, 3, 4], shuffle=False), 3)
        >>> list(flow), list(flow), list(flow)
        ([0, 1, 2], [3, 4, 0], [1, 2, 3])
    """

    def __init__(self, ds: Any, size: int, keep_state: bool = True):
        super().__init__(ds)
        self._size = check_count("size", size)
        self.keep_state = self.keeps = bool(keep_state)

    def __len__(self) -> int:
        return self._size

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        count = state.setdefault("count", 0)
        for dp in itertools.islice(forever(source, "FixedSizeData"), self._size - count):
            state["count"] += 1
            yield dp

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"size={self._size}, keep_state={self.keep_state}"  # .size() is the old name of len()
