"""What a worker runs: three programs, each from tasks to results.

* `MapProgram`: results are ``function(datapoint)``.
* `MapAndBatchProgram`: results are batches of these.
* `ReplicateProgram`: there are no inputs; results are the datapoints of a copy of a flow.

A program is made by the parent, travels to each worker once (a thread gets a shallow copy), and lives there over
all passes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..flow import DataFlow, plant
from ..mapping import MapFunction
from ..seeding import Place, WorkerInfo, seed_globals, set_worker_info
from ..stacking import stack_datapoints
from .messages import Begin, Failure, Work

if TYPE_CHECKING:
    from .transports.base import Channel

__all__ = ["MapAndBatchProgram", "MapProgram", "Outcome", "Program", "ReplicateProgram"]


@dataclasses.dataclass(slots=True)
class Outcome:
    """The results of one task; the fields are those of `Done`."""

    values: list[Any]
    failures: list[Failure] = dataclasses.field(default_factory=list)
    discards: int = 0
    ended: bool = False
    state: Any = None
    loose: bool = False


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


def collect(results: Iterator[Any], outcome: Outcome, *, may_exit: bool) -> None:
    """Append all results to the outcome's values; one that raises becomes a failure, with None in its place.

    Args:
        results: goes on after an exception, as ``map`` does; a generator ends.
        outcome: is added to.
        may_exit: whether `SystemExit` ends the worker (a process), rather than being an error like any other.
    """
    from .worker import pack

    while True:
        try:
            outcome.values.extend(results)  # what came before an exception has been appended
            return
        except BaseException as error:
            if may_exit and isinstance(error, SystemExit):
                raise
            outcome.failures.append(pack(error, len(outcome.values)))
            outcome.values.append(None)


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
        self._place = Place(begin.seed, begin.number, begin.copy)
        self._call_of_pass.clear()
        if self._in_process:
            seed_globals(self._place.sequence(begin.pass_index, begin.stream, begin.worker))

    def run(self, task: Work, items: list[Any], channel: Channel) -> Outcome:
        """See `Program`."""
        outcome = Outcome([])
        collect(self._results(task, items), outcome, may_exit=self._in_process)
        # By identity: == would ask the user's objects.
        outcome.discards = len([1 for v in outcome.values if v is None]) - len(outcome.failures)
        return outcome

    def _results(self, task: Work, items: list[Any]) -> Iterator[Any]:
        if not self._function.wants_rng:
            return map(self._call, items)
        call = self._call_of_pass.get(task.pass_index)
        if call is None:
            assert self._place is not None
            key = self._place.item_key(task.pass_index)
            call = self._function.bind_rng(key, private=self._in_process)
            self._call_of_pass = {task.pass_index: call}
        return map(call, items, itertools.count(task.first))

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

    def run(self, task: Work, items: list[Any], channel: Channel) -> Outcome:
        """See `Program`."""
        outcome = super().run(task, items, channel)
        values = outcome.values
        if outcome.failures or outcome.discards or len(values) < self._batch_size:
            outcome.loose = True
            return outcome
        size = self._batch_size
        try:
            outcome.values = [
                stack_datapoints(values[i : i + size], out=channel.empty) for i in range(0, len(values), size)
            ]
        except Exception as error:
            from .worker import pack

            outcome.values = []
            outcome.failures.append(pack(error))
        return outcome


class ReplicateProgram:
    """Run a copy of a flow.

    Args:
        flows: the flow, for processes, each of which has its own by the journey; or one flow for each thread.
        copies: how many copies there are.
        shard: whether a pass ends when the copy does; if not, it begins again, for ever.
        in_process: whether the copy lives in a process of its own.
    """

    def __init__(self, flows: Sequence[DataFlow], copies: int, *, shard: bool, in_process: bool):
        self.subject, self.subject_name = flows[0], "ds"
        self._flows = flows
        self._copies = copies
        self._shard = shard
        self._in_process = in_process
        self._flow: DataFlow | None = None
        self._stream: Iterator[Any] = iter(())
        self._ended = False

    def begin(self, begin: Begin) -> None:
        """See `Program`."""
        self._stream = iter(())  # drops the generator of the pass that was left, if any
        index = begin.copy[-1]
        flow = self._flow = self._flows[index % len(self._flows)]
        sequence = Place(begin.seed, begin.number, begin.copy).sequence(begin.pass_index)
        if self._in_process:
            seed_globals(sequence)
        seed = int(sequence.generate_state(1, np.uint64)[0])
        set_worker_info(WorkerInfo(index, self._copies, seed, begin.pass_index))
        plant(flow, begin.seed, (*begin.copy, begin.pass_index))
        self._ended = False
        self._stream = self._datapoints(flow)

    def _datapoints(self, flow: DataFlow) -> Iterator[Any]:
        while True:
            empty = True
            for datapoint in flow:
                empty = False
                yield datapoint
            if empty or self._shard:
                self._ended = True
                return

    def run(self, task: Work, items: None, channel: Channel) -> Outcome:
        """See `Program`."""
        outcome = Outcome([])
        collect(itertools.islice(self._stream, task.size), outcome, may_exit=self._in_process)
        outcome.ended = self._ended or bool(outcome.failures)
        return outcome

    def close(self) -> None:
        """See `Program`."""
        self._stream = iter(())
        if self._flow is not None:
            self._flow.close()
