"""What the harness, the workloads and the peers say to each other.

The harness runs without any peer installed, and the measured process of a peer without headrace, so all that
they share imports nothing but the standard library and numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Pattern = Literal["map", "copies", "map_and_batch"]
Running = AbstractContextManager[Iterable[Any]]
"""A built pipeline: iterate what ``with`` gives; leaving the block ends its workers."""


class WrongDelivery(Exception):
    """A pipeline lost, doubled or changed an item, so its speed means nothing."""


@dataclass(frozen=True)
class Job:
    """What a peer is asked to run: nothing here depends on the peer."""

    tasks: Sequence[Any]  # a range of integers, or a list that is part of what is measured
    workers: int
    function: Callable[[Any], Any] | None = None  # map, map_and_batch: from a task to an item
    source: Iterable[Any] | None = None  # copies: what each worker runs; endless, or a list longer than is consumed
    batch: int = 0
    item_bytes: int = 0  # about; 0 for small objects
    held: int = 1  # deliveries that the consumer holds at a time
    chunk: int = 1  # the chunk a person would choose by hand for this work; only tuned systems use it


@dataclass(frozen=True)
class Figure:
    """One thing measured: its key in the JSON, and which end of the scale is good."""

    key: str
    title: str
    more_is_better: bool


RATE = Figure("rate", "throughput", more_is_better=True)
CPU = Figure("cpu_us_per_item", "CPU per item", more_is_better=False)
MEMORY = Figure("peak_mb", "peak memory", more_is_better=False)
FIRST = Figure("first_s", "first item", more_is_better=False)
CLOSE = Figure("close_s", "close", more_is_better=False)


class Peer:
    """One library used in one way. A subclass defines the methods of the patterns that it can do.

    The library is imported inside the methods: the harness imports this class without it.
    """

    name: ClassVar[str]
    environment: ClassVar[str]
    kind: ClassVar[Literal["process", "thread", "none"]] = "process"
    libraries: ClassVar[tuple[str, ...]] = ()  # imported (and timed) before the pipeline is built
    only: ClassVar[tuple[str, ...]] = ()  # the workloads it is meant for; all when empty
    unbounded: ClassVar[bool] = False  # works off the pass whatever the consumer does: only a whole pass can be timed
    ahead: ClassVar[int] = 128  # items under way or waiting per worker, about; at the least
    cannot: ClassVar[dict[str, str]] = {}  # pattern or workload -> why it is left out, for the report
    inexact: ClassVar[dict[str, str]] = {}  # pattern -> why a pass is not exact, by the peer's own contract

    def map(self, job: Job) -> Running:
        """``function`` over ``tasks``, one item for each."""
        raise NotImplementedError

    def copies(self, job: Job) -> Running:
        """``workers`` identical copies of ``source``, each in a worker, results merged."""
        raise NotImplementedError

    def map_and_batch(self, job: Job) -> Running:
        """``function`` over ``tasks``, stacked to batches by the workers."""
        raise NotImplementedError

    def why_not(self, workload: Workload) -> str | None:
        """Say why this system does not run ``workload`` ("" when it goes without saying); None when it does."""
        if self.only and workload.name not in self.only:
            return ""
        reason = self.cannot.get(workload.name) or self.cannot.get(workload.pattern)
        if reason is None and getattr(type(self), workload.pattern) is getattr(Peer, workload.pattern):
            return f"has no {workload.pattern}"
        return reason


class Workload:
    """One kind of work: what the workers make, what the consumer does with it, and what must arrive."""

    name: str
    title: str
    pattern: Pattern = "map"
    workers: int = 2
    chunk: int = 1
    batch: int = 0
    unit: str = "items"
    per_delivery: int = 1  # units in one thing that the consumer receives
    bytes_per_unit: int = 0  # where GB/s says more than items/s
    ideal_rate: float = 0.0  # where the share of what is possible says more
    least: int = 400  # deliveries in the timed part of the first, short run
    most: int = 4_000_000
    margin: int = 256  # deliveries before and after the timed part: enough for the largest buffer
    compared: tuple[Figure, ...] = (RATE, CPU)
    libraries: tuple[str, ...] = ()  # what the work itself needs, imported with the peer's
    leaves_early: bool = False  # the consumer leaves in mid-stream

    def prepare(self) -> None:
        """Make the input files, if there are any; called in the harness, before all runs."""

    def job(self, total: int) -> Job:
        """The job that makes ``total`` deliveries."""
        raise NotImplementedError

    def tally(self, total: int, exact: bool) -> Any:
        """What ``consume`` writes down; made before the clock starts."""
        return bytearray(total)

    def consume(self, items: Iterator[Any], tally: Any) -> None:
        """The consumer's loop, the same for every peer: use each item and note that it came."""
        raise NotImplementedError

    def verify(self, tally: Any, total: int) -> None:
        """Raise :class:`WrongDelivery` unless all ``total`` came once (a mapper's exact pass)."""
        if tally != b"\1" * total:
            missing, doubled = tally.count(0), total - tally.count(0) - tally.count(1)
            raise WrongDelivery(f"of {total} items {missing} never came, {doubled} came more than once")


@dataclass
class Measurement:
    """One run of one system, as the measured process and the harness saw it."""

    workload: str
    system: str
    round: int
    rate: float = 0.0
    cpu_us_per_item: float = 0.0
    peak_mb: float = 0.0
    import_s: float = 0.0
    first_s: float = 0.0
    close_s: float = 0.0
    timed_s: float = 0.0
    delivered: int = 0
    processes: int = 0
    left_behind: int = 0
    failure: str = ""
    versions: dict[str, str] = field(default_factory=dict)
