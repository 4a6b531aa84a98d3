"""Values are put together into messages, in memory that is used again.

Two kinds of memory. A frame of ZeroMQ's goes through the socket. A block of an arena that the receiver has mapped
(see `shared_memory`) stays where it is, and what goes through the socket is a few bytes that say where.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zmq

from ..parallel.arena import ArenaWriter
from ..plain_codec.describing import Described
from .wire import BODY_OFFSET, EMPTY_BYTES, SLACK, Kind, size, to_send, write_ends

__all__ = ["Best", "LendingPacker", "Lent", "Packer"]

Bytes = npt.NDArray[np.uint8]

_LEAST_BYTES = 1 << 16
"""Smaller messages are copied: that costs less than to keep their memory."""
_MAX_SPARE = 16
_MISFITS = 4


class Best(NamedTuple):
    """How large a message with several values should be.

    Attributes:
        nbytes: of all of them.
        parts: of so many parts of what may be under way it is one, at most.
    """

    nbytes: int
    parts: int


class Packer:
    """Makes messages: `add` values, then `seal`.

    Their bytes are put together in the memory of a frame of ZeroMQ's. If they fill it, that frame is the message, and
    nothing is copied again; frames that are given back (`recycle`) are used for later messages, so that with messages
    of one size no memory is asked for. A message of another size is copied into a frame of its own. (Sending an array
    where it lies would save the other copy, too, but the flow may write into it again before it is sent.)

    Attributes:
        count: how many values were added.
        nbytes: the size of the message, if it were sealed now.
        best: how large it should be.
    """

    count: int
    nbytes: int
    best = Best(nbytes=1 << 20, parts=4)  # several on the way, each small enough for the cache: it is copied four times

    def __init__(self) -> None:
        self._spare: list[zmq.Frame] = []
        self._misfits = 0
        self._memory: Bytes
        self._texts: list[bytes]
        self._end: int
        self._open(_LEAST_BYTES)
        self._clear()

    def recycle(self, frame: zmq.Frame) -> None:
        """Take a frame back that nobody reads any more."""
        if len(frame) == len(self._memory) and len(self._spare) < _MAX_SPARE:
            self._spare.append(frame)

    def expect(self, nbytes: int) -> None:
        """Values of so many bytes are to be added."""

    def add(self, described: Described, nbytes: int) -> None:
        """Add a value, of this `size`. From then on its arrays may be written to."""
        end = self._end + described.nbytes
        if end > len(self._memory):
            self._grow(end)
        described.write(self._memory, self._end)
        self._texts.append(described.text)
        self._end = end
        self.count += 1
        self.nbytes += nbytes

    def take_over(self, other: Packer) -> None:
        """Go on with the values that were added to another one."""
        if other._end > len(self._memory):
            self._grow(other._end)
        self._memory[BODY_OFFSET : other._end] = other._memory[BODY_OFFSET : other._end]
        self._texts, self._end, self.count, self.nbytes = other._texts, other._end, other.count, other.nbytes

    def seal(self, kind: Kind, stream: bytes, number: int = 0) -> zmq.Frame:
        """The message. The packer is empty again."""
        total = self._complete(kind, stream, number)
        memory = self._memory
        if total < _LEAST_BYTES or len(memory) - total > total // SLACK:
            self._fit(total)
            return zmq.Frame(memory.data[:total], copy=True)
        memory[total:] = 0
        frame = self._frame
        self._misfits = 0
        self._open(len(memory))
        return frame

    def seal_entries(self, stream: bytes, number: int) -> tuple[zmq.Frame, Lent | None]:
        """The message with the values as entries, and where it lies if that is not in the frame."""
        return self.seal(Kind.DATA, stream, number), None

    def pack(self, kind: Kind, stream: bytes, number: int = 0, *values: Any) -> zmq.Frame:
        """A whole message.

        Raises:
            SerializationError: see `to_send`.
        """
        for value in values:
            described = to_send(value)
            self.add(described, size(described))
        return self.seal(kind, stream, number)

    def trim(self) -> None:
        """Give memory back to the system that a consumer has kept for a while and let go."""

    def _open(self, nbytes: int) -> None:
        """Begin to write into memory of this size."""
        self._frame = self._spare.pop() if self._spare else zmq.Frame(np.zeros(nbytes, np.uint8), copy=True)
        self._memory = np.frombuffer(self._frame.buffer, np.uint8)

    def _clear(self) -> None:
        self._texts = []
        self._end = BODY_OFFSET
        self.count = 0
        self.nbytes = EMPTY_BYTES

    def _complete(self, kind: Kind, stream: bytes, number: int) -> int:
        """Write what comes before and behind the bytes of the values; the size of the message."""
        text = b"[%b]" % b",".join(self._texts)
        total = self._end + len(text)
        if total > len(self._memory):
            self._grow(total)
        write_ends(self._memory.data, self._end, text, self.count, kind, stream, number)
        self._clear()
        return total

    def _fit(self, total: int) -> None:
        """After some messages that did not fill the memory, the next ones may be as large as this one."""
        self._misfits += 1
        if self._misfits == _MISFITS and total >= _LEAST_BYTES:
            self._spare.clear()
            self._open(total + total // (2 * SLACK))
        self._misfits %= _MISFITS

    def _grow(self, nbytes: int) -> None:
        before = self._memory
        self._spare.clear()
        self._open(nbytes + nbytes // 4)
        self._memory[: self._end] = before[: self._end]


class Lent:
    """A message in a block of an arena.

    Attributes:
        memory: the message.
    """

    def __init__(self, arena: ArenaWriter, block: int, memory: Bytes):
        self._arena = arena
        self._block = block
        self.memory = memory
        arena.hold(block)

    def copy(self) -> zmq.Frame:
        """The message, in a frame of its own."""
        return zmq.Frame(self.memory.data, copy=True)

    def let_go(self) -> None:
        """It will not be sent again: the block may be used again, when the receiver has returned it."""
        self._arena.let_go(self._block)


class LendingPacker(Packer):
    """Makes messages in blocks of an arena. Small ones, and all while it is full, go into frames.

    Args:
        arena: that the receiver has mapped.
    """

    best = Best(nbytes=4 << 20, parts=2)  # one on the way while the next one is made

    def __init__(self, arena: ArenaWriter):
        self._arena = arena
        self._where = Packer()
        super().__init__()

    def seal_entries(self, stream: bytes, number: int) -> tuple[zmq.Frame, Lent | None]:
        """See `Packer`."""
        total = self._complete(Kind.DATA, stream, number)
        memory = self._memory[:total]
        if self._place is None or total < _LEAST_BYTES:
            frame = zmq.Frame(memory.data, copy=True)
            if self._place is None:
                self._open(len(self._memory))
            return frame, None
        block, offset = self._place
        frame = self._where.pack(Kind.LENT, stream, number, (block, offset, total))
        lent = Lent(self._arena, block, memory)
        self._open(total + total // SLACK)
        return frame, lent

    def expect(self, nbytes: int) -> None:
        """See `Packer`. Memory that nobody writes to costs nothing, and growing costs a copy."""
        if BODY_OFFSET + nbytes > len(self._memory):
            self._grow(BODY_OFFSET + nbytes)

    def recycle(self, frame: zmq.Frame) -> None:
        """See `Packer`. It has no use for frames."""

    def trim(self) -> None:
        """See `Packer`."""
        self._arena.trim()

    def _open(self, nbytes: int) -> None:
        place = self._arena.allocate(nbytes)
        self._place: tuple[int, int] | None = None
        if place is None:
            self._memory = np.empty(nbytes, np.uint8)
        else:
            block, offset, self._memory = place
            self._place = block, offset

    def _grow(self, nbytes: int) -> None:
        before = self._place
        super()._grow(nbytes)
        if before is not None:
            self._arena.take_back(before[0])
