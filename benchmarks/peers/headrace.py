"""Headrace, with nothing tuned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer

ENVIRONMENT = Environment("headrace", (NUMPY, OPENCV), editable=True)


class Headrace(Peer):
    name = "headrace"
    environment = "headrace"
    libraries = ("headrace",)
    options: ClassVar[dict[str, Any]] = {}

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        source = hr.DataFromIterable(job.tasks)
        with closing(hr.MultiProcessMapData(source, job.workers, job.function, **self.options)) as flow:
            yield flow

    @contextmanager
    def copies(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        with closing(hr.MultiProcessRunnerZMQ(hr.DataFromIterable(job.source), job.workers)) as flow:
            yield flow

    @contextmanager
    def map_and_batch(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        source = hr.DataFromIterable(job.tasks)
        flow = hr.MultiProcessMapAndBatchData(source, job.workers, job.function, job.batch)
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


class HeadraceThreads(Peer):
    name = "headrace-threads"
    environment = "headrace"
    kind = "thread"
    libraries = ("headrace",)
    only = ("sleep_10ms",)

    @contextmanager
    def map(self, job: Job) -> Iterator[Any]:
        import headrace as hr

        source = hr.DataFromIterable(job.tasks)
        with closing(hr.MultiThreadMapData(source, job.workers, job.function)) as flow:
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

        def next_in_turn(conversation: Any) -> Any:
            workers = list(conversation._pool.workers.values())
            worker = workers[self._turn % len(workers)]
            if len(worker.tasks) >= conversation._pace.depth:
                return None
            self._turn = next(turns)
            return worker

        self._turn = next(turns)
        MapConversation._roomiest = next_in_turn  # type: ignore[method-assign]
        with super().map(job) as flow:
            yield flow


PEERS = [
    Headrace(),
    HeadraceUnordered(),
    HeadraceRoundRobin(),
    HeadraceFork(),
    HeadraceForkserver(),
    HeadraceSpawn(),
    HeadraceThreads(),
]
