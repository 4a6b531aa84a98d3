"""The wire format of protocol buffers, as much as Caffe and TensorFlow records need.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["field", "fields", "varint", "varints"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """A number of up to 64 bits; a negative one as its two's complement."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, a string or a message."""
    return b"".join((varint(number << 3 | BYTES), varint(len(content)), content))


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of a message: number, wire type, and a number (varint) or bytes (all others).

    Raises:
        ValueError: it is no such message, or damaged.
    """
    data = memoryview(data)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("it is no protocol buffer: a field has number 0")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"it is no protocol buffer: field {number} is of wire type {kind}")
        if at + length > len(data):
            raise ValueError(f"the protocol buffer ends within field {number}")
        yield number, kind, data[at : at + length]
        at += length


def varints(data: memoryview) -> Iterator[int]:
    """Packed numbers, as signed ones of 64 bits."""
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield signed(value)


def signed(value: int) -> int:
    """A varint as a signed number of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("it is no protocol buffer: a number does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
