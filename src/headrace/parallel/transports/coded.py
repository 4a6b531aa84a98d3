"""What the transports between processes share: a message is one frame, all that is large travels through two arenas.

``frame = number, checksum, length of the first pickle; pickled (kind, message, blocks); encoded body``. The checksum
covers the frame, not what lies in the arenas, which never leaves memory. Each worker has one arena for its results,
and one for its tasks. Both are made by the parent before the worker starts, so they outlive the worker in either
direction.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import zlib
from typing import Any, NamedTuple

from ..arena import ArenaReader, ArenaWriter, create_arena
from ..codec import Encoded
from ..decoder import Decoder, Unread
from ..encoder import Encoder
from ..messages import KINDS, Broken, Message

__all__ = ["IDLE_MS", "ArenaFds", "CodedChannel", "Coder", "EncodingChannel", "Fault"]

_CHECK = struct.Struct("<QI")
_HEAD = struct.Struct("<QII")

_NUMBER = {kind: number for number, kind in enumerate(KINDS)}

IDLE_MS = 1000
"""How long a worker waits before it calls itself idle."""


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


class Fault:
    """A disturbance of the messages to or from the first worker of each pool, for tests.

    The environment variable ``HEADRACE_FAULT`` says which: ``SIDE:KIND:K``, where SIDE is ``parent`` or ``worker`` (who
    sends), KIND is ``drop``, ``duplicate``, ``corrupt`` or ``delay`` (until after the next one), and K is the number of
    the message, from 0.

    Raises:
        ValueError: the variable is set to something else.
    """

    def __init__(self, kind: str, number: int):
        self._kind = kind
        self._left = number
        self._late: list[bytes] = []

    @classmethod
    def of_environment(cls, side: str, worker: int) -> Fault | None:
        """The fault for the messages that ``side`` sends, to or from this worker; None: all is well."""
        text = os.environ.get("HEADRACE_FAULT")
        if text is None:
            return None
        match = re.fullmatch(r"(parent|worker):(drop|duplicate|corrupt|delay):(\d+)", text)
        if match is None:
            raise ValueError(f"HEADRACE_FAULT must be like 'worker:drop:5', got {text!r}")
        return cls(match[2], int(match[3])) if match[1] == side and worker == 0 else None

    def apply(self, frame: bytes) -> list[bytes]:
        """What is sent instead."""
        late, self._late = self._late, []
        self._left -= 1
        if self._left != -1:
            return [frame, *late]
        if self._kind == "delay":
            self._late = [frame]
        damaged = frame[:-1] + bytes([frame[-1] ^ 1])
        return {"drop": [], "duplicate": [frame, frame], "corrupt": [damaged], "delay": []}[self._kind]


class Coder:
    """Makes frames of messages, and back.

    Args:
        outgoing: descriptor of the arena this side writes.
        incoming: descriptor of the arena the other side writes.
        main_by_value: see `Encoder`.
        fault: what is to go wrong on the way out.
    """

    def __init__(self, outgoing: int, incoming: int, *, main_by_value: bool, fault: Fault | None = None):
        self.encoder = Encoder(ArenaWriter(outgoing), main_by_value=main_by_value, spills=True)
        self._decoder = Decoder(ArenaReader(incoming))
        self._parent = os.getppid()
        self._sent = 0
        self._received = 0
        self._fault = fault

    def pack(self, message: Message, body: Any) -> list[bytes]:
        """The frame to be sent; under fault injection perhaps none, or more.

        Raises what pickling the body raises.
        """
        return self._pack(message, self.encoder.encode(body) if body is not None else None)

    def pack_added(self, message: Message) -> list[bytes]:
        """The same for a body of what was added to the encoder."""
        return self._pack(message, self.encoder.finish() if self.encoder.added else None)

    def _pack(self, message: Message, encoded: Encoded | None) -> list[bytes]:
        data, *rest = encoded if encoded is not None else (b"",)
        text = pickle.dumps((_NUMBER[type(message)], tuple(message), rest), 5)
        length = len(text).to_bytes(4, "little")
        head = _CHECK.pack(self._sent, zlib.crc32(data, zlib.crc32(text, zlib.crc32(length))))
        self._sent += 1
        frame = b"".join((head, length, text, data))
        return [frame] if self._fault is None else self._fault.apply(frame)

    def not_sent(self) -> None:
        """The last message has not left: nobody listens yet, or nobody does any more."""
        self._sent -= 1

    def unpack(self, frame: bytes) -> tuple[Message, Encoded | None] | None:
        """The message, and its body still in bytes; None for a message that came before."""
        number, checksum, length = _HEAD.unpack_from(frame)
        view = memoryview(frame)
        if zlib.crc32(view[_CHECK.size :]) != checksum:
            return Broken(f"message {self._received} was damaged on its way"), None
        if number < self._received:
            return None
        if number > self._received:
            return Broken(f"message {self._received} was lost on its way"), None
        self._received += 1
        kind, fields, rest = pickle.loads(view[_HEAD.size :])
        data = view[_HEAD.size + length :]
        return KINDS[kind](*fields), Encoded(data, *rest) if rest else None

    def open(self, body: Encoded | None) -> Unread | list[Any]:
        """The datapoints, to be read in their turn."""
        return [] if body is None else self._decoder.open(body)

    def decode(self, body: Encoded | None) -> Any:
        """The datapoints. Raises what unpickling raises."""
        return None if body is None else self._decoder.decode(body)

    def drop(self, body: Encoded | None) -> None:
        """Give back the blocks of a body that will not be decoded."""
        if body is not None:
            self._decoder.drop(body.blocks)

    def close(self) -> None:
        """Give back this side of the arenas; blocks with living arrays on them stay."""
        self.encoder.close()

    def idle(self) -> None:
        """A worker has had nothing to do for a while: give memory back to the system, see whether the parent lives.

        (The parent's death kills a worker at once, except for one that was forked by a thread, see the executor.)

        Raises:
            EOFError: this process is an orphan.
        """
        self.encoder.trim()
        if os.getppid() != self._parent:
            raise EOFError("the parent is gone")


class EncodingChannel:
    """What all worker's ends share whose results are pickled, wherever the bytes go; see `Channel`."""

    def __init__(self, encoder: Encoder):
        self._encoder = encoder
        self.empty = encoder.empty
        self.add = encoder.add
        self.settle = encoder.settle
        self.plain = encoder.plain

    @property
    def added(self) -> int:
        """See `Channel`."""
        return self._encoder.added

    @property
    def encode_s(self) -> float:
        """See `Channel`."""
        return self._encoder.encode_s

    @property
    def arena_bytes(self) -> int:
        """See `Channel`."""
        return self._encoder.arena_bytes

    def leave(self) -> None:
        """See `Channel`. Processes and actors are watched."""


class CodedChannel(EncodingChannel):
    """What the worker's ends of these transports share; see `Channel`."""

    def __init__(self, coder: Coder):
        super().__init__(coder.encoder)
        self._coder = coder
        self.decode = coder.decode
        self.drop = coder.drop
