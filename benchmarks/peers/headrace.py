"""Headrace, with nothing tuned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, Environment
from benchmarks.model import Job, Peer

ENVIRONMENT = Environment("headrace", (NUMPY,), editable=True)


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


PEERS = [Headrace(), HeadraceFork(), HeadraceForkserver(), HeadraceSpawn(), HeadraceThreads()]
