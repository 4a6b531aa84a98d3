"""How many datapoints make a task, and how many tasks a worker may hold.

A message between processes costs tens of microseconds, a datapoint in a list tens of nanoseconds. So small datapoints
travel in groups of about a millisecond of work; those that take longer, or are large, travel alone. And a worker must
hold enough work to bridge the time in which the consumer is busy with something else, but not more: what lies in one
worker's queue, another one cannot take.
"""

from __future__ import annotations

__all__ = ["Pace"]

_TASK_S = 1e-3
_TASK_BYTES = 1 << 20
_TASK_ITEMS = 1 << 13


class Pace:
    """Measures, and decides.

    Args:
        workers: how many there are.
        limit: the most datapoints in flight.
        elastic: whether tiny datapoints may exceed ``limit``, because nobody has chosen it.
        grain: tasks have a multiple of so many datapoints.
    """

    def __init__(self, workers: int, limit: int, *, elastic: bool, grain: int = 1):
        self._workers = workers
        self._limit = max(limit, grain)
        self._elastic = elastic
        self._grain = grain
        self._item_s: float | None = None
        self._item_bytes = 0.0
        self._away_s = 0.0
        self._size = 1

    def worked(self, items: int, busy_s: float, nbytes: int) -> None:
        """A task of ``items`` datapoints has come back, with ``nbytes`` of results."""
        item_s = busy_s / items
        if self._item_s is None:
            self._item_s, self._item_bytes = item_s, nbytes / items
        else:
            self._item_s += 0.2 * (item_s - self._item_s)
            self._item_bytes += 0.2 * (nbytes / items - self._item_bytes)
        wanted = min(_TASK_S / max(self._item_s, 1e-9), _TASK_BYTES / max(self._item_bytes, 1.0), _TASK_ITEMS)
        # At most double: one lucky measurement must not put a second of work into one task.
        self._size = max(1, min(int(wanted), 2 * self._size))

    def was_away(self, seconds: float) -> None:
        """The consumer came back after so long; the longest absence counts, and is slowly forgotten."""
        self._away_s = max(seconds, 0.95 * self._away_s)

    def next_size(self, in_flight: int) -> int:
        """Datapoints for the next task, now that so many are in flight; 0: wait."""
        count = min(self.size, self.window - in_flight)
        return count - count % self._grain

    @property
    def size(self) -> int:
        """Datapoints of a task."""
        size = self._size
        if not self._elastic:
            size = min(size, max(1, self._limit // (2 * self._workers)))
        return max(1, size // self._grain) * self._grain

    @property
    def window(self) -> int:
        """The most datapoints in flight now."""
        if not self._elastic:
            return self._limit
        return max(self._limit, self.depth * self._workers * self.size if self._size > 1 else 0)

    @property
    def depth(self) -> int:
        """The most tasks one worker may hold: the one at work, the next one, and what bridges the absence."""
        if self._item_s is None:
            return 2
        task_s = self.size * max(self._item_s, 1e-7)
        bridge = 1.5 * self._away_s / task_s
        return 2 + int(min(bridge, self._limit / (self.size * self._workers)))
