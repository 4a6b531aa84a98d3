"""Conversations in which the datapoints of an input are distributed to the workers."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..errors import ItemTimeoutError, SerializationError, WorkerDied
from ..observe.audit import AuditedPass
from ..stacking import stack_datapoints
from ..state import Cursor, Input, Node, Rows, State
from .engine import Conversation, logger, span
from .ledger import Items, Ledger, Task, Values
from .messages import Done
from .pace import Pace
from .pickling import explain
from .policy import OnError
from .pool import Pool, Worker
from .transports.base import Event
from .worker import pack

__all__ = ["BatchConversation", "MapConversation"]


class Intake:
    """Where a conversation stands in its input, and with the ledger, all that has to be saved of it.

    Attributes:
        first: number, in its pass, of the next datapoint to be pulled.
        passes: how many passes of the input have been used up.
        ended: whether there is nothing more to pull.
        held: map-and-batch: single results that wait for a batch to be filled, and the datapoints they come from, as
            rows.
    """

    def __init__(self, ledger: Ledger, source: Input, pass_index: int, books: AuditedPass | None):
        self.first = 0
        self.passes = 0
        self.ended = False
        self.held: list[tuple[Any, Task]] = []
        self._ledger = ledger
        self._source = source
        self._pass_index = pass_index
        self._books = books
        self._lag: int | None = None  # pass of the input, less our own

    def open(self, items: Items) -> Task:
        """A row for datapoints that were pulled."""
        if self._lag is None:
            self._lag = self._source.pass_index - self._pass_index - self.passes
        task = self._ledger.open(items, len(items), self._pass_index + self.passes, self.first)
        self.first += len(items)
        if self._books is not None:
            self._books.take(task.pass_index, task.first, task.count)
        return task

    def snapshot(self) -> Node:
        """What is saved: what was pulled and not delivered, as numbers if the input can be read by number."""
        rows = [row for _, row in self.held] + self._ledger.undelivered()
        lag = self._lag or 0
        numbered = {p: self._source.flow.reader(p + lag) is not None for p in {row.pass_index for row in rows}}
        return {
            "first": self.first,
            "passes": self.passes,
            "ended": self.ended,
            "lag": self._lag,
            "rows": [
                [row.pass_index, row.first, row.count if numbered[row.pass_index] else list(row.items or ())]
                for row in rows
            ],
        }

    def restore(self, saved: Node) -> None:
        """Open the rows that were under way, for the workers to do."""
        self.first, self.passes, self.ended = saved["first"], saved["passes"], saved["ended"]
        self._lag = saved["lag"]
        for pass_index, first, items in saved["rows"]:
            if isinstance(items, int):
                read = self._source.flow.reader(pass_index + (self._lag or 0))
                assert read is not None
                items = [read(number) for number in range(first, first + items)]
            self._ledger.wait(self._ledger.open(items, len(items), pass_index, first))
            if self._books is not None:
                self._books.take(pass_index, first, len(items))


class MapConversation(Conversation):
    """Distribute the datapoints of an input.

    Args:
        pool, pace, name, state, ordered, max_retries: see `Conversation`.
        source: the input.
        endless: whether to begin the next pass of the input when one ends.
        length: how many datapoints the input says that a pass has; None: it has no end, or does not say.
        on_error: what happens to datapoints that fail.
        item_timeout_s: how long a worker may be busy with one datapoint; None: as long as it takes.
        max_items: after how many datapoints a worker is replaced; None: never.
        grain: tasks have a multiple of so many datapoints.
        books: where datapoints are counted, see `audit`; None: nowhere.
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
        max_retries: int,
        endless: bool,
        length: int | None,
        on_error: OnError,
        item_timeout_s: float | None = None,
        max_items: int | None = None,
        grain: int = 1,
        books: AuditedPass | None = None,
    ):
        super().__init__(pool, pace, name, state, ordered=ordered, max_retries=max_retries)
        self._source = source
        self._endless = endless
        self._length = length
        self._on_error = on_error
        self._item_timeout_s = item_timeout_s
        self._max_items = max_items
        self._grain = grain
        self._iterator: Iterator[Any] | None = None
        self._source_error: Exception | None = None
        self._books = books
        self._intake = Intake(self._ledger, source, state.pass_index, books)
        if "intake" in state:
            self._intake.restore(state["intake"])
        state["intake"] = self._intake

    def _greet(self, worker: Worker) -> None:
        self._pool.post(worker, self._begin(worker))

    # -- giving out

    def _fill(self) -> None:
        depth = self._pace.depth
        began = self._clock_s
        while worker := self._roomiest(depth):
            if waiting := self._ledger.first_waiting:
                if waiting.alone and worker.tasks:
                    return
                self._give(worker, self._ledger.next_waiting(self._pace.task_size))
                continue
            idle = not worker.tasks and not self._ledger.has_ready
            count = min(self._pace.next_size(self._ledger, self._left(), idle=idle), self._allowance(worker))
            if self._intake.ended or count <= 0:
                return
            task = self._pull(count)
            pull_s = self._lap()
            self._counters.pull_s += pull_s
            if task is None:
                return
            self._pace.pulled(task.count, pull_s)
            if self._counters.slices is not None:
                self._note("read the input", pull_s, task)
            self._give(worker, task)
            # A slow input must not keep the consumer from results that are there.
            if self._clock_s - began > 1e-3:
                self._receive(0)
                if self._ledger.has_ready:
                    return
                began = self._clock_s

    def _left(self) -> int | None:
        """How many datapoints of the input are left, as far as what it says is true."""
        left = self._length - self._intake.first if self._length is not None else 0
        return left if left > 0 else None

    def _allowance(self, worker: Worker) -> int:
        """How many more datapoints a worker may be given before it is replaced; whole batches, at least one."""
        left = sys.maxsize if self._max_items is None else self._max_items - worker.given
        return max(self._grain, left - left % self._grain)

    def _roomiest(self, depth: int) -> Worker | None:
        """The worker that holds least, if it may have more."""
        found = None
        for worker in self._pool.workers.values():
            held = len(worker.tasks)
            # Nothing is given to a worker before it is ready: what cannot be pickled shows when it is given.
            if held < depth and worker.ready and not worker.retired and not (held and worker.tasks[-1].alone):
                found, depth = worker, held
        return found

    def _pull(self, count: int) -> Task | None:
        """A row of at most ``count`` datapoints of one pass of the input; None: there are no more."""
        while not self._intake.ended:
            items: list[Any] = []
            try:
                if self._iterator is None:
                    self._iterator = iter(self._source)
                if isinstance(self._iterator, Rows) and (numbers := self._iterator.take_range(count)):
                    return self._intake.open(numbers)
                items.extend(itertools.islice(self._iterator, count))
            except Exception as error:
                number = self._intake.first + len(items)
                error.add_note(f"headrace: raised by the input of {self._name}, for its datapoint {number}")
                # What the input gave before it failed is delivered before the failure is.
                self._intake.ended, self._source_error = True, error
                return self._intake.open(items) if items else None
            if len(items) == count:
                return self._intake.open(items)
            task = self._intake.open(items) if items else None
            self._end_pass()
            if task is not None:
                return task
        return None

    def _end_pass(self) -> None:
        self._iterator = None
        if not self._endless or self._intake.first == 0:  # or the input is empty
            self._intake.ended = True
        else:
            self._intake.first = 0
            self._intake.passes += 1

    def _give(self, worker: Worker, task: Task) -> None:
        try:
            self._pool.give(worker, task)
            self._counters.give_s += self._lap()
        except Exception as error:
            if task.count > 1:
                self._ledger.put_back(task, 1)  # to find out which datapoint it is
                return
            assert task.items is not None
            where = explain(task.items[0], "it") or str(error)
            culprit = SerializationError(f"the datapoint cannot be sent to a worker: {where}")
            culprit.__cause__ = error
            self._ledger.complete(task, [None], (pack(culprit, 0),))
            return
        if self._max_items is not None and worker.given >= self._max_items:
            self._greet(self._pool.retire(worker))

    def _over(self) -> bool:
        if not self._intake.ended or len(self._ledger):
            return False
        if self._source_error is not None:
            raise self._source_error
        if self._books is not None and not self._books.complete:
            self._books.compare()
        return True

    def _delivered(self, task: Task, away_s: float) -> None:
        if self._books is not None:
            self._books.deliver(task.pass_index, task.first, task.count)
        super()._delivered(task, away_s)

    # -- taking back

    def _answer(self, worker: Worker, done: Done, event: Event) -> None:
        task = worker.tasks[0]
        if done.stream == self._ledger.stream and done.answered is not None and done.answered < task.count:
            # It was sized while the work was quick, and would keep the consumer waiting.
            worker.given -= task.count - done.answered
            self._ledger.cut(task, done.answered)
        super()._answer(worker, done, event)

    def _take(self, worker: Worker, task: Task, done: Done, values: Values, nbytes: int) -> None:
        whole = any(failure.offset is None for failure in done.failures)
        if whole and task.count > 1:
            self._ledger.put_back(task, 1)  # to find out which datapoint it is
            return
        task.discards, task.loose = done.discards, done.loose or whole
        failures = tuple(f if f.offset is not None else f._replace(offset=0) for f in done.failures)
        self._ledger.complete(task, values or [None] * task.count, failures, nbytes)

    def _lost(self, dead: Worker, tasks: list[Task], cause: str, suspect: Task | None) -> None:
        # Its last answer may have died with it, so only of a single task is it certain that it died on that one.
        certain = suspect if len(dead.tasks) == 1 else None
        for task in reversed(tasks):
            task.alone = suspect is not None
            if task is not certain:
                self._ledger.put_back(task, task.count)
                continue
            task.attempts += 1
            if task.attempts >= self._max_retries and task.count == 1:
                error = WorkerDied(
                    f"datapoint {span(task)} has ended {task.attempts} workers in a row; the last: {cause}"
                )
                self._ledger.complete(task, [None], (pack(error, 0),))
            else:
                self._ledger.put_back(task, 1)

    def _patience_s(self) -> float:
        patience_s = super()._patience_s()
        if self._item_timeout_s is None:
            return patience_s
        self._end_hung()
        busy = [w.busy_since for w in self._pool.workers.values() if w.tasks and w.ready]
        deadlines = [since + self._item_timeout_s - time.monotonic() for since in busy]
        return max(0.001, min([patience_s, *deadlines]))

    def _end_hung(self) -> None:
        """Kill the workers that have been busy with one datapoint for too long."""
        assert self._item_timeout_s is not None
        now = time.monotonic()
        for worker in list(self._pool.workers.values()):
            if worker.tasks and worker.ready and now - worker.busy_since >= self._item_timeout_s:
                while self._receive(1e-6):
                    pass  # its answer, or its death, may have come while the consumer was away
                there = worker.number in self._pool.workers
                if there and worker.tasks and now - worker.busy_since >= self._item_timeout_s:
                    self._end(worker)

    def _end(self, worker: Worker) -> None:
        assert self._item_timeout_s is not None
        stack = worker.handle.stack()
        tasks = [task for task in worker.tasks if task.stream == self._ledger.stream]
        hung = worker.tasks[0]
        self._counters.replaced += 1
        self._counters.retried += sum(task.count for task in tasks)
        self._pool.end(worker)
        text = f"{worker.name} was busy with datapoint {span(hung)} for more than {self._item_timeout_s} s"
        logger.error("%s: %s; it was killed and is replaced. It was here:\n%s", self._name, text, stack)
        for task in reversed(tasks):
            if task is not hung:
                self._ledger.put_back(task, task.count)
            elif task.count > 1:
                self._ledger.put_back(task, 1)
            else:
                self._ledger.complete(task, [None], (pack(ItemTimeoutError(f"{text}. It was here:\n{stack}"), 0),))
        self._greet(self._pool.start(worker.slot))

    # -- delivering

    def _deliver(self, task: Task) -> Cursor | Iterator[Any]:
        if isinstance(task.values, list) and not task.failures and not task.discards:
            cursor = Cursor(task.values)
            each = math.ceil(task.count / len(task.values))  # 1, or the size of a batch
            self._ledger.taken = lambda: min(cursor.position * each, task.count)
            return cursor
        return self._survivors(task)

    def _survivors(self, task: Task) -> Iterator[Any]:
        """The values of a row one by one, without those that failed or are discarded."""
        assert task.values is not None
        failures = {failure.offset: failure for failure in task.failures}
        values = iter(task.values)
        taken = 0
        self._ledger.taken = lambda: taken
        for offset in range(len(task.values)):
            taken = offset + 1
            try:
                value = next(values)
            except Exception as error:
                value = self._on_error.handle(self._unreadable(error, task, offset), task.first + offset)
            if offset in failures:
                number = task.first + offset
                where = f"{task.worker}, datapoint {number} of pass {task.pass_index}"
                value = self._on_error.handle(self._rebuilt(failures[offset], where), number)
            if value is not None:
                yield value
            del value  # its memory may serve for the next one


class BatchConversation(MapConversation):
    """Distribute the datapoints of an input, and deliver batches.

    Args:
        args, kwargs: see `MapConversation`.
        batch_size: datapoints in a batch.
        remainder: whether the last, shorter batch is delivered.
    """

    def __init__(self, *args: Any, batch_size: int, remainder: bool, **kwargs: Any):
        super().__init__(*args, grain=batch_size, **kwargs)
        self._batch_size = batch_size
        self._remainder = remainder

    def _last(self) -> Iterator[Any]:
        if self._intake.held and self._remainder:
            yield self._fill_batch()

    def _open(self, worker: Worker, body: Any) -> list[Any]:
        # All at once: of a batch that cannot be unpickled, each datapoint is tried by itself.
        return list(super()._open(worker, body))

    def _deliver(self, task: Task) -> Cursor | Iterator[Any]:
        return self._filled_up(task) if task.loose or task.failures else super()._deliver(task)

    def _filled_up(self, task: Task) -> Iterator[Any]:
        for value in self._survivors(task):
            own = task.rest(self._ledger.taken() - 1).split(1)[0]
            self._intake.held.append((value, own))
            if len(self._intake.held) == self._batch_size:
                yield self._fill_batch()

    def _fill_batch(self) -> Any:
        values = [value for value, _ in self._intake.held]
        self._intake.held.clear()
        return stack_datapoints(values)
