"""W7: Python objects that have to be pickled, as annotations are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.model import Job, Workload, WrongDelivery

ORDER = 7
TEXT = "a caption of some length, " * 20


def make_record(task: int) -> dict[str, Any]:
    return {
        "id": task,
        "text": f"{task:08d} {TEXT}"[:500],
        "boxes": [[task + side, 1.0, 2.0, box + 0.5] for box, side in enumerate(range(20))],
        "vector": np.full(128, task, np.float32),
    }


class NestedDicts(Workload):
    name = "nested_dicts"
    title = "W7 nested dicts (id, 500 characters, 20 boxes, 128 floats)"
    chunk = 64
    unit = "dicts"
    least = 2000

    def job(self, total: int) -> Job:
        return Job(range(total), self.workers, make_record, chunk=self.chunk)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        for record in items:
            task = int(record["id"])
            if not (
                int(record["text"][:8]) == task
                and len(record["text"]) == 500
                and len(record["boxes"]) == 20
                and float(record["boxes"][19][0]) == task + 19
                and float(record["vector"][127]) == task
            ):
                raise WrongDelivery(f"the record of task {task} is not what its worker made")
            tally[task] += 1


WORKLOADS = [NestedDicts()]
