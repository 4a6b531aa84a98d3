r"""A value in one piece, for files::

    magic "\x93HR"  version (1 byte)  CRC-32 of the rest (4 bytes)  length of the bytes (8 bytes)  bytes  description

Numbers are in little-endian order.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from . import MalformedError
from .describing import describe
from .reading import Reader

__all__ = ["MAGIC", "decode", "encode"]

MAGIC = b"\x93HR"
VERSION = 2

_HEAD = struct.Struct("<3sBI")
_LENGTH = struct.Struct("<Q")
_START = _HEAD.size + _LENGTH.size


def encode(value: Any) -> bytes:
    """The record of a value.

    Raises:
        TypeError: something in it is of another type; the message says where.
        ValueError: it is nested more than 64 levels deep.

    Example:
        >>> decode(encode([b"jpeg", {"label": 3, "box": (0.5, None)}]))
        [b'jpeg', {'label': 3, 'box': (0.5, None)}]
        >>> encode([1, {"size": {1, 2}}])
        Traceback (most recent call last):
            ...
        TypeError: [1]['size'] is a set, which only pickle can store
    """
    described = describe(value)
    end = _START + described.nbytes
    record = np.empty(end + len(described.text), np.uint8)
    _LENGTH.pack_into(record.data, _HEAD.size, described.nbytes)
    described.write(record, _START)
    record.data[end:] = described.text
    _HEAD.pack_into(record.data, 0, MAGIC, VERSION, zlib.crc32(record.data[_HEAD.size :]))
    return record.tobytes()


def decode(record: bytes | memoryview) -> Any:
    """The value of a record. Arrays are new, writable ones; those of one record share a piece of memory.

    Raises:
        MalformedError: it is no record, of another version, or damaged.
    """
    if len(record) < _START or bytes(record[:3]) != MAGIC:
        raise MalformedError(f"it does not begin as a record of headrace, but with {bytes(record[:8])!r}")
    _, version, crc = _HEAD.unpack_from(record)
    if version != VERSION:
        raise MalformedError(f"the record has version {version}, this headrace reads version {VERSION}")
    view = memoryview(record)
    if zlib.crc32(view[_HEAD.size :]) != crc:
        raise MalformedError("the checksum of the record does not match: it is damaged")
    end = _START + _LENGTH.unpack_from(view, _HEAD.size)[0]
    if end > len(view):
        raise MalformedError(f"the record is malformed: {end} bytes announced, {len(view)} there")
    reader = Reader(view[end:], memoryview(bytearray(view[_START:end])))
    try:
        value = reader.read(reader.plain)
        reader.finish()
    except MalformedError as error:
        raise MalformedError(f"the record is malformed: {error}") from error
    return value
