"""What a worker runs: three programs, each from tasks to results.

* `MapProgram`: results are ``function(datapoint)``.
* `MapAndBatchProgram`: results are batches of these.
* `ReplicateProgram`: there are no inputs; results are the datapoints of a copy of a flow.

A program is made by the parent, travels to each worker once (a thread gets a shallow copy), and lives there over
all passes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import SerializationError
from ..flow import DataFlow
from ..mapping import MapFunction
from ..passes import flow_node, plant
from ..seeding import Place, WorkerInfo, seed_globals, set_worker_info
from .assembly import Assembly
from .messages import Begin, Failure, Work
from .pickling import explain

if TYPE_CHECKING:
    from .transports.base import Channel

__all__ = ["DIGESTED", "DIGEST_BYTES", "MapAndBatchProgram", "MapProgram", "Outcome", "Program", "ReplicateProgram"]


@dataclasses.dataclass(slots=True)
class Outcome:
    """The results of one task; the fields are those of `Done`."""

    failures: list[Failure] = dataclasses.field(default_factory=list)
    nones: int = 0  # results that are None
    discards: int = 0
    ended: bool = False
    state: Any = None
    loose: bool = False
    answered: int | None = None
    produced: int = 0
    digests: bytes | None = None


class Program(Protocol):
    """See the module."""

    subject: Any
    """What of it is the user's."""

    subject_name: str
    """What the user knows it as."""

    def begin(self, begin: Begin) -> None:
        """A pass begins. An exception here is the answer to each of its tasks."""

    def run(self, task: Work, items: Any, channel: Channel) -> Outcome:
        """Do a task. Exceptions of user code become failures in the outcome."""

    def close(self) -> None:
        """The worker leaves."""


class Sink(Protocol):
    """Where results go, one by one: the part of a `Channel` that this needs."""

    plain: list[Any]

    @property
    def added(self) -> int:
        """How many are there."""

    def add(self, datapoint: Any) -> bool | None:
        """Take one, as it is now. True: let go of it, and call `settle`."""

    def settle(self) -> None:
        """Those that were taken have been let go of."""


_SIMPLE = frozenset((int, float, bool, str))


def collect(results: Iterator[Any], outcome: Outcome, sink: Sink, *, may_exit: bool) -> None:
    """Hand all results over; one that raises, or cannot be pickled, becomes a failure, with None in its place.

    Args:
        results: goes on after an exception, as ``map`` does; a generator ends.
        outcome: failures are added to it, and None results are counted.
        sink: takes the results.
        may_exit: whether `SystemExit` ends the worker (a process), rather than being an error like any other.
    """
    plain, add = sink.plain, sink.add
    while True:
        try:
            # Runs of one type, found by C code. A group is read to its end before the next result is asked for, so
            # each is taken before the function goes on and perhaps changes it.
            # (`islice` stays at its end, `map` goes on when the function has raised StopIteration: groupby must not.)
            for kind, group in itertools.groupby(itertools.islice(results, None), type):
                if kind in _SIMPLE:
                    plain.extend(group)  # if the function raises, those before are there
                    continue
                for value in group:
                    if value is None:
                        outcome.nones += 1
                        plain.append(None)
                        continue
                    try:
                        if add(value):
                            value = None
                            sink.settle()
                    except Exception as error:
                        culprit = SerializationError(
                            f"the datapoint cannot be sent home: {explain(value, 'it') or error}"
                        )
                        culprit.__cause__ = error
                        _fail(culprit, outcome, sink)
            return
        except BaseException as error:
            if may_exit and isinstance(error, SystemExit):
                raise
            _fail(error, outcome, sink)


def _fail(error: BaseException, outcome: Outcome, sink: Sink) -> None:
    """The next datapoint has failed."""
    from .worker import pack

    outcome.failures.append(pack(error, sink.added))
    sink.plain.append(None)


def _raising(error: Exception) -> Iterator[Any]:
    raise error
    yield


DIGESTED = 4
"""So many first datapoints are compared between copies."""

DIGEST_BYTES = 16

_ENOUGH_S = 0.05
"""A task that takes longer is answered by what is there: its size was chosen while the work was quick."""

_MOST = 512
"""So many datapoints are done between two looks at the clock, at most."""


def _blocks(size: int, grain: int = 1) -> Iterator[int]:
    """Divide a task: how many datapoints to do before the next look at the clock. It ends early when they take long.

    Args:
        size: of the task.
        grain: blocks have a multiple of so many, but for the last one.
    """
    began = time.perf_counter()
    done, block = 0, grain
    while done < size and (done == 0 or time.perf_counter() - began < _ENOUGH_S):
        yield min(block, size - done)
        done += block
        block = max(min(2 * block, _MOST) // grain, 1) * grain


class MapProgram:
    """Apply a function to each datapoint.

    Args:
        function: the function.
        in_process: whether it runs in a process of its own: datapoints are private there, and it may exit.
    """

    def __init__(self, function: MapFunction, *, in_process: bool):
        self.subject, self.subject_name = function.func, "map_func"
        self._function = function
        self._in_process = in_process
        self._call = function.bind(private=in_process)
        self._place: Place | None = None
        self._call_of_pass: dict[int, Callable[[Any, int], Any]] = {}

    def begin(self, begin: Begin) -> None:
        """See `Program`."""
        self._place = begin.place
        self._call_of_pass.clear()
        if self._in_process:
            seed_globals(begin.place.sequence(begin.pass_index, begin.stream, begin.worker, *begin.place.share))

    def run(self, task: Work, items: Sequence[Any], channel: Channel) -> Outcome:
        """See `Program`."""
        return self._map(task, items, channel)

    def _map(self, task: Work, items: Sequence[Any], sink: Sink, grain: int = 1) -> Outcome:
        outcome = Outcome()
        wanted = 0
        for block in _blocks(len(items), grain):
            results = self._results(task, items[wanted : wanted + block], task.first + wanted)
            wanted += block
            collect(results, outcome, sink, may_exit=self._in_process)
            while sink.added < wanted:  # the function raised StopIteration, which map() passes on as an end
                error = RuntimeError("the map function raised StopIteration")
                collect(_raising(error), outcome, sink, may_exit=self._in_process)
                collect(results, outcome, sink, may_exit=self._in_process)
        outcome.discards = outcome.nones
        outcome.answered = wanted
        return outcome

    def _results(self, task: Work, items: Sequence[Any], first: int) -> Iterator[Any]:
        if not self._function.wants_rng:
            return map(self._call, items)
        assert self._place is not None
        call = self._call_of_pass.get(task.pass_index)
        if call is None:
            key = self._place.item_key(task.pass_index)
            call = self._function.bind_rng(key, private=self._in_process)
            self._call_of_pass = {task.pass_index: call}
        return map(call, items, map(self._place.index_of, itertools.count(first)))

    def close(self) -> None:
        """See `Program`."""


class MapAndBatchProgram(MapProgram):
    """Apply a function to each datapoint, and stack the results of ``batch_size`` of them into one batch.

    A task is any number of whole batches, and perhaps a last one that is shorter. If a datapoint of it fails or is
    discarded, its results go home one by one (``loose``), and the parent makes batches of what is there.
    """

    def __init__(self, function: MapFunction, batch_size: int, *, in_process: bool):
        super().__init__(function, in_process=in_process)
        self._batch_size = batch_size

    def run(self, task: Work, items: Sequence[Any], channel: Channel) -> Outcome:
        """See `Program`."""
        assembly = Assembly(self._batch_size, channel.empty)
        outcome = self._map(task, items, assembly, self._batch_size)
        outcome.loose = bool(outcome.failures or outcome.discards or assembly.added % self._batch_size)
        try:
            for value in assembly.rows() if outcome.loose else assembly.batches():
                channel.add(value)
        except Exception as error:  # then it is about the task: the parent finds out which datapoint it is
            from .worker import pack

            outcome.failures.append(pack(error))
        return outcome


class ReplicateProgram:
    """Run a copy of a flow.

    Args:
        flows: the flow, for processes, each of which has its own by the journey; or one flow for each thread.
        shard: whether a copy gives its share of one pass and ends; if not, it runs pass after pass, for ever.
        in_process: whether the copy lives in a process of its own.
    """

    def __init__(self, flows: Sequence[DataFlow], *, shard: bool, in_process: bool):
        self.subject, self.subject_name = flows[0], "ds"
        self._flows = flows
        self._shard = shard
        self._in_process = in_process
        self._flow = flows[0]
        self._stream: Iterator[Any] = iter(())
        self._ended = False
        self._produced = 0
        self._first: list[bytes] | None = []  # digests of the first datapoints, until all are sent
        self._state_cost_s = 0.0
        self._state_at = 0.0

    def begin(self, begin: Begin) -> None:
        """See `Program`."""
        self._stream = iter(())  # drops the generator of the pass that was left, if any
        index, count = begin.copy
        self._flow = self._flows[begin.worker % len(self._flows)]  # each thread has its own
        if self._shard:  # of the share that the runner itself has to give, in a copy of another one
            ours, shares = begin.place.share
            index, count = index * shares + ours, count * shares
        own = dataclasses.replace(begin.place, copy=(*begin.place.copy, index)).sequence(begin.pass_index)
        if self._in_process:
            seed_globals(own)
        info = WorkerInfo(index, count, int(own.generate_state(1, np.uint64)[0]), begin.pass_index)
        set_worker_info(info)
        # All shares are of one and the same pass, so they have its random numbers; other copies have their own.
        path = (begin.pass_index,) if self._shard else (index, begin.pass_index)
        share = (index, count) if self._shard else (0, 1)
        plant(self._flow, begin.place.seed, (*begin.place.copy, *path), share, begin.resume)
        self._ended = False
        self._produced = 0
        self._first = [] if begin.resume is None and begin.skip == 0 and not self._shard else None
        self._state_at = 0.0
        self._stream = self._datapoints(self._flow, resumed=begin.resume is not None)
        for _ in itertools.islice(self._stream, begin.skip):
            pass

    def _datapoints(self, flow: DataFlow, resumed: bool) -> Iterator[Any]:
        while True:
            empty = not resumed  # what is left of a resumed pass may be nothing
            resumed = False
            for datapoint in flow:
                empty = False
                if self._first is not None and len(self._first) < DIGESTED:
                    self._first.append(_digest_of(datapoint))
                yield datapoint
            if empty or self._shard:
                self._ended = True
                return

    def rest(self) -> Iterator[Any]:
        """The datapoints of the pass that are still to come, for use without an engine."""
        return self._stream

    def run(self, task: Work, items: None, channel: Channel) -> Outcome:
        """See `Program`."""
        outcome = Outcome()
        for block in _blocks(task.size):
            collect(itertools.islice(self._stream, block), outcome, channel, may_exit=self._in_process)
        self._produced += channel.added - len(outcome.failures)
        outcome.produced = self._produced
        outcome.ended = self._ended or bool(outcome.failures)
        outcome.state = self._state()
        outcome.digests = self._digests(outcome.ended)
        return outcome

    def _state(self) -> Any:
        """Where the copy stands now; None if finding that out would cost more than a fiftieth of the time."""
        now = time.perf_counter()
        if self._ended or now - self._state_at < 50 * self._state_cost_s:
            return None
        node = flow_node(self._flow)
        self._state_at = time.perf_counter()
        self._state_cost_s = self._state_at - now
        return node

    def _digests(self, ended: bool) -> bytes | None:
        if self._first is None:
            return None
        digests = b"".join(self._first)
        if len(self._first) == DIGESTED or ended:
            self._first = None
        return digests

    def close(self) -> None:
        """See `Program`."""
        self._stream = iter(())
        self._flow.close()


def _digest_of(datapoint: Any) -> bytes:
    try:
        return hashlib.blake2b(pickle.dumps(datapoint, 5), digest_size=DIGEST_BYTES).digest()
    except Exception:
        return b"?" * DIGEST_BYTES  # what cannot be pickled is reported where it is sent
