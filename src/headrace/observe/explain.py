"""Where a pipeline's time goes: one plain sentence, with numbers.

Two things bound a pipeline. The thread that consumes it also reads the source, runs the stages without workers, and
talks to the workers: what it does adds up. Beside it, each pool of workers has a capacity of its own. So:

* if that thread waits for workers a good part of the time, and they are busy, the *pool* limits (its function, or, if
  the workers spend more on sending than on the function, the transport);
* else the *thread* limits, and of what it does, that which takes longest: the source, a stage, the transport (sending
  tasks, receiving results), or the consumer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..flow import DataFlow
from ..tree import short, spelled, walk
from .copies import Inside
from .machine import available_cores
from .observation import BUSY, Observation, Phase, check_flow, check_length_s
from .stats import FlowStats, PoolStats, Stats
from .units import bytes_text, percent, rate_text, seconds_text

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Kind", "Part", "Verdict", "explain", "judge", "name_of", "verdict_of"]

Kind = Literal["source", "stage", "transport", "consumer"]

_WAITS = 0.1
"""A thread that waits for workers less than this part of its time is not limited by them."""

_LARGE_BYTES = 500_000

_ONE_CORE = 0.4
"""Threads that use so much of a core between them may be waiting for each other, rather than for a disk."""

_HARDLY_MORE = 1.15
"""Cores that a process uses in which threads take turns."""

_NAMES = {"consumer": "the consumer", "transport": "sending and receiving"}


@dataclasses.dataclass(frozen=True)
class Part:
    """What the consumer's thread spends a part of its time on.

    Attributes:
        kind: what kind of work it is; ``"wait"``: it waits for the workers of ``flow``.
        name: of the flow, for people.
        number: of the flow, see `FlowStats`; None: the consumer.
        fraction: of the time.
    """

    kind: str
    name: str
    number: int | None
    fraction: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What limits a pipeline; ``print`` it.

    Attributes:
        kind: ``"source"``, ``"stage"`` (a function: in workers, or in this process), ``"transport"`` (sending to and
            from workers), or ``"consumer"``.
        flow: the limiting flow; None: it is the consumer.
        busy: the fraction of its time in which the limiting part works: of the workers' time, where workers limit,
            else of the time of the consumer's thread.
        headroom: how many times as many datapoints the pipeline can give as the consumer can take, by itself; None:
            there was no consumer.
        gain: how many times as fast everything would be if the limit were not there, until the next limit.
        datapoints_per_s: what the consumer was given.
        workers_needed: where workers limit: how many would reach the next limit; else None.
        text: the verdict in words.
        inside: where the copies of a runner limit: the flow that limits a copy; None: it is not that, or not known.
        parts: what the consumer's thread did, the largest part first.
        stats: what was counted.
        note: what the reader should know of how it was measured; empty: nothing.

    Example:
        >>> import time, headrace as hr
        >>> ds = hr.MapData(hr.DataFromList(list(range(10))), lambda n: time.sleep(0.001) or n)
        >>> verdict = hr.explain(ds, seconds=0.3)
        >>> verdict.kind, verdict.flow is ds
        ('stage', True)
    """

    kind: Kind
    flow: DataFlow | None
    busy: float
    headroom: float | None
    gain: float
    datapoints_per_s: float
    workers_needed: int | None
    text: str
    parts: tuple[Part, ...]
    stats: Stats
    note: str = ""
    inside: DataFlow | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["flow"] = None if self.flow is None else type(self.flow).__name__
        plain["inside"] = None if self.inside is None else type(self.inside).__name__
        plain["gain"] = self.gain if math.isfinite(self.gain) else None
        plain["parts"] = [dataclasses.asdict(part) for part in self.parts]
        plain["stats"] = self.stats.to_dict()
        return plain

    def __str__(self) -> str:
        return self.text + (f"\n({self.note})" if self.note else "")

    def __rich__(self) -> RenderableType:
        from .tables import verdict_view

        return verdict_view(self)


def explain(flow: DataFlow, seconds: float = 10, *, consumer_ms: float | None = None, progress: bool = True) -> Verdict:
    """Run a pipeline for a while, and say what limits it and what to change.

    It is read pass after pass, by a loop that does nothing, or, with ``consumer_ms``, by one that takes so long for
    each datapoint, as a training step would. The passes count, as all passes do: a later one shuffles as the next one
    after them, and a state that was loaded before is used up by the first. The workers are still there afterwards.

    Args:
        flow: the pipeline.
        seconds: how long to run it. The first fifth of that (at most 2 s) is warm-up.
        consumer_ms: how long a step of the consumer takes, in milliseconds. It is then measured both without and with
            it, which gives the headroom.
        progress: whether there is a progress bar on stderr, if that is a terminal.

    Returns:
        A `Verdict`.

    Raises:
        TypeError, ValueError: bad arguments; an empty flow, or one with too few datapoints in that time.
        Exception: what the pipeline raises.

    Example:
        >>> import headrace as hr
        >>> verdict = hr.explain(hr.DataFromList([1, 2, 3]), seconds=0.3, consumer_ms=5)
        >>> verdict.kind, verdict.headroom > 1
        ('consumer', True)
    """
    check_flow(flow)
    consumer_s = None if consumer_ms is None else check_length_s("consumer_ms", consumer_ms) / 1000
    observation = Observation(flow, check_length_s("seconds", seconds), consumer_s=consumer_s, progress=progress)
    observation.run()
    return verdict_of(observation)


def verdict_of(observation: Observation) -> Verdict:
    """The verdict on what was observed.

    Raises:
        ValueError: there is too little of it.
    """
    phase = observation.last
    alone = observation.alone if observation.loaded is phase else None
    notes = []
    if observation.interrupted:
        notes.append("interrupted: of what was measured until then")
    if phase is observation.warm:
        notes.append("the workers' start and the warm-up are included")
    elif observation.ended:
        notes.append("the flow ended before the time was over")
    return judge(observation.flow, phase, alone, "; ".join(notes), observation.inside)


def judge(
    flow: DataFlow,
    phase: Phase,
    alone: Phase | None,
    note: str = "",
    inside: Mapping[int, Inside] = MappingProxyType({}),
) -> Verdict:
    """What limits a pipeline.

    Args:
        flow: the pipeline.
        phase: what it did.
        alone: what it did without a consumer, if there is one.
        note: see `Verdict`.
        inside: what limits the copies of runners, by the runner's id.
    """
    return _Case(flow, phase, alone, inside).verdict(note)


class _Case:
    """One judgement. Times are in seconds; rates are datapoints that the consumer is given in a second."""

    def __init__(self, flow: DataFlow, phase: Phase, alone: Phase | None, inside: Mapping[int, Inside]):
        self.flows = list(walk(flow))
        self.inside = inside
        self.stats = phase.stats
        self.wall_s = max(phase.stats.seconds, 1e-9)
        self.count = max(phase.datapoints, 1)
        self.rate = self.count / self.wall_s
        self.consumer_s = phase.consumer_s
        self.alone = alone
        self.idle_cores = phase.idle_cores
        self.pools = [f for f in self.stats.flows if f.here and f.pool is not None]
        self.parts = self._parts()

    def _parts(self) -> list[Part]:
        parts = []
        for f in self.stats.flows:
            own_s = self.stats.own_s(f)
            if not f.here or own_s is None:
                continue
            kind = "transport" if f.pool is not None else "stage" if f.inputs else "source"
            parts.append(Part(kind, self.name(f), f.number, own_s / self.wall_s))
            if f.pool is not None:
                parts.append(Part("wait", self.name(f), f.number, f.pool.wait_s / self.wall_s))
        if self.consumer_s:
            parts.append(Part("consumer", "your loop", None, self.consumer_s / self.wall_s))
        return sorted(parts, key=lambda part: -part.fraction)

    def verdict(self, note: str) -> Verdict:
        limit = self._limiting_pool()
        if limit is not None:
            assert limit.pool is not None
            return self._pool_verdict(limit, limit.pool, note)
        part = next((p for p in self.parts if p.kind != "wait"), None)
        assert part is not None, "a flow that gave datapoints has taken time"
        return self._thread_verdict(part, note)

    def _limiting_pool(self) -> FlowStats | None:
        waits = {f.number: f.pool.wait_s / self.wall_s for f in self.pools if f.pool is not None}
        if not waits:
            return None
        number = max(waits, key=lambda n: waits[n])
        f = self.stats.flows[number]
        assert f.pool is not None
        largest = max((p.fraction for p in self.parts if p.kind != "wait"), default=0.0)
        if waits[number] >= _WAITS and (f.pool.busy >= BUSY or waits[number] > largest):
            return f
        return None

    # -- workers limit

    def _pool_verdict(self, f: FlowStats, pool: PoolStats, note: str) -> Verdict:
        sending_s, age_s = pool.send_s + pool.take_s, pool.work_s + pool.send_s + pool.take_s
        name, busy = self.name(f), percent(pool.busy)
        next_rate, next_name = self._next_limit(f)
        gain = max(1.0, next_rate / self.rate)
        needed: int | None = None
        kind: Kind
        if sending_s > pool.work_s:  # whether they are busy all the time, or wait for their turn to send
            kind = "transport"
            text = (
                f"sending {self._size(pool)} limits: the {_workers(pool)} of {name} are busy {busy} of the time, of "
                f"which {percent(sending_s / age_s)} with pickling and copying. {_lighter(pool)}"
            )
        elif pool.busy < BUSY and not self._contended(pool):
            kind = "transport"
            text = (
                f"{name} limits, and its {_workers(pool)} are busy only {busy} of the time: each waits for the other. "
                "Give it a larger buffer, or fewer workers."
            )
        else:
            kind = "stage"
            needed = max(pool.workers + 1, math.ceil(next_rate * age_s / self.count - 0.05))
            text = f"{name} limits: {_its(pool)} busy {busy} of the time. {self._more(pool, needed, next_name)}"
        return self._with_inside(self._made(kind, f.number, pool.busy, gain, needed, text, note))

    def _with_inside(self, verdict: Verdict) -> Verdict:
        """The same, with what limits the copies, if it is a runner that limits."""
        runner = verdict.flow
        found = self.inside.get(id(runner))
        if runner is None or found is None or verdict.kind != "stage":
            return verdict
        if found.reason:
            notes = [verdict.note, f"what limits a copy is not known: one more of them gave {found.reason}"]
            return dataclasses.replace(verdict, note="; ".join(filter(None, notes)))
        limit = list(walk(runner.children[0]))[found.number]
        within = f" In each copy, {name_of(limit)} limits: it is busy {percent(found.busy)} of the time."
        return dataclasses.replace(verdict, text=verdict.text + within, inside=limit)

    def _next_limit(self, limit: FlowStats) -> tuple[float, str]:
        """How many datapoints a second there would be if a pool did not limit, and what would limit then."""
        busy = [p for p in self.parts if p.kind != "wait"]
        thread = sum(p.fraction for p in busy)
        rate = self.rate / thread if thread > 0 else math.inf
        name = _NAMES.get(busy[0].kind, busy[0].name) if busy else "nothing"
        for f in self.pools:
            capacity = self.rate / max(f.pool.busy, 1e-9) if f.pool is not None else math.inf
            if f.number != limit.number and capacity < rate:
                rate, name = capacity, self.name(f)
        return rate, name

    def _more(self, pool: PoolStats, needed: int, next_name: str) -> str:
        reach = f"{needed} would reach {rate_text(self._rate_of(pool, needed))}; then {next_name} limits"
        on_core = _on_core(pool)
        if _compute_here(pool):
            return (
                f"Together its threads use {pool.workers * on_core:.1f} cores. If it is Python code, they wait for the "
                "interpreter's lock: more of them will not help, processes will (MultiProcessMapData)."
            )
        if on_core < 0.5:
            return f"{reach}. They mostly wait (each uses {percent(on_core)} of a core), so there may be many."
        useful = pool.workers + max(0, math.floor(self._free_cores() / on_core + 0.25))
        if useful <= pool.workers:
            return f"{_cores_in_use()}: more workers will not help here. With more cores, {reach}."
        if useful < needed:
            return f"{reach}. This machine has cores for about {useful}: {rate_text(self._rate_of(pool, useful))}."
        return f"{reach}."

    def _contended(self, pool: PoolStats) -> bool:
        """Whether threads that compute have one core at most, with all else here: as if one lock stopped them all."""
        return _compute_here(pool) and self.stats.cpu_s / self.wall_s < _HARDLY_MORE

    def _rate_of(self, pool: PoolStats, workers: int) -> float:
        return self.rate * workers / max(pool.workers, 1) / max(pool.busy, 0.01)

    def _free_cores(self) -> float:
        in_workers_s = sum(f.pool.cpu_s for f in self.pools if f.pool is not None and f.pool.memory_bytes)
        used = (self.stats.cpu_s + in_workers_s) / self.wall_s
        return min(available_cores() - used, self.idle_cores)

    # -- this thread limits

    def _thread_verdict(self, part: Part, note: str) -> Verdict:
        kind: Kind = part.kind  # type: ignore[assignment]  # "wait" is not among them
        share = percent(part.fraction)
        gain = 1 / max(1 - part.fraction, 1e-3)
        f = self.stats.flows[part.number] if part.number is not None else None
        if kind == "consumer":
            assert self.alone is not None
            gain = max(1.0, self.alone.rate / self.rate)
            headroom = self._headroom() or 1.0
            text = (
                f"your loop is the limit: it takes {share} of the time; the pipeline has {headroom:.1f}x headroom "
                f"(by itself it gives {rate_text(self.alone.rate)}, your loop can take "
                f"{rate_text(self.count / self.consumer_s)})."
            )
        elif kind == "source":
            text = (
                f"the source limits: {part.name} takes {share} of the time of this process; more workers will not "
                f"help. {self._source_remedy(f)}"
            )
        elif kind == "stage":
            text = (
                f"{part.name} limits: it takes {share} of the time of this process, where it runs without workers. "
                f"{self._move(f)}"
            )
        else:
            assert f is not None
            assert f.pool is not None
            text = self._parents_transport(part, f.pool)
        return self._made(kind, part.number, part.fraction, gain, None, text, note)

    def _source_remedy(self, f: FlowStats | None) -> str:
        if f is not None and f.name == "RemoteDataZMQ":
            return "It waits for its senders, or takes in what they send: explain the pipeline of one, or start more."
        if f is not None and f.name == "DataFromQueue":
            return "It waits for what fills the queue: make that faster."
        return f"Make it give less (file names, not data), or read it in copies: {_runner_line()}."

    def _parents_transport(self, part: Part, pool: PoolStats) -> str:
        share = percent(part.fraction)
        # Both ends of each way: on a loaded machine this process may lose its processor the moment it wakes a worker,
        # which looks like a long sending.
        if pool.give_s + pool.take_s > pool.decode_s + pool.receive_s + pool.send_s:
            what, remedy = "sending tasks", "Let the source give less: file names, and read the files in the function."
        else:
            what, remedy = f"receiving {self._size(pool)}", _lighter(pool)
        item_s = pool.work_s / max(pool.received, 1)
        if item_s < 2e-5:
            remedy = (
                f"The function takes {seconds_text(item_s)}, less than the way to a worker and back: run it here "
                "(MapData)."
            )
        return f"{what} limits: {part.name} takes {share} of the time of this process for it. {remedy}"

    def _move(self, f: FlowStats | None) -> str:
        flow = self.flows[f.number] if f is not None else None
        func = getattr(flow, "func", None)
        if type(flow).__name__ == "MapData" and func is not None:
            return f"Move it to workers: MultiProcessMapData(ds, {_several()}, {spelled(func)})."
        if type(flow).__name__ == "BatchData":
            return "Let workers make the batches: MultiProcessMapAndBatchData."
        return f"Move it to workers: {_runner_line()}."

    # -- both

    def _made(
        self, kind: Kind, number: int | None, busy: float, gain: float, needed: int | None, text: str, note: str
    ) -> Verdict:
        headroom = self._headroom()
        if headroom is not None and kind != "consumer":
            perfect = self.count / self.consumer_s / self.rate
            text += f" A perfect loader would make your loop {perfect:.1f}x as fast."
        flow = self.flows[number] if number is not None else None
        return Verdict(
            kind, flow, min(busy, 1.0), headroom, gain, self.rate, needed, text, tuple(self.parts), self.stats, note
        )

    def _headroom(self) -> float | None:
        if not self.consumer_s:
            return None
        if self.alone is None:
            return None
        return self.alone.rate * self.consumer_s / self.count

    def name(self, f: FlowStats) -> str:
        """The flow, for people."""
        return name_of(self.flows[f.number])

    def _size(self, pool: PoolStats) -> str:
        size = pool.result_bytes / max(pool.received, 1)
        return f"datapoints of {bytes_text(size)}" if size else "datapoints"


def name_of(flow: DataFlow) -> str:
    """A flow, for people: its class, and its function where it has one."""
    func = getattr(flow, "map_func", None) or getattr(flow, "func", None)
    name = type(flow).__name__
    return f"{name} ({short(func)})" if func is not None else name


def _lighter(pool: PoolStats) -> str:
    if pool.result_bytes / max(pool.received, 1) >= _LARGE_BYTES:
        return (
            "Send less: crop in the workers, send uint8 and convert after batching, batch in the workers "
            "(MultiProcessMapAndBatchData); or take threads, which copy nothing (MultiThreadMapData)."
        )
    return "Send simpler datapoints (arrays, numbers), batch in the workers, or run the function here (MapData)."


def _on_core(pool: PoolStats) -> float:
    """The part of the time of its workers' work in which they compute, or could."""
    return (pool.cpu_s + pool.delay_s) / max(pool.work_s + pool.send_s + pool.take_s, 1e-9)


def _compute_here(pool: PoolStats) -> bool:
    """Whether its workers are threads of this process that do not merely wait."""
    return pool.memory_bytes == 0 and pool.workers * _on_core(pool) > _ONE_CORE


def _its(pool: PoolStats) -> str:
    return f"its {_workers(pool)} {'is' if pool.workers == 1 else 'are'}"


def _workers(pool: PoolStats) -> str:
    return "worker" if pool.workers == 1 else f"{pool.workers} workers"


def _cores_in_use() -> str:
    cores = available_cores()
    return "The only core it may use is in use" if cores == 1 else f"All {cores} cores of this machine are in use"


def _several() -> int:
    """How many workers to begin with: one for each core, but one alone would only be on the way."""
    return max(2, available_cores())


def _runner_line() -> str:
    return f"MultiProcessRunnerZMQ(ds, {_several()}, shard=True)"
