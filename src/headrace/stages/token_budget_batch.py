"""Make batches that hold a bounded number of tokens."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count
from ..errors import NoLengthError
from ..flow import ProxyDataFlow
from ..recycling import Recycler
from ..sequences import LengthFunction, check_length_function, check_pad_value, length_of, stack_padded
from ..state import State

__all__ = ["TokenBudgetBatch"]


class TokenBudgetBatch(ProxyDataFlow):
    """Stack as many consecutive datapoints as fit into ``max_tokens``, padding included.

    A batch of ``n`` datapoints costs ``n`` times the length of its longest one: what the padded array holds.

    Args:
        ds: the input flow. Neighbours of similar length give the fullest batches.
        max_tokens: the most tokens a batch may hold, padding included.
        length: tells the number of tokens of a datapoint; default: ``len`` of its first component.
        pad_value: what arrays are filled up with at their end; see `BucketBatch`.

    Order and integrity: input order, each datapoint in one batch; the last batch may be small. No length. The state
    holds the datapoints of the unfinished batch.

    Raises:
        TypeError, ValueError: at construction, bad arguments; later, a datapoint without length, or one that is longer
            than ``max_tokens``, or a ``pad_value`` that an array cannot hold.
        BatchError: the datapoints of a batch do not fit.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> ds = hr.DataFromList([np.ones(n, int) for n in (2, 3, 5, 1)], shuffle=False)
        >>> [batch.shape for batch in hr.TokenBudgetBatch(ds, max_tokens=8)]
        [(2, 3), (1, 5), (1, 1)]
    """

    elementwise = True

    def __init__(self, ds: Any, max_tokens: int, length: LengthFunction | None = None, pad_value: float = 0):
        super().__init__(ds)
        self.max_tokens = check_count("max_tokens", max_tokens)
        self.length = check_length_function(length)
        self.pad_value = check_pad_value(pad_value)

    def __len__(self) -> int:
        raise NoLengthError("TokenBudgetBatch has no length: the number of batches depends on the lengths")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        held: list[Any] = state.setdefault("held", [])
        state.setdefault("longest", 0)
        recycler = Recycler()
        if state.get("ended"):
            return
        for dp in source:
            tokens = self._tokens(dp)
            longest = max(state["longest"], tokens)
            if held and (len(held) + 1) * longest > self.max_tokens:
                batch = stack_padded(held, self.pad_value, recycler.empty)
                held[:], state["longest"] = [dp], tokens
                yield batch
                del batch  # so that its memory may serve for the next one
            else:
                held.append(dp)
                state["longest"] = longest
        if held:
            batch = stack_padded(held, self.pad_value, recycler.empty)
            held.clear()
            state["ended"] = True  # or else a resumed pass would read the input once more
            yield batch

    def _tokens(self, dp: Any) -> int:
        tokens = length_of(self.length, dp)
        if tokens > self.max_tokens:
            raise ValueError(
                f"TokenBudgetBatch: a datapoint has {tokens} tokens, more than max_tokens, {self.max_tokens}; "
                "split it, or leave it out with Filter"
            )
        return tokens
