"""Mix several flows completely."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from .._checks import check_flows
from ..errors import NoLengthError
from ..flow import RNGDataFlow
from ..state import State

__all__ = ["RandomMixData"]


class RandomMixData(RNGDataFlow):
    """All datapoints of several flows of known length, in one random order.

    Args:
        df_lists: a list of flows.

    Order and integrity: each datapoint once per pass; the order of each flow is kept, and all interleavings are equally
    likely. Decided by the seed and the number of the pass. A flow that gives more than its length has the rest at the
    end.

    Raises:
        TypeError, ValueError: at construction, ``df_lists`` is no list of flows, or empty.
        NoLengthError: at construction, a flow without length.

    Example:
        >>> import headrace as hr
        >>> flow = hr.RandomMixData([hr.DataFromList([1, 2]), hr.DataFromList([10, 20, 30])])
        >>> sorted(flow), len(flow)
        ([1, 2, 10, 20, 30], 5)
    """

    def __init__(self, df_lists: Any):
        self.df_lists = check_flows(df_lists)
        for number, df in enumerate(self.df_lists):
            try:
                len(df)
            except NoLengthError as error:
                raise NoLengthError(
                    f"RandomMixData mixes by length, but flow {number} has none ({error}); "
                    "WeightedMix and RandomChooseData need none"
                ) from None
            except Exception:  # a flow of the user may know it only after reset_state()
                continue

    def __len__(self) -> int:
        return sum(map(len, self.df_lists))

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        inputs = state.inputs
        ended = state.setdefault("ended", [])
        order = np.repeat(np.arange(len(inputs)), [len(df) for df in self.df_lists])
        order = state.generator().permutation(order)
        end = object()
        for drawn in order[state.setdefault("position", 0) :].tolist():
            state["position"] += 1
            if drawn not in ended:
                dp = next(iter(inputs[drawn]), end)
                if dp is end:
                    ended.append(drawn)
                else:
                    yield dp
        for number, rest in enumerate(inputs):
            if number not in ended:
                yield from rest
                ended.append(number)
