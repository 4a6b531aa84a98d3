"""SPDL: a pipeline of threads, with a process pool for its stage, and with subprocesses that share an arena."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer, Workload
from benchmarks.peers._batches import make_batch, spans

ENVIRONMENT = Environment("spdl", ("spdl_core==0.8.0", NUMPY, OPENCV))
BUFFER = 3  # units that wait in each subprocess; SPDL's own default
ALIGNED = 65_536  # room in a segment for what is sent beside the array


def stack(items: list[Any]) -> list[Any]:
    return [np.stack(component) for component in zip(*items, strict=True)]


@contextmanager
def running(builder: Any, threads: int) -> Iterator[Any]:
    pipeline = builder.build(num_threads=threads, max_failures=0)  # by default items that fail are left out in silence
    with pipeline.auto_stop():
        yield pipeline


class SpdlThreads(Peer):
    """``PipelineBuilder().add_source(tasks).pipe(function, concurrency=n)``, results as they come."""

    name = "spdl-threads"
    environment = "spdl"
    kind = "thread"
    libraries = ("spdl.pipeline",)
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder

        builder = PipelineBuilder().add_source(job.tasks).pipe(job.function, concurrency=job.workers)
        with running(builder.add_sink(), job.workers) as items:
            yield items

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder

        builder = PipelineBuilder().add_source(job.tasks).pipe(job.function, concurrency=job.workers)
        builder = builder.aggregate(job.batch).pipe(stack).add_sink()
        with running(builder, job.workers + 1) as batches:
            yield batches


class Spdl(Peer):
    """The same with ``executor=ProcessPoolExecutor(n)``; a batch is one call, or images would cross one by one."""

    name = "spdl"
    environment = "spdl"
    libraries = ("spdl.pipeline",)
    cannot: ClassVar[dict[str, str]] = {"copies": "runs copies only as subprocesses of their own: spdl-arena"}

    def map(self, job: Job) -> Any:
        return self._pipeline(job.tasks, job.function, job.workers)

    def map_and_batch(self, job: Job) -> Any:
        return self._pipeline(spans(job), partial(make_batch, job.function), job.workers)

    @contextmanager
    def _pipeline(self, tasks: Iterable[Any], function: Any, workers: int) -> Iterator[Any]:
        from concurrent.futures import ProcessPoolExecutor

        from spdl.pipeline import PipelineBuilder

        with ProcessPoolExecutor(workers) as pool:
            builder = PipelineBuilder().add_source(tasks).pipe(function, concurrency=workers, executor=pool)
            with running(builder.add_sink(), workers) as items:
                yield items


class SpdlTuned(Spdl):
    """A region of processes (``to(ProcessPoolExecutorConfig(n), buffer_size=chunk)``), for small items."""

    name = "spdl-tuned"

    def why_not(self, workload: Workload) -> str | None:
        return super().why_not(workload) if workload.chunk > 1 else ""

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder
        from spdl.pipeline.defs import MAIN_PROCESS, ProcessPoolExecutorConfig

        region = ProcessPoolExecutorConfig(max_workers=job.workers)
        builder = PipelineBuilder().add_source(job.tasks).to(region, buffer_size=job.chunk)
        builder = builder.pipe(job.function).to(MAIN_PROCESS, buffer_size=job.chunk).add_sink(2 * job.chunk)
        with running(builder, job.workers) as items:
            yield items


def mapped(function: Callable[[Any], Any], tasks: Any) -> Iterator[Any]:
    return map(function, tasks)


class SpdlArena(Peer):
    """One ``iterate_in_subprocess`` for each worker, with a pool of shared segments: SPDL's way for large arrays.

    Each subprocess has every n-th task, and this process asks them in turn.
    """

    name = "spdl-arena"
    environment = "spdl"
    libraries = ("spdl.pipeline",)

    def why_not(self, workload: Workload) -> str | None:
        large = workload.bytes_per_unit or workload.name in ("start_stop", "jpeg_to_batches")
        return super().why_not(workload) if large else ""

    def map(self, job: Job) -> Any:
        parts = [partial(mapped, job.function, job.tasks[n :: job.workers]) for n in range(job.workers)]
        return self._subprocesses(parts, job.item_bytes, job.held)

    def copies(self, job: Job) -> Any:
        return self._subprocesses([partial(iter, job.source)] * job.workers, job.item_bytes, job.held)

    def map_and_batch(self, job: Job) -> Any:
        make = partial(make_batch, job.function)
        batches = list(spans(job))
        parts = [partial(mapped, make, batches[n :: job.workers]) for n in range(job.workers)]
        return self._subprocesses(parts, job.item_bytes * job.batch, job.held)

    @contextmanager
    def _subprocesses(self, parts: list[Any], nbytes: int, held: int) -> Iterator[Any]:
        from spdl.pipeline import SharedMemorySegmentPool, iterate_in_subprocess

        # what waits, what the consumer holds, one being written and one being read
        segments = BUFFER + held + 2
        iterables = []
        for part in parts:
            arena = SharedMemorySegmentPool(nbytes + ALIGNED, segments)
            iterables.append(iterate_in_subprocess(part, buffer_size=BUFFER, arena=arena))
        yield in_turn([iter(each) for each in iterables])
        del iterables  # there is no close(): a subprocess ends with the last reference to its iterable


def in_turn(iterators: list[Iterator[Any]]) -> Iterator[Any]:
    while iterators:
        for iterator in list(iterators):
            for item in islice(iterator, 1):
                yield item
                break
            else:
                iterators.remove(iterator)


PEERS = [Spdl(), SpdlTuned(), SpdlThreads(), SpdlArena()]
