"""Mix several flows by weight."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from .._checks import check_flows
from ..errors import EmptySourceError, NoLengthError
from ..flow import DataFlow
from ..state import State

__all__ = ["WeightedMix"]

_STOPS = ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement", "never")


class WeightedMix(DataFlow):
    """Take each datapoint from a flow that is drawn at random, by weight, under a rule that says when to stop.

    Args:
        df_lists: a list of flows.
        weights: a positive number for each flow; they need not sum to 1. Default: all alike.
        stop: when a pass ends (the names are those of Hugging Face's ``interleave_datasets``):

            * ``"first_exhausted"``: when a flow is drawn that has ended;
            * ``"all_exhausted"``: when each flow has ended at least once; those that end before begin their next pass,
              so their datapoints come more than once;
            * ``"all_exhausted_without_replacement"``: when all have ended; those that end before are not drawn any
              more. Each datapoint comes once;
            * ``"never"``: flows that end begin their next pass, for ever.

    Order and integrity: the order of each flow is kept. Decided by the seed and the number of the pass. The length is
    the sum under ``"all_exhausted_without_replacement"``; else there is none.

    Raises:
        TypeError: at construction, ``df_lists`` is no list of flows, or a weight is no number.
        ValueError: no flow, as many weights as there are not flows, one that is not positive, or an unknown rule.
        EmptySourceError: a flow that should begin its next pass has given nothing.

    Example:
        >>> import headrace as hr
        >>> a, b = hr.DataFromList([1, 2], shuffle=False), hr.DataFromList([10, 20, 30], shuffle=False)
        >>> flow = hr.WeightedMix([a, b], [3, 1], stop="all_exhausted_without_replacement")
        >>> sorted(flow), len(flow)
        ([1, 2, 10, 20, 30], 5)
    """

    def __init__(self, df_lists: Any, weights: Sequence[float] | None = None, stop: str = "first_exhausted"):
        self.df_lists = check_flows(df_lists)
        if weights is not None and not isinstance(weights, (Sequence, np.ndarray)):
            raise TypeError(f"weights must be a list of numbers, got {type(weights).__name__}: {weights!r:.60}")
        self.weights = [1.0] * len(self.df_lists) if weights is None else [_weight(w) for w in weights]
        if len(self.weights) != len(self.df_lists):
            raise ValueError(f"weights must be as many as the flows, {len(self.df_lists)}, got {len(self.weights)}")
        if stop not in _STOPS:
            raise ValueError(f"stop must be one of {', '.join(map(repr, _STOPS))}, got {stop!r}")
        self.stop = stop

    def __len__(self) -> int:
        if self.stop != "all_exhausted_without_replacement":
            raise NoLengthError(f"WeightedMix with stop={self.stop!r} has no length")
        return sum(map(len, self.df_lists))

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        ended: list[int] = state.setdefault("ended", [])
        drawn, bounds = self._choices(ended)
        end = object()
        while True:
            chosen = drawn[min(bisect.bisect_right(bounds, state.rng.random() * bounds[-1]), len(drawn) - 1)]
            dp = next(iter(state.inputs[chosen]), end)
            if dp is end:
                if chosen not in ended:
                    ended.append(chosen)
                if self.stop == "first_exhausted" or (self.stop != "never" and len(ended) == len(self.df_lists)):
                    return
                if self.stop == "all_exhausted_without_replacement":
                    drawn, bounds = self._choices(ended)
                    continue
                dp = next(iter(state.inputs[chosen]), end)  # of its next pass
                if dp is end:
                    name = type(self.df_lists[chosen]).__name__
                    raise EmptySourceError(f"WeightedMix: flow {chosen}, {name}, gives no datapoint to go on with")
            yield dp

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"weights=[{', '.join(f'{w:.6g}' for w in self.weights)}], stop={self.stop!r}"

    def _choices(self, ended: list[int]) -> tuple[list[int], list[float]]:
        """Which flows are drawn, and the sums of their weights."""
        once = self.stop == "all_exhausted_without_replacement"
        drawn = [i for i in range(len(self.weights)) if not (once and i in ended)]
        return drawn, list(itertools.accumulate(self.weights[i] for i in drawn))


def _weight(value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"a weight must be a number, got {type(value).__name__}: {value!r:.60}") from None
    if not 0 < weight < math.inf:
        raise ValueError(f"a weight must be positive and finite, got {value}")
    return weight
