"""Finding the best pattern for a map function by trying them.

The search. Each pattern is tried with more and more workers for as long as that helps. Then the best few are measured
again, in turns, so that whatever else the machine does meets them all; of each, the best round counts. Of those that
are equal within a few percent, the simplest wins.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

from .._checks import check_count
from .._progress import progress_bar
from ..errors import DataFlowError, ExhaustedSourceError, SerializationError
from ..flow import DataFlow, as_flow
from ..mapping import MapFunction
from ..stages.batch import BatchData
from ..stages.map import MapData
from ..tree import spelled, walk
from .machine import available_cores
from .observation import check_length_s
from .stats import take

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Pattern", "TuneResult", "TuneRow", "Tuner", "take_apart", "tune"]

Pattern = Literal["inline", "thread", "process", "map_and_batch", "runner"]

_LEAST_TRIAL_S = 0.1
_READY_S = 0.02
_WARM_S = 0.1
_GOES_ON = 1.1
"""More workers are tried for as long as each step makes it so many times as fast."""
_CLOSE, _SAME = 0.5, 0.8
"""The best of a pattern is measured again if it reaches so much of the best of all, others if they reach so much."""
_FINALISTS = 6
_ROUNDS = 3
_TIE = {"inline": 0.97, "thread": 0.97, "process": 0.97, "map_and_batch": 0.97, "runner": 0.93}
"""A pattern is beaten only by one that is better than this; the runner loses the order, so it must be better still."""
_MOST_WORKERS = 64
_LARGER_BUFFER = 1000


@dataclasses.dataclass(frozen=True)
class TuneRow:
    """One way to run a map function, and how fast it was.

    Attributes:
        pattern: ``"inline"``, ``"thread"``, ``"process"``, ``"map_and_batch"`` or ``"runner"``.
        arguments: what its class is given besides the flow and the function.
        datapoints_per_s: inputs mapped in a second; nan: it could not run, see ``note``.
        cpu_s: processor time of all processes for one datapoint.
        memory_bytes: memory of all processes at the end.
        first_s: seconds from the construction to the first result.
        note: why it could not run, or what to know of it.

    Example:
        >>> import headrace as hr
        >>> row = hr.TuneRow("thread", {"num_thread": 2}, abs, 2)
        >>> row.code
        'hr.BatchData(hr.MultiThreadMapData(ds, map_func=abs, num_thread=2), 2)'
        >>> with row.build(hr.DataFromList([-1, -2], shuffle=False)) as flow:
        ...     list(flow)
        [array([1, 2], dtype=int32)]
    """

    pattern: Pattern
    arguments: dict[str, Any]
    map_func: Callable[..., Any] = dataclasses.field(repr=False)
    batch_size: int | None = None
    datapoints_per_s: float = math.nan
    cpu_s: float = math.nan
    memory_bytes: int = 0
    first_s: float = math.nan
    note: str = ""

    @property
    def workers(self) -> int:
        """How many there are; 0 inline."""
        return int(self.arguments.get("num_proc", self.arguments.get("num_thread", 0)))

    @property
    def ran(self) -> bool:
        """Whether it could be measured."""
        return not math.isnan(self.datapoints_per_s)

    def build(self, ds: Any) -> DataFlow:
        """The pipeline over ``ds``."""
        from ..parallel.mappers import MultiProcessMapAndBatchData, MultiProcessMapData, MultiThreadMapData
        from ..parallel.runners import MultiProcessRunnerZMQ

        func, batch_size, arguments = self.map_func, self.batch_size, self.arguments
        if self.pattern == "map_and_batch":
            assert batch_size is not None
            return MultiProcessMapAndBatchData(ds, map_func=func, batch_size=batch_size, **arguments)
        flow: DataFlow
        if self.pattern == "thread":
            flow = MultiThreadMapData(ds, map_func=func, **arguments)
        elif self.pattern == "process":
            flow = MultiProcessMapData(ds, map_func=func, **arguments)
        else:
            flow = MapData(ds, func)
        if batch_size is not None:
            flow = BatchData(flow, batch_size)
        return MultiProcessRunnerZMQ(flow, **arguments, shard=True) if self.pattern == "runner" else flow

    @property
    def code(self) -> str:
        """The line that makes it, to be copied; a function without a name of its own is ``map_func`` in it."""
        func = spelled(self.map_func)
        more = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        if self.pattern == "map_and_batch":
            return f"hr.MultiProcessMapAndBatchData(ds, map_func={func}, batch_size={self.batch_size}{more})"
        if self.pattern in ("inline", "runner"):
            flow = f"hr.MapData(ds, {func})"
        else:
            name = "MultiThreadMapData" if self.pattern == "thread" else "MultiProcessMapData"
            flow = f"hr.{name}(ds, map_func={func}{more})"
        if self.batch_size is not None:
            flow = f"hr.BatchData({flow}, {self.batch_size})"
        return f"hr.MultiProcessRunnerZMQ({flow}{more}, shard=True)" if self.pattern == "runner" else flow

    def to_dict(self) -> dict[str, Any]:
        """All figures, as plain data."""
        return {
            "pattern": self.pattern,
            "arguments": dict(self.arguments),
            "datapoints_per_s": self.datapoints_per_s if self.ran else None,
            "cpu_s": self.cpu_s if self.ran else None,
            "memory_bytes": self.memory_bytes,
            "first_s": self.first_s if self.ran else None,
            "note": self.note,
            "code": self.code,
        }


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """What `tune` has found; ``print`` it.

    Attributes:
        rows: what was tried, the fastest first.
        best: the one to take: the fastest, or one that is as fast and simpler.

    Example:
        >>> import headrace as hr
        >>> result = hr.tune([1, 2, 3, 4], abs, seconds=1, max_workers=1, progress=False)
        >>> result.best.pattern, result.code
        ('inline', 'hr.MapData(ds, abs)')
        >>> list(result.build(hr.DataFromList([-1, -2], shuffle=False)))
        [1, 2]
    """

    rows: tuple[TuneRow, ...]
    best: TuneRow

    @property
    def code(self) -> str:
        """The line that makes the best one."""
        return self.best.code

    def build(self, ds: Any) -> DataFlow:
        """The best pipeline over ``ds``."""
        return self.best.build(ds)

    def to_dict(self) -> dict[str, Any]:
        """All figures, as plain data."""
        return {"best": self.best.to_dict(), "rows": [row.to_dict() for row in self.rows]}

    def __rich__(self) -> RenderableType:
        from .tables import tune_view

        return tune_view(self)

    def __str__(self) -> str:
        from .tables import as_text

        return as_text(self.__rich__())


def tune(
    ds: Any,
    map_func: Callable[..., Any],
    batch_size: int | None = None,
    *,
    seconds: float = 40,
    max_workers: int | None = None,
    progress: bool = True,
) -> TuneResult:
    """Find the best way to run a map function on this machine, by trying them.

    Tried are: in this process, in threads, in processes, batching in processes, and in the copies of a runner, with
    different numbers of workers and buffers. The consumer does nothing, so what wins is what gives most. See `explain`
    for whether you need that much.

    Args:
        ds: the input flow, or any iterable that can be iterated often. It is read from its beginning many times.
        map_func: the function, as a mapper takes it.
        batch_size: datapoints in a batch, if results are batched afterwards.
        seconds: about how long it may take. Slow functions may need more.
        max_workers: the most workers to try; default: 64.
        progress: whether there is a progress bar on stderr, if that is a terminal.

    Returns:
        A `TuneResult`: ``.best``, ``.build(ds)``, ``.code``, ``.rows``.

    Raises:
        TypeError, ValueError: bad arguments; ``ds`` is empty, or can be iterated only once.
        Exception: what the input or the function raises.

    Example:
        >>> import time, headrace as hr
        >>> def fetch(n):
        ...     time.sleep(0.01)
        ...     return n
        >>> result = hr.tune(range(1000), fetch, seconds=2, max_workers=4, progress=False)
        >>> result.best.pattern in ("thread", "process", "runner"), result.best.workers
        (True, 4)
    """
    tuner = Tuner(ds, map_func, batch_size, seconds=seconds, max_workers=max_workers, progress=progress)
    tuner.run()
    return tuner.result()


def take_apart(flow: DataFlow) -> tuple[DataFlow, Callable[..., Any], int | None] | None:
    """Input, function and batch size of a flow that maps (and batches); None: it is no such flow."""
    from ..parallel.mappers import MultiProcessMapAndBatchDataZMQ, MultiProcessMapDataZMQ, MultiThreadMapData

    batch_size: int | None = None
    if isinstance(flow, BatchData):
        batch_size, flow = flow.batch_size, flow.ds
    if isinstance(flow, MapData):
        return flow.ds, flow.func, batch_size
    if isinstance(flow, MultiProcessMapAndBatchDataZMQ) and batch_size is None:
        assert flow.map_func is not None
        return flow.ds, flow.map_func, flow.batch_size
    if isinstance(flow, (MultiProcessMapDataZMQ, MultiThreadMapData)):
        assert flow.map_func is not None
        return flow.ds, flow.map_func, batch_size
    return None


class Tuner:
    """One search: `run` it, then ask for the `result`; there is one also after a run that was interrupted.

    Args: see `tune`.
    """

    def __init__(
        self,
        ds: Any,
        map_func: Callable[..., Any],
        batch_size: int | None = None,
        *,
        seconds: float = 40,
        max_workers: int | None = None,
        progress: bool = True,
    ):
        self._ds = as_flow(ds)
        MapFunction(map_func)
        self._map_func = map_func
        self._batch_size = None if batch_size is None else check_count("batch_size", batch_size)
        self._seconds = check_length_s("seconds", seconds)
        self._most = _MOST_WORKERS if max_workers is None else check_count("max_workers", max_workers)
        self._rows: dict[str, TuneRow] = {}
        self._bar = progress_bar(
            total=self._seconds,
            bar_format="{desc}{bar}| {n:.0f} of about {total:g} s",
            leave=False,
            disable=None if progress else True,
        )
        self._began = 0.0

    def run(self) -> None:
        """Search. Ctrl-C passes through, and what was measured until then is kept."""
        self._began = time.perf_counter()
        try:
            first = self._try(self._row("inline"))
            if not first.ran:
                raise ValueError(first.note)
            for pattern in self._patterns():
                self._climb(pattern, self._ladder(pattern, first.datapoints_per_s))
            self._repeat(self._finalists())
            self._try_buffer()
        finally:
            self._bar.close()

    def result(self) -> TuneResult:
        """What was found.

        Raises:
            ValueError: nothing was measured yet.
        """
        rows = sorted(self._rows.values(), key=lambda row: -row.datapoints_per_s if row.ran else math.inf)
        ran = [row for row in rows if row.ran]
        if not ran:
            raise ValueError("nothing was measured")
        fastest = ran[0].datapoints_per_s
        equal = [row for row in ran if row.datapoints_per_s >= _tie(row, ran[0]) * fastest]
        order = list(_TIE)
        best = min(equal, key=lambda row: (order.index(row.pattern), "buffer_size" in row.arguments, row.workers))
        return TuneResult(tuple(rows), best)

    # -- what is tried

    def _patterns(self) -> list[Pattern]:
        batches: list[Pattern] = ["map_and_batch"] if self._batch_size is not None else []
        return ["thread", "process", *batches, "runner"]

    def _row(self, pattern: Pattern, workers: int = 0, **more: Any) -> TuneRow:
        count = {"inline": {}, "thread": {"num_thread": workers}}.get(pattern, {"num_proc": workers})
        return TuneRow(pattern, {**count, **more}, self._map_func, self._batch_size)

    def _climb(self, pattern: Pattern, ladder: list[int]) -> None:
        """More and more workers, while that helps."""
        best = 0.0
        for workers in ladder:
            row = self._try(self._row(pattern, workers))
            if not row.ran or row.datapoints_per_s < _GOES_ON * best or self._late(0.6):
                return
            best = max(best, row.datapoints_per_s)

    def _ladder(self, pattern: Pattern, inline_rate: float) -> list[int]:
        """Numbers of workers, rising; for other uses of processes, from what was best for processes."""
        steps = {2**n for n in range(1, 7)} | {available_cores()}
        if inline_rate > 10_000 or available_cores() == 1:  # then two may be in each other's way
            steps.add(1)
        tried = [row for row in self._rows.values() if row.pattern == "process" and row.ran]
        if pattern in ("map_and_batch", "runner") and tried:
            best = max(tried, key=lambda row: row.datapoints_per_s).workers
            steps = {step for step in steps if step >= best}
        return sorted({min(step, self._most) for step in steps})

    def _finalists(self) -> list[TuneRow]:
        """Who may be the best: nothing is decided by one look on a machine that may have had something else to do."""
        ran = sorted((row for row in self._rows.values() if row.ran), key=lambda row: -row.datapoints_per_s)
        best = ran[0].datapoints_per_s
        chosen, seen = [], set()
        for row in ran:
            # Had it a processor to itself, it would be as fast as its processor time says.
            alone = 1 / row.cpu_s if row.pattern == "inline" and row.cpu_s > 0 else 0.0
            if max(row.datapoints_per_s, alone) >= (_SAME if row.pattern in seen else _CLOSE) * best:
                chosen.append(row)
            seen.add(row.pattern)
        return chosen[:_FINALISTS]

    def _repeat(self, rows: list[TuneRow]) -> None:
        for _ in range(_ROUNDS if len(rows) > 1 else 0):
            for row in rows:
                if self._late(0.95):
                    return
                self._try(row)

    def _try_buffer(self) -> None:
        best = self.result().best
        if best.pattern in ("thread", "process") and not self._late(0.9):
            larger = dataclasses.replace(best, arguments={**best.arguments, "buffer_size": _LARGER_BUFFER})
            self._repeat([larger, best])

    def _late(self, part: float) -> bool:
        return time.perf_counter() - self._began > part * self._seconds

    # -- one trial

    def _try(self, row: TuneRow) -> TuneRow:
        """Measure one way; of several times, the best one is kept."""
        self._bar.set_description_str(f"{row.pattern} {row.workers or ''} ")
        try:
            tried = self._measured(row)
        except ExhaustedSourceError:
            raise ValueError("tune reads the flow many times, but it can be iterated only once") from None
        except DataFlowError as error:  # it cannot be sent, or stacked: other ways may work
            if row.pattern == "inline" and not isinstance(error, SerializationError):
                raise
            tried = dataclasses.replace(row, note=f"{type(error).__name__}: {error}".partition("\n")[0])
        known = self._rows.get(row.code)
        if known is None or not known.ran or tried.datapoints_per_s > known.datapoints_per_s:
            self._rows[row.code] = tried
        elapsed_s = round(time.perf_counter() - self._began, 1)
        self._bar.update(min(elapsed_s, self._seconds) - self._bar.n)
        return tried

    def _measured(self, row: TuneRow) -> TuneRow:
        began = time.perf_counter()
        with row.build(self._ds) as flow:
            datapoints = _endless(flow)
            if next(datapoints, flow) is flow:
                return dataclasses.replace(row, note="nothing to measure: the flow is empty, or too short for a batch")
            first_s = time.perf_counter() - began
            trial_s = max(_LEAST_TRIAL_S, self._seconds / 80)
            turn = max(1, row.workers)
            while not (_all_ready(flow) or self._late(0.95)):
                read_turns(datapoints, turn, turn, _READY_S)
            _, _, step = read_turns(datapoints, turn, turn, _WARM_S)
            cpu_s = _cpu_s(flow)
            count, seconds, _ = read_turns(datapoints, turn, step, trial_s)
            cpu_s = _cpu_s(flow) - cpu_s
            stats = take(flow)
            datapoints.close()
        pools = [f.pool for f in stats.flows if f.pool is not None]
        count *= self._batch_size or 1
        return dataclasses.replace(
            row,
            datapoints_per_s=count / seconds,
            cpu_s=cpu_s / count,
            memory_bytes=stats.memory_bytes + sum(pool.memory_bytes + pool.arena_bytes for pool in pools),
            first_s=first_s,
            note="does not keep the order" if row.pattern == "runner" else "",
        )


def _tie(row: TuneRow, fastest: TuneRow) -> float:
    """How much of the best throughput is as good as it."""
    return 1.0 if row is fastest else _TIE[fastest.pattern]


def _endless(flow: DataFlow) -> Generator[Any, None, None]:
    """Pass after pass."""
    while True:
        empty = True
        for datapoint in flow:
            empty = False
            yield datapoint
        if empty:
            return


def _all_ready(flow: DataFlow) -> bool:
    """Whether all workers have started: the first result only says that one has."""
    pools = [f._runtime.pool for f in walk(flow)]
    return all(worker.ready for pool in pools if pool is not None for worker in pool.workers.values())


def read_turns(datapoints: Iterator[Any], turn: int, step: int, seconds: float) -> tuple[int, float, int]:
    """Read for so long, and then to the end of a turn, in which each worker gives one.

    Workers that batch, and do so in step with each other, deliver a turn in one burst. A part of it would say nothing.

    Returns:
        How many were read, in how many seconds, and how many are read in two milliseconds: at least a turn.
    """
    count = 0
    began = looked = time.perf_counter()
    while looked - began < seconds:
        collections.deque(itertools.islice(datapoints, step), maxlen=0)
        count += step
        now = time.perf_counter()
        if now - looked < 1e-3:
            step *= 2
        elif now - looked > 4e-3 and step > turn:
            step //= 2
        looked = now
    return count, looked - began, step


def _cpu_s(flow: DataFlow) -> float:
    """Processor time of this process and of the workers."""
    stats = take(flow)
    return stats.cpu_s + sum(f.pool.cpu_s for f in stats.flows if f.pool is not None and f.pool.memory_bytes)
