r"""Caches: the file of `DiskCache`: records, an index, and a trailer that shows that it is complete.

::

    magic "HRCACHE\n" | u32 length, u32 crc32 | header: JSON {version, fingerprint}
    u64 length, u32 crc32 | record 0: a datapoint, see `records`
    u64 length, u32 crc32 | record 1
    ...
    u64 offset of record 0, of record 1, ...
    u64 offset of the index | u64 count | content: 16 bytes | u32 crc32 of all that since the records | "HRCACHE."

All numbers are little-endian. The content is a BLAKE2 digest of the lengths and checksums of all records.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from typing import Any

import numpy as np

from ..errors import FormatError
from ..plain_codec.records import encode
from ..state import difference
from .records import pack, unpack
from .writing import Target

__all__ = ["CacheReader", "CacheWriter"]

VERSION = 1

_MAGIC = b"HRCACHE\n"
_END = b"HRCACHE."
_HEAD = struct.Struct("<II")
_RECORD = struct.Struct("<QI")
_SUMMARY = struct.Struct("<QQ16s")
_LAST = struct.Struct("<I8s")
_TRAILER_BYTES = _SUMMARY.size + _LAST.size
_BUFFER_BYTES = 1 << 20


class CacheReader:
    """Random access to the records of a complete file.

    Args:
        path: of the file.
        fingerprint: the pipeline it has to be for.
        allow_pickle: whether records may be pickles.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is none of ours, of another version or pipeline, or damaged.
    """

    def __init__(self, path: str, fingerprint: list[str], allow_pickle: bool):
        self._path = path
        self._allow_pickle = allow_pickle
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._check_header(fingerprint)
            self._read_index()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> Any:
        offset = int(self._offsets[number])
        where = f"record {number}, at byte {offset}"
        length, checksum = _RECORD.unpack(self._bytes(offset, _RECORD.size, where))
        payload = self._bytes(offset + _RECORD.size, length, where)
        if zlib.crc32(payload) != checksum:
            raise self._damaged(f"the checksum of {where}, does not match")
        try:
            return unpack(payload, self._allow_pickle)
        except ValueError as error:
            raise FormatError(f"{self._path}: {where}: {error}") from error

    def __enter__(self) -> CacheReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _check_header(self, fingerprint: list[str]) -> None:
        start = os.pread(self._fd, len(_MAGIC), 0)
        if start != _MAGIC:
            raise FormatError(
                f"{self._path}: no cache of headrace, it begins with {start!r}; it was left as it is. "
                "Give DiskCache another path, or delete the file"
            )
        length, checksum = _HEAD.unpack(self._bytes(len(_MAGIC), _HEAD.size, "the header"))
        text = self._bytes(len(_MAGIC) + _HEAD.size, length, "the header")
        if zlib.crc32(text) != checksum:
            raise self._damaged("the checksum of the header does not match")
        header = json.loads(text)
        if header["version"] != VERSION:
            raise FormatError(
                f"{self._path}: it has version {header['version']}, this headrace reads version {VERSION}; delete it, "
                "or read it with the release that wrote it"
            )
        if header["fingerprint"] != fingerprint:
            raise FormatError(
                f"{self._path}: written for another pipeline; take another path, or delete it:\n"
                + difference(header["fingerprint"], fingerprint)
            )

    def _read_index(self) -> None:
        size = os.fstat(self._fd).st_size
        trailer = os.pread(self._fd, _TRAILER_BYTES, max(0, size - _TRAILER_BYTES))
        if len(trailer) < _TRAILER_BYTES or trailer[-len(_END) :] != _END:
            raise self._damaged(
                f"it ends at byte {size} without a trailer: it was truncated, or something was appended"
            )
        summary = trailer[: _SUMMARY.size]
        checksum, _ = _LAST.unpack(trailer[_SUMMARY.size :])
        offset, count, content = _SUMMARY.unpack(summary)
        if offset + 8 * count + _TRAILER_BYTES != size:
            raise self._damaged(f"the trailer tells of {count} records and an index at byte {offset}, of {size}")
        index = self._bytes(offset, 8 * count, "the index")
        if zlib.crc32(index + summary) != checksum:
            raise self._damaged(f"the checksum of the index, at byte {offset}, does not match")
        self._offsets = np.frombuffer(index, "<u8")
        self.content = content.hex()

    def _bytes(self, offset: int, length: int, what: str) -> bytes:
        if length > os.fstat(self._fd).st_size - offset:
            raise self._damaged(f"{what} would end beyond the end of the file")
        parts: list[bytes] = []
        missing = length
        while missing:  # one call reads 2 GiB at most
            part = os.pread(self._fd, missing, offset + length - missing)
            if not part:
                raise self._damaged(f"the file ends within {what}")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _damaged(self, what: str) -> FormatError:
        return FormatError(f"{self._path}: damaged: {what}; delete it, and it is written again")


class CacheWriter:
    """Writes the file; it appears when it is complete, see `Target`.

    Args:
        target: entered; it is left by `close`.
        fingerprint: of the pipeline.
        allow_pickle: whether datapoints are pickled; if not, they have to be plain data.
    """

    @classmethod
    def open(cls, path: str, fingerprint: list[str], allow_pickle: bool) -> CacheWriter | None:
        """The one writer of ``path``; None if somebody else is writing it, or has just done so."""
        target = Target(path, overwrite=False, resume=False)
        try:
            target.__enter__()
        except (BlockingIOError, FileExistsError):
            return None
        return cls(target, fingerprint, allow_pickle)

    def __init__(self, target: Target, fingerprint: list[str], allow_pickle: bool):
        self._target = target
        self._allow_pickle = allow_pickle
        self._offsets: list[int] = []
        self._content = hashlib.blake2b(digest_size=16)
        self._written = 0
        self._buffer = bytearray()
        self._fd = -1
        header = json.dumps({"version": VERSION, "fingerprint": fingerprint}).encode()
        try:
            self._fd = os.open(target.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            self._put(_MAGIC, _HEAD.pack(len(header), zlib.crc32(header)), header)
        except BaseException:
            self.close()
            raise

    def add(self, datapoint: Any) -> None:
        """Write a record.

        Raises:
            OSError: it cannot be written.
            TypeError: the datapoint holds what cannot be stored.
        """
        try:
            payload = pack(datapoint, "pickle") if self._allow_pickle else encode(datapoint)
        except TypeError as error:
            error.add_note(f"DiskCache: this was datapoint {len(self._offsets)}, on its way to {self._target.path}")
            if not self._allow_pickle:
                error.add_note("DiskCache(..., allow_pickle=True) can store other objects than plain data")
            raise
        head = _RECORD.pack(len(payload), zlib.crc32(payload))
        self._offsets.append(self._written + len(self._buffer))
        self._content.update(head)
        self._put(head, payload)

    def finish(self) -> None:
        """Make the file complete, and give it its name."""
        offset = self._written + len(self._buffer)
        index = np.array(self._offsets, "<u8").tobytes()
        summary = _SUMMARY.pack(offset, len(self._offsets), self._content.digest())
        self._put(index, summary, _LAST.pack(zlib.crc32(index + summary), _END))
        self._flush()
        self._target.commit()

    def close(self) -> None:
        """Leave the target; delete the file, if it is not complete."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._target.part.unlink(missing_ok=True)
        self._target.__exit__(None, None, None)

    def _put(self, *parts: bytes) -> None:
        for part in parts:
            self._buffer += part
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            with memoryview(self._buffer) as view:
                done = 0
                while done < len(view):
                    done += os.write(self._fd, view[done:])
        except OSError as error:
            raise OSError(error.errno, f"DiskCache: {error.strerror}", str(self._target.part)) from error
        self._written += len(self._buffer)
        self._buffer.clear()
