"""W8: how long until the first item, and how long until nothing is left when the consumer walks away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.model import CLOSE, FIRST, Job, Workload, WrongDelivery
from benchmarks.workloads.arrays import make_array, task_of

ORDER = 8
SIZE = 150_528


class StartStop(Workload):
    name = "start_stop"
    title = "W8 start and stop: two workers making 150 kB arrays, left after 200 of a million"
    compared = (FIRST, CLOSE)
    leaves_early = True
    least = 200
    most = 1_000_000

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, partial(make_array, SIZE), item_bytes=SIZE)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for item in items:
            tally[task_of(item)] += 1

    def verify(self, tally: Any, total: int) -> None:
        if tally.count(1) != total:  # order is not asked for here, so any 200 different ones are right
            raise WrongDelivery(f"{tally.count(1)} items came once, not {total}")


WORKLOADS = [StartStop()]
