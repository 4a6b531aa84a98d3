"""W1: what one item costs when the work is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.model import Job, Workload

ORDER = 1


def plus_one(task: int) -> int:
    return task + 1


class TinyInts(Workload):
    name = "tiny_ints"
    title = "W1 map over tiny ints (x -> x + 1)"
    chunk = 4096
    least = 4000

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, plus_one, chunk=self.chunk)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for value in items:
            tally[value - 1] += 1


WORKLOADS = [TinyInts()]
