"""W8 with a long list: what a million paths, held by the source, cost at the start and in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from benchmarks.model import FIRST, MEMORY, Job, Workload, WrongDelivery

ORDER = 8
LENGTH = 1_000_000
DIGITS = 7


def number_of(path: str) -> int:
    """What the workers do: nearly nothing, but it reads the path."""
    stem = path.rpartition(".")[0]
    return int(stem[-DIGITS:])


def make_paths() -> list[str]:
    """A million strings in an order that has nothing to do with their places in memory, as in a shuffled pass.

    So each item that a forked worker reads is a page that it has to copy, for the reference count's sake.
    """
    paths = [f"/data/images/train/class_{number % 1000:04d}/photo_{number:0{DIGITS}d}.jpg" for number in range(LENGTH)]
    random.Random(0).shuffle(paths)
    return paths


class MillionPaths(Workload):
    compared = (FIRST, MEMORY)
    leaves_early = True
    unit = "paths"
    least = 20_000  # of a million, then the consumer leaves: enough to touch most pages of the list
    most = LENGTH

    def tally(self, total: int, exact: bool) -> Any:
        return bytearray(LENGTH)


class MillionPathsMapper(MillionPaths):
    name = "million_paths_mapper"
    title = "W8 a list of 1,000,000 paths, mapped by two workers, left after 20,000"

    def job(self, total: int) -> Job:
        return Job(make_paths(), self.workers, number_of)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for number in items:
            tally[number] += 1

    def verify(self, tally: Any, total: int) -> None:
        if tally.count(1) != total:
            raise WrongDelivery(f"{tally.count(1)} paths came once, not {total}")


class MillionPathsRunner(MillionPaths):
    name = "million_paths_runner"
    title = "W8 two copies of a source that holds a list of 1,000,000 paths, left after 20,000"
    pattern = "copies"

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, source=make_paths())

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for path in items:
            tally[number_of(path)] += 1

    def verify(self, tally: Any, total: int) -> None:
        came = sum(times * tally.count(times) for times in range(1, self.workers + 1))
        if came != total or tally.count(0) + total < LENGTH:
            raise WrongDelivery(f"{came} paths came from {self.workers} copies as they should, not {total}")


WORKLOADS = [MillionPathsMapper(), MillionPathsRunner()]
