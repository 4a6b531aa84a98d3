"""How many datapoints make a task, and how many tasks a worker may hold.

A message between processes costs tens of microseconds, a datapoint in a list tens of nanoseconds. So small datapoints
travel in groups of some milliseconds of work; those that take longer, or are large, travel alone. And a worker must
hold enough work to bridge the time in which the consumer is busy with something else, but not more: what lies in one
worker's queue, another one cannot take.
"""

from __future__ import annotations

from typing import NamedTuple

from .ledger import Ledger

__all__ = ["Pace"]

_TASK_S = 24e-3
"""How long a task shall take. A message, there and back, costs 0.25 ms of processor time when the caches are cold, and
by Ray 2 ms."""

_TAIL, _TAIL_PARTS = 4, 8
"""Towards the end of a pass tasks get smaller, so that all workers come to their end together: each is given this part
of a worker's share of what is left. (Guided self-scheduling: Polychronopoulos and Kuck, 1987, with parts that are
smaller, since a worker holds two tasks, and one may be slower than the others.) But none is smaller than this part of
a task: there it would be all message."""

_TASK_BYTES = 16 << 20
_USEFUL_BYTES = 4 << 20
_TASK_ITEMS = 1 << 16
_BUFFER_BYTES = 64 << 20


class _Plan(NamedTuple):
    """What follows from what was measured.

    Attributes:
        task_size: datapoints in a task.
        depth: the most tasks one worker may hold.
        window: the most datapoints in flight.
        useful_bytes: the most bytes in flight that still make it faster.
    """

    task_size: int
    depth: int
    window: int
    useful_bytes: int


class Pace:
    """Measures, and decides.

    Args:
        workers: how many there are.
        limit: the most datapoints in flight.
        elastic: whether tiny datapoints may exceed ``limit``, because nobody has chosen it.
        limit_bytes: the most bytes of results in flight, as far as sizes seen so far tell; one datapoint always
            fits. None: what keeps the workers busy, at most 64 MiB, but at least two datapoints for each worker.
        grain: tasks have a multiple of so many datapoints.
        single: one task is one grain.
    """

    def __init__(
        self,
        workers: int,
        limit: int,
        *,
        elastic: bool,
        limit_bytes: int | None = None,
        grain: int = 1,
        single: bool = False,
    ):
        self._workers = workers
        self._limit = max(limit, grain)
        self._elastic = elastic
        self._limit_bytes = limit_bytes
        self._task_bytes = min(_TASK_BYTES, _BUFFER_BYTES // (2 * workers))
        self._grain = grain
        self._single = single
        self._item_s: float | None = None
        self._pull_s = 0.0
        self._item_bytes = 0.0
        self._largest_bytes = 0.0
        self._away_s = 0.0
        self._size = 1
        self._current: _Plan | None = None

    def resize(self, workers: int) -> None:
        """There are more workers now, or fewer."""
        self._workers = workers
        self._current = None

    def pulled(self, items: int, seconds: float) -> None:
        """To read so many datapoints from the input took so long; the consumer waits meanwhile."""
        self._pull_s += 0.2 * (seconds / items - self._pull_s)

    def worked(self, items: int, busy_s: float, nbytes: int, input_bytes: int = 0) -> None:
        """A task of ``items`` datapoints, of ``input_bytes``, has come back, with ``nbytes`` of results."""
        work_s, item_bytes = busy_s / items, max(nbytes, input_bytes) / items
        if self._item_s is None:
            self._item_s, self._item_bytes = work_s, item_bytes
        else:
            self._item_s += 0.2 * (work_s - self._item_s)
            self._item_bytes += 0.2 * (item_bytes - self._item_bytes)
        self._largest_bytes = max(nbytes / items, 0.99 * self._largest_bytes)
        item_s = max(self._item_s, self._pull_s, 1e-9)
        wanted = min(_TASK_S / item_s, self._task_bytes / max(self._item_bytes, 1.0), _TASK_ITEMS)
        # At most double: one lucky measurement must not put a second of work into one task.
        self._size = max(1, min(int(wanted), 2 * self._size))
        self._current = None

    def was_away(self, seconds: float) -> None:
        """The consumer came back after so long; the longest absence counts, and is slowly forgotten."""
        self._away_s = max(seconds, 0.95 * self._away_s)
        self._current = None

    def next_size(self, ledger: Ledger, left: int | None = None, *, idle: bool = False) -> int:
        """Datapoints for the next task, as the table stands; 0: wait.

        Args:
            ledger: the table.
            left: how many datapoints of the input are left; None: nobody knows, or they do not end.
            idle: a worker has nothing to do, and the consumer waits for another one.
        """
        plan = self._current or self._plan()
        size = plan.task_size
        if left is not None and left < _TAIL * self._workers * size:
            size = max(left // (_TAIL * self._workers), size // _TAIL_PARTS, self._grain)
        count = min(size, plan.window - ledger.in_flight, self._room_in_bytes(ledger, plan, idle))
        return count - count % self._grain

    @property
    def depth(self) -> int:
        """The most tasks one worker may hold: the one at work, the next one, and what bridges the absence."""
        return (self._current or self._plan()).depth

    @property
    def task_size(self) -> int:
        """How many datapoints a task shall have."""
        return (self._current or self._plan()).task_size

    def _plan(self) -> _Plan:
        """Decide; it holds until something is measured."""
        task_size, depth, window = self._size_of_tasks(), 2, self._limit
        # A task of large datapoints; of small ones more, so that they can wait for one that takes long.
        useful_bytes = 2 * self._workers * max(task_size * self._largest_bytes, _USEFUL_BYTES)
        if self._item_s is not None:
            item_s = max(self._item_s, 1e-7)
            absence = 1.5 * self._away_s / item_s  # datapoints that one worker does meanwhile
            depth += int(min(absence, self._limit / self._workers) / task_size)
            # What is in flight beyond two tasks for each worker, and what bridges the absence, only cools the caches.
            useful_bytes = max(useful_bytes, absence * self._workers * self._largest_bytes)
        if self._elastic and self._size > 1:
            window = max(window, depth * self._workers * task_size)
        self._current = _Plan(task_size, depth, window, int(min(_BUFFER_BYTES, useful_bytes)))
        return self._current

    def _size_of_tasks(self) -> int:
        if self._single:
            return self._grain
        size = self._size
        if not self._elastic:
            size = min(size, max(1, self._limit // (2 * self._workers)))
        return max(1, size // self._grain) * self._grain

    def _room_in_bytes(self, ledger: Ledger, plan: _Plan, idle: bool) -> int:
        """Datapoints whose results fit into the byte budget beside those that are there and those to be expected."""
        least = self._grain if ledger.in_flight == 0 else 0
        if self._limit_bytes is None:
            if ledger.in_flight < 2 * self._workers * self._grain:
                return plan.task_size
            # Where datapoints are so large that few are in flight, the one whose turn it is keeps the others standing
            # if it takes long: on a core that is shared, say.
            budget = _BUFFER_BYTES if idle and plan.task_size == self._grain else plan.useful_bytes
        else:
            if not self._largest_bytes:
                return least  # the first result tells how large they are
            budget = self._limit_bytes
        item_bytes = max(self._largest_bytes, 1.0)
        expected = (ledger.in_flight - ledger.done_items) * item_bytes
        return max(least, int((budget - ledger.done_bytes - expected) / item_bytes))
