"""Fuzz the decoder with coverage, outside of the suite.

``pip install atheris; python fuzz_codec.py -max_total_time=600``. Whatever comes, there is a value or a `WireError`: no
other error, no hang (10 s), no memory blow-up (512 MB).
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

_HEADER = struct.Struct("!4sHBx16sQQI")


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
    from headrace.remote.codec import WireError, decode
    from headrace.remote.wire import unpack

    if not data:
        return
    kind, rest = data[0] % 4, data[1:]
    try:
        if kind == 0:
            unpack(memoryview(rest)).value()
        elif kind == 3:
            pieces = iter(rest)
            decode(json.dumps(_scrap(pieces, 0)).encode(), memoryview(bytes(pieces)))
        elif kind == 1:
            text, _, body = rest.partition(b"\0")
            decode(text, memoryview(body))
        else:
            length = min(len(rest), data[0])
            total = 48 + len(rest)
            header = _HEADER.pack(b"hdrc", 1, 5, bytes(16), 0, total, length)
            check = struct.pack("!I", zlib.crc32(rest[:length], zlib.crc32(header)))
            unpack(memoryview(bytearray(header + check + rest))).value()
    except WireError:
        pass


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["headrace.remote"]):
        import headrace.remote.codec
        import headrace.remote.wire  # noqa: F401
    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=512", *sys.argv[1:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
