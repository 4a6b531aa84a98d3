"""Messages between threads: two queues, nothing is copied."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np

from ..messages import Message, Stop
from .base import Event

__all__ = ["MemoryTransport"]


class MemoryChannel:
    """A worker's end: its own queue of tasks, and the queue of results that all share. Is its own address."""

    encode_s = 0.0
    arena_bytes = 0

    def __init__(self, worker: int, results: queue.SimpleQueue[Event]):
        self.worker = worker
        self.tasks: queue.SimpleQueue[tuple[Message, Any]] = queue.SimpleQueue()
        self.plain: list[Any] = []
        self.add = self.plain.append
        self._results = results

    def fds(self) -> list[int]:
        """See `Address`."""
        return []

    def connect(self, fds: list[int]) -> MemoryChannel:
        """See `Address`."""
        return self

    @property
    def added(self) -> int:
        """See `Channel`."""
        return len(self.plain)

    def settle(self) -> None:
        """See `Channel`. What is sent is the object itself."""

    def send(self, message: Message) -> None:
        """See `Channel`."""
        self._results.put(Event(self.worker, message, self.plain[:] or None))
        self.plain.clear()

    def receive(self) -> tuple[Message, Any]:
        """See `Channel`."""
        return self.tasks.get()

    def decode(self, body: Any) -> Any:
        """See `Channel`."""
        return body

    def drop(self, body: Any) -> None:
        """See `Channel`."""

    def leave(self) -> None:
        """See `Channel`."""
        self._results.put(Event(self.worker, None))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """See `Channel`."""
        return np.empty(shape, dtype)


class MemoryTransport:
    """The parent's end. A thread cannot be killed, so its end is its own last word."""

    def __init__(self) -> None:
        self._results: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._channels: dict[int, MemoryChannel] = {}

    def add(self, worker: int) -> MemoryChannel:
        """See `Transport`."""
        channel = self._channels[worker] = MemoryChannel(worker, self._results)
        return channel

    def watch(self, worker: int, sentinel: Any) -> None:
        """See `Transport`."""

    def remove(self, worker: int) -> None:
        """See `Transport`."""
        del self._channels[worker]

    def send(self, worker: int, message: Message, body: Any = None) -> None:
        """See `Transport`."""
        self._channels[worker].tasks.put((message, body))

    def receive(self, timeout_s: float | None) -> list[Event]:
        """See `Transport`."""
        events = []
        try:
            events.append(self._results.get(timeout_s != 0, timeout_s))
            while True:
                events.append(self._results.get_nowait())
        except queue.Empty:
            pass
        return [event for event in events if event.worker in self._channels]

    def open(self, worker: int, body: list[Any] | None) -> list[Any]:
        """See `Transport`."""
        return body or []

    def drop(self, worker: int, body: Any) -> None:
        """See `Transport`."""

    def close(self) -> None:
        """See `Transport`. Whoever still listens is told to leave."""
        for channel in self._channels.values():
            channel.tasks.put((Stop(), None))
