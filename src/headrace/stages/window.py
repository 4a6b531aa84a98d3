"""Windows that slide over a flow."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["Window"]


class Window(ProxyDataFlow):
    """Lists of ``size`` consecutive datapoints, one every ``step`` datapoints.

    Args:
        ds: the input flow.
        size: how many datapoints a window holds.
        step: how far one window begins behind the other; more than ``size`` leaves datapoints out.

    Order and integrity: input order. A window that the pass does not fill is not given. Overlapping windows hold the
    same objects. The state holds the datapoints of the next window that were read.

    Raises:
        TypeError, ValueError: at construction, an argument that is not an integer, or less than 1.

    Example:
        >>> import headrace as hr
        >>> list(hr.Window(hr.DataFromList([1, 2, 3, 4, 5], shuffle=False), 3, step=2))
        [[1, 2, 3], [3, 4, 5]]
    """

    def __init__(self, ds: Any, size: int, step: int = 1):
        super().__init__(ds)
        self.window_size = check_count("size", size)
        self.step = check_count("step", step)

    def __len__(self) -> int:
        return max(0, (len(self.ds) - self.window_size) // self.step + 1)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        held: list[Any] = state.setdefault("held", [])
        state.setdefault("gap", 0)  # datapoints between two windows that are still to be left out
        for dp in source:
            if state["gap"]:
                state["gap"] -= 1
                continue
            held.append(dp)
            if len(held) == self.window_size:
                window = held.copy()
                del held[: self.step]
                state["gap"] = max(0, self.step - self.window_size)
                yield window

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"size={self.window_size}, step={self.step}"  # .size() is the old name of len()
