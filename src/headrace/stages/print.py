"""Show what flows by."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["PrintData"]


class PrintData(ProxyDataFlow):
    """Print types, shapes, dtypes and ranges of the first datapoints; change nothing.

    Args:
        ds: the input flow.
        num: how many datapoints are printed, in each process that reads the flow.
        name: a title; the flow below by default.
        max_depth: how deep lists and dicts are opened.
        max_list: how many elements of a list or dict are shown.

    Order and integrity: the input, as it is.

    Raises:
        TypeError, ValueError: at construction, a count that is not an integer, or negative.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> ds = hr.DataFromList([[np.arange(6, dtype="uint8").reshape(2, 3), "cat"]])
        >>> _ = list(hr.PrintData(ds, name="train"))
        train, datapoint 0: list of 2
          [0] ndarray uint8 (2, 3), 0 to 5
          [1] str 'cat'
    """

    elementwise = True

    def __init__(self, ds: Any, num: int = 1, name: str | None = None, max_depth: int = 3, max_list: int = 3):
        super().__init__(ds)
        self.num = check_count("num", num, least=0)
        self.name = name
        self.max_depth = check_count("max_depth", max_depth)
        self.max_list = check_count("max_list", max_list)
        self._printed = 0

    def reset_state(self) -> None:
        """Begin to print anew in this process."""
        super().reset_state()
        self._printed = 0

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`; what is printed does not decide the data."""
        return "PrintData()"

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        for dp in source:
            if self._printed < self.num:
                title = self.name or type(self.ds).__name__
                print("\n".join(self._lines(dp, f"{title}, datapoint {self._printed}:", 0)))
                self._printed += 1
            yield dp

    def _lines(self, value: Any, title: str, depth: int) -> list[str]:
        lines = [f"{'  ' * depth}{title} {_summary(value)}"]
        if isinstance(value, (list, tuple, dict)) and depth < self.max_depth:
            entries = list(value.items() if isinstance(value, dict) else enumerate(value))
            for key, element in entries[: self.max_list]:
                lines += self._lines(element, f"[{key!r}]", depth + 1)
            if len(entries) > self.max_list:
                lines.append(f"{'  ' * (depth + 1)}... {len(entries) - self.max_list} more")
        return lines


def _summary(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        text = f"{kind} {value.dtype} {value.shape}"
        if value.size and value.dtype.kind in "biuf":
            text += f", {value.min()} to {value.max()}"
        return text
    if isinstance(value, (list, tuple, dict)):
        return f"{kind} of {len(value)}"
    text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"
