"""Looking into the copies of a runner: what limits a copy?

The counters know a copy as a whole. So one more copy is run, alone, for a moment, where copies run (in a worker process
or in a thread's stead here), and is observed there. It is a look from beside: it costs the others nothing, but what
they do to each other does not show in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..flow import DataFlow
from ..tree import walk

__all__ = ["Inside", "look_into"]


class Inside(NamedTuple):
    """What limits a copy.

    Attributes:
        number: of the limiting flow, as `walk` counts the flows of a copy.
        busy: the fraction of its time in which it works; see `Verdict.busy`.
        reason: why nothing is known; empty: it is.
    """

    number: int = 0
    busy: float = 0.0
    reason: str = ""


class _Observed(DataFlow):
    """Gives one datapoint: the `Inside` of a flow, which it reads for a while."""

    def __init__(self, flow: DataFlow, seconds: float):
        self.flow = flow
        self.seconds = seconds

    def __iter__(self) -> Iterator[Inside]:
        from .explain import verdict_of
        from .observation import Observation

        observation = Observation(self.flow, self.seconds, progress=False)
        with self.flow:
            observation.run()
        verdict = verdict_of(observation)
        number = next(n for n, flow in enumerate(walk(self.flow)) if flow is verdict.flow)
        yield Inside(number, verdict.busy)


def look_into(runner: DataFlow, seconds: float) -> Inside:
    """Run one more copy of a runner's flow for about so long, and see what limits it.

    Args:
        runner: one of the runners.
        seconds: how long.

    Returns:
        What limits the copy, or why that could not be found out: then it has no consequences.
    """
    from ..parallel.runners import MultiProcessRunnerZMQ, MultiThreadRunner

    try:
        if isinstance(runner, MultiThreadRunner):
            return next(iter(_Observed(runner.get_df(), seconds)))
        observed = _Observed(runner.children[0], seconds)
        # With shards it ends after its one datapoint.
        with MultiProcessRunnerZMQ(observed, 1, shard=True, start_method=getattr(runner, "start_method", None)) as copy:
            found: Inside = next(iter(copy))
            return found
    except Exception as error:
        return Inside(reason=f"{type(error).__name__}: {error}".partition("\n")[0])
