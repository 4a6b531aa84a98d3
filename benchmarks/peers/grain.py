"""Grain: a lazily mapped, indexed dataset whose slices are run by worker processes (``mp_prefetch``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer

ENVIRONMENT = Environment("grain", ("grain==0.2.18", NUMPY, OPENCV))


@contextmanager
def running(dataset: Any, unchunk: bool = False) -> Iterator[Any]:
    """Closes the iterator, as Grain recommends for ``mp_prefetch``."""
    iterator = iter(dataset)
    try:
        yield chain.from_iterable(iterator) if unchunk else iterator
    finally:
        iterator.close()


def as_list(items: Any) -> list[Any]:
    return list(items)


class Grain(Peer):
    """``MapDataset.source(tasks).map(function).to_iter_dataset().mp_prefetch(MultiprocessingOptions(num_workers=n))``."""

    name = "grain"
    environment = "grain"
    libraries = ("grain",)
    ahead = 600  # each worker reads 500 small elements ahead by default
    cannot: ClassVar[dict[str, str]] = {
        "copies": "mp_prefetch gives each worker a slice of one dataset; there are no identical copies",
        "sleep_10ms": "each of its processes reads with 16 threads of its own, so 32 of them would sleep 512 at a time",
    }

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        with running(self._in_processes(self._read(self._mapped(job), job), job)) as items:
            yield items

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        # Batches after the reading: before it, 16 threads would each make a whole batch, and the first come late.
        read = self._read(self._mapped(job), job)
        with running(self._in_processes(read.batch(job.batch), job)) as batches:
            yield batches

    def _mapped(self, job: Job) -> Any:
        import grain

        return grain.MapDataset.source(job.tasks).map(job.function)

    def _read(self, dataset: Any, job: Job) -> Any:
        import grain

        # Grain's default of 500 is for elements of 1 to 10 KiB, its documentation says: of 10 MB they would be more
        # memory than there is.
        options = grain.ReadOptions(prefetch_buffer_size=16) if job.item_bytes else grain.ReadOptions()
        return dataset.to_iter_dataset(options)

    def _in_processes(self, dataset: Any, job: Job) -> Any:
        import grain

        return dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=job.workers))


class GrainTuned(Grain):
    """No reading threads (the documented advice for data in memory), a larger buffer, small items in chunks."""

    name = "grain-tuned"
    ahead = 32
    cannot: ClassVar[dict[str, str]] = {"copies": Grain.cannot["copies"]}

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        mapped = self._mapped(job)
        if job.chunk > 1:
            mapped = mapped.batch(job.chunk, batch_fn=as_list)
        with running(self._in_processes(self._read(mapped, job), job), unchunk=job.chunk > 1) as items:
            yield items

    def _read(self, dataset: Any, job: Job) -> Any:
        import grain

        return dataset.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))

    def _in_processes(self, dataset: Any, job: Job) -> Any:
        import grain

        return dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=job.workers, per_worker_buffer_size=4))


class GrainThreads(Grain):
    """Grain's reading threads alone: ``to_iter_dataset`` maps in ``num_threads`` threads of this process."""

    name = "grain-threads"
    kind = "thread"
    ahead = 256
    cannot: ClassVar[dict[str, str]] = {}
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import grain

        read = grain.ReadOptions(num_threads=job.workers, prefetch_buffer_size=4 * job.workers)
        with running(self._mapped(job).to_iter_dataset(read)) as items:
            yield items

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import grain

        read = grain.ReadOptions(num_threads=job.workers, prefetch_buffer_size=4 * job.batch)
        with running(self._mapped(job).to_iter_dataset(read).batch(job.batch)) as batches:
            yield batches


PEERS = [Grain(), GrainTuned(), GrainThreads()]
