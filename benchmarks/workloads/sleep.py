"""W6: latency-bound work, as reading from a network is; many workers on few cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.model import Job, Workload

ORDER = 6
SECONDS = 0.010


def nap(task: int) -> int:
    time.sleep(SECONDS)
    return task


class Sleep(Workload):
    name = "sleep_10ms"
    title = "W6 latency-bound: 10 ms sleeps, 32 workers"
    workers = 32
    ideal_rate = 32 / SECONDS

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, nap)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for value in items:
            tally[value] += 1


WORKLOADS = [Sleep()]
