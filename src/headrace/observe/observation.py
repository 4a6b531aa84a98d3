"""Running a pipeline for a while, and watching it: what `explain` and the report are made from."""

from __future__ import annotations

import array
import contextlib
import math
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._progress import progress_bar
from ..errors import ExhaustedSourceError
from ..flow import DataFlow
from ..tree import read_here, walk
from . import metering
from .copies import Inside, look_into
from .counters import Slice, Slices
from .stats import Stats, take
from .units import seconds_text

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["BUSY", "Observation", "Phase", "Point", "check_flow", "check_length_s"]

_LEAST = 3
_PATIENCE_S = 10.0
_LATENCIES = 100_000
_INSIDE_S = 1.0

BUSY = 0.6
"""Workers that are busy less than this part of their time do not limit."""


class Point(NamedTuple):
    """The consumer's side at one moment.

    Attributes:
        at_s: the moment, from the beginning.
        datapoints: how many it had been given.
        cpu_s: processor time of this process and of all workers.
        memory_bytes: memory of this process, of all workers, and of what they share.
    """

    at_s: float
    datapoints: int
    cpu_s: float
    memory_bytes: int


class Phase:
    """A part of an observation, in which nothing was changed.

    Attributes:
        began_s: when it began, by `time.perf_counter`.
        datapoints: how many the consumer was given.
        consumer_s: how long it held them.
        stats: what the pipeline did.
        idle_cores: how many of the machine's processors had nothing to do.
    """

    def __init__(self, flow: DataFlow) -> None:
        self._flow = flow
        self.began_s = time.perf_counter()
        self._before = take(flow)
        self._idle = _idle_seconds()
        self.datapoints = 0
        self.consumer_s = 0.0
        self.stats: Stats
        self.idle_cores = 0.0
        self._seen: tuple[Stats, int, float] | None = None

    def saw(self, stats: Stats) -> None:
        """The pipeline was looked at."""
        self._seen = stats, self.datapoints, self.consumer_s

    def end(self, *, broken_off: bool = False) -> None:
        """It is over; broken off: the pools are gone already, so it ends with the last look at them, if any."""
        stats = take(self._flow)
        if broken_off:
            stats, self.datapoints, self.consumer_s = self._seen or (stats, 0, 0.0)
        self.stats = stats - self._before
        self.idle_cores = (_idle_seconds() - self._idle) / max(self.stats.seconds, 1e-9)

    @property
    def rate(self) -> float:
        """Datapoints in a second."""
        return self.datapoints / self.stats.seconds if self.stats.seconds > 0 else 0.0


class Observation:
    """Read a pipeline for some seconds, pass after pass, and measure each flow of it.

    First come the workers' start and some warm-up, unmeasured. If there is a consumer, the pipeline is then read
    without it, and after that with it.

    Args:
        flow: the pipeline. It is not closed.
        seconds: how long, the warm-up included.
        consumer_s: how long a consumer holds each datapoint; None: there is no consumer.
        progress: whether there is a progress bar on stderr, if that is a terminal.
        trace: whether slices are recorded.

    Attributes:
        warm: the phase before anything is measured.
        alone: the phase without a consumer, once it is over.
        loaded: the phase with one, once it is over.
        first_s: how long the first datapoint took.
        latencies_s: how long the datapoints of the last phase took, each.
        points: the consumer's side over time.
        slices: what the consumer did; None: no trace was asked for.
        channels: what was done at the channel of a flow, by the flow's id.
        metered: when a flow was asked for a datapoint, by the flow's id.
        inside: what limits the copies of runners that are busy, by the runner's id.
        interrupted: whether it was stopped before its time (by Ctrl-C).
        ended: whether the flow had no further pass.
    """

    def __init__(
        self,
        flow: DataFlow,
        seconds: float,
        *,
        consumer_s: float | None = None,
        progress: bool = True,
        trace: bool = False,
    ):
        self.flow = flow
        self.seconds = seconds
        self.consumer_s = consumer_s
        self.warm: Phase | None = None
        self.alone: Phase | None = None
        self.loaded: Phase | None = None
        self.first_s = math.nan
        self.latencies_s = array.array("d")
        self.points: list[Point] = []
        self.interrupted = False
        self.ended = False
        self.slices: Slices | None = Slices() if trace else None
        self.channels: dict[int, Slices] = {}
        self.metered: dict[int, Slices] = {}
        self.inside: dict[int, Inside] = {}
        self._progress = progress
        self._datapoints = 0
        self._began = 0.0

    @property
    def began_s(self) -> float:
        """When it began, by `time.perf_counter`."""
        return self._began

    @property
    def last(self) -> Phase:
        """The phase to be judged by: the last one that has something to say.

        Raises:
            ValueError: there is none, and why.
        """
        for phase in (self.loaded, self.alone, self.warm if self.interrupted or self.ended else None):
            if phase is not None and phase.datapoints >= _LEAST:
                return phase
        if not self._datapoints:
            if self.interrupted:
                raise ValueError("nothing was measured: it was interrupted before the first datapoint")
            raise ValueError("nothing to measure: the flow is empty")
        if self.interrupted:
            raise ValueError(
                f"interrupted: the first datapoint came after {seconds_text(self.first_s)}, and {self._datapoints} in "
                f"all, too few to say what limits"
            )
        raise ValueError(
            f"nothing to measure: the flow gave {self._datapoints} datapoints in {self.seconds:g} s; observe it longer"
        )

    @property
    def phases(self) -> list[tuple[Phase, str]]:
        """Those that have begun, and what they are called."""
        named = ((self.warm, "warm-up"), (self.alone, "pipeline alone"), (self.loaded, "with the consumer"))
        return [(phase, name) for phase, name in named if phase is not None]

    def run(self) -> None:
        """Do it. What the pipeline raises passes through; after Ctrl-C there is what was measured until then."""
        metering.attach(self.flow)
        try:
            with contextlib.closing(self._datapoints_of_all_passes()) as datapoints, self._bar() as bar:
                self._run(datapoints, bar)
            self._look_inside()
        except KeyboardInterrupt:
            self.interrupted = True
            raise
        finally:
            for phase, _ in self.phases:
                if not hasattr(phase, "stats"):
                    phase.end(broken_off=True)
            for flow in read_here(self.flow):
                for books in (flow._runtime.counters, flow._runtime.meter):
                    if books is not None:
                        books.slices = None
            metering.detach(self.flow)

    def _run(self, datapoints: Iterator[Any], bar: Any) -> None:
        self._began = time.perf_counter()
        warmup_s = min(0.2 * self.seconds, 2.0)
        self.warm = Phase(self.flow)
        self._read(datapoints, self.warm, bar, self._began + warmup_s, 1)
        if self.first_s > warmup_s / 2:  # workers took long to start: what was read until now says nothing
            self._read(datapoints, self.warm, bar, time.perf_counter() + warmup_s / 2, 1)
        self.warm.end()
        left_s = max(self.seconds - warmup_s, 0.5 * self.seconds)
        self.alone = Phase(self.flow)
        share = 1.0 if self.consumer_s is None else 0.4
        self._read(datapoints, self.alone, bar, time.perf_counter() + share * left_s, _LEAST)
        self.alone.end()
        if self.consumer_s is not None:
            self.loaded = Phase(self.flow)
            until = time.perf_counter() + (1 - share) * left_s
            self._read(datapoints, self.loaded, bar, until, _LEAST, self.consumer_s)
            self.loaded.end()

    def _look_inside(self) -> None:
        """See what limits the copies of runners, where there are some that are busy."""
        flows = list(walk(self.flow))
        for below in read_here(self.flow):
            if below.children and not below.inputs and self._busy(flows.index(below)):
                self.inside[id(below)] = look_into(below, min(_INSIDE_S, self.seconds))

    def _busy(self, number: int) -> bool:
        phases = [phase for phase, _ in self.phases if phase.datapoints]
        pool = phases[-1].stats.flows[number].pool if phases else None
        return pool is not None and pool.busy >= BUSY

    def _read(
        self,
        datapoints: Iterator[Any],
        phase: Phase,
        bar: Any,
        until: float,
        least: int,
        consumer_s: float | None = None,
    ) -> None:
        """Read until the time is over, and at least so many datapoints: but for that not much longer."""
        if self.ended:
            return
        latest = until + max(_PATIENCE_S, self.seconds)
        now = time.perf_counter
        latencies = self.latencies_s = array.array("d")
        asked = looked = now()
        if self.slices is not None:
            self._trace()
        while asked < until or phase.datapoints < min(least, 1) or (phase.datapoints < least and asked < latest):
            if next(datapoints, self) is self:
                self.ended = True
                return
            came = now()
            if len(latencies) < _LATENCIES:
                latencies.append(came - asked)
            if not self._datapoints:
                self.first_s = came - self._began
                if self.slices is not None:
                    self._trace()
            self._datapoints += 1
            phase.datapoints += 1
            if came - looked > 0.1:
                looked = came
                phase.saw(self._look(came))
                bar.update(min(round(came - self._began, 1), bar.total) - bar.n)
            if consumer_s:
                held = now()
                time.sleep(consumer_s)
                phase.consumer_s += now() - held
                if self.slices is not None:
                    self.slices.add(Slice(-1, "the consumer works", held, now() - held, self._datapoints - 1, 1))
            asked = now()

    def _look(self, now: float) -> Stats:
        stats = take(self.flow)
        pools = [flow.pool for flow in stats.flows if flow.pool is not None]
        cpu_s = stats.cpu_s + sum(pool.cpu_s for pool in pools if pool.memory_bytes)
        memory = stats.memory_bytes + sum(pool.memory_bytes + pool.arena_bytes for pool in pools)
        self.points.append(Point(now - self._began, self._datapoints, cpu_s, memory))
        return stats

    def _datapoints_of_all_passes(self) -> Generator[Any, None, None]:
        while True:
            empty = True
            try:
                for datapoint in self.flow:
                    empty = False
                    yield datapoint
            except ExhaustedSourceError:  # its one pass is over
                if self._datapoints == 0:
                    raise
                return
            if empty:
                return

    def _bar(self) -> tqdm[Any]:
        return progress_bar(
            total=self.seconds,
            bar_format="{l_bar}{bar}| {n:.1f} of {total:g} s",
            leave=False,
            disable=None if self._progress else True,
        )

    def _trace(self) -> None:
        """Have slices recorded, also at the channels of pools that have begun since the last time."""
        for flow in read_here(self.flow):
            runtime = flow._runtime
            if runtime.meter is not None and runtime.meter.slices is None:
                runtime.meter.slices = self.metered.setdefault(id(flow), Slices())
            if runtime.counters is not None and runtime.counters.slices is None:
                runtime.counters.slices = self.channels.setdefault(id(flow), Slices())


def check_flow(flow: Any) -> DataFlow:
    """``flow``, if it is one.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(flow, DataFlow):
        raise TypeError(f"expected a DataFlow, got {type(flow).__name__}: {flow!r:.60}")
    return flow


def check_length_s(name: str, value: Any) -> float:
    """``value`` as a positive, finite number of seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not positive, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r:.60}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def _idle_seconds() -> float:
    """How long the machine's processors had nothing to do, all together, since it was started."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return int(fields[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
