"""PyTorch's DataLoader: as its documentation shows it first, and tuned.

The pinned version is PyTorch's; which build of it pip takes (CPU or CUDA) makes no difference here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer

LARGE = 300_000  # bytes; from here on tensors in shared memory beat pickled arrays
ENVIRONMENT = Environment("torch", ("torch==2.13.0", NUMPY, OPENCV))


class Tasks:
    """A map-style dataset needs only these two methods, so it need not inherit from torch's class."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __len__(self) -> int:
        return len(self.job.tasks)

    def __getitem__(self, index: int) -> Any:
        assert self.job.function is not None
        return self.job.function(self.job.tasks[index])


def as_it_is(item: Any) -> Any:
    """A collate function that leaves numpy arrays alone."""
    return item


def iterable_dataset(source: Any) -> Any:
    from torch.utils.data import IterableDataset

    class Copy(IterableDataset):  # type: ignore[misc, type-arg]
        def __iter__(self) -> Iterator[Any]:
            return iter(source)

    return Copy()


class Torch(Peer):
    """``DataLoader(dataset, num_workers=n)``: tensors by torch's default conversion and collation."""

    name = "torch"
    environment = "torch"
    libraries = ("torch", "torch.utils.data")
    ahead = 16

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        yield DataLoader(Tasks(job), batch_size=None, num_workers=job.workers)

    @contextmanager
    def copies(self, job: Job) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        yield DataLoader(iterable_dataset(job.source), batch_size=None, num_workers=job.workers)

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        yield DataLoader(Tasks(job), batch_size=job.batch, num_workers=job.workers)


class TorchTuned(Torch):
    """What was fastest when tried by hand, for each size of item.

    Up to some 300 kB an item is best left a numpy array (no tensor, no shared block for each), and small ones
    travel in chunks. Larger ones and batches are best as tensors in shared memory, with the ``file_system``
    strategy: it opens a block by name where the default passes a descriptor over a socket.
    """

    name = "torch-tuned"

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import torch.multiprocessing
        from torch.utils.data import DataLoader

        options: dict[str, Any] = {"num_workers": job.workers, "collate_fn": as_it_is, "prefetch_factor": 8}
        if job.item_bytes > LARGE:
            torch.multiprocessing.set_sharing_strategy("file_system")
            yield DataLoader(Tasks(job), batch_size=None, num_workers=job.workers, prefetch_factor=4)
        elif job.chunk == 1:
            yield DataLoader(Tasks(job), batch_size=None, **options)
        else:
            yield chain.from_iterable(DataLoader(Tasks(job), batch_size=job.chunk, **options))

    @contextmanager
    def copies(self, job: Job) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        dataset = iterable_dataset(job.source)
        options: dict[str, Any] = {"collate_fn": as_it_is, "prefetch_factor": 8}
        yield DataLoader(dataset, batch_size=None, num_workers=job.workers, **options)

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import torch.multiprocessing
        from torch.utils.data import DataLoader

        torch.multiprocessing.set_sharing_strategy("file_system")
        yield DataLoader(Tasks(job), batch_size=job.batch, num_workers=job.workers, prefetch_factor=4)


PEERS = [Torch(), TorchTuned()]
