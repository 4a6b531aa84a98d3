"""Pick components."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from .._checks import component_of
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["SelectComponent"]


class SelectComponent(ProxyDataFlow):
    """Pick components of each datapoint, in a given order.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        idxs: indices or keys; a datapoint becomes the list of these components.

    Order and integrity: input order, each datapoint once.

    Raises:
        TypeError: at construction, ``idxs`` is no list; later, a datapoint that is no list, tuple or dict.
        IndexError, KeyError: a datapoint has no such component.

    Example:
        >>> import headrace as hr
        >>> list(hr.SelectComponent(hr.DataFromList([["a", "b", "c"]]), [2, 0]))
        [['c', 'a']]
        >>> list(hr.SelectComponent(hr.DataFromList([{"image": 1, "label": 2}]), ["label"]))
        [[2]]
    """

    elementwise = True

    def __init__(self, ds: Any, idxs: Iterable[Any]):
        super().__init__(ds)
        if isinstance(idxs, (str, bytes)) or not isinstance(idxs, Iterable):
            raise TypeError(f"idxs must be a list of indices or keys, got {type(idxs).__name__}: {idxs!r:.60}")
        self.idxs = list(idxs)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        for dp in source:
            yield [component_of(dp, i, "SelectComponent") for i in self.idxs]
