"""Join the components of several flows."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_flows
from ..flow import DataFlow
from ..state import State

__all__ = ["JoinData"]


class JoinData(DataFlow):
    """Read several flows side by side, and join their datapoints.

    Args:
        df_lists: a list of flows, of dicts (which are merged; a later flow wins), or of lists, tuples and bare objects
            (which become one list of components).

    Order and integrity: input order; a pass ends with the shortest flow, and the others begin anew in the next one. The
    length is the smallest.

    Raises:
        TypeError: at construction, ``df_lists`` is no list of flows; later, dicts beside other datapoints.
        ValueError: it is empty.

    Example:
        >>> import headrace as hr
        >>> images, labels = hr.DataFromList(["a", "b"], shuffle=False), hr.DataFromList([[1], [2]], shuffle=False)
        >>> list(hr.JoinData([images, labels]))
        [['a', 1], ['b', 2]]
    """

    elementwise = True

    def __init__(self, df_lists: Any):
        self.df_lists = check_flows(df_lists)

    def __len__(self) -> int:
        return min(map(len, self.df_lists))

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        running = [iter(i) for i in state.inputs]
        end = object()
        while True:
            row = [next(r, end) for r in running]  # all are asked: flows of equal length all see their end
            if any(dp is end for dp in row):
                return
            yield _join(row)


def _join(row: list[Any]) -> Any:
    if all(isinstance(dp, dict) for dp in row):
        return {key: value for dp in row for key, value in dp.items()}
    components: list[Any] = []
    for dp in row:
        if isinstance(dp, dict):
            kinds = ", ".join(type(dp).__name__ for dp in row)
            raise TypeError(f"JoinData merges dicts, or concatenates other datapoints, not both: {kinds}")
        components.extend(dp if isinstance(dp, (list, tuple)) else [dp])
    return components
