"""Chain flows."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_flows
from ..flow import DataFlow
from ..state import State

__all__ = ["ConcatData"]


class ConcatData(DataFlow):
    """One flow after the other.

    Args:
        df_lists: a list of flows.

    Order and integrity: input order, each datapoint once. The length is the sum.

    Raises:
        TypeError, ValueError: at construction, ``df_lists`` is no list of flows, or empty.

    Example:
        >>> import headrace as hr
        >>> list(hr.ConcatData([hr.DataFromList([1, 2], shuffle=False), hr.DataFromList([3])]))
        [1, 2, 3]
    """

    elementwise = True

    def __init__(self, df_lists: Any):
        self.df_lists = check_flows(df_lists)

    def __len__(self) -> int:
        return sum(map(len, self.df_lists))

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        for current in state.inputs[state.setdefault("ended", 0) :]:
            yield from current
            state["ended"] += 1
