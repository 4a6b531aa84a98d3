"""W3: identical copies of a source, each making images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from benchmarks.model import Job, Workload, WrongDelivery
from benchmarks.workloads.arrays import make_array, task_of

ORDER = 3
SIZE = 150_528  # 224 x 224 x 3


class Images:
    """Endless, and the same in every copy: images numbered from 0."""

    def __iter__(self) -> Iterator[Any]:
        return (make_array(SIZE, number) for number in count())


class Runner(Workload):
    name = "runner_150kB"
    title = "W3 runner: identical copies each making images of 150 kB"
    pattern = "copies"
    bytes_per_unit = SIZE
    unit = "images"

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, source=Images(), item_bytes=SIZE)

    def tally(self, total: int, exact: bool) -> list[int]:
        return [0] * self.workers  # the number that each copy gives next

    def consume(self, items: Iterator[Any], tally: list[int]) -> None:
        # Each copy counts up by one, so any order of arrival is a merge of such counts, and an image that
        # was lost or doubled breaks it. (One copy alone is also right: the others were slow to start.)
        for item in items:
            number = task_of(item)
            try:
                tally[tally.index(number)] += 1
            except ValueError:
                raise WrongDelivery(f"image {number} came when the copies were at {tally}") from None

    def verify(self, tally: list[int], total: int) -> None:
        if sum(tally) != total:
            raise WrongDelivery(f"{sum(tally)} images came, not {total}")


WORKLOADS = [Runner()]
