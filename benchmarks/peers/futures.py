"""``concurrent.futures`` as its documentation shows it first, and tuned by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer, Workload
from benchmarks.peers._batches import make_batch, spans

ENVIRONMENT = Environment("standard-library", (NUMPY, OPENCV))  # the same as the other peers of the standard library
WINDOW = 4  # calls under way for each worker; more was no faster


@contextmanager
def executor(kind: str, workers: int) -> Iterator[Any]:
    import concurrent.futures

    pool = getattr(concurrent.futures, kind)(workers)
    yield pool
    pool.shutdown(wait=True, cancel_futures=True)  # a plain ``with`` would work off what nobody waits for


def windowed(pool: Any, function: Callable[[Any], Any], tasks: Iterable[Any], ahead: int) -> Iterator[Any]:
    """What ``map(..., buffersize=)`` does from Python 3.14 on."""
    left = iter(tasks)
    waiting = deque(pool.submit(function, task) for task in islice(left, ahead))
    while waiting:
        done = waiting.popleft().result()
        waiting.extend(pool.submit(function, task) for task in islice(left, 1))
        yield done


class Futures(Peer):
    """``executor.map(function, tasks)``: submits all tasks before it gives the first result."""

    name = "futures"
    environment = "standard-library"
    libraries = ("concurrent.futures",)
    executor: ClassVar[str] = "ProcessPoolExecutor"
    unbounded = True
    ahead = 8
    cannot: ClassVar[dict[str, str]] = {"copies": "has no copies of a source"}

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        with executor(self.executor, job.workers) as pool:
            yield pool.map(job.function, job.tasks)

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        with executor(self.executor, job.workers) as pool:
            yield pool.map(partial(make_batch, job.function), spans(job))


class FuturesChunked(Futures):
    """Small items: the documented ``chunksize``."""

    name = "futures-tuned"

    def why_not(self, workload: Workload) -> str | None:
        return super().why_not(workload) if workload.chunk > 1 else ""

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        with executor(self.executor, job.workers) as pool:
            yield pool.map(job.function, job.tasks, chunksize=job.chunk)


class FuturesWindow(Futures):
    """Large items: no more calls under way than the workers need, or memory grows with the pass."""

    name = "futures-window"
    unbounded = False

    def why_not(self, workload: Workload) -> str | None:
        return super().why_not(workload) if workload.chunk == 1 else ""

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        with executor(self.executor, job.workers) as pool:
            yield windowed(pool, job.function, job.tasks, WINDOW * job.workers)

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        with executor(self.executor, job.workers) as pool:
            yield windowed(pool, partial(make_batch, job.function), spans(job), WINDOW * job.workers)


class FuturesThreads(FuturesWindow):
    name = "futures-threads"
    kind = "thread"
    executor = "ThreadPoolExecutor"
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")


PEERS = [Futures(), FuturesChunked(), FuturesWindow(), FuturesThreads()]
