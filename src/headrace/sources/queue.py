"""A flow over a queue."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..flow import DataFlow
from ..state import State

__all__ = ["DataFromQueue"]


class DataFromQueue(DataFlow):
    """What is taken from a queue, for ever.

    Args:
        queue: anything with ``get()``, such as `queue.Queue` or `multiprocessing.Queue`.

    Order and integrity: as the queue gives it; several iterators share it. Never ends, no length. There is no state: a
    resumed flow takes what the queue has next.

    Raises:
        TypeError: ``queue`` has no ``get``.

    Example:
        >>> import headrace as hr
        >>> import itertools, queue
        >>> q = queue.Queue()
        >>> q.put("a"); q.put("b")
        >>> list(itertools.islice(hr.DataFromQueue(q), 2))
        ['a', 'b']
    """

    def __init__(self, queue: Any):
        if not callable(getattr(queue, "get", None)) or isinstance(queue, dict):
            raise TypeError(f"expected a queue, with a method get(), got {type(queue).__name__}: {queue!r:.60}")
        self.queue = queue

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        while True:
            yield self.queue.get()
