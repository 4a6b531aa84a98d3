"""Copies of a flow in processes, merged so that the order is the same each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

from ..flow import DataFlow, ProxyDataFlow
from ..parallel.runners import MultiProcessRunnerZMQ
from ..seeding import set_worker_info, worker_info
from ..state import State

__all__ = ["InTurn"]

_END = object()


class InTurn(DataFlow):
    """Run copies of a flow in worker processes, each its share of a pass, and take from them in turn.

    A runner takes what is there first, which costs no waiting. But a sender that has to go back to its n-th datapoint
    needs one order.

    Args:
        ds: the flow to copy.
        num_proc: how many copies.

    Order and integrity: a pass of ``ds``, each datapoint once; always in the same order, if that of ``ds`` is. Resumes
    exactly.
    """

    def __init__(self, ds: DataFlow, num_proc: int):
        self.parts = [MultiProcessRunnerZMQ(_Part(ds, index, num_proc), 1, shard=True) for index in range(num_proc)]

    def __len__(self) -> int:
        return len(self.parts[0])

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        ended = state.setdefault("ended", [])
        state.setdefault("turn", 0)
        while len(ended) < len(self.parts):
            turn = state["turn"]
            state["turn"] = (turn + 1) % len(self.parts)
            if turn not in ended:
                datapoint = next(iter(state.inputs[turn]), _END)
                if datapoint is _END:
                    ended.append(turn)
                else:
                    yield datapoint


class _Part(ProxyDataFlow):
    """The share of one copy, for which this is all there is."""

    elementwise = True

    def __init__(self, ds: DataFlow, index: int, count: int):
        super().__init__(ds)
        self.index, self.count = index, count

    def _share_below(self, share: tuple[int, int]) -> tuple[int, int]:
        return self.index, self.count

    def reset_state(self) -> None:
        """See `DataFlow.reset_state`."""
        self._say_which()
        super().reset_state()

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        self._say_which()
        yield from source

    def _say_which(self) -> None:
        """To a flow that asks `worker_info` and takes its share by itself."""
        info = worker_info()
        if info is not None:
            set_worker_info(dataclasses.replace(info, index=self.index, count=self.count))
