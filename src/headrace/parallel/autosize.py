"""How many workers a pool needs, decided from its counters while it runs: ``num_proc="auto"``.

The model is that of `explain`. If the consumer waits, and the workers are busy, more of them may help: twice as many if
they mostly wait themselves (for a disk, for a network), one more if they compute, and then not beyond the processors
that this process may use. Growing is an experiment: if the rate does not follow, it is taken back, and not tried again
for a while. If nobody waits and the workers are idle half of the time, there are too many.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..observe.counters import Counters
from ..observe.machine import available_cores

__all__ = ["AutoSize"]

_LOOK_S = 0.2
_FORGET_S = 20.0
_WAITS, _BUSY, _COMPUTES = 0.1, 0.7, 0.5
_RESTS, _IDLE = 0.02, 0.5
_FOLLOWS = 1.05


class _Mark(NamedTuple):
    at_s: float
    delivered: int
    wait_s: float
    idle_s: float
    busy_s: float
    cpu_s: float


class AutoSize:
    """Decides.

    Args:
        counters: of the channel.
        most: the most workers.
    """

    def __init__(self, counters: Counters, most: int):
        self._counters = counters
        self._most = most
        self._mark: _Mark | None = None
        self._tried: tuple[int, float] | None = None  # how many there were before the last growth, and their rate
        self._ceiling = most + 1
        self._forget_at = math.inf

    @staticmethod
    def first() -> int:
        """How many workers to begin with."""
        return min(2, available_cores())

    def rests(self) -> None:
        """The time until now says nothing: workers are starting, or a pass begins."""
        self._mark = None

    def wish(self, now_s: float, workers: int) -> int:
        """How many workers there should be now; ``workers`` is how many there are, all of them ready."""
        if self._mark is not None and now_s - self._mark.at_s < _LOOK_S:
            return workers
        before, self._mark = self._mark, self._stands(now_s)
        if before is None:
            return workers
        if self._mark.delivered - before.delivered < 2 * workers:
            self._mark = before  # too few to tell
            return workers
        wish = self._decide(before, self._mark, workers)
        if wish != workers:
            self._mark = None
        return wish

    def _decide(self, before: _Mark, now: _Mark, workers: int) -> int:
        wall_s, busy_s = now.at_s - before.at_s, now.busy_s - before.busy_s
        rate = (now.delivered - before.delivered) / wall_s
        if self._tried is not None:
            (fewer, their_rate), self._tried = self._tried, None
            if rate < _FOLLOWS * their_rate:
                self._ceiling, self._forget_at = workers, now.at_s + _FORGET_S
                return fewer
        if now.at_s > self._forget_at:
            self._ceiling, self._forget_at = self._most + 1, math.inf
        waits = (now.wait_s - before.wait_s) / wall_s
        busy = busy_s / max(busy_s + now.idle_s - before.idle_s, 1e-9)
        if waits > _WAITS and busy > _BUSY:
            computes = (now.cpu_s - before.cpu_s) > _COMPUTES * busy_s
            wish = min(workers + 1, max(available_cores(), workers)) if computes else 2 * workers
            wish = min(wish, self._ceiling - 1, self._most)
            if wish > workers:
                self._tried = (workers, rate)
                return wish
        elif waits < _RESTS and busy < _IDLE:
            # At most by half: one idle moment must not end all of them.
            return max(1, workers // 2, min(workers - 1, math.ceil(workers * busy / _BUSY)))
        return workers

    def _stands(self, now_s: float) -> _Mark:
        spent = self._counters.spent
        busy_s = spent.work_s + spent.send_s + spent.decode_s
        return _Mark(now_s, self._counters.delivered, self._counters.wait_s, spent.wait_s, busy_s, spent.cpu_s)
