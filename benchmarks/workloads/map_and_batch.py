"""W4: images stacked to batches in the workers; the consumer drops each batch in turn, or keeps the last eight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.model import Job, Workload, WrongDelivery

ORDER = 4
BATCH = 64
SHAPE = (224, 224, 3)
KEPT = 8


def make_pair(task: int) -> list[Any]:
    return [np.full(SHAPE, task & 0xFF, np.uint8), task]


class MapAndBatch(Workload):
    name = "map_and_batch"
    title = "W4 map and batch, 64 images of 150 kB, each batch dropped in turn"
    pattern = "map_and_batch"
    unit = "images"
    batch = BATCH
    per_delivery = BATCH
    bytes_per_unit = 150_528
    margin = 24  # batches: more than a buffer of ten
    least = 60
    held = 1

    def job(self, total: int) -> Job:
        return Job(
            range(total * BATCH), self.workers, make_pair, batch=BATCH, item_bytes=self.bytes_per_unit, held=self.held
        )

    def tally(self, total: int, exact: bool) -> bytearray:
        return bytearray((total if exact else 2 * total + 80 * self.workers) * BATCH)

    def consume(self, items: Iterator[Any], tally: bytearray) -> None:
        for batch in items:
            images, labels = map(np.asarray, batch)
            right = images.shape == (BATCH, *SHAPE) and images.dtype == np.uint8
            # both ends of every image, so that a batch with rows of another is found
            low = labels.astype(np.uint8)
            if not (right and (images[:, 0, 0, 0] == low).all() and (images[:, -1, -1, -1] == low).all()):
                raise WrongDelivery(f"a batch is not what its worker stacked: labels {labels}")
            for label in labels.tolist():
                tally[label] += 1

    def verify(self, tally: bytearray, total: int) -> None:
        if len(tally) == total * BATCH:
            super().verify(tally, total * BATCH)
        elif tally.count(1) != total * BATCH:
            raise WrongDelivery(f"{tally.count(1)} labels came once, not {total * BATCH}")


class MapAndKeep(MapAndBatch):
    """As a queue to a device does, or gradient accumulation: memory of the last batches cannot be used again yet."""

    name = "map_and_batch_kept"
    title = "W4 map and batch, 64 images of 150 kB, the consumer keeps the last 8 batches"
    held = KEPT

    def __init__(self) -> None:
        self.kept: deque[Any] = deque(maxlen=KEPT)

    def consume(self, items: Iterator[Any], tally: bytearray) -> None:
        super().consume(self._keep(items), tally)

    def _keep(self, items: Iterator[Any]) -> Iterator[Any]:
        for batch in items:
            self.kept.append(batch)
            yield batch


WORKLOADS = [MapAndBatch(), MapAndKeep()]
