"""Arrays of workers that a device reads where they lie, in the arena."""

from __future__ import annotations

import os
import warnings
from collections import deque
from typing import Any, Protocol

from ..parallel.arena import Pinner, pin

__all__ = ["PinnedReads"]


class Event(Protocol):
    """A moment on a device's stream; `torch.cuda.Event` is one."""

    def query(self) -> bool:
        """Whether it has come."""

    def synchronize(self) -> None:
        """Wait until it has."""


class PinnedReads:
    """Says which arrays a device may read where they lie, and holds these until it has.

    A block of the arena is its reader's only while an array on it lives. Then its worker writes the next result into
    it, whatever a device is doing there.

    Args:
        pinner: pins blocks for the device. If it cannot, that is said in a warning, and no more are pinned.
    """

    def __init__(self, pinner: Pinner):
        self._pinner: Pinner | None = pinner
        self._begun: list[Any] = []
        self._held: deque[tuple[Event, list[Any]]] = deque()
        self._pid = os.getpid()

    def begin(self, array: Any) -> bool:
        """Whether the device may read this array where it lies: it is in the arena, on a pinned block. Then it is held.

        The block is pinned, if this is the first array that is seen there.
        """
        if self._pinner is None:
            return False
        try:
            pinned = pin(array, self._pinner)
        except RuntimeError as error:
            self._pinner = None
            warnings.warn(
                f"memory of the arena cannot be pinned ({error}): arrays are copied into other memory that is",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        if pinned:
            self._begun.append(array)
        return pinned

    def end(self, event: Event) -> None:
        """``event`` is the end of all reads that were begun and not ended."""
        while self._held and self._held[0][0].query():
            self._held.popleft()
        if self._begun:
            self._held.append((event, self._begun))
            self._begun = []

    def close(self) -> None:
        """Wait until nothing is read any more, and hold nothing. In a forked child nothing is read; nor can it wait."""
        while self._held:
            if self._pid == os.getpid():
                self._held[0][0].synchronize()
            self._held.popleft()
