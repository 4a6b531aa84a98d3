"""Draw each datapoint from one of several flows."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Generator
from typing import Any

from .._checks import check_flows
from ..flow import DataFlow, RNGDataFlow
from ..state import State

__all__ = ["RandomChooseData"]


class RandomChooseData(RNGDataFlow):
    """Take each datapoint from a flow that is drawn at random, until the drawn one has ended.

    Args:
        df_lists: a list of flows, drawn with equal probability; or of pairs ``(flow, probability)``.

    Order and integrity: the order of each flow is kept; what the others have left when one has ended is not given. No
    length. Decided by the seed and the number of the pass.

    Raises:
        TypeError: ``df_lists`` is no list of flows or pairs.
        ValueError: it is empty, or probabilities are negative or do not sum to 1.

    Example:
        >>> import headrace as hr
        >>> a, b = hr.DataFromList([1, 2], shuffle=False), hr.DataFromList([10, 20], shuffle=False)
        >>> list(hr.RandomChooseData([(a, 0.0), (b, 1.0)]))
        [10, 20]
    """

    def __init__(self, df_lists: Any):
        pairs = df_lists if isinstance(df_lists, (list, tuple)) else []
        weighted = [isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], DataFlow) for p in pairs]
        if any(weighted):
            if not all(weighted):
                raise TypeError("df_lists must be flows, or pairs (flow, probability), not both")
            self.df_lists = check_flows([flow for flow, _ in pairs])
            self.probabilities = [_probability(p) for _, p in pairs]
            if abs(sum(self.probabilities) - 1) > 1e-6:
                raise ValueError(f"probabilities must sum to 1, got {self.probabilities}: {sum(self.probabilities)}")
        else:
            self.df_lists = check_flows(df_lists)
            self.probabilities = [1 / len(self.df_lists)] * len(self.df_lists)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        draws = [i for i, p in enumerate(self.probabilities) if p > 0]
        *bounds, _ = itertools.accumulate(self.probabilities[i] for i in draws)
        end = object()
        while True:
            chosen = draws[bisect.bisect_right(bounds, state.rng.random())]
            dp = next(iter(state.inputs[chosen]), end)
            if dp is end:
                return
            yield dp

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return "probabilities=[" + ", ".join(f"{p:.6g}" for p in self.probabilities) + "]"


def _probability(value: Any) -> float:
    try:
        probability = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"a probability must be a number, got {type(value).__name__}: {value!r:.60}") from None
    if not probability >= 0:
        raise ValueError(f"a probability must not be negative, got {value}")
    return probability
