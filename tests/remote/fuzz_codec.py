"""Fuzz the decoder with coverage, outside of the suite.

``pip install atheris; python fuzz_codec.py -max_total_time=600``. Whatever comes, there is a value or a
`MalformedError`: no other error, no hang (10 s), no memory blow-up (512 MB).
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

_HEADER = struct.Struct("!4sHBx16sQIQI")


_WORDS = [
    "l",
    "t",
    "d",
    "b",
    "y",
    "u",
    "a",
    "s",
    "i",
    "c",
    "p",
    "A",
    "S",
    "C",
    "F",
    "|u1",
    "<U2",
    "<f8",
    "|V3",
    "<M8[s]",
]
_WORDS += ["|O", "x", "ff", None, True, 0.5, -1, 0, 1, 2, 4, 8, 16, 1 << 20, 1 << 40, 1 << 62]


def _scrap(pieces: Iterator[int], depth: int) -> Any:
    """A value made of what descriptions are made of."""
    piece = next(pieces, 0)
    if piece < 128 or depth > 80:
        return _WORDS[piece % len(_WORDS)]
    return [_scrap(pieces, depth + 1) for _ in range(piece % 8)]


def one(data: bytes) -> None:
    """The first byte decides where the rest goes in: as a message, behind a header that is right, or as a value."""
    from headrace.plain_codec import MalformedError
    from headrace.plain_codec.records import MAGIC
    from headrace.remote.wire import Values, unpack

    if not data:
        return
    kind, rest = data[0] % 4, data[1:]
    try:
        if kind == 0:
            _read_all(Values(unpack(memoryview(rest))))
        elif kind == 3:
            pieces = iter(rest)
            text = json.dumps(_scrap(pieces, 0)).encode()
            body = bytes(pieces)
            _read_record(MAGIC, len(body).to_bytes(8, "little") + body + text)
        elif kind == 1:
            _read_record(MAGIC, rest)
        else:
            length = min(len(rest), data[0])
            entries = rest[0] % 8 if rest else 0
            header = _HEADER.pack(b"hdrc", 2, 5, bytes(16), 0, entries, 56 + len(rest), length)
            check = struct.pack("!I", zlib.crc32(rest[len(rest) - length :], zlib.crc32(header)))
            _read_all(Values(unpack(memoryview(bytearray(header + check + bytes(4) + rest)))))
    except MalformedError:
        pass


def _read_all(values: Any) -> None:
    while values.left:
        values.next()


def _read_record(magic: bytes, rest: bytes) -> None:
    from headrace.plain_codec.records import decode

    decode(magic + b"\x02" + zlib.crc32(rest).to_bytes(4, "little") + rest)


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["headrace.remote", "headrace.plain_codec"]):
        import headrace.plain_codec.records
        import headrace.remote.wire  # noqa: F401
    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=512", *sys.argv[1:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
