r"""Datapoints as bytes, in a form in which no code can travel.

What can be written: None, bool, int, float, complex, str, bytes, list, tuple, dict (with keys of these), numpy arrays
and scalars of any dtype without objects. Nothing else can come out either, whoever made the bytes. A *record* begins
with eight bytes::

    magic "\x93HR"  version (1 byte)  CRC-32 of the rest (4 bytes, little-endian)  value

A value is one byte that tells its kind, and its content; numbers are little-endian, lengths are 8 bytes:

    N T F               None, True, False
    i d c               int of 8 bytes, float of 8, complex of 16
    I s b               length and bytes: a larger int, a str (UTF-8), bytes
    l t m               count and values: list, tuple, dict (keys and values in turn)
    a                   dtype (a value: its string, or a list of fields), shape (a tuple), length and bytes of an array
    g                   the same of a scalar
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.format import descr_to_dtype

__all__ = ["MAGIC", "decode", "encode"]

MAGIC = b"\x93HR"
VERSION = 1
MAX_DEPTH = 64

_Q = struct.Struct("<Q")
_INT = struct.Struct("<q")
_FLOAT = struct.Struct("<d")
_COMPLEX = struct.Struct("<dd")
_HEAD = struct.Struct("<3sBI")


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
    parts: list[bytes | memoryview] = [b""]
    try:
        _write(value, parts, 0)
    except _NotPlain as error:
        raise TypeError(f"{error}" if error.args[0][0] != " " else f"it{error}") from None
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    parts[0] = _HEAD.pack(MAGIC, VERSION, crc)
    return b"".join(parts)


def decode(record: bytes | memoryview) -> Any:
    """The value of a record. Arrays are new, writable ones.

    Raises:
        ValueError: it is no record, of another version, or damaged.
    """
    if len(record) < _HEAD.size or bytes(record[:3]) != MAGIC:
        raise ValueError(f"it does not begin as a record of headrace, but with {bytes(record[:8])!r}")
    _, version, crc = _HEAD.unpack_from(record)
    if version != VERSION:
        raise ValueError(f"the record has version {version}, this headrace reads version {VERSION}")
    body = memoryview(record)[_HEAD.size :]
    if zlib.crc32(body) != crc:
        raise ValueError("the checksum of the record does not match: it is damaged")
    try:
        value, end = _read(body, 0, 0)
    except (LookupError, struct.error, UnicodeDecodeError, TypeError, OverflowError, SyntaxError) as error:
        raise ValueError(f"the record is malformed: {error}") from error
    if end != len(body):
        raise ValueError(f"the record is malformed: {len(body) - end} bytes are left over")
    return value


def _write(value: Any, parts: list[bytes | memoryview], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    kind = type(value)
    if value is None or kind is bool:
        parts.append(b"N" if value is None else b"T" if value else b"F")
    elif kind is int:
        if -(2**63) <= value < 2**63:
            parts.append(b"i" + _INT.pack(value))
        else:
            _write_bytes(b"I", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True), parts)
    elif kind is float:
        parts.append(b"d" + _FLOAT.pack(value))
    elif kind is complex:
        parts.append(b"c" + _COMPLEX.pack(value.real, value.imag))
    elif kind is str:
        _write_bytes(b"s", value.encode("utf-8", "surrogatepass"), parts)
    elif kind is bytes:
        _write_bytes(b"b", value, parts)
    elif kind is list or kind is tuple:
        parts.append((b"l" if kind is list else b"t") + _Q.pack(len(value)))
        for index, item in enumerate(value):
            _inside(item, f"[{index}]", parts, depth)
    elif kind is dict:
        parts.append(b"m" + _Q.pack(len(value)))
        for key, item in value.items():
            _inside(key, f" key {key!r:.40}", parts, depth)
            _inside(item, f"[{key!r:.40}]", parts, depth)
    elif (kind is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject:
        _write_array(value, parts, depth)
    else:
        name = f"{kind.__name__} of dtype {value.dtype}" if isinstance(value, np.ndarray) else kind.__name__
        raise _NotPlain(f" is a {name}, which only pickle can store")


class _NotPlain(TypeError):
    """The text, which grows by the way to the culprit as the call stack unwinds."""


def _inside(value: Any, where: str, parts: list[bytes | memoryview], depth: int) -> None:
    try:
        _write(value, parts, depth + 1)
    except _NotPlain as error:
        raise _NotPlain(where + str(error)) from None


def _write_bytes(kind: bytes, data: bytes | memoryview, parts: list[bytes | memoryview]) -> None:
    parts.append(kind + _Q.pack(len(data)))
    parts.append(data)


def _write_array(value: Any, parts: list[bytes | memoryview], depth: int) -> None:
    parts.append(b"a" if type(value) is np.ndarray else b"g")
    dtype = value.dtype
    _write(dtype.str if dtype.names is None else _plain_fields(dtype), parts, depth)
    _write(tuple(int(n) for n in value.shape), parts, depth)
    _write_bytes(b"", np.asarray(value).tobytes(), parts)


def _plain_fields(dtype: np.dtype[Any]) -> list[Any]:
    # As np.dtype.descr has it: (name, type) or (name, type, shape), without code; padding is a nameless field.
    def plain(entry: Any) -> Any:
        return [plain(e) for e in entry] if isinstance(entry, list) else entry

    return [tuple(plain(part) for part in field) for field in dtype.descr]


def _read(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise ValueError(f"the record is malformed: nested more than {MAX_DEPTH} levels deep")
    reader = _READERS.get(data[at])
    if reader is None:
        raise ValueError(f"the record is malformed: there is no kind {data[at]}")
    return reader(data, at + 1, depth)


def _length(data: memoryview, at: int) -> tuple[int, int]:
    length = _Q.unpack_from(data, at)[0]
    if length > len(data) - at - 8:  # before anything is allocated
        raise ValueError(f"the record is malformed: {length} bytes or items announced, {len(data) - at - 8} left")
    return length, at + 8


def _bytes(data: memoryview, at: int) -> tuple[memoryview, int]:
    length, at = _length(data, at)
    return data[at : at + length], at + length


def _read_bigint(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    raw, at = _bytes(data, at)
    return int.from_bytes(raw, "little", signed=True), at


def _read_complex(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    return complex(*_COMPLEX.unpack_from(data, at)), at + 16


def _read_str(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    raw, at = _bytes(data, at)
    return str(raw, "utf-8", "surrogatepass"), at


def _read_bytes(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    raw, at = _bytes(data, at)
    return bytes(raw), at


def _read_list(data: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    count, at = _length(data, at)
    items = []
    for _ in range(count):
        item, at = _read(data, at, depth + 1)
        items.append(item)
    return items, at


def _read_tuple(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    items, at = _read_list(data, at, depth)
    return tuple(items), at


def _read_dict(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    count, at = _length(data, at)
    items = {}
    for _ in range(count):
        key, at = _read(data, at, depth + 1)
        items[key], at = _read(data, at, depth + 1)
    return items, at


def _read_array(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    spec, at = _read(data, at, depth)
    shape, at = _read(data, at, depth)
    raw, at = _bytes(data, at)
    dtype = descr_to_dtype(spec)
    if dtype.hasobject:
        raise ValueError("the record is malformed: an array of objects")
    if not (type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)):
        raise ValueError(f"the record is malformed: shape {shape!r:.60}")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"the record is malformed: {len(raw)} bytes for shape {shape} of {dtype}")
    return np.ndarray(shape, dtype, bytearray(raw)), at


def _read_scalar(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    array, at = _read_array(data, at, depth)
    return array[()], at


_Reader = Callable[[memoryview, int, int], tuple[Any, int]]

_READERS: dict[int, _Reader] = {
    ord("N"): lambda data, at, depth: (None, at),
    ord("T"): lambda data, at, depth: (True, at),
    ord("F"): lambda data, at, depth: (False, at),
    ord("i"): lambda data, at, depth: (_INT.unpack_from(data, at)[0], at + 8),
    ord("d"): lambda data, at, depth: (_FLOAT.unpack_from(data, at)[0], at + 8),
    ord("c"): _read_complex,
    ord("I"): _read_bigint,
    ord("s"): _read_str,
    ord("b"): _read_bytes,
    ord("l"): _read_list,
    ord("t"): _read_tuple,
    ord("m"): _read_dict,
    ord("a"): _read_array,
    ord("g"): _read_scalar,
}
