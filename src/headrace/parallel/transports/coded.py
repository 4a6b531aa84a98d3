"""What the transports between processes share: messages are two frames, large arrays travel through two arenas.

``frames = [pickled (message, blocks), encoded body]``. Each worker has one arena for its results, and one for its
tasks. Both are made by the parent before the worker starts, so they outlive the worker in either direction.
"""

from __future__ import annotations

import os
import pickle
from typing import Any, NamedTuple

from ..arena import ArenaReader, ArenaWriter, create_arena
from ..codec import Block, Decoder, Encoder
from ..messages import Message

__all__ = ["IDLE_MS", "ArenaFds", "Body", "Coder"]

IDLE_MS = 1000
"""How long a worker waits before it calls itself idle."""


class Body(NamedTuple):
    """The undecoded datapoints of a message."""

    data: bytes
    blocks: list[Block]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return len(self.data) + sum(length for _, _, length in self.blocks)


class ArenaFds(NamedTuple):
    """Descriptors of the two arenas of a worker."""

    tasks: int
    results: int

    @classmethod
    def create(cls) -> ArenaFds:
        """Two new arenas."""
        return cls(create_arena(), create_arena())

    def close(self) -> None:
        """Close the descriptors; mappings stay."""
        os.close(self.tasks)
        os.close(self.results)


class Coder:
    """Makes frames of messages, and back.

    Args:
        outgoing: descriptor of the arena this side writes.
        incoming: descriptor of the arena the other side writes.
        main_by_value: see `Encoder`.
    """

    def __init__(self, outgoing: int, incoming: int, *, main_by_value: bool):
        self._encoder = Encoder(ArenaWriter(outgoing), main_by_value=main_by_value)
        self._decoder = Decoder(ArenaReader(incoming))
        self.empty = self._encoder.empty
        self._parent = os.getppid()

    def pack(self, message: Message, body: Any) -> tuple[bytes, bytes]:
        """The two frames. Raises what pickling the body raises."""
        if body is None:
            return pickle.dumps((message, None), 5), b""
        data, blocks = self._encoder.encode(body)
        return pickle.dumps((message, blocks), 5), data

    @staticmethod
    def unpack(header: bytes, data: bytes) -> tuple[Message, Body | None]:
        """The message, and its body still in bytes."""
        message, blocks = pickle.loads(header)
        return message, None if blocks is None else Body(data, blocks)

    def decode(self, body: Body | None) -> Any:
        """The datapoints. Raises what unpickling raises."""
        return None if body is None else self._decoder.decode(*body)

    def drop(self, body: Body | None) -> None:
        """Give back the blocks of a body that will not be decoded."""
        if body is not None:
            self._decoder.drop(body.blocks)

    def idle(self) -> None:
        """A worker has had nothing to do for a while: give memory back to the system, see whether the parent lives.

        (The parent's death kills a worker at once, except for one that was forked by a thread, see the executor.)

        Raises:
            EOFError: this process is an orphan.
        """
        self._encoder.trim()
        if os.getppid() != self._parent:
            raise EOFError("the parent is gone")
