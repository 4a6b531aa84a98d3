"""W5: what image training does: JPEG files to augmented, normalised float32 batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import photos
from benchmarks.model import Job, WrongDelivery
from benchmarks.workloads.map_and_batch import BATCH, SHAPE, MapAndBatch

ORDER = 5
RECOMPUTED = 100
ITEM_BYTES = 224 * 224 * 3 * 4
ROWS, COLUMNS = (0, 100, 223), (223, 111, 0)  # the pixels by which an image is known again


def make_photo(task: int) -> list[Any]:
    """The demo's work on one photo. The crop is drawn from the task: the same in whatever worker."""
    from demo import (
        augment,
    )  # its import tells OpenCV to start no threads of its own; not in the harness, no OpenCV there

    paths = photos.paths()
    rng = np.random.default_rng(task)
    photo = augment.decode(str(paths[task % len(paths)]))
    return [augment.normalise(augment.augment(photo, rng)), task]


def fingerprint(images: Any) -> Any:
    return images[..., ROWS, COLUMNS, 1]


class JpegToBatches(MapAndBatch):
    name = "jpeg_to_batches"
    title = "W5 2,000 JPEG photos: decode, random-resized crop, flip, normalise, batches of 64"
    libraries = ("cv2", "demo.augment")
    bytes_per_unit = 0  # here people count images
    margin = 16
    least = 16

    def prepare(self) -> None:
        photos.ensure()

    def job(self, total: int) -> Job:
        tasks = range(total * BATCH)
        return Job(tasks, self.workers, make_photo, batch=BATCH, item_bytes=ITEM_BYTES)

    def tally(self, total: int, exact: bool) -> Any:
        return super().tally(total, exact), {}

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        came, prints = tally
        for batch in items:
            images, labels = map(np.asarray, batch)
            if images.shape != (BATCH, *SHAPE) or images.dtype != np.float32:
                raise WrongDelivery(f"a batch of {images.shape} {images.dtype}")
            for label, seen in zip(labels.tolist(), fingerprint(images), strict=True):
                came[label] += 1
                prints[label] = seen

    def verify(self, tally: Any, total: int) -> None:
        """Every photo once, and some of them made again here and compared."""
        came, prints = tally
        super().verify(came, total)
        for label in list(prints)[:: max(1, len(prints) // RECOMPUTED)]:
            image, _ = make_photo(label)
            if not np.array_equal(fingerprint(image), prints[label]):
                raise WrongDelivery(f"photo {label} is not what its worker made")


WORKLOADS = [JpegToBatches()]
