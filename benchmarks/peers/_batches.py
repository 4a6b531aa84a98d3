"""Map and batch for libraries that only map: a task is then a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.model import Job


def spans(job: Job) -> Iterator[range]:
    """The tasks of one batch after the other."""
    for start in range(job.tasks.start, job.tasks.stop, job.batch):
        yield job.tasks[start - job.tasks.start : start - job.tasks.start + job.batch]


def make_batch(function: Callable[[int], list[Any]], tasks: range) -> list[Any]:
    """Map and stack component by component, as a user would write it."""
    return [np.stack(component) for component in zip(*map(function, tasks), strict=True)]
