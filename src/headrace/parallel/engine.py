"""The engine: one conversation between a consumer and a pool of workers.

::

      consumer              engine (in the consumer's thread)                     worker i, of n
    ───────────             ─────────────────────────────────                     ──────────────
     next() ────────────>   fill:    pull datapoints from the input,
                                     open a row in the ledger,
                                     give it to the worker with most room  ──Work──>  receive
                            receive: wait for results AND deaths, in one           run the program
                                     poll; complete the row               <──Done──   send
                            deliver: the row whose turn it is
            <───────────             value by value

Who waits. The parent waits in `Pool.receive` only, when it has nothing to deliver and nothing to give out. A worker
waits for its next message only. Neither ever waits in sending. So there is no circle of waiting: a row that is to be
delivered next is done, or with a worker that is alive (its answer or its death wakes the parent), or waiting for a
worker (`fill` gives it out before anything new).

Who owns. The ledger owns every datapoint between the input and the consumer. A worker that dies takes nothing with
it: what it held is given to another one. Because it answers in order, the first unanswered task is the one it died on.

How it ends. The input is used up and the table is empty: *end of stream*. The consumer leaves (``break``, ``close()``
on the iterator): the stream's number changes, workers answer what they still hold with "skipped", the next pass
starts with a new table. The flow is closed under the iterator: `DataFlowTerminated`. Anything else that escapes (a
failure that is not to be skipped, Ctrl-C in the middle): the pool is closed too, since nobody knows what it is doing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Generator, Iterator
from typing import Any, NoReturn

from ..errors import DataFlowTerminated, RemoteTraceback, SerializationError, WorkerDied, WorkerError
from ..stacking import stack_datapoints
from ..state import Cursor, Input, State
from .ledger import Ledger, Task
from .messages import Begin, Done, Failure, Ready
from .pace import Pace
from .pickling import explain
from .pool import Pool, Worker
from .transports.base import Event
from .worker import pack, unpack

__all__ = ["BatchConversation", "Conversation", "CopyConversation", "MapConversation"]

logger = logging.getLogger("headrace")

MAX_RETRIES = 3


class Conversation:
    """What mapping and replicating have in common; see the module.

    Args:
        pool: the workers.
        pace: sizes of tasks.
        name: of the flow, for messages.
        state: of the pass.
        ordered: whether results keep the order of their tasks.
    """

    def __init__(self, pool: Pool, pace: Pace, name: str, state: State, *, ordered: bool):
        self._pool = pool
        self._pace = pace
        self._name = name
        self._state = state
        self._ledger = Ledger(pool.next_stream(), ordered=ordered)
        self._failed_starts = 0
        for worker in pool.workers.values():
            pool.begin(worker, self._begin(worker))

    def run(self) -> Generator[Any, None, None]:
        """Deliver until the end of the stream."""
        try:
            yield from self._results()
        except GeneratorExit:
            self._pool.next_stream()
            raise
        except BaseException:
            self._pool.close()
            raise

    def _results(self) -> Iterator[Any]:
        while True:
            if self._pool.closed:
                raise DataFlowTerminated(f"{self._name} was closed while it was being iterated")
            self._fill()
            task = self._ledger.next_ready()
            if task is not None:
                began = time.perf_counter()
                yield from self._deliver(task)
                self._pace.was_away(time.perf_counter() - began)
                self._ledger.close(task)
                if not self._pool.closed:
                    self._receive(0)
            elif self._over():
                return
            else:
                self._receive(None)

    # -- what differs

    def _begin(self, worker: Worker) -> Begin:
        """What a worker is told at the beginning of the pass."""
        raise NotImplementedError("mapping and replicating differ here")

    def _fill(self) -> None:
        """Give out work while there is room."""
        raise NotImplementedError("mapping and replicating differ here")

    def _over(self) -> bool:
        """Whether the stream has ended, given that nothing is ready."""
        raise NotImplementedError("mapping and replicating differ here")

    def _deliver(self, task: Task) -> Iterator[Any]:
        """The values of a row."""
        raise NotImplementedError("mapping and replicating differ here")

    def _take(self, worker: Worker, task: Task, done: Done, values: list[Any]) -> None:
        """Results have come in."""
        raise NotImplementedError("mapping and replicating differ here")

    def _lost(self, worker: Worker, tasks: list[Task], cause: str) -> None:
        """A worker is dead and replaced; these rows were its."""
        raise NotImplementedError("mapping and replicating differ here")

    # -- what comes in

    def _receive(self, timeout_s: float | None) -> None:
        for worker, event in self._pool.receive(timeout_s):
            if event.message is None:
                self._bury(worker)
            elif isinstance(event.message, Ready):
                self._welcome(worker, event.message)
            elif isinstance(event.message, Done):
                self._answer(worker, event.message, event)

    def _welcome(self, worker: Worker, ready: Ready) -> None:
        if ready.failure is not None:
            self._fail(ready.failure, f"while {worker.name} was starting")
        self._failed_starts = 0
        self._pool.welcome(worker)

    def _answer(self, worker: Worker, done: Done, event: Event) -> None:
        task = worker.tasks.popleft()
        if done.stream != self._ledger.stream:  # of a pass that was left
            self._pool.drop(worker, event.body)
            return
        try:
            values = self._pool.decode(worker, event.body) or []
        except Exception as error:
            note = f"while unpickling the results of datapoint {task.index} from {worker.name}"
            done, values = done._replace(failures=(pack(error, note=note),)), []
        if values:
            self._pace.worked(task.count, done.busy_s, getattr(event.body, "nbytes", 0))
        self._take(worker, task, done, values)

    def _bury(self, worker: Worker) -> None:
        tasks = [task for task in worker.tasks if task.stream == self._ledger.stream]
        name, started = worker.name, worker.ready
        cause = self._pool.bury(worker)
        if not started:
            self._failed_starts += 1
            if self._failed_starts > MAX_RETRIES:
                raise WorkerDied(f"{self._name}: {name} {cause} while starting, {self._failed_starts} times in a row")
        held = f"datapoints {', '.join(_span(t) for t in tasks)}" if tasks else "no datapoints"
        logger.warning("%s: %s %s; it held %s; it is replaced", self._name, name, cause, held)
        replacement = self._pool.start(worker.slot)
        self._pool.begin(replacement, self._begin(replacement))
        self._lost(replacement, tasks, f"{name} {cause}")

    # -- what goes wrong

    def _fail(self, failure: Failure, where: str) -> NoReturn:
        """Raise what went wrong in a worker: as it was there, if it can be rebuilt here."""
        raise self._rebuilt(failure, where)

    def _rebuilt(self, failure: Failure, where: str) -> Exception:
        error = unpack(failure)
        if error is None:
            error = WorkerError(f"{failure.type_name} in a worker cannot be rebuilt here:\n{failure.text}")
        if error.__cause__ is None:
            error.__cause__ = RemoteTraceback(failure.text)
        error.add_note(f"headrace: raised in {self._name}, {where}")
        return error


class MapConversation(Conversation):
    """Distribute the datapoints of an input.

    Args:
        pool, pace, name, state, ordered: see `Conversation`.
        source: the input.
        endless: whether to begin the next pass of the input when one ends.
    """

    def __init__(
        self,
        pool: Pool,
        pace: Pace,
        name: str,
        state: State,
        source: Input,
        *,
        ordered: bool,
        endless: bool,
    ):
        self._source = source
        self._endless = endless
        self._iterator: Iterator[Any] | None = None
        self._ended = False
        self._source_error: Exception | None = None
        self._pass_offset = 0
        self._first = 0
        super().__init__(pool, pace, name, state, ordered=ordered)

    def _begin(self, worker: Worker) -> Begin:
        place = self._state.place
        return Begin(self._ledger.stream, place.seed, place.number, place.copy, self._state.pass_index, worker.number)

    def _fill(self) -> None:
        began = time.perf_counter()
        while worker := self._roomiest():
            if self._ledger.waiting:
                self._give(worker, self._ledger.waiting.popleft())
                continue
            count = self._pace.next_size(self._ledger.in_flight)
            if self._ended or count <= 0:
                return
            task = self._pull(count)
            if task is None:
                return
            self._give(worker, task)
            # A slow input must not keep the consumer from results that are there.
            if time.perf_counter() - began > 1e-3:
                self._receive(0)
                if self._ledger.has_ready:
                    return
                began = time.perf_counter()

    def _roomiest(self) -> Worker | None:
        worker = min(self._pool.workers.values(), key=lambda w: len(w.tasks))
        return worker if len(worker.tasks) < self._pace.depth else None

    def _pull(self, count: int) -> Task | None:
        items: list[Any] = []
        try:
            while not items:
                if self._iterator is None:
                    self._iterator = iter(self._source)
                items.extend(itertools.islice(self._iterator, count))
                if len(items) < count:
                    empty = self._first == 0 and not items
                    self._ended = not self._endless or empty
                    if self._ended:
                        break
                    task = self._open(items) if items else None
                    self._iterator, self._first = None, 0
                    self._pass_offset += 1
                    if task is not None:
                        return task
        except Exception as error:
            # What the input gave before it failed is delivered before the failure is.
            self._ended, self._source_error = True, error
        return self._open(items) if items else None

    def _open(self, items: list[Any]) -> Task:
        task = self._ledger.open(items, len(items), self._state.pass_index + self._pass_offset, self._first)
        self._first += len(items)
        return task

    def _give(self, worker: Worker, task: Task) -> None:
        try:
            self._pool.give(worker, task)
        except Exception as error:
            if task.count > 1:
                self._ledger.put_back(task, 1)
                return
            assert task.items is not None
            where = explain(task.items[0], "it") or str(error)
            culprit = SerializationError(f"the datapoint cannot be sent to a worker: {where}")
            culprit.__cause__ = error
            self._ledger.complete(task, [None], (pack(culprit, 0),))

    def _over(self) -> bool:
        if not self._ended or len(self._ledger):
            return False
        if self._source_error is not None:
            raise self._source_error
        return True

    def _take(self, worker: Worker, task: Task, done: Done, values: list[Any]) -> None:
        if any(failure.offset is None for failure in done.failures) and task.count > 1:
            self._ledger.put_back(task, 1)  # to find out which datapoint it was
            return
        task.discards, task.loose = done.discards, done.loose
        failures = tuple(f if f.offset is not None else f._replace(offset=0) for f in done.failures)
        self._ledger.complete(task, values or [None] * task.count, failures)

    def _lost(self, worker: Worker, tasks: list[Task], cause: str) -> None:
        for task in reversed(tasks):
            if task is tasks[0]:  # the one it died on
                task.attempts += 1
                if task.attempts > MAX_RETRIES:
                    error = WorkerDied(f"datapoint {_span(task)} has ended {task.attempts} workers; the last: {cause}")
                    self._ledger.complete(task, [None] * task.count, (pack(error, 0),))
                    continue
                self._ledger.put_back(task, 1)
            else:
                self._ledger.put_back(task, task.count)

    @staticmethod
    def _where(task: Task, offset: int) -> str:
        return f"{task.worker}, datapoint {task.first + offset} of pass {task.pass_index}"

    def _deliver(self, task: Task) -> Iterator[Any]:
        assert task.values is not None
        if not task.failures and not task.discards:
            yield from Cursor(task.values).iterator
            return
        failures = {failure.offset: failure for failure in task.failures}
        for offset, value in enumerate(task.values):
            if offset in failures:
                self._fail(failures[offset], self._where(task, offset))
            if value is not None:
                yield value


class BatchConversation(MapConversation):
    """Distribute the datapoints of an input, and deliver batches.

    Args:
        pool, pace, name, state, source, ordered, endless: see `MapConversation`.
        batch_size: datapoints in a batch.
        remainder: whether the last, shorter batch is delivered.
    """

    def __init__(self, *args: Any, batch_size: int, remainder: bool, **kwargs: Any):
        self._batch_size = batch_size
        self._remainder = remainder
        self._held: list[Any] = []  # results that came one by one
        super().__init__(*args, **kwargs)

    def _results(self) -> Iterator[Any]:
        yield from super()._results()
        if self._held and self._remainder:
            yield stack_datapoints(self._held)

    def _deliver(self, task: Task) -> Iterator[Any]:
        if not task.loose and not task.failures:
            yield from super()._deliver(task)
            return
        for value in super()._deliver(task):
            self._held.append(value)
            if len(self._held) == self._batch_size:
                batch = stack_datapoints(self._held)
                self._held.clear()
                yield batch


class CopyConversation(Conversation):
    """Run copies of a flow. A task asks one copy for its next datapoints; the rows come as they are done.

    Args:
        pool, pace, name, state: see `Conversation`.
    """

    def __init__(self, pool: Pool, pace: Pace, name: str, state: State):
        self._running = {worker.slot for worker in pool.workers.values()}
        super().__init__(pool, pace, name, state, ordered=False)

    def _begin(self, worker: Worker) -> Begin:
        place = self._state.place
        copy = (*place.copy, worker.slot)
        return Begin(self._ledger.stream, place.seed, place.number, copy, self._state.pass_index, worker.number)

    def _fill(self) -> None:
        while (count := self._pace.next_size(self._ledger.in_flight)) > 0:
            workers = [w for w in self._pool.workers.values() if w.slot in self._running]
            if not workers:
                return
            worker = min(workers, key=lambda w: len(w.tasks))
            if len(worker.tasks) >= self._pace.depth:
                return
            self._pool.give(worker, self._ledger.open(None, count))

    def _over(self) -> bool:
        return not self._running

    def _take(self, worker: Worker, task: Task, done: Done, values: list[Any]) -> None:
        if done.ended:
            self._running.discard(worker.slot)
        failures = tuple(f if f.offset is not None else f._replace(offset=0) for f in done.failures)
        self._ledger.complete(task, values or [None] * len(failures), failures)

    def _lost(self, worker: Worker, tasks: list[Task], cause: str) -> None:
        raise WorkerDied(f"{self._name}: {cause}")

    def _deliver(self, task: Task) -> Iterator[Any]:
        assert task.values is not None
        failures = {failure.offset: failure for failure in task.failures}
        if not failures:
            yield from Cursor(task.values).iterator
            return
        for offset, value in enumerate(task.values):
            if offset in failures:
                self._fail(failures[offset], task.worker)
            yield value


def _span(task: Task) -> str:
    """The datapoints of a row, for people."""
    return str(task.first) if task.count == 1 else f"{task.first}-{task.first + task.count - 1}"
