"""W9: skewed work: most items are quick, one in fifty takes a hundred times as long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.model import Job, Workload

ORDER = 9
QUICK_S, SLOW_S, EVERY = 0.000_2, 0.020, 50
MEAN_S = QUICK_S + (SLOW_S - QUICK_S) / EVERY


def skewed(task: int) -> int:
    """Uses the processor, by its own clock: an item costs the same however many share the core."""
    until = time.thread_time() + (SLOW_S if task % EVERY == 7 else QUICK_S)
    while time.thread_time() < until:
        pass
    return task


class Skew(Workload):
    name = "skew"
    title = "W9 skewed CPU work: 0.2 ms, one in 50 takes 20 ms"
    ideal_rate = 2 / MEAN_S

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, skewed)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for value in items:
            tally[value] += 1


WORKLOADS = [Skew()]
