"""Repeat a flow."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..errors import EmptySourceError, NoLengthError
from ..flow import ProxyDataFlow
from ..state import Input, State

__all__ = ["RepeatedData"]


class RepeatedData(ProxyDataFlow):
    """Read the input ``num`` times, one pass after the other.

    Args:
        ds: the input flow.
        num: how often; -1 for ever.

    Order and integrity: input order; each pass of the input is complete, and shuffled anew if it shuffles. The length
    is ``num`` times that of the input; without end there is none.

    Raises:
        TypeError, ValueError: at construction, a ``num`` that is neither -1 nor a count.
        EmptySourceError: ``num`` is -1 and the input gives nothing.

    Example:
        >>> import headrace as hr
        >>> list(hr.RepeatedData(hr.DataFromList([1, 2], shuffle=False), 3))
        [1, 2, 1, 2, 1, 2]
    """

    elementwise = True

    def __init__(self, ds: Any, num: int):
        super().__init__(ds)
        self.num = check_count("num (-1: for ever)", num, least=-1)

    def __len__(self) -> int:
        if self.num == -1:
            raise NoLengthError("RepeatedData(ds, -1) has no length: it never ends")
        return len(self.ds) * self.num

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if self.num == -1:
            yield from forever(source, "RepeatedData")
        while state.setdefault("passes", 0) < self.num:
            yield from source
            state["passes"] += 1


def forever(source: Input, name: str) -> Generator[Any, None, None]:
    """Pass after pass of an input, going on with the open one.

    Raises:
        EmptySourceError: two passes in a row were empty (a pass that was resumed at its end may look empty).
    """
    empty = 0
    while empty < 2:
        empty += 1
        for dp in source:
            empty = 0
            yield dp
    raise EmptySourceError(f"{name} repeats {type(source.flow).__name__}, which gives no datapoint: it would never end")
