"""The seam between the engine and the places where a worker can live."""

from __future__ import annotations

from typing import Any, Protocol

from ..programs import Program
from ..transports.base import Address

__all__ = ["Executor", "Handle", "Signal"]


class Signal(Protocol):
    """One number that the parent writes and all workers read at once: which stream is current."""

    def get(self) -> int:
        """The number."""

    def set(self, stream: int) -> None:
        """Change it, for all."""


class Handle(Protocol):
    """A started worker, as its parent sees it."""

    @property
    def name(self) -> str:
        """Who it is, for people: ``process 4711``."""

    @property
    def sentinel(self) -> Any:
        """What `Transport.watch` waits on."""

    @property
    def began(self) -> bool:
        """Whether a worker that is gone has ever run. If not, nobody is to blame, and nobody counts how often."""

    def ended(self, timeout_s: float) -> bool:
        """Wait until the worker is gone, at most so long; whether it is."""

    def cause(self) -> str:
        """How a worker that is gone has ended, for people: ``killed by SIGKILL``. Gives its last resources back."""

    def stack(self) -> str:
        """Where the worker is at the moment: its Python stacks, as text."""

    def kill(self, hard: bool) -> bool:
        """Make it end (`hard`: without asking); whether that can be done at all."""


class Executor(Protocol):
    """Starts workers of one kind."""

    @property
    def signal(self) -> Signal:
        """The number of the current stream."""

    def start(self, program: Program, worker: int, address: Address) -> Handle:
        """Start a worker that runs ``program`` and talks through ``address``.

        The pool calls it while Ctrl-C is deferred, so that none starts of whom nobody knows.

        Raises:
            SerializationError: the program cannot travel to the worker.
        """

    def close(self) -> None:
        """Give back what the executor holds; its workers are gone by now."""
