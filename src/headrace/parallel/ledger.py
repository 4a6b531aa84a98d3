"""The ledger: the one table of what was handed out and what came back.

A row is a `Task`: some consecutive datapoints, who works on them, how often that went wrong, and the results. Order,
exactly-once, retries, backpressure and the saved state are all views of this table; workers own nothing.

::

    open() ──> waiting ──assign──> with a worker ──complete──> done ──next_ready──> being delivered ──close──> gone
                  ^                      │
                  └────── put_back ──────┘   the worker died; a task of many is split, to find the culprit
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from .messages import Failure

__all__ = ["Ledger", "Task"]


@dataclasses.dataclass(slots=True, eq=False)
class Task:
    """A row of the ledger.

    Attributes:
        stream: the conversation it belongs to.
        index: number of its first datapoint there; the key of the row.
        count: how many datapoints.
        items: the datapoints; None for a runner's, which come from the copy.
        pass_index: pass of the input that they are from.
        first: number of the first one in that pass.
        attempts: how many workers have died on it.
        worker: who works, or has worked, on it, for people.
        sent_at: when it was sent to a worker (`time.monotonic`).
        values: the results, once there: one for each datapoint, or one for each batch of them.
        failures: datapoints that failed.
        discards: how many values are None because the function said so.
        loose: see `Done`.
        taken: how many values the consumer has been given.
    """

    stream: int
    index: int
    count: int
    items: list[Any] | None
    pass_index: int
    first: int
    attempts: int = 0
    worker: str = ""
    sent_at: float = 0.0
    values: list[Any] | None = None
    failures: tuple[Failure, ...] = ()
    discards: int = 0
    loose: bool = False

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


class Ledger:
    """The table of one conversation.

    Args:
        stream: number of the conversation.
        ordered: whether `next_ready` keeps the order of the datapoints.
    """

    def __init__(self, stream: int, *, ordered: bool):
        self.stream = stream
        self.ordered = ordered
        self.waiting: collections.deque[Task] = collections.deque()
        """Rows to be given to a worker, again."""
        self.in_flight = 0
        """Datapoints that are in the table."""
        self._rows: dict[int, Task] = {}
        self._done: collections.deque[Task] = collections.deque()
        self._next_index = 0  # of the next row to open
        self._next_delivery = 0  # the row whose turn it is

    def __len__(self) -> int:
        return len(self._rows)

    def open(self, items: list[Any] | None, count: int, pass_index: int = 0, first: int = 0) -> Task:
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
        self.waiting.extendleft(reversed(pieces))

    def complete(self, task: Task, values: list[Any], failures: tuple[Failure, ...] = ()) -> None:
        """The results of a row have come."""
        task.values = values
        task.failures = failures
        if not self.ordered:
            self._done.append(task)

    def next_ready(self) -> Task | None:
        """The row to be delivered now, if its results are there. It stays in the table until `close`."""
        if not self.ordered:
            return self._done.popleft() if self._done else None
        task = self._rows.get(self._next_delivery)
        return task if task is not None and task.values is not None else None

    @property
    def has_ready(self) -> bool:
        """Whether `next_ready` has something."""
        if not self.ordered:
            return bool(self._done)
        task = self._rows.get(self._next_delivery)
        return task is not None and task.values is not None

    def close(self, task: Task) -> None:
        """The consumer has all of this row."""
        del self._rows[task.index]
        self.in_flight -= task.count
        self._next_delivery = task.index + task.count

    def rows(self) -> list[Task]:
        """All rows, in the order of their datapoints."""
        return [self._rows[index] for index in sorted(self._rows)]
