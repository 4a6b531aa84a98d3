"""The seam between the engine and the ways messages can move.

A transport has two ends. The parent's end is a `Transport`: it sends to a chosen worker, and waits for messages and
deaths in one call. The worker's end is a `Channel`, made in the worker from the `Address` that the transport gave for
it. Both ends never block on sending, and never lose a message: the engine's credits bound what is under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..decoder import Unread
from ..messages import Message

__all__ = ["Address", "Channel", "Event", "Transport"]


class Event(NamedTuple):
    """Something a worker did.

    Attributes:
        worker: its number.
        message: what it said; None: it is dead, and this is the last event of this worker.
        body: the message's datapoints, not yet decoded; give it to `Transport.open` or `Transport.drop`.
    """

    worker: int
    message: Message | None
    body: Any = None


class Address(Protocol):
    """What a worker needs to make its end; travels to it together with the file descriptors it names."""

    def fds(self) -> list[int]:
        """Descriptors that must exist in the worker."""

    def connect(self, fds: list[int]) -> Channel:
        """Make the worker's end, in the worker; ``fds`` are the descriptors there."""


class Channel(Protocol):
    """The worker's end."""

    plain: list[Any]
    """Where results of simple types (numbers, str, bool, None) may be appended to, instead of `add`."""

    def add(self, datapoint: Any) -> bool | None:
        """Take one more result, as it is now; it goes with the next message.

        Returns whether it is worth while to let go of it now, and to call `settle` before anybody can change it. Raises
        what pickling it raises; then it was not taken.
        """

    def settle(self) -> None:
        """Of the results that were taken, find out which ones nobody holds: large arrays made by `empty` that nobody
        can see need no copy.
        """

    @property
    def added(self) -> int:
        """How many results go with the next message."""

    def send(self, message: Message) -> None:
        """Send, with the results that were added since the last time as its body."""

    def receive(self) -> tuple[Message, Any]:
        """Wait for the next message.

        Returns:
            The message and its body, to be given to `decode`.

        Raises:
            EOFError: the parent is gone.
        """

    def decode(self, body: Any) -> Any:
        """The datapoints of a body. Raises what unpickling raises."""

    def drop(self, body: Any) -> None:
        """Forget a body that will not be decoded."""

    def leave(self) -> None:
        """The last word of a worker that nobody can watch (a thread): it has ended."""

    @property
    def encode_s(self) -> float:
        """Seconds that `add` has spent on pickling and copying."""

    @property
    def arena_bytes(self) -> int:
        """Shared memory that results have needed so far."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """An array to be filled and sent, in the memory from which that is cheapest."""


class Transport(Protocol):
    """The parent's end."""

    def add(self, worker: int) -> Address:
        """Make room for a new worker."""

    def watch(self, worker: int, sentinel: Any) -> None:
        """Wait for this worker's death as well; ``sentinel`` is what its executor gave."""

    def remove(self, worker: int) -> None:
        """Forget a worker that is dead; what it sent and was not received yet is dropped."""

    def send(self, worker: int, message: Message, body: Any = None) -> None:
        """Send to a worker that has said `Ready`. Raises what pickling the body raises; then nothing was sent."""

    def receive(self, timeout_s: float | None) -> Iterable[Event]:
        """What has happened; if nothing, wait for it.

        Args:
            timeout_s: how long to wait at most; None: until something happens; 0: not at all.
        """

    def open(self, worker: int, body: Any) -> Unread | list[Any]:
        """The datapoints of a body, to be read in their turn; also after the worker was removed."""

    def drop(self, worker: int, body: Any) -> None:
        """Forget a body that will not be decoded."""

    def close(self) -> None:
        """Give back all that this end holds."""
