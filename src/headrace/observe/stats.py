"""Snapshots of what is counted in a pipeline."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

from ..flow import DataFlow
from ..tree import read_here, walk
from .counters import Counters
from .machine import process_memory_bytes, run_delay_s, threads_run_delay_s

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["FlowStats", "PoolStats", "Stats", "take"]


_GAUGES = frozenset(("workers", "in_flight", "done", "done_bytes", "arena_bytes", "memory_bytes"))
"""What says how something stands: in a difference, the later value."""


@dataclasses.dataclass(frozen=True)
class PoolStats:
    """The channel between a parallel flow and its workers; see `Counters` for what is counted where.

    Attributes:
        workers: how many there are now.
        in_flight: datapoints between input and consumer, now.
        done: how many of them have results.
        done_bytes: the size of these.
        arena_bytes: shared memory that results have needed so far.
        memory_bytes: memory of the worker processes, without what they share; 0 for threads.
        tasks: tasks that came back.
        received: datapoints in them.
        delivered: datapoints that left the channel.
        result_bytes: size of the results that came in.
        pull_s, give_s, wait_s, receive_s, decode_s, away_s: this process's time: reading the input, sending tasks,
            waiting for workers, receiving results, unpickling them, and in the consumer's hands.
        work_s: workers' time in user code, all workers together.
        send_s: workers' time in pickling, copying and sending results.
        take_s: workers' time in unpickling tasks.
        idle_s: workers' time in waiting for tasks.
        cpu_s: workers' processor time.
        delay_s: how long worker processes that are there now were ready to run and had no processor; 0 for threads.
        replaced: workers that died or hung.
        retried: datapoints that were given out again.
        failed: datapoints that raised.
        discarded: datapoints for which the function returned None.
    """

    workers: int
    in_flight: int
    done: int
    done_bytes: int
    arena_bytes: int
    memory_bytes: int
    tasks: int
    received: int
    delivered: int
    result_bytes: int
    pull_s: float
    give_s: float
    wait_s: float
    receive_s: float
    decode_s: float
    away_s: float
    work_s: float
    send_s: float
    take_s: float
    idle_s: float
    cpu_s: float
    delay_s: float
    replaced: int
    retried: int
    failed: int
    discarded: int

    @property
    def busy(self) -> float:
        """How much of their time the workers were not waiting for tasks: 0 to 1."""
        age_s = self.work_s + self.send_s + self.take_s + self.idle_s
        return 1 - self.idle_s / age_s if age_s > 0 else 0.0

    @property
    def waiting(self) -> float:
        """How much of the time this process waited for workers: 0 to 1."""
        age_s = self.pull_s + self.give_s + self.wait_s + self.receive_s + self.decode_s + self.away_s
        return self.wait_s / age_s if age_s > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class FlowStats:
    """One flow of a pipeline.

    Attributes:
        name: its class.
        number: its number in the pipeline, inputs first.
        inputs: the numbers of the flows it reads.
        here: whether this process reads it; if not, it runs in the copies of a runner, which are counted as a whole.
        datapoints: how many it has given; None: nobody has looked, see `Stats`.
        seconds: how long it took, with the flows below; None: nobody has looked.
        pool: its channel; None: it has no workers, or has not begun.
    """

    name: str
    number: int
    inputs: tuple[int, ...]
    here: bool
    datapoints: int | None
    seconds: float | None
    pool: PoolStats | None


@dataclasses.dataclass(frozen=True)
class Stats:
    """What was counted in a pipeline: all of it so far, or, as the difference of two, in between.

    The channels of parallel flows are counted always. Flows without workers are measured only while somebody looks
    (`explain`, `watch`): until then their ``datapoints`` and ``seconds`` are None.

    Attributes:
        seconds: the time that this is about.
        cpu_s: processor time of this process (all of its threads) in that time, the workers' not included.
        delay_s: how long its threads were ready to run and had no processor.
        memory_bytes: memory of this process now, without what it shares with workers.
        flows: the flows of the pipeline, inputs first.

    Example:
        >>> import headrace as hr
        >>> flow = hr.MultiThreadMapData(hr.DataFromList([1, 2, 3, 4], shuffle=False), 2, lambda x: x * x)
        >>> with flow:
        ...     before = flow.stats()
        ...     _ = list(flow)
        ...     between = flow.stats() - before
        >>> between.flows[-1].name, between.flows[-1].pool.delivered
        ('MultiThreadMapData', 4)
    """

    seconds: float
    cpu_s: float
    delay_s: float
    memory_bytes: int
    flows: tuple[FlowStats, ...]
    _at_s: float = dataclasses.field(default=0.0, repr=False)

    def __sub__(self, earlier: Stats) -> Stats:
        """What happened between two snapshots of one pipeline."""
        if not isinstance(earlier, Stats):
            return NotImplemented
        if [f.name for f in self.flows] != [f.name for f in earlier.flows]:
            raise ValueError("these are snapshots of two different pipelines")
        if self._at_s < earlier._at_s:
            raise ValueError("the snapshot to subtract was taken later; subtract the earlier one: after - before")
        return Stats(
            self._at_s - earlier._at_s,
            self.cpu_s - earlier.cpu_s,
            max(0.0, self.delay_s - earlier.delay_s),
            self.memory_bytes,
            tuple(_flow_difference(a, b) for a, b in zip(self.flows, earlier.flows, strict=True)),
            self._at_s,
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, as plain data."""
        plain = dataclasses.asdict(self)
        del plain["_at_s"]
        return plain

    def own_s(self, flow: FlowStats) -> float | None:
        """Seconds spent in a flow itself, without the flows below and without waiting for workers; None: unknown."""
        if flow.seconds is None:
            return None
        below = sum(self.flows[number].seconds or 0.0 for number in flow.inputs if self.flows[number].here)
        waited = flow.pool.wait_s if flow.pool is not None else 0.0
        return max(0.0, flow.seconds - below - waited)

    def __rich__(self) -> RenderableType:
        from .tables import stats_table

        return stats_table(self)

    def __str__(self) -> str:
        from .tables import as_text

        return as_text(self.__rich__())


def take(flow: DataFlow) -> Stats:
    """The counters of a pipeline as they stand; see `DataFlow.stats`."""
    flows = list(walk(flow))
    numbers = {id(f): n for n, f in enumerate(flows)}
    here = {id(f) for f in read_here(flow)}
    now = time.perf_counter()
    begun = [f._runtime.counters.since_s for f in flows if f._runtime.counters is not None]
    return Stats(
        now - min(begun, default=now),
        time.process_time(),
        threads_run_delay_s(),
        process_memory_bytes(os.getpid()),
        tuple(_flow_stats(f, numbers, id(f) in here) for f in flows),
        now,
    )


def _flow_stats(flow: DataFlow, numbers: dict[int, int], here: bool) -> FlowStats:
    runtime = flow._runtime
    meter, counters = runtime.meter, runtime.counters
    datapoints = meter.datapoints if meter is not None else None
    return FlowStats(
        type(flow).__name__,
        numbers[id(flow)],
        tuple(numbers[id(child)] for child in flow.children),
        here,
        datapoints,
        meter.seconds if meter is not None else None,
        _pool_stats(flow, counters) if counters is not None else None,
    )


def _pool_stats(flow: DataFlow, c: Counters) -> PoolStats:
    spent, pool = c.spent, flow._runtime.pool
    in_flight, done, done_bytes = c.stands()
    alive = [] if pool is None or pool.closed else list(pool.workers.values())
    pids = [pid for worker in alive if (pid := getattr(worker.handle, "pid", None)) is not None]
    return PoolStats(
        workers=sum(not worker.retired for worker in alive),
        in_flight=in_flight,
        done=done,
        done_bytes=done_bytes,
        arena_bytes=spent.arena_bytes,
        memory_bytes=sum(map(process_memory_bytes, pids)),
        tasks=c.tasks,
        received=c.received,
        delivered=c.delivered,
        result_bytes=c.result_bytes,
        pull_s=c.pull_s,
        give_s=c.give_s,
        wait_s=c.wait_s,
        receive_s=c.receive_s,
        decode_s=c.decode_s,
        away_s=c.away_s,
        work_s=spent.work_s,
        send_s=spent.send_s,
        take_s=spent.decode_s,
        idle_s=spent.wait_s,
        cpu_s=spent.cpu_s,
        delay_s=sum(map(run_delay_s, pids)),
        replaced=c.replaced,
        retried=c.retried,
        failed=c.failed,
        discarded=c.discarded,
    )


def _flow_difference(later: FlowStats, earlier: FlowStats) -> FlowStats:
    return dataclasses.replace(
        later,
        datapoints=_less(later.datapoints, earlier.datapoints),
        seconds=_less(later.seconds, earlier.seconds),
        pool=_pool_difference(later.pool, earlier.pool),
    )


def _less(later: Any, earlier: Any) -> Any:
    """None, if nobody looked; if somebody began to look in between, all that was seen."""
    return later if later is None or earlier is None else later - earlier


def _pool_difference(later: PoolStats | None, earlier: PoolStats | None) -> PoolStats | None:
    if later is None or earlier is None:
        return later
    changes = {
        field.name: getattr(later, field.name) - getattr(earlier, field.name)
        for field in dataclasses.fields(PoolStats)
        if field.name not in _GAUGES
    }
    changes["delay_s"] = max(0.0, changes["delay_s"])  # of workers that were replaced nothing is known
    return dataclasses.replace(later, **changes)
