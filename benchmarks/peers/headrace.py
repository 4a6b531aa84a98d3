"""Headrace, with nothing tuned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer
from benchmarks.workloads.arrays import make_array_in_place

ENVIRONMENT = Environment("headrace", (NUMPY, OPENCV), editable=True)


def source(data: Any) -> Any:
    import headrace as hr

    if isinstance(data, range) or not hasattr(data, "__getitem__"):
        return hr.DataFromIterable(data)
    return hr.DataFromList(data, shuffle=False)  # it is shuffled already, for all systems alike


class Headrace(Peer):
    name = "headrace"
    environment = "headrace"
    libraries = ("headrace",)
    options: ClassVar[dict[str, Any]] = {}

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        with closing(hr.MultiProcessMapData(source(job.tasks), job.workers, job.function, **self.options)) as flow:
            yield flow

    @contextmanager
    def copies(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        with closing(hr.MultiProcessRunnerZMQ(source(job.source), job.workers)) as flow:
            yield flow

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        flow = hr.MultiProcessMapAndBatchData(source(job.tasks), job.workers, job.function, job.batch)
        with closing(flow):
            yield flow


class StartedBy(Headrace):
    """The same mapper with a start method chosen by the user."""

    only = ("start_stop",)


class HeadraceFork(StartedBy):
    name = "headrace-fork"
    options: ClassVar[dict[str, Any]] = {"start_method": "fork"}


class HeadraceForkserver(StartedBy):
    name = "headrace-forkserver"
    options: ClassVar[dict[str, Any]] = {"start_method": "forkserver"}


class HeadraceSpawn(StartedBy):
    name = "headrace-spawn"
    options: ClassVar[dict[str, Any]] = {"start_method": "spawn"}


class HeadraceEmpty(Headrace):
    """The function makes its arrays by `headrace.empty`: what a user may do by hand for large ones."""

    name = "headrace-empty"
    only = ("arrays_150kB", "arrays_600kB", "arrays_10MB")

    def map(self, job: Job) -> Any:
        return super().map(replace(job, function=partial(make_array_in_place, job.item_bytes)))


class HeadraceSharedList(Headrace):
    """The long list stored once in shared memory by the user; making it is part of the first item's time."""

    name = "headrace-shared-list"
    only = ("million_paths_mapper", "million_paths_runner")

    def map(self, job: Job) -> Any:
        return super().map(shared(job))

    def copies(self, job: Job) -> Any:
        return super().copies(shared(job))


def shared(job: Job) -> Job:
    import headrace as hr

    if job.source is None:
        return replace(job, tasks=hr.SharedList(job.tasks))
    return replace(job, source=hr.SharedList(job.source))


class HeadraceThreads(Peer):
    name = "headrace-threads"
    environment = "headrace"
    kind = "thread"
    libraries = ("headrace",)
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        with closing(hr.MultiThreadMapData(source(job.tasks), job.workers, job.function)) as flow:
            yield flow

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        mapped = hr.MultiThreadMapData(source(job.tasks), job.workers, job.function)
        with closing(hr.BatchData(mapped, job.batch)) as flow:
            yield flow


class HeadraceMapThenBatch(Peer):
    """The mapper in processes, batches stacked by the consumer's process (``headrace``: by the workers)."""

    name = "headrace-map-then-batch"
    environment = "headrace"
    libraries = ("headrace",)
    only = ("jpeg_to_batches",)

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        mapped = hr.MultiProcessMapData(source(job.tasks), job.workers, job.function)
        with closing(hr.BatchData(mapped, job.batch)) as flow:
            yield flow


class HeadraceUnordered(Headrace):
    """Results as they come."""

    name = "headrace-unordered"
    only = ("skew",)
    options: ClassVar[dict[str, Any]] = {"ordered": False}


class HeadraceRoundRobin(Headrace):
    """The same engine, but tasks go to the workers in turn, whoever has room: what addressed dispatch is for."""

    name = "headrace-round-robin"
    only = ("skew",)

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        from headrace.parallel.distribute import MapConversation

        turns = itertools.count()

        def next_in_turn(conversation: Any, depth: int) -> Any:
            workers = list(conversation._pool.workers.values())
            worker = workers[self._turn % len(workers)]
            if len(worker.tasks) >= depth:
                return None
            self._turn = next(turns)
            return worker

        self._turn = next(turns)
        MapConversation._roomiest = next_in_turn  # type: ignore[method-assign]
        with super().map(job) as flow:
            yield flow


PEERS = [
    Headrace(),
    HeadraceEmpty(),
    HeadraceUnordered(),
    HeadraceRoundRobin(),
    HeadraceFork(),
    HeadraceForkserver(),
    HeadraceSpawn(),
    HeadraceSharedList(),
    HeadraceThreads(),
    HeadraceMapThenBatch(),
]
