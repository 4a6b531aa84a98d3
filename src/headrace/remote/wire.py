"""Messages between a sender and a receiver: their kinds, and how each is laid out in one ZeroMQ frame.

::

    receiver -> sender                                sender -> receiver
    JOIN     I am a receiver (if I connected to you)
                                                      HELLO     who I am, what I shall send
    WELCOME  which entry I want first
                                                      START     the first one that you will get
                                                      DATA      an entry: a datapoint
                                                      PASS_END  an entry: here a pass ends
                                                      END       an entry: here the last one ends
    ACK      how many entries I have taken,
             how many may be under way
                                                      FAILED    my flow has raised
    REFUSED  why we cannot go on                      REFUSED
    PING     nothing; tells whether you are there     PING

Entries are numbered. Within one connection they come in order, each once; a connection that breaks is not used again,
and the next one begins with HELLO. So no message can be left over from an earlier connection.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
import zmq

from .codec import MAX_DESCRIPTION_BYTES, Described, WireError, decode, describe, padded

__all__ = ["VERSION", "Kind", "Message", "Packer", "VersionError", "unpack"]

VERSION = 1
_MAGIC = b"hdrc"

_HEADER = struct.Struct("!4sHBx16sQQI")
"""Magic, version, kind, stream, number, length of the whole, length of the description. Then a checksum of these and of
the description. (Array bytes have TCP's checksum, or CURVE's authenticator.) Magic and version stay where they are in
all versions to come."""

_CHECKSUM = struct.Struct("!I")
_START = padded(_HEADER.size + _CHECKSUM.size)
_KEPT_BYTES = 64 << 20


class Kind(enum.IntEnum):
    """See the module."""

    JOIN = 1
    HELLO = 2
    WELCOME = 3
    START = 4
    DATA = 5
    PASS_END = 6
    END = 7
    ACK = 8
    FAILED = 9
    REFUSED = 10
    PING = 11


class VersionError(WireError):
    """A message of another version of this protocol."""

    def __init__(self, version: int):
        super().__init__(f"protocol version {version}")
        self.version = version


class Message(NamedTuple):
    """A message that was checked, except for its value.

    Attributes:
        kind: see the module.
        stream: which stream it is about, 16 bytes.
        number: of an entry; 0 in most others.
        text: the description of its value.
        body: the bytes of its value.
    """

    kind: Kind
    stream: bytes
    number: int
    text: memoryview
    body: memoryview

    @property
    def nbytes(self) -> int:
        """The size of what it brings."""
        return len(self.text) + len(self.body)

    def value(self, *, allow_pickle: bool = False) -> Any:
        """See `decode`."""
        return decode(self.text, self.body, allow_pickle=allow_pickle)


class Packer:
    """Makes messages.

    Each is put together in the same memory, which stays in the cache, and copied once into a frame of ZeroMQ's. Sending
    an array where it lies would save that copy, but the flow may write into it again before it is sent.
    """

    def __init__(self) -> None:
        self._memory: np.ndarray[Any, Any] = np.zeros(1 << 16, np.uint8)

    def pack(
        self, kind: Kind, stream: bytes, number: int = 0, value: Any = None, *, allow_pickle: bool = False
    ) -> zmq.Frame:
        """One message.

        Raises:
            SerializationError: see `describe`.
        """
        described = describe(value, allow_pickle=allow_pickle)
        body = padded(_START + len(described.text))
        total = body + described.nbytes
        memory = self._memory if total <= len(self._memory) else np.zeros(total + total // 4, np.uint8)
        if len(memory) <= _KEPT_BYTES:
            self._memory = memory
        header = _HEADER.pack(_MAGIC, VERSION, kind, stream, number, total, len(described.text))
        view = memory.data
        view[: _HEADER.size] = header
        _CHECKSUM.pack_into(view, _HEADER.size, zlib.crc32(described.text, zlib.crc32(header)))
        view[_START : _START + len(described.text)] = described.text
        view[_START + len(described.text) : body] = bytes(body - _START - len(described.text))
        _write(described, memory[body:total])
        return zmq.Frame(view[:total], copy=True)


def _write(described: Described, memory: np.ndarray[Any, Any]) -> None:
    at = 0
    for blob in described.blobs:
        if isinstance(blob, np.ndarray):
            length = blob.nbytes
            if length:
                order: Any = "F" if blob.flags.fnc else "C"
                np.copyto(np.ndarray(blob.shape, blob.dtype, memory, at, order=order), blob)
        else:
            length = len(blob)
            memory.data[at : at + length] = blob
        memory[at + length : at + padded(length)] = 0
        at += padded(length)


def unpack(data: memoryview) -> Message:
    """Check a frame that came.

    Raises:
        VersionError: it is of another version.
        WireError: it is no message, or not whole.
    """
    if len(data) < _START:
        raise WireError("shorter than a header")
    magic, version, kind, stream, number, total, length = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise WireError("not of this protocol")
    if version != VERSION:
        raise VersionError(version)
    if total != len(data):
        raise WireError("not of the length it says")
    body = padded(_START + length)
    if length > MAX_DESCRIPTION_BYTES or body > total:
        raise WireError("a description longer than allowed, or than the message")
    text = data[_START : _START + length]
    if zlib.crc32(text, zlib.crc32(data[: _HEADER.size])) != _CHECKSUM.unpack_from(data, _HEADER.size)[0]:
        raise WireError("damaged: the checksum differs")
    if kind not in _KINDS:
        raise WireError("of an unknown kind")
    return Message(_KINDS[kind], stream, number, text, data[body:])


_KINDS = {int(kind): kind for kind in Kind}
