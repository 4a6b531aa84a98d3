"""torchdata.nodes: PyTorch's graph of iterators, with threads or processes in its ``ParallelMapper``."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Literal

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer, Workload
from benchmarks.peers._batches import make_batch

LARGE = 300_000  # bytes; as for the DataLoader
ENVIRONMENT = Environment("torchdata", ("torchdata==0.11.0", "torch==2.13.0", NUMPY, OPENCV))


@contextmanager
def running(loader: Any) -> Iterator[Any]:
    """There is no close(), and loader and iterator refer to each other: only the collector ends the workers."""
    yield loader
    del loader
    gc.collect()


def to_tensors(item: Any) -> Any:
    """Torch's queues move a tensor's memory and pickle an array's."""
    import torch

    if isinstance(item, list):
        return [torch.from_numpy(component) for component in item]
    return torch.from_numpy(item)


def map_to_tensors(function: Callable[[Any], Any], task: Any) -> Any:
    return to_tensors(function(task))


class TorchData(Peer):
    """``Loader(ParallelMapper(IterableWrapper(tasks), function, num_workers=n, method="process"))``."""

    name = "torchdata"
    environment = "torchdata"
    libraries = ("torch", "torchdata.nodes")
    ahead = 16
    method: ClassVar[Literal["thread", "process"]] = "process"
    cannot: ClassVar[dict[str, str]] = {"copies": "has no copies of a source: one iterator feeds all workers"}

    def map(self, job: Job) -> Any:
        return self._loader(job.tasks, job.function, job.workers)

    def map_and_batch(self, job: Job) -> Any:
        return self._loader(job.tasks, partial(make_batch, job.function), job.workers, batch=job.batch)

    def _loader(self, tasks: Any, function: Any, workers: int, batch: int = 0, **options: Any) -> Any:
        from torchdata.nodes import Batcher, IterableWrapper, Loader, ParallelMapper

        node = IterableWrapper(tasks)
        if batch:
            node = Batcher(node, batch)
        return running(Loader(ParallelMapper(node, function, num_workers=workers, method=self.method, **options)))


class TorchDataThreads(TorchData):
    name = "torchdata-threads"
    kind = "thread"
    method = "thread"
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")


class TorchDataTuned(TorchData):
    """Small items with the documented ``prebatch``; large ones as tensors under the ``file_system`` strategy.

    The state of the source is recorded less often too: once for each item is the default, and nobody asks here.
    """

    name = "torchdata-tuned"
    options: ClassVar[dict[str, Any]] = {"snapshot_frequency": 1000}

    def why_not(self, workload: Workload) -> str | None:
        left_as_it_is = ("sleep_10ms", "skew", "start_stop")
        return "" if workload.name in left_as_it_is else super().why_not(workload)

    def map(self, job: Job) -> Any:
        import torch.multiprocessing

        if job.item_bytes > LARGE:
            torch.multiprocessing.set_sharing_strategy("file_system")
            return self._loader(job.tasks, partial(map_to_tensors, job.function), job.workers, **self.options)
        prebatch = job.chunk if job.chunk > 1 else None
        return self._loader(job.tasks, job.function, job.workers, prebatch=prebatch, **self.options)

    def map_and_batch(self, job: Job) -> Any:
        import torch.multiprocessing

        torch.multiprocessing.set_sharing_strategy("file_system")
        function = partial(map_to_tensors, partial(make_batch, job.function))
        return self._loader(job.tasks, function, job.workers, batch=job.batch, **self.options)


PEERS = [TorchData(), TorchDataTuned(), TorchDataThreads()]
