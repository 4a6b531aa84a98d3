"""TFRecord: records of bytes with a length and checksums, without TensorFlow.

Each record is ``length (8 bytes, little-endian), masked CRC-32C of it (4), data, masked CRC-32C of the data (4)``
(https://www.tensorflow.org/tutorials/load_data/tfrecord).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..flow import DataFlow
from ..parallel.policy import OnErrorChoice
from ..stages.fixed_size import FixedSizeData
from . import example
from .crc32c import masked
from .files import AppendedFile, File, FilesReader, Index
from .records import check_codec, pack, unpack
from .writing import PathLike, save

__all__ = ["TFRecordData", "TFRecordSerializer"]

_LENGTH = struct.Struct("<QI")
_CRC = struct.Struct("<I")


class TFRecordData(FilesReader):
    """The records of TFRecord files, as bytes or parsed.

    Args:
        paths: a file, a pattern such as ``"train-*.tfrecord"``, or a list of these; also URLs, see `WebDatasetData`.
        shuffle: whether each pass is in another order: that of the files, and within each file that of the records.
        parse: None gives the bytes; ``"example"`` parses ``tf.train.Example`` into a dict of lists of bytes, arrays of
            int64 and arrays of float32.
        on_error: see `LMDBData`. After a damaged length, the rest of a file cannot be read.
        max_errors: see `LMDBData`.

    Order and integrity: each record once per pass, in the order of the files unless shuffled; checksums are checked.
    When it is opened, the lengths of all records are read once; then it has a length, and resumes in O(1).

    Raises:
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: the file is no TFRecord file, damaged or truncated; names file and offset.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/digits.tfrecord"
        >>> ds = hr.DataFromList([{"image": b"jpeg", "label": 7}], shuffle=False)
        >>> hr.TFRecordSerializer.save(ds, path, codec="example", progress=False)
        1
        >>> list(hr.TFRecordData(path, parse="example"))
        [{'image': [b'jpeg'], 'label': array([7])}]
        >>> folder.cleanup()
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        shuffle: bool = False,
        parse: str | None = None,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(paths, shuffle, on_error, max_errors)
        if parse not in (None, "example"):
            raise ValueError(f'parse must be None or "example", got {parse!r}')
        self.parse = parse

    def _scan(self, file: File, damage: list[Exception]) -> Index:
        offsets, sizes = [], []
        at = 0
        while at < file.size:
            try:
                length = _read_length(file, at)
            except FormatError as error:
                damage.append(error)
                break
            offsets.append(at)
            sizes.append(length)
            at += 16 + length
        return Index(np.array(offsets, np.int64), np.array(sizes, np.int64))

    def _read(self, file: File, index: Index, number: int) -> Any:
        offset, size = int(index.offsets[number]), int(index.sizes[number])
        data = file.read(offset + 12, size + 4)
        record = data[:size]
        if masked(record) != _CRC.unpack(data[size:])[0]:
            raise file.error(offset, "the checksum of this record does not match: it is damaged")
        try:
            return self._parse(record)
        except ValueError as error:
            raise file.error(offset, str(error)) from error

    def _parse(self, data: bytes) -> Any:
        return data if self.parse is None else example.decode(data)


class _Saved(TFRecordData):
    """What `TFRecordSerializer` wrote."""

    def __init__(self, path: PathLike, shuffle: bool, allow_pickle: bool, on_error: OnErrorChoice):
        super().__init__(path, shuffle, on_error=on_error)
        self.allow_pickle = allow_pickle

    def _parse(self, data: bytes) -> Any:
        return unpack(data, self.allow_pickle)


def _read_length(file: File, at: int) -> int:
    head = file.read(at, _LENGTH.size)
    length, crc = _LENGTH.unpack(head)
    if masked(head[:8]) != crc:
        hint = " (it is compressed: unpack it first)" if at == 0 and head[:2] == b"\x1f\x8b" else ""
        kind = "the length of this record is damaged" if at else "this is no TFRecord file"
        raise file.error(at, f"{kind}: the checksum of the length does not match{hint}")
    if at + 16 + length > file.size:
        raise file.error(at, f"the file ends at byte {file.size}, within this record of {length} bytes")
    return int(length)


class TFRecordSerializer:
    """Save a flow as a TFRecord file, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.tfrecord"
        >>> ds = hr.DataFromList([[1, "one"], [2, "two"]], shuffle=False)
        >>> hr.TFRecordSerializer.save(ds, path, progress=False)
        2
        >>> list(hr.TFRecordSerializer.load(path))
        [[1, 'one'], [2, 'two']]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(
        df: Any,
        path: PathLike,
        codec: str = "plain",
        *,
        progress: bool = True,
        overwrite: bool = False,
        resume: bool = False,
    ) -> int:
        """Write one pass of a flow.

        Args:
            df: the flow.
            path: the file.
            codec: ``"plain"`` and ``"pickle"``: see `LMDBSerializer.save`. ``"example"``: dicts become
                ``tf.train.Example``, which any reader of TFRecord knows; components are bytes, str, numbers, or lists
                or arrays of these. ``"bytes"``: datapoints are bytes, and are written as they are.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.
            resume: see `LMDBSerializer.save`.

        Returns:
            How many datapoints the file holds.

        Raises:
            Exception: see `LMDBSerializer.save`.
        """
        make = {"example": example.encode, "bytes": _as_they_are}.get(codec)
        if make is None:
            make = functools.partial(pack, codec=check_codec(codec))
        how = {"progress": progress, "overwrite": overwrite, "resume": resume}
        return save(df, path, lambda part, position: _Sink(part, position, make), **how)

    @staticmethod
    def load(
        path: PathLike,
        size: int | None = None,
        *,
        shuffle: bool = False,
        allow_pickle: bool = False,
        on_error: OnErrorChoice = "raise",
    ) -> DataFlow:
        """The datapoints that were saved with the codec ``"plain"`` or ``"pickle"``, also by tensorpack.

        Args:
            path: see `TFRecordData`.
            size: makes passes of this size, as `FixedSizeData` does. Not needed: the flow has a length.
            shuffle: see `TFRecordData`.
            allow_pickle: see `LMDBSerializer.load`.
            on_error: see `LMDBData`.
        """
        ds = _Saved(path, shuffle, allow_pickle, on_error)
        return ds if size is None else FixedSizeData(ds, size)


def _as_they_are(datapoint: Any) -> bytes:
    if not isinstance(datapoint, (bytes, bytearray, memoryview)):
        raise TypeError(f'codec="bytes" writes datapoints of bytes, got {type(datapoint).__name__}')
    return bytes(datapoint)


class _Sink(AppendedFile):
    def __init__(self, path: Path, position: int | None, make: Any):
        super().__init__(path, position)
        self._make = make

    def write(self, datapoint: Any) -> None:
        data = self._make(datapoint)
        length = struct.pack("<Q", len(data))
        self.file.write(b"".join((length, _CRC.pack(masked(length)), data, _CRC.pack(masked(data)))))
