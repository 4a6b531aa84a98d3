"""What is counted at the channel between a parallel flow and its workers, always.

A worker keeps its own books (`WorkerClock`) and sends them home with a result, at most every 50 ms; the parent keeps
those of its side (`Counters`). All clocks are `time.perf_counter`, which on Linux is one clock for all processes. The
cost is that of a task, not of a datapoint. It is small, and yet each line counts: after a task the caches hold the
user's data, and a line of Python takes half a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["Counters", "Sample", "Slice", "Spent", "WorkerClock"]

_SAY_S = 0.05
_SAMPLE_S = 0.05
_SAMPLES = 1200
_SLICES = 20_000


class Spent(NamedTuple):
    """What a worker has spent its time on, since it started, in seconds. They add up to its age.

    Attributes:
        wait_s: waiting for tasks.
        decode_s: unpickling tasks.
        work_s: in user code (and, by the batching mapper, in stacking).
        send_s: pickling and copying results, and sending them.
        cpu_s: processor time, of all that.
        arena_bytes: shared memory that its results have needed so far.
    """

    wait_s: float = 0.0
    decode_s: float = 0.0
    work_s: float = 0.0
    send_s: float = 0.0
    cpu_s: float = 0.0
    arena_bytes: int = 0

    def plus(self, other: Spent) -> Spent:
        """The sum of two workers'."""
        return Spent(
            self.wait_s + other.wait_s,
            self.decode_s + other.decode_s,
            self.work_s + other.work_s,
            self.send_s + other.send_s,
            self.cpu_s + other.cpu_s,
            self.arena_bytes + other.arena_bytes,
        )


class _Channel(Protocol):
    @property
    def encode_s(self) -> float: ...

    @property
    def arena_bytes(self) -> int: ...


class WorkerClock:
    """The books of one worker. Its tasks follow one another without a gap, so the parts add up to the whole.

    Args:
        channel: knows what encoding has cost, and how much shared memory it has taken.
        cpu: the clock of its processor time.

    Attributes:
        sent_s: when the last answer was sent, by `time.perf_counter`.
    """

    def __init__(self, channel: _Channel, cpu: Callable[[], float]):
        self._channel = channel
        self._cpu = cpu
        self.sent_s = self._ended_s = self._said_s = time.perf_counter()
        self._began_s = self.sent_s
        self._decode_s = self._run_s = self._send_s = 0.0

    def done(self, received_s: float, began_s: float, ended_s: float) -> Spent | None:
        """A task was received, begun (when it was unpickled) and ended at these times.

        Returns:
            The books, if it is time to send them.
        """
        self._send_s += self.sent_s - self._ended_s
        self._decode_s += began_s - received_s
        self._run_s += ended_s - began_s
        self._ended_s = ended_s
        if ended_s - self._said_s < _SAY_S:
            return None
        self._said_s = ended_s
        encode_s = self._channel.encode_s  # of what the program added while it ran
        return Spent(
            ended_s - self._began_s - self._decode_s - self._run_s - self._send_s,
            self._decode_s,
            self._run_s - encode_s,
            self._send_s + encode_s,
            self._cpu(),
            self._channel.arena_bytes,
        )


class Sample(NamedTuple):
    """How a channel stood at one moment.

    Attributes:
        at_s: the moment, by `time.perf_counter`.
        delivered: datapoints that the consumer had been given.
        in_flight: datapoints between the input and the consumer.
        done: how many of them had results.
        done_bytes: the size of these.
        workers: how many there were.
        wait_s: how long the consumer had waited for workers.
        work_s: how long the workers had been busy.
    """

    at_s: float
    delivered: int
    in_flight: int
    done: int
    done_bytes: int
    workers: int
    wait_s: float
    work_s: float


class Slice(NamedTuple):
    """Something that one side did, for a trace.

    Attributes:
        track: number of the worker; -1 for this process.
        name: what it was.
        began_s: when, by `time.perf_counter`.
        seconds: how long.
        first: number of the first datapoint that it was about; -1: none.
        datapoints: how many.
    """

    track: int
    name: str
    began_s: float
    seconds: float
    first: int = -1
    datapoints: int = 0


class Table(Protocol):
    """What is under way; see `Sample`."""

    @property
    def in_flight(self) -> int: ...

    @property
    def done_items(self) -> int: ...

    @property
    def done_bytes(self) -> int: ...


class Counters:
    """The books of one parallel flow, over all its passes and workers. All times are in seconds.

    Attributes:
        since_s: when they were begun, by `time.perf_counter`.
        tasks: tasks that have come back.
        received: datapoints in them.
        delivered: datapoints that the consumer was given, or that were discarded or skipped.
        result_bytes: size of the results that came in.
        pull_s: reading the input.
        give_s: pickling tasks and sending them.
        wait_s: waiting for workers, with nothing to deliver.
        receive_s: receiving results, other than waiting for them.
        decode_s: unpickling results.
        away_s: in the consumer's hands.
        replaced: workers that died, hung, or were not to be trusted.
        retried: datapoints that were given out again.
        failed: datapoints that raised.
        discarded: datapoints for which the function returned None.
        table: of the pass that is under way.
        samples: how the channel stood over time; thinned out when there are too many.
        due_s: when the next sample is to be taken.
        slices: None, or what a trace is made of.
    """

    def __init__(self) -> None:
        self.since_s = time.perf_counter()
        self.tasks = 0
        self.received = 0
        self.delivered = 0
        self.result_bytes = 0
        self.pull_s = 0.0
        self.give_s = 0.0
        self.wait_s = 0.0
        self.receive_s = 0.0
        self.decode_s = 0.0
        self.away_s = 0.0
        self.replaced = 0
        self.retried = 0
        self.failed = 0
        self.discarded = 0
        self.table: Table | None = None
        self.samples: list[Sample] = []
        self.due_s = 0.0
        self.slices: Slices | None = None
        self._every_s = _SAMPLE_S
        self._gone = Spent()
        self._spent: dict[int, Spent] = {}

    def heard(self, worker: int, spent: Spent) -> None:
        """A worker has sent its books."""
        self._spent[worker] = spent

    def buried(self, worker: int) -> None:
        """A worker is no more; what it has done counts."""
        self._gone = self._gone.plus(self._spent.pop(worker, Spent()))._replace(arena_bytes=0)

    @property
    def spent(self) -> Spent:
        """All workers' books together, of those that are gone as well."""
        total = self._gone
        for spent in list(self._spent.values()):  # a copy: a watching thread may ask
            total = total.plus(spent)
        return total

    def stands(self) -> tuple[int, int, int]:
        """In flight, done, and the bytes of these, see `Sample`: now."""
        table = self.table  # another thread may ask, while the pass ends
        return (table.in_flight, table.done_items, table.done_bytes) if table is not None else (0, 0, 0)

    def sample(self, now_s: float, workers: int) -> None:
        """Keep how the channel stands now."""
        self.due_s = now_s + self._every_s
        self.samples.append(Sample(now_s, self.delivered, *self.stands(), workers, self.wait_s, self.spent.work_s))
        if len(self.samples) > _SAMPLES:
            del self.samples[::2]
            self._every_s *= 2


class Slices:
    """A bounded record of slices: when it is full, it keeps every second one, and from then on half as many.

    Attributes:
        kept: the slices.
        every: one of so many is kept.
    """

    def __init__(self) -> None:
        self.kept: list[Slice] = []
        self.every = 1
        self._seen = 0

    def add(self, one: Slice) -> None:
        """Perhaps keep one more."""
        self._seen += 1
        if self._seen % self.every:
            return
        self.kept.append(one)
        if len(self.kept) >= _SLICES:
            del self.kept[::2]
            self.every *= 2
