"""Repeat each datapoint."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["RepeatedDataPoint"]


class RepeatedDataPoint(ProxyDataFlow):
    """Give each datapoint ``num`` times in a row: the same object, not copies of it.

    Args:
        ds: the input flow.
        num: how often.

    Order and integrity: input order, each datapoint ``num`` times. The state holds the one that is being repeated.

    Raises:
        TypeError, ValueError: at construction, ``num`` is not an integer, or less than 1.

    Example:
        >>> import headrace as hr
        >>> list(hr.RepeatedDataPoint(hr.DataFromList([1, 2], shuffle=False), 2))
        [1, 1, 2, 2]
    """

    elementwise = True

    def __init__(self, ds: Any, num: int):
        super().__init__(ds)
        self.num = check_count("num", num)

    def __len__(self) -> int:
        return len(self.ds) * self.num

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        left = state.setdefault("left", 0)  # how often the held one is still to be given
        for dp in itertools.chain(state.setdefault("held", []), source):
            for left in range(left or self.num, 0, -1):  # noqa: B020
                state["left"] = left - 1
                state["held"] = [dp] if left > 1 else []
                yield dp
            left = 0
