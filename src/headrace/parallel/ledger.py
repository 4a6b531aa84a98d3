"""The ledger: the one table of what was handed out and what came back.

A row is a `Task`: some consecutive datapoints, who works on them, how often that went wrong, and the results. Order,
exactly-once, retries, backpressure (by count and by bytes) and the saved state are all views of this table; workers
own nothing.

::

    open() ──> waiting ──assign──> with a worker ──complete──> done ──next_ready──> being delivered ──close──> gone
                  ^                      │
                  └────── put_back ──────┘   the worker died; a task of many is split, to find the culprit
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
from collections.abc import Callable
from typing import Any

from .decoder import Unread
from .messages import Failure

__all__ = ["Items", "Ledger", "Task", "Values"]


Items = list[Any] | range

Values = list[Any] | Unread


@dataclasses.dataclass(slots=True, eq=False)
class Task:
    """A row of the ledger.

    Attributes:
        stream: the conversation it belongs to.
        index: number of its first datapoint there; the key of the row.
        count: how many datapoints.
        items: the datapoints, a list, or a range (which travels as its two ends); None for a runner's, which come from
            the copy.
        pass_index: pass of the input that they are from; of a runner's row: the number of the copy.
        first: number of the first one in that pass.
        attempts: how many workers have died on it, for certain.
        alone: a worker that had it has died: the next one gets nothing beside it, so that one knows whose fault it is.
        worker: who works, or has worked, on it (none yet: this process may have failed to send it); ``str`` of it is
            for people.
        values: the results, once there: one for each datapoint, or one for each batch of them; perhaps still pickled.
        failures: datapoints that failed.
        discards: how many values are None because the function said so.
        loose: see `Done`.
        nbytes: size of the results.
        state: where a runner's copy stands after these values, if it has said so.
        ended: whether a runner's copy has come to its end.
    """

    stream: int
    index: int
    count: int
    items: Items | None
    pass_index: int
    first: int
    attempts: int = 0
    alone: bool = False
    worker: object = "this process"
    values: Values | None = None
    failures: tuple[Failure, ...] = ()
    discards: int = 0
    loose: bool = False
    nbytes: int = 0
    state: Any = None
    ended: bool = False

    def split(self, size: int) -> list[Task]:
        """The same datapoints as tasks of at most ``size``."""
        assert self.items is not None
        return [
            dataclasses.replace(
                self,
                index=self.index + at,
                first=self.first + at,
                items=self.items[at : at + size],
                count=len(self.items[at : at + size]),
            )
            for at in range(0, self.count, size)
        ]

    def rest(self, taken: int) -> Task:
        """The same without its first ``taken`` datapoints."""
        items = self.items[taken:] if self.items is not None else None
        return dataclasses.replace(self, first=self.first + taken, items=items, count=self.count - taken)


class Ledger:
    """The table of one conversation.

    Args:
        stream: number of the conversation.
        ordered: whether `next_ready` keeps the order of the datapoints.
    """

    def __init__(self, stream: int, *, ordered: bool):
        self.stream = stream
        self.ordered = ordered
        self._waiting: list[tuple[int, Task]] = []  # a heap: what is to be delivered first is given first
        self.in_flight = 0
        """Datapoints that are in the table."""
        self.done_items = 0
        """How many of them have results."""
        self.done_bytes = 0
        """The size of these results."""
        self.delivering: Task | None = None
        """The row whose values the consumer is being given."""
        self.taken: Callable[[], int] = int
        """How many datapoints of that row it has been given."""
        self._rows: dict[int, Task] = {}
        self._done: collections.deque[Task] = collections.deque()
        self._next_index = 0  # of the next row to open
        self._next_delivery = 0  # the row whose turn it is

    def __len__(self) -> int:
        return len(self._rows)

    def open(self, items: Items | None, count: int, pass_index: int = 0, first: int = 0) -> Task:
        """A new row."""
        task = Task(self.stream, self._next_index, count, items, pass_index, first)
        self._rows[task.index] = task
        self._next_index += count
        self.in_flight += count
        return task

    def put_back(self, task: Task, size: int) -> None:
        """A worker has failed on this row: it waits for another one, in pieces of at most ``size``."""
        pieces = task.split(size) if task.count > size else [task]
        del self._rows[task.index]
        self._rows.update((piece.index, piece) for piece in pieces)
        for piece in pieces:
            self.wait(piece)

    def cut(self, task: Task, count: int) -> None:
        """Only the first ``count`` datapoints of a row were done; the others wait, as a row of their own."""
        assert task.items is not None
        first, rest = task.items[:count], task.items[count:]
        other = dataclasses.replace(
            task, index=task.index + count, first=task.first + count, items=rest, count=len(rest)
        )
        task.items, task.count = first, count
        self._rows[other.index] = other
        self.wait(other)

    def wait(self, task: Task) -> None:
        """A row is to be given to a worker, again or after a resume."""
        heapq.heappush(self._waiting, (task.index, task))

    @property
    def first_waiting(self) -> Task | None:
        """The row that waits and is to be delivered first."""
        return self._waiting[0][1] if self._waiting else None

    def next_waiting(self, size: int) -> Task:
        """Give out that row; of a larger one, its first ``size`` datapoints."""
        _, task = heapq.heappop(self._waiting)
        if task.count > size:
            self.cut(task, size)
        return task

    def discard(self, task: Task) -> None:
        """Take a row out again that no datapoints were lost with."""
        del self._rows[task.index]
        self.in_flight -= task.count

    def complete(self, task: Task, values: Values, failures: tuple[Failure, ...] = (), nbytes: int = 0) -> None:
        """The results of a row have come."""
        task.values, task.failures, task.nbytes = values, failures, nbytes
        self.done_items += task.count
        self.done_bytes += nbytes
        if not self.ordered:
            self._done.append(task)

    @property
    def has_ready(self) -> bool:
        """Whether `next_ready` has something."""
        if not self.ordered:
            return bool(self._done)
        task = self._rows.get(self._next_delivery)
        return task is not None and task.values is not None

    def next_ready(self) -> Task | None:
        """The row to be delivered now, if its results are there. It stays in the table until `close`."""
        if not self.has_ready:
            return None
        task = self._rows[self._next_delivery] if self.ordered else self._done.popleft()
        self.delivering, self.taken = task, int
        return task

    def close(self, task: Task) -> None:
        """The consumer has all of this row."""
        del self._rows[task.index]
        self.delivering = None
        self.in_flight -= task.count
        self.done_items -= task.count
        self.done_bytes -= task.nbytes
        self._next_delivery = task.index + task.count

    def forget_values(self) -> None:
        """The pass was left: of what is here, only what it was made from counts from now on."""
        taken = self.taken()
        self.taken = lambda: taken
        for row in self._rows.values():
            if isinstance(row.values, list):
                row.values.clear()  # which ends the iterator that is out, if this is the row being delivered
            row.values = None

    def undelivered(self) -> list[Task]:
        """All that the consumer has not been given, in the order of the datapoints."""
        rows = [self._rows[index] for index in sorted(self._rows)]
        if self.delivering is not None:
            rows = [row.rest(self.taken()) if row is self.delivering else row for row in rows]
        return [row for row in rows if row.count > 0]
