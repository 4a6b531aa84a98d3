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
it: what it held is given to another one. Its last answer may have died with it, so nobody knows which of its tasks it
died on: each of them now travels alone, and whoever kills a worker alone is guilty.

How it ends. The input is used up and the table is empty: *end of stream*. The consumer leaves (``break``, ``close()``
on the iterator): the stream's number changes, workers answer what they still hold with "skipped", the next pass
starts with a new table. The flow is closed under the iterator: `DataFlowTerminated`. Anything else that escapes (a
failure that is not to be skipped, Ctrl-C in the middle): the pool is closed too, since nobody knows what it is doing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from ..errors import RemoteTraceback, WorkerDied, WorkerError
from ..flow import DataFlow
from ..observe.counters import Slice
from ..state import Cursor, Rows, State, freeze
from .decoder import Unread
from .ledger import Ledger, Task, Values
from .messages import Begin, Broken, Done, Failure, Ready
from .pace import Pace
from .pool import Pool, Worker
from .transports.base import Event
from .worker import pack, unpack

__all__ = ["Conversation", "logger", "span"]

logger = logging.getLogger("headrace")

_PING_S = 1.0
"""So long nothing may happen before the workers are pinged, so that a lost message shows. A safety net: on local
sockets nothing is lost."""

_LOOK_S = 0.1
"""So often a conversation that always has something to deliver looks for workers that hang."""


class Conversation:
    """What mapping and replicating have in common; see the module.

    Args:
        pool: the workers.
        pace: sizes of tasks.
        name: of the flow, for messages.
        state: of the pass; held here, so that it lives as long as the pass does.
        ordered: whether results keep the order of their tasks.
        max_retries: how many workers may die on one datapoint.
    """

    def __init__(self, pool: Pool, pace: Pace, name: str, state: State, *, ordered: bool, max_retries: int):
        self._pool = pool
        self._pace = pace
        self._name = name
        self._state = state
        self._max_retries = max_retries
        self._ledger = Ledger(pool.next_stream(), ordered=ordered)
        self._counters = pool.counters
        self._failed_starts = 0
        self._pinged_at = time.monotonic()
        self._clock_s = self._looked_at = time.perf_counter()

    def run(self, keep: DataFlow | None = None) -> Rows:
        """Deliver until the end of the stream.

        Args:
            keep: what must live as long as the pass: the flow, whose end is the end of its workers.
        """
        return Rows.of(self._rows(keep))

    def _rows(self, keep: DataFlow | None) -> Generator[Iterable[Any], None, None]:
        try:
            self._pool.check_process()
            self._counters.table = self._ledger
            self._clock_s = time.perf_counter()
            for worker in self._pool.workers.values():
                self._greet(worker)
            while True:
                if self._pool.closed:
                    raise self._pool.terminated()
                self._fill()
                self._resize()
                task = self._ledger.next_ready()
                if task is not None:
                    values = self._deliver(task)
                    if isinstance(values, Cursor):
                        yield values.iterator
                    else:
                        for value in values:
                            yield (value,)
                            del value  # its memory may serve for the next one
                    self._pool.check_process()
                    away_s = self._lap()
                    self._pace.was_away(away_s)
                    if self._counters.slices is not None:
                        self._note("the consumer has", away_s, task)
                    self._delivered(task, away_s)
                    if not self._pool.closed:
                        self._glance()
                elif not self._over():
                    self._wait()
                else:
                    break
            yield from ((value,) for value in self._last())
        except GeneratorExit:
            if keep is not None:
                freeze(self._state)
                keep._runtime.left = self._state
            self._ledger.forget_values()
            self._pool.next_stream()
            raise
        except Exception as error:
            if self._pool.closed:  # by another thread, in the middle of what has failed here
                raise self._pool.terminated() from error
            self._pool.close()
            raise
        except BaseException:
            self._pool.abort()
            raise
        finally:
            if self._counters.table is self._ledger:
                self._counters.table = None

    # -- what differs

    def _greet(self, worker: Worker) -> None:
        """Tell a worker that a pass begins."""
        raise NotImplementedError("mapping and replicating differ here")

    def _fill(self) -> None:
        """Give out work while there is room."""
        raise NotImplementedError("mapping and replicating differ here")

    def _over(self) -> bool:
        """Whether the stream has ended, given that nothing is ready."""
        raise NotImplementedError("mapping and replicating differ here")

    def _deliver(self, task: Task) -> Cursor | Iterator[Any]:
        """The values of a row. Those that are all there and well are read by a list's own iterator."""
        raise NotImplementedError("mapping and replicating differ here")

    def _delivered(self, task: Task, away_s: float) -> None:
        """The consumer has been given all of a row, and came back after so long."""
        self._counters.delivered += _datapoints(task, task.values or [])
        if isinstance(task.values, Unread):  # were unpickled meanwhile
            decode_s = min(task.values.decode_s, away_s)
            self._counters.decode_s += decode_s
            away_s -= decode_s
        self._counters.away_s += away_s
        self._ledger.close(task)

    def _last(self) -> Iterator[Any]:
        """What is delivered after the last row."""
        return iter(())

    def _take(self, worker: Worker, task: Task, done: Done, values: Values, nbytes: int) -> None:
        """Results have come in."""
        raise NotImplementedError("mapping and replicating differ here")

    def _held(self, worker: Worker, tasks: list[Task]) -> str:
        """What a worker had been given, for people."""
        return f"datapoints {', '.join(span(t) for t in tasks)}" if tasks else "no datapoints"

    def _lost(self, dead: Worker, tasks: list[Task], cause: str, suspect: Task | None) -> None:
        """A worker is dead; these rows of this conversation were its. It may have died on the suspect."""
        raise NotImplementedError("mapping and replicating differ here")

    def _patience_s(self) -> float:
        """How long to wait for something to happen, before pinging."""
        return _PING_S

    # -- what comes in

    def _wait(self) -> None:
        if not self._receive(self._patience_s()) and time.monotonic() - self._pinged_at >= _PING_S:
            self._pinged_at = time.monotonic()
            for worker in self._pool.workers.values():
                self._pool.ping(worker)

    def _glance(self) -> None:
        """Take in what is there, between two rows; and now and then, whether a worker hangs."""
        if self._clock_s - self._looked_at > _LOOK_S:
            self._looked_at = self._clock_s
            self._patience_s()
            self._lap()
        self._receive(0)

    def _receive(self, timeout_s: float) -> bool:
        """Take in what has happened; whether anything has."""
        events = self._pool.receive(timeout_s)
        counters = self._counters
        if timeout_s:
            waited_s = self._lap()
            counters.wait_s += waited_s
            if counters.slices is not None:
                self._note("wait for workers", waited_s)
        for worker, event in events:
            if worker.number not in self._pool.workers:
                continue  # parted from a moment ago
            if isinstance(event.message, Done):
                self._answer(worker, event.message, event)
                continue
            if event.message is None:
                self._bury(worker)
            elif isinstance(event.message, Ready):
                self._welcome(worker, event.message)
            elif isinstance(event.message, Broken):
                self._part_from(worker, event.message.reason)
            self._lap()
        counters.receive_s += self._lap()
        if self._clock_s >= counters.due_s:
            counters.sample(self._clock_s, len(self._pool.workers))
        return bool(events)

    def _welcome(self, worker: Worker, ready: Ready) -> None:
        self._pool.welcome(worker)
        if ready.failure is not None:
            raise self._rebuilt(ready.failure, f"while {worker.name} was starting")
        self._failed_starts = 0

    def _answer(self, worker: Worker, done: Done, event: Event) -> None:
        task = worker.answered()
        if worker.retired and not worker.tasks:
            self._pool.dismiss(worker)
        if done.spent is not None:
            self._counters.heard(worker.number, done.spent)
        if done.stream != self._ledger.stream:  # of a pass that was left
            self._pool.drop(worker, event.body)
            return
        began_s = time.perf_counter()
        try:
            values = self._open(worker, event.body)
        except Exception as error:
            note = f"while unpickling the results of datapoint {task.first} from {worker.name}"
            done, values = done._replace(failures=(pack(error, note=note),)), []
        nbytes = getattr(event.body, "nbytes", 0)
        counters = self._counters
        if isinstance(values, list):  # were unpickled by that
            decode_s = time.perf_counter() - began_s
            counters.decode_s += decode_s
            self._clock_s += decode_s
        counters.tasks += 1
        counters.received += _datapoints(task, values)
        counters.result_bytes += nbytes
        if done.failures or done.discards:
            counters.failed += len(done.failures)
            counters.discarded += done.discards
        slices = counters.slices
        if slices is not None:
            slices.add(Slice(worker.slot, "work", done.began_s, done.busy_s, task.first, task.count))
        if values:
            self._pace.worked(task.count, done.busy_s, nbytes, done.input_bytes)
        self._take(worker, task, done, values, nbytes)

    def _open(self, worker: Worker, body: Any) -> Values:
        """The results of a task, to be read in their turn."""
        return self._pool.open(worker, body)

    def _bury(self, worker: Worker) -> None:
        """A worker is dead: start another one in its place, and say so, unless it was told to leave."""
        cause = f"{worker.name} {self._pool.bury(worker)}"
        if worker.retired and not worker.tasks:
            return
        if not worker.handle.began:
            self._replace(worker, cause, None)
            return
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts > self._max_retries:
                raise WorkerDied(f"{self._name}: {cause} while starting, {self._failed_starts} times in a row")
        self._replace(worker, cause, worker.tasks[0] if worker.tasks else None)

    def _part_from(self, worker: Worker, reason: str) -> None:
        """What a worker says cannot be trusted any more, through no fault of a datapoint: end and replace it."""
        self._pool.end(worker)
        self._replace(worker, f"{worker.name} was ended: {reason}", None)

    def _replace(self, worker: Worker, cause: str, suspect: Task | None) -> None:
        tasks = [task for task in worker.tasks if task.stream == self._ledger.stream]
        level = logging.WARNING if worker.handle.began else logging.INFO
        logger.log(level, "%s: %s; it held %s; it is replaced", self._name, cause, self._held(worker, tasks))
        self._counters.replaced += 1
        self._counters.retried += sum(task.count for task in tasks)
        self._lost(worker, tasks, cause, suspect)
        if not worker.retired:
            self._greet(self._pool.start(worker.slot))

    # -- what is counted

    def _lap(self) -> float:
        """How long what was just done took: it began when the clock was last looked at."""
        now_s = time.perf_counter()
        took_s, self._clock_s = now_s - self._clock_s, now_s
        return took_s

    def _resize(self) -> None:
        """Have as many workers as it takes, if that is ours to decide. The ledger does not care who does its rows."""
        autosize = self._pool.autosize
        if autosize is None:
            return
        if not all(worker.ready and not worker.retired for worker in self._pool.workers.values()):
            autosize.rests()
            return
        wish = autosize.wish(self._clock_s, self._pool.size)
        if wish == self._pool.size:
            return
        logger.info("%s: %d workers instead of %d", self._name, wish, self._pool.size)
        while self._pool.size < wish:
            self._greet(self._pool.grow())
        while self._pool.size > wish:
            self._pool.shrink()
        self._pace.resize(wish)
        self._lap()

    def _note(self, name: str, seconds: float, task: Task | None = None) -> None:
        """Something that this process has just done, for a trace."""
        slices = self._counters.slices  # another thread may end the recording
        if slices is not None:
            first, count = (task.first, task.count) if task is not None else (-1, 0)
            slices.add(Slice(-1, name, self._clock_s - seconds, seconds, first, count))

    # -- what goes wrong

    def _rebuilt(self, failure: Failure, where: str) -> Exception:
        """What went wrong in a worker: as it was there, if it can be rebuilt here."""
        error = unpack(failure)
        if error is None:
            error = WorkerError(f"{failure.type_name} in a worker cannot be rebuilt here:\n{failure.text}")
        if error.__cause__ is None:
            error.__cause__ = RemoteTraceback(failure.text)
        error.add_note(f"headrace: raised in {self._name}, {where}")
        return error

    def _unreadable(self, error: Exception, task: Task, offset: int) -> Exception:
        """A result that cannot be unpickled here."""
        self._counters.failed += 1
        number = f"datapoint {task.first + offset}" if task.items is not None else f"copy {task.pass_index}"
        error.add_note(f"headrace: raised in {self._name}, while unpickling the results of {number} from {task.worker}")
        return error

    def _begin(self, worker: Worker, **copy: Any) -> Begin:
        return Begin(self._ledger.stream, self._state.place, self._state.pass_index, worker.number, **copy)


def _datapoints(task: Task, values: Values) -> int:
    """How many there were in a row. A runner's row says how many were asked for; a batch is several."""
    return len(values) if task.items is None else task.count


def span(task: Task) -> str:
    """The datapoints of a row, for people."""
    return str(task.first) if task.count == 1 else f"{task.first}-{task.first + task.count - 1}"
