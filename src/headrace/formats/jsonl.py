"""JSON lines: one JSON value in each line (https://jsonlines.org)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..parallel.policy import OnErrorChoice
from .files import AppendedFile, File, FilesReader, Index
from .writing import PathLike, save

__all__ = ["JSONLinesData", "JSONLinesSerializer"]

_BLOCK_BYTES = 1 << 20
_COMPRESSED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # as gzip and zstd begin
_SPACES = np.frombuffer(b" \t\r", np.uint8)  # what JSON has besides line ends


class JSONLinesData(FilesReader):
    """The lines of JSON lines files, parsed. Blank lines do not count.

    Args:
        paths: a file, a pattern such as ``"train-*.jsonl"``, or a list of these; also URLs, see `WebDatasetData`.
        shuffle: whether each pass is in another order: that of the files, and within each file that of the lines.
        on_error: see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each line once per pass, in the order of the files unless shuffled. When it is opened, the
    files are searched for line ends once; then it has a length, and resumes in O(1).

    Raises:
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: a line is no JSON; names file and offset.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/lines.jsonl"
        >>> hr.JSONLinesSerializer.save(hr.DataFromList([{"a": 1}, [2]], shuffle=False), path, progress=False)
        2
        >>> list(hr.JSONLinesData(path))
        [{'a': 1}, [2]]
        >>> folder.cleanup()
    """

    def _scan(self, file: File, damage: list[Exception]) -> Index:
        if file.read(0, min(4, file.size)).startswith(_COMPRESSED):
            raise file.error(0, "this is no JSON (it is compressed: unpack it first)")
        newlines, indented = [np.array([-1], np.int64)], []
        last = -1
        for at in range(0, file.size, _BLOCK_BYTES):
            block = np.frombuffer(file.read(at, min(_BLOCK_BYTES, file.size - at)), np.uint8)
            found = np.flatnonzero(block == ord("\n")) + at
            begins = np.append(last, found) + 1
            begins = begins[(begins >= at) & (begins < at + len(block))]
            indented.append(begins[np.isin(block[begins - at], _SPACES)])
            newlines.append(found)
            last = int(found[-1]) if len(found) else last
        newlines.append(np.array([file.size], np.int64))
        ends = np.concatenate(newlines)
        offsets, sizes = ends[:-1] + 1, np.diff(ends) - 1
        full = sizes > 0
        for line in np.searchsorted(offsets, np.concatenate(indented)) if indented else ():
            full[line] = not file.read(int(offsets[line]), int(sizes[line])).isspace()
        return Index(offsets[full], sizes[full])

    def _read(self, file: File, index: Index, number: int) -> Any:
        offset = int(index.offsets[number])
        line = file.read(offset, int(index.sizes[number]))
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise file.error(offset, f"this line is no JSON: {error}") from error


class JSONLinesSerializer:
    """Save a flow as JSON lines, and load it. JSON has no tuples and no arrays: both come back as lists. Keys that are
    numbers come back as str. NaN and infinities are written as Python writes them, which not all programs read.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/lines.jsonl"
        >>> hr.JSONLinesSerializer.save(hr.DataFromList([["é", 1.5]], shuffle=False), path, progress=False)
        1
        >>> list(hr.JSONLinesSerializer.load(path))
        [['é', 1.5]]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, *, progress: bool = True, overwrite: bool = False, resume: bool = False) -> int:
        """Write one pass of a flow of JSON values (and numpy arrays and scalars).

        Args:
            df: the flow.
            path: the file.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.
            resume: see `LMDBSerializer.save`.

        Returns:
            How many datapoints the file holds.

        Raises:
            Exception: see `LMDBSerializer.save`.
        """
        return save(df, path, _Sink, progress=progress, overwrite=overwrite, resume=resume)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False, *, on_error: OnErrorChoice = "raise") -> JSONLinesData:
        """See `JSONLinesData`."""
        return JSONLinesData(path, shuffle, on_error)


class _Sink(AppendedFile):
    def __init__(self, path: Path, position: int | None):
        super().__init__(path, position)

    def write(self, datapoint: Any) -> None:
        try:
            line = _line(datapoint)
        except TypeError as error:
            raise TypeError(f"{_component(datapoint)}{error}") from None
        self.file.write(line)


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=_as_json).encode() + b"\n"


def _component(datapoint: Any) -> str:
    """Which one JSON has no words for, for messages."""
    if not isinstance(datapoint, (dict, list, tuple)):
        return ""
    for key, part in datapoint.items() if isinstance(datapoint, dict) else enumerate(datapoint):
        try:
            _line(part)
        except TypeError:
            return f"component {key!r}: "
    return ""


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return value.tolist()
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return value.item()
    raise TypeError(f"JSON has no {type(value).__name__}")
