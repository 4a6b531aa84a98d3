"""``multiprocessing.Pool.imap`` as a newcomer calls it and with a chunk size chosen by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer
from benchmarks.peers._batches import make_batch, spans

ENVIRONMENT = Environment("standard-library", (NUMPY, OPENCV))


@contextmanager
def imap(workers: int, function: Any, tasks: Any, chunk: int) -> Iterator[Any]:
    import multiprocessing

    # Pool.__exit__ is terminate(); join() waits until the workers are gone.
    with multiprocessing.Pool(workers) as pool:
        yield pool.imap(function, tasks, chunksize=chunk)
    pool.join()


class Pool(Peer):
    name = "pool"
    environment = "standard-library"
    libraries = ("multiprocessing",)
    ahead = 8  # imap has no bound at all; this is what matters where the consumer keeps up

    def map(self, job: Job) -> Any:
        return imap(job.workers, job.function, job.tasks, self.chunk(job))

    def map_and_batch(self, job: Job) -> Any:
        return imap(job.workers, partial(make_batch, job.function), spans(job), 1)

    def chunk(self, job: Job) -> int:
        return 1


class PoolTuned(Pool):
    name = "pool-tuned"

    def why_not(self, workload: Any) -> str | None:
        return super().why_not(workload) if workload.chunk > 1 else ""

    def chunk(self, job: Job) -> int:
        return job.chunk


class ThreadPool(Peer):
    name = "pool-threads"
    environment = "standard-library"
    kind = "thread"
    only = ("sleep_10ms",)

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        from multiprocessing.pool import ThreadPool as Threads

        with Threads(job.workers) as pool:
            yield pool.imap(job.function, job.tasks)


class PlainLoop(Peer):
    """No workers at all: what the work costs by itself."""

    name = "plain-loop"
    environment = "standard-library"
    kind = "none"
    ahead = 1

    def why_not(self, workload: Any) -> str | None:
        return "" if workload.name in ("sleep_10ms", "start_stop") else super().why_not(workload)

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        yield map(job.function, job.tasks)

    @contextmanager
    def copies(self, job: Job) -> Iterator[Any]:
        yield job.source

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        yield map(partial(make_batch, job.function), spans(job))


PEERS = [Pool(), PoolTuned(), ThreadPool(), PlainLoop()]
