"""W2: arrays made in the workers, summed by the consumer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.model import Job, Workload, WrongDelivery

ORDER = 2
REPEATED = 0x0101010101010101  # a byte times this is that byte eight times in a 64-bit word
WORD = 2**64


def make_array(size: int, task: int) -> Any:
    """A fresh uint8 array, filled with the low byte of the task; the task itself is in the first eight."""
    array = np.full(size, task & 0xFF, np.uint8)
    array[:8].view(np.uint64)[0] = task
    return array


def make_array_in_place(size: int, task: int) -> Any:
    """The same for systems that offer memory which need not be copied."""
    import headrace as hr

    array = hr.empty(size, np.uint8)
    array.fill(task & 0xFF)
    array[:8].view(np.uint64)[0] = task
    return array


def task_of(item: Any) -> int:
    """Read all of the array, and check all of it: the sum of its words tells which task it came from."""
    words = np.asarray(item).view(np.uint64)  # also of a torch tensor: no copy
    task = int(words[0])
    expected = (task + (len(words) - 1) * (task & 0xFF) * REPEATED) % WORD
    if int(np.add.reduce(words)) != expected:
        raise WrongDelivery(f"the array of task {task} is not what its worker wrote")
    return task


class Arrays(Workload):
    def __init__(self, label: str, size: int, least: int = 400) -> None:
        self.name = f"arrays_{label}"
        self.title = f"W2 map returning arrays of {label.replace('k', ' k').replace('M', ' M')}, consumer sums them"
        self.bytes_per_unit = size
        self.least = least

    def job(self, total: int) -> Job:
        function = partial(make_array, self.bytes_per_unit)
        return Job(range(total), self.workers, function, item_bytes=self.bytes_per_unit)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for item in items:
            tally[task_of(item)] += 1


WORKLOADS = [Arrays("150kB", 150_528), Arrays("600kB", 602_112), Arrays("10MB", 10_000_000, least=50)]
