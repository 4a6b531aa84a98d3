"""Ray Data, for the one job of these that it is made for: ``map_batches`` and ``iter_batches``."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer
from benchmarks.peers._batches import make_batch

ENVIRONMENT = Environment("ray", ("ray[data]==2.60.0", NUMPY, OPENCV))


def make_block(function: Callable[[int], list[Any]], block: dict[str, Any]) -> dict[str, Any]:
    images, labels = make_batch(function, block["id"].tolist())
    return {"image": images, "label": labels}


def as_lists(batches: Any) -> Iterator[list[Any]]:
    for batch in batches:
        yield [batch["image"], batch["label"]]


class Ray(Peer):
    """``ray.data.range(n).map_batches(function, batch_size=64).iter_batches(batch_size=64)`` on a local cluster."""

    name = "ray"
    environment = "ray"
    libraries = ("ray", "ray.data")
    ahead = 16
    cannot: ClassVar[dict[str, str]] = {
        "map": "works on blocks of table rows, not on Python objects: only map and batch is its job",
        "copies": "has no copies of a source",
    }

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            options = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(num_cpus=job.workers, _temp_dir=folder, **options)
            try:
                yield as_lists(self._batches(ray, job))
            finally:
                ray.shutdown()

    def _batches(self, ray: Any, job: Job) -> Any:
        ray.data.DataContext.get_current().enable_progress_bars = False
        source = ray.data.range(len(job.tasks), **self._blocks(job))
        mapped = source.map_batches(partial(make_block, job.function), batch_size=job.batch, batch_format="numpy")
        return mapped.iter_batches(batch_size=job.batch, batch_format="numpy")

    def _blocks(self, job: Job) -> dict[str, int]:
        return {}


class RayTuned(Ray):
    """A block holds one batch, or it has to be cut from several: the default is a few large blocks."""

    name = "ray-tuned"

    def _blocks(self, job: Job) -> dict[str, int]:
        return {"override_num_blocks": len(job.tasks) // job.batch}


PEERS = [Ray(), RayTuned()]
