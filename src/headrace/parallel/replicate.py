"""The conversation in which the workers run copies of a flow."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from typing import Any

from ..errors import AuditError, WorkerDied
from ..observe.audit import AuditedPass
from ..state import Cursor, Node, State
from .decoder import Unread
from .engine import Conversation
from .ledger import Ledger, Task, Values
from .messages import Done
from .pace import Pace
from .pool import Pool, Worker
from .programs import DIGEST_BYTES, DIGESTED

__all__ = ["CopyConversation"]

_BEGIN_S = 1.0
"""So long the end of a first pass may wait for copies that have not begun."""

_FEW = 2
"""So many first datapoints are compared if there was no room for more."""


class Position:
    """Where a copy stands: some saved state, and how many datapoints came after it.

    Attributes:
        resume: as `flow_node` gave it; None: the beginning.
        skip: the datapoints since.
        ended: the copy has come to its end.
    """

    def __init__(self, resume: Any = None, skip: int = 0, ended: bool = False):
        self.resume, self.skip, self.ended = resume, skip, ended

    def advance(self, row: Task) -> None:
        """All of a row has been seen."""
        assert row.values is not None
        if row.state is not None:
            self.resume, self.skip = row.state, 0
        else:
            self.skip += len(row.values)
        self.ended = self.ended or row.ended


class Copy:
    """A copy of the flow, whichever worker runs it.

    Attributes:
        index: its number.
        worker: number of the worker that runs it; None: nobody at the moment.
        received: where it stood at the last row that came in: a replacement goes on there.
        delivered: where it stood at the last datapoint the consumer was given: a resumed pass goes on there.
        seen: how many datapoints of it have come in.
        seen_before: of these, how many from workers that ran it before.
        deaths: how many workers have died on it since it last gave something.
        failed: it has given a failure, which the consumer has yet to come to.
    """

    def __init__(self, index: int, saved: list[Any] | None = None):
        self.index = index
        self.worker: int | None = None
        self.received = Position(*saved) if saved is not None else Position()
        self.delivered = Position(*saved) if saved is not None else Position()
        self.seen = 0
        self.seen_before = 0
        self.deaths = 0
        self.failed = False


class Copies:
    """The table of copies, and with it all that is saved of a runner's stream.

    Args:
        count: how many copies there are; a saved stream goes on with as many as it had.
        shard: whether each gives its share of one pass.
        pass_index: the pass in which the stream began.
        saved: what `snapshot` gave.
    """

    def __init__(self, count: int, *, shard: bool, pass_index: int, saved: Node | None):
        self.pass_index = pass_index if saved is None else saved["pass"]
        self._delivering: tuple[Copy, Ledger] | None = None
        self._total = 0
        self._books: AuditedPass | None = None
        self._ledger: Ledger | None = None
        self._booked = 0  # of the row that is being delivered, what belongs to passes before
        self._running: dict[int, Copy] = {}  # by the number of the worker
        self._all = [Copy(i, s) for i, s in enumerate(saved["copies"] if saved is not None else [None] * count)]
        if not shard:  # shares are fixed until the pass is over; other copies may come and go
            del self._all[count:]
            self._all.extend(Copy(i) for i in range(len(self._all), count))

    def __len__(self) -> int:
        return len(self._all)

    def of(self, worker: Worker) -> Copy | None:
        """The copy that a worker runs."""
        return self._running.get(worker.number)

    def assign(self, copy: Copy, worker: Worker) -> None:
        """From now on this worker runs the copy."""
        copy.worker, copy.seen_before = worker.number, copy.seen
        self._running[worker.number] = copy

    def release(self, copy: Copy) -> None:
        """Nobody runs it any more."""
        if copy.worker is not None:
            del self._running[copy.worker]
        copy.worker = None

    def next_idle(self) -> Copy | None:
        """A copy that has not ended and that nobody runs."""
        return next((copy for copy in self._all if copy.worker is None and not copy.received.ended), None)

    @property
    def all_ended(self) -> bool:
        """Whether there is nothing more to come."""
        return all(copy.received.ended for copy in self._all)

    def at(self, index: int) -> Copy:
        """The copy with this number."""
        return self._all[index]

    def begin_books(self, books: AuditedPass) -> None:
        """A pass begins; see `audit`."""
        self._books = books
        self._booked = self._delivering[1].taken() if self._delivering is not None else 0
        for row in self._waiting():
            books.take(*row)

    def end_books(self) -> None:
        """The pass is over.

        Raises:
            AuditError: see `AuditedPass.compare`.
        """
        books, self._books = self._books, None
        if books is None:
            return
        if self._delivering is not None:
            copy, ledger = self._delivering
            row, taken = ledger.delivering, ledger.taken()
            assert row is not None
            books.deliver(copy.index, row.first + self._booked, taken - self._booked)
        for waiting in self._waiting():
            books.keep(*waiting)
        books.compare()

    def _waiting(self) -> list[tuple[int, int, int]]:
        """Copy, first number and count of what has come in and has not been delivered."""
        if self._ledger is None:
            return []
        rows = []
        delivering = self._ledger.delivering
        for row in self._ledger.undelivered():
            taken = self._ledger.taken() if delivering is not None and row.index == delivering.index else 0
            if row.values is not None and len(row.values) > taken:
                rows.append((row.pass_index, row.first, len(row.values) - taken))
        return rows

    def receive(self, copy: Copy, row: Task, count: int, ledger: Ledger) -> None:
        """The next ``count`` datapoints of a copy have come in, as a row."""
        row.first, self._ledger = copy.seen, ledger
        copy.seen += count
        if self._books is not None:
            self._books.take(copy.index, row.first, count)

    def deliver(self, row: Task, ledger: Ledger) -> None:
        """The consumer is being given a row; the ledger knows how much of it."""
        self._delivering = (self._all[row.pass_index], ledger)

    def delivered(self, row: Task) -> None:
        """The consumer has been given all of it."""
        assert self._delivering is not None
        copy, ledger = self._delivering
        self._delivering = None
        self._total += ledger.taken()
        copy.delivered.advance(row)
        booked, self._booked = self._booked, 0
        if self._books is not None:
            self._books.deliver(copy.index, row.first + booked, ledger.taken() - booked)

    @property
    def total(self) -> int:
        """How many datapoints the consumer has been given."""
        return self._total + (self._delivering[1].taken() if self._delivering is not None else 0)

    def snapshot(self) -> Node:
        """What is saved: where each copy stands, as the consumer has seen it."""
        copies = [[c.delivered.resume, c.delivered.skip, c.delivered.ended] for c in self._all]
        if self._delivering is not None:
            copy, ledger = self._delivering
            copies[copy.index][1] += ledger.taken()
        return {"pass": self.pass_index, "copies": copies}


class CopyConversation(Conversation):
    """Run copies of a flow. A task asks one copy for its next datapoints; the rows come as they are done.

    Args:
        pool, pace, name, state, max_retries: see `Conversation`.
        copies: the table of copies.
        shard: whether each gives its share of one pass.
    """

    def __init__(
        self, pool: Pool, pace: Pace, name: str, state: State, *, max_retries: int, copies: Copies, shard: bool
    ):
        super().__init__(pool, pace, name, state, ordered=False, max_retries=max_retries)
        self._copies = copies
        self._shard = shard
        # Digests of the first datapoints, by copy; None: they are not compared, or no more.
        self._first: dict[int, bytes] | None = {} if not shard and len(copies) > 1 else None

    def _greet(self, worker: Worker) -> None:
        copy = self._copies.next_idle()
        if copy is None:
            return
        self._copies.assign(copy, worker)
        at = copy.received
        if at.resume is not None or at.skip:
            self._first = None  # it goes on somewhere else than at its beginning
        begin = self._begin(worker, copy=(copy.index, len(self._copies)), resume=at.resume, skip=at.skip)
        self._pool.post(worker, begin._replace(pass_index=self._copies.pass_index))

    def _fill(self) -> None:
        busy = [(w, copy) for w in self._pool.workers.values() if (copy := self._copies.of(w)) is not None]
        while busy and (count := self._pace.next_size(self._ledger)) > 0:
            worker, copy = min(busy, key=lambda pair: len(pair[0].tasks))
            if len(worker.tasks) >= self._pace.depth:
                return
            self._pool.give(worker, self._ledger.open(None, count, copy.index))

    def _over(self) -> bool:
        return self._copies.all_ended

    def _take(self, worker: Worker, task: Task, done: Done, values: Values, nbytes: int) -> None:
        copy = self._copies.at(task.pass_index)
        task.state, task.ended = done.state, done.ended
        copy.deaths = 0
        failures = tuple(f if f.offset is not None else f._replace(offset=0) for f in done.failures)
        self._ledger.complete(task, values or [None] * len(failures), failures, nbytes)
        copy.received.advance(task)
        self._copies.receive(copy, task, len(values) - len(failures), self._ledger)
        copy.failed = copy.failed or bool(failures)
        if not copy.failed and copy.seen - copy.seen_before != done.produced:
            raise AuditError(
                f"{self._name}: copy {copy.index} has given {done.produced} datapoints, of which "
                f"{copy.seen - copy.seen_before} have come in"
            )
        if done.digests is not None and self._first is not None:
            self._first[copy.index] = done.digests
            self._compare(DIGESTED)
        if done.ended and not failures and copy.worker == worker.number:
            self._copies.release(copy)
            self._greet(worker)  # there may be another copy to run

    def hear_all(self) -> None:
        """At the end of a first pass, give copies that have not begun a moment, to see whether they begin alike.

        It may have been so short that all of it came from one copy.
        """
        deadline = time.monotonic() + _BEGIN_S
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                late = self._late()
                for worker, copy in late:
                    if not worker.tasks and (count := min(DIGESTED, self._pace.next_size(self._ledger))) > 0:
                        self._pool.give(worker, self._ledger.open(None, count, copy.index))
                if not any(worker.tasks for worker, _ in late):
                    break
                self._receive(left_s)
        except BaseException:
            self._pool.abort()
            raise
        self._compare(_FEW)

    def _late(self) -> list[tuple[Worker, Copy]]:
        """Copies whose first datapoints are still to come, if they are to be compared."""
        first = self._first
        if first is None:
            return []
        running = ((w, copy) for w in self._pool.workers.values() if (copy := self._copies.of(w)) is not None)
        return [(w, copy) for w, copy in running if len(first.get(copy.index, b"")) < DIGESTED * DIGEST_BYTES]

    def _compare(self, least: int) -> None:
        """Warn once if two copies begin with the same datapoints, as far as they are known: at least so many."""
        first = self._first or {}
        for (one, digests), (twin, others) in itertools.combinations(sorted(first.items()), 2):
            known = min(len(digests), len(others))
            if known < least * DIGEST_BYTES or digests[:known] != others[:known]:
                continue
            self._first = None
            warnings.warn(
                f"{self._name}: copies {one} and {twin} of the flow begin with the same datapoints, so you get them "
                "more than once. Shuffle the flow (its random numbers differ from copy to copy), or use shard=True for "
                "an exact pass",
                RuntimeWarning,
                stacklevel=2,
            )
            return

    def _held(self, worker: Worker, tasks: list[Task]) -> str:
        copy = self._copies.of(worker)
        return f"copy {copy.index}, which goes on after its datapoint {copy.seen}" if copy is not None else "no copy"

    def _lost(self, dead: Worker, tasks: list[Task], cause: str, suspect: Task | None) -> None:
        copy = self._copies.of(dead)
        for task in tasks:
            self._ledger.discard(task)  # the copy is asked again, from where it stood
        if copy is None:
            return
        self._copies.release(copy)
        if suspect is not None:
            copy.deaths += 1
        if copy.deaths >= self._max_retries:
            raise WorkerDied(
                f"{self._name}: copy {copy.index} has ended {copy.deaths} workers in a row; the last: {cause}"
            )

    def _deliver(self, task: Task) -> Cursor | Iterator[Any]:
        assert task.values is not None
        self._copies.deliver(task, self._ledger)
        stop = task.failures[0].offset if task.failures else len(task.values)
        if isinstance(task.values, Unread):
            return self._one_by_one(task, task.values, stop)
        cursor = Cursor(task.values if not task.failures else task.values[:stop])
        self._ledger.taken = lambda: cursor.position
        return cursor

    def _one_by_one(self, task: Task, values: Unread, stop: int | None) -> Iterator[Any]:
        taken = 0
        self._ledger.taken = lambda: taken
        for offset in range(stop or 0):
            taken = offset + 1
            try:
                value = next(values)
            except Exception as error:
                raise self._unreadable(error, task, offset) from error.__cause__
            yield value
            del value  # its memory may serve for the next one

    def _delivered(self, task: Task, away_s: float) -> None:
        self._copies.delivered(task)
        if task.failures:
            raise self._rebuilt(task.failures[0], f"{task.worker}, copy {task.pass_index}")
        super()._delivered(task, away_s)
