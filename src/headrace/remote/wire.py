"""Messages between a sender and a receiver: their kinds, and how each is laid out in one ZeroMQ frame.

::

    receiver -> sender                                sender -> receiver
    JOIN     I am a receiver (if I connected to you)
                                                      HELLO     who I am, what I shall send
    WELCOME  which entry I want first
                                                      START     the first one that you will get
                                                      DATA      entries: datapoints
                                                      LENT      the same, in memory that both share: where
                                                      PASS_END  an entry: here a pass ends
                                                      END       an entry: here the last one ends
    ACK      how many entries I have taken,
             how many may be under way
                                                      FAILED    my flow has raised
    REFUSED  why we cannot go on                      REFUSED
    PING     nothing; tells whether you are there     PING

Entries are numbered. Within one connection they come in order, each once; a connection that breaks is not used again,
and the next one begins with HELLO. So no message can be left over from an earlier connection.

A frame is a header, the bytes of the values, and a JSON list of their descriptions (see `headrace.plain_codec`).
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Any, NamedTuple

from ..errors import SerializationError
from ..plain_codec import Limits, MalformedError, padded
from ..plain_codec.describing import Described, describe
from ..plain_codec.reading import Reader

__all__ = [
    "BODY_OFFSET",
    "EMPTY_BYTES",
    "LIMITS",
    "SLACK",
    "VERSION",
    "Kind",
    "Message",
    "Values",
    "VersionError",
    "size",
    "to_send",
    "unpack",
    "write_ends",
]

VERSION = 3
_MAGIC = b"hdrc"
LIMITS = Limits(description_bytes=8 << 20, odd_keys=1024)

_HEADER = struct.Struct("!4sHBx16sQIQI")
"""Magic, version, kind, stream, number of the first entry, how many, length of the whole, length of the descriptions.
Then a checksum of these and of the descriptions. (Array bytes have TCP's checksum, or CURVE's authenticator.) Magic and
version stay where they are in all versions to come."""

_CHECKSUM = struct.Struct("!I")
BODY_OFFSET = padded(_HEADER.size + _CHECKSUM.size)
"""Where the bytes of the values begin."""
SLACK = 16
"""A message may have this part of its size behind it, so that messages of almost one size can use the same memory."""
_BRACKETS = 2
EMPTY_BYTES = BODY_OFFSET + _BRACKETS
"""The size of a message without values."""
_SENT = LIMITS._replace(description_bytes=LIMITS.description_bytes - _BRACKETS)


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
    LENT = 12


class VersionError(MalformedError):
    """A message of another version of this protocol."""

    def __init__(self, version: int):
        super().__init__(f"protocol version {version}")
        self.version = version


class Message(NamedTuple):
    """A message that was checked, except for its values.

    Attributes:
        kind: see the module.
        stream: which stream it is about, 16 bytes.
        number: of the first entry; 0 in most others.
        entries: how many values it has.
        text: their descriptions.
        body: their bytes.
    """

    kind: Kind
    stream: bytes
    number: int
    entries: int
    text: memoryview
    body: memoryview

    @property
    def nbytes(self) -> int:
        """The size of what it brings."""
        return len(self.text) + len(self.body)

    def value(self) -> Any:
        """The value, if it has one.

        Raises:
            MalformedError: it has none, or several.
        """
        values = Values(self)
        if self.entries != 1:
            raise MalformedError("not one value")
        return values.next()


class Values:
    """The values of a message, one after the other. Arrays are views of the message.

    Args:
        message: where they are.
        allow_pickle: see `Reader`.

    Attributes:
        left: how many there still are.

    Raises:
        MalformedError: they are not as many as the message says.
    """

    def __init__(self, message: Message, *, allow_pickle: bool = False):
        self._reader = Reader(message.text, message.body, allow_pickle=allow_pickle, limits=LIMITS)
        described = self._reader.plain
        if type(described) is not list or len(described) != message.entries:
            raise MalformedError("not as many values as it says")
        self._described = iter(described)
        self.left = message.entries

    def next(self) -> Any:
        """The next one.

        Raises:
            MalformedError: what comes is no value, or the last one has other bytes behind it.
            SerializationError: a pickle that cannot be read here. The next value can be.
        """
        self.left -= 1
        try:
            value = self._reader.read(next(self._described))
        except SerializationError:
            self._check_end()
            raise
        self._check_end()
        return value

    def _check_end(self) -> None:
        if not self.left:
            self._reader.finish()


def write_ends(
    memory: memoryview, end: int, text: bytes, count: int, kind: Kind, stream: bytes, number: int = 0
) -> None:
    """Complete a message whose body is written: the header in front of it, the descriptions behind it.

    Args:
        memory: of the message; what it has beyond the descriptions is its slack.
        end: of the body.
        text: the descriptions, a JSON list.
        count: how many there are.
        kind: see the module.
        stream: which stream it is about.
        number: of the first entry.
    """
    total = end + len(text)
    header = _HEADER.pack(_MAGIC, VERSION, kind, stream, number, count, total, len(text))
    memory[: _HEADER.size] = header
    _CHECKSUM.pack_into(memory, _HEADER.size, zlib.crc32(text, zlib.crc32(header)))
    memory[end:total] = text


def size(described: Described) -> int:
    """What a value adds to the size of a message."""
    return described.nbytes + len(described.text) + 1


def to_send(value: Any, *, allow_pickle: bool = False) -> Described:
    """Describe a value, to be sent.

    Raises:
        SerializationError: it cannot be sent; the message says why, and what to do.
    """
    try:
        return describe(value, allow_pickle=allow_pickle, limits=_SENT)
    except SerializationError:
        raise
    except TypeError as error:
        raise SerializationError(
            f"the datapoint cannot be sent: {error}; turn it into numbers, str, bytes, lists, tuples, dicts or numpy "
            "arrays, or use allow_pickle=True on both sides"
        ) from error.__cause__
    except ValueError as error:
        raise SerializationError(f"the datapoint cannot be sent: {error}") from None


def unpack(data: memoryview) -> Message:
    """Check a frame that came.

    Raises:
        VersionError: it is of another version.
        MalformedError: it is no message, or not whole.
    """
    if len(data) < BODY_OFFSET:
        raise MalformedError("shorter than a header")
    magic, version, kind, stream, number, count, total, length = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise MalformedError("not of this protocol")
    if version != VERSION:
        raise VersionError(version)
    if not total <= len(data) <= total + total // SLACK:
        raise MalformedError("not of the length it says")
    if length > LIMITS.description_bytes or BODY_OFFSET + length > total:
        raise MalformedError("a description longer than allowed, or than the message")
    text = data[total - length : total]
    if zlib.crc32(text, zlib.crc32(data[: _HEADER.size])) != _CHECKSUM.unpack_from(data, _HEADER.size)[0]:
        raise MalformedError("damaged: the checksum differs")
    if kind not in _KINDS:
        raise MalformedError("of an unknown kind")
    return Message(_KINDS[kind], stream, number, count, text, data[BODY_OFFSET : total - length])


_KINDS = {int(kind): kind for kind in Kind}
