"""Files as readers see them: found by name, read at any offset, many of them as the shards of one data set."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .reader import Reader, check_there
from .urls import filesystem, find_urls, is_url
from .writing import PathLike

__all__ = ["AppendedFile", "File", "FilesReader", "Index", "Shards", "find", "locate", "open_file"]

_OPEN_FILES = 32
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


def find(paths: PathLike | Iterable[PathLike], *, urls: bool = False) -> list[str]:
    """The files that the argument of a reader names: one, several, or a pattern.

    Patterns are ``"train-*.tar"``, and ``"train-{000000..000146}.tar"`` as WebDataset writes it.

    Args:
        paths: the argument.
        urls: whether the reader reads files by URL, too.

    Returns:
        Their paths; those of a pattern in alphabetical order.

    Raises:
        TypeError: it names no files.
        ValueError: there are none, numbers count backwards, or there is a URL and the format is not read by URL.
        FormatError: what is there is neither a file nor a folder.
        FileNotFoundError: nothing matches the pattern, or one does not exist.
    """
    several = isinstance(paths, Iterable) and not isinstance(paths, (str, bytes, os.PathLike))
    found: list[str] = []
    for entry in paths if several else [paths]:  # type: ignore[union-attr]
        if not isinstance(entry, (str, os.PathLike)):
            raise TypeError(f"expected a path, a pattern or a list of these, got {type(entry).__name__}: {entry!r:.60}")
        path = os.fspath(entry)
        if not os.path.lexists(path) and (numbered := _numbered(path)):
            found.extend(find(numbered, urls=urls))
        elif is_url(path):
            if not urls:
                raise ValueError(f"{path}: this format is read from files; by URL: WebDataset, TFRecord, JSON lines")
            found.extend(find_urls(path))
        elif glob.has_magic(path) and not os.path.lexists(path):
            matches = sorted(glob.glob(path))
            if not matches:
                raise FileNotFoundError(f"no file matches the pattern {path!r}")
            for match in matches:
                check_there(match)
            found.extend(matches)
        else:
            check_there(path)
            found.append(path)
    if not found:
        raise ValueError("expected at least one path, got an empty list")
    return found


def _numbered(path: str) -> list[str]:
    """The paths that ``{000..146}`` stands for; none if there is no such thing in it."""
    match = _NUMBERS.search(path)
    if match is None:
        return []
    first, last = match.groups()
    if int(first) > int(last):
        raise ValueError(f"{path}: {match.group()} counts backwards")
    width = len(first)
    return [f"{path[: match.start()]}{n:0{width}d}{path[match.end() :]}" for n in range(int(first), int(last) + 1)]


class File:
    """A file that is read at offsets; any number of threads and forked processes may use it."""

    def __init__(self, path: PathLike):
        self.path = os.fspath(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._fd)
        self._close.atexit = False
        self.size = os.fstat(self._fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset`` on.

        Raises:
            FormatError: the file ends before, or cannot be read there.
        """
        try:
            data = os.pread(self._fd, size, offset)
            while len(data) < size:
                more = os.pread(self._fd, size - len(data), offset + len(data))
                if not more:
                    raise self.error(offset, f"the file ends after {len(data)} of {size} bytes")
                data += more
        except OSError as error:
            raise self.error(offset, f"it cannot be read: {error.strerror}") from error
        return data

    def stream(self) -> IO[bytes]:
        """It once more, to be read from the beginning by others' code, and closed."""
        return open(self.path, "rb")

    def error(self, offset: int, what: str) -> FormatError:
        """An error about a place in this file, to be raised."""
        return FormatError(f"{self.path}: at byte {offset}: {what}")

    def close(self) -> None:
        """Close it."""
        self._close()
        self._fd = -1


class RemoteFile(File):
    """A file by URL. A forked process opens its own.

    Args:
        path: the URL.
        in_order: whether it is read from the beginning to the end, so that reading ahead pays.
    """

    def __init__(self, path: str, in_order: bool):
        self.path = path
        self._fs, self._name = filesystem(path)
        self._cache = "readahead" if in_order else "none"
        self._lock = threading.Lock()  # seek and read belong together
        try:
            self._file = self._open()
            size = self._file.seek(0, os.SEEK_END)
        except FileNotFoundError:
            raise
        except Exception as error:  # each kind of file system has its own
            raise FormatError(f"{path}: it cannot be opened: {_text(error)}") from error
        self.size = int(size)

    def _open(self) -> Any:
        return self._fs.open(self._name, "rb", cache_type=self._cache)

    def read(self, offset: int, size: int) -> bytes:
        """See `File.read`."""
        try:
            with self._lock:
                self._file.seek(offset)
                data: bytes = self._file.read(size)
        except Exception as error:
            raise self.error(offset, f"it cannot be read: {_text(error)}") from error
        if len(data) < size:
            raise self.error(offset, f"the file ends after {len(data)} of {size} bytes")
        return data

    def stream(self) -> IO[bytes]:
        """See `File.stream`."""
        stream: IO[bytes] = self._open()
        return stream

    def close(self) -> None:
        """See `File.close`."""
        self._file.close()


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def open_file(path: str, in_order: bool) -> File:
    """A file on this machine, or by URL."""
    return RemoteFile(path, in_order) if is_url(path) else File(path)


@dataclasses.dataclass(frozen=True)
class Index:
    """Where the records of a file lie.

    Attributes:
        offsets: in bytes.
        sizes: in bytes.
        more: what else the format needs to know.
    """

    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    more: Any = None


Scan = Callable[[File, list[Exception]], Index]
Read = Callable[[File, Index, int], Any]


class Shards:
    """The records of several files, one after the other; see `Records`.

    Args:
        paths: the files.
        scan: finds the records of a file; what it cannot read from, it adds to a list.
        read: reads a record.
        in_order: whether records are read mostly one after the other.
        known: the indices from an earlier time, and what was damaged then.
    """

    def __init__(
        self,
        paths: list[str],
        scan: Scan,
        read: Read,
        in_order: bool,
        known: tuple[list[Index], list[Exception]] | None = None,
    ):
        self._paths, self._read, self._in_order = paths, read, in_order
        self._open: collections.OrderedDict[int, File] = collections.OrderedDict()
        self.indices, self.damage = known if known is not None else self._scan_all(scan)
        self.bounds = np.cumsum([0, *(len(index.offsets) for index in self.indices)])

    def _scan_all(self, scan: Scan) -> tuple[list[Index], list[Exception]]:
        indices: list[Index] = []
        damage: list[Exception] = []
        for path in self._paths:
            index = Index(np.zeros(0, np.int64), np.zeros(0, np.int64))
            try:
                file = open_file(path, in_order=True)
                try:
                    index = scan(file, damage)
                finally:
                    file.close()
            except (OSError, FormatError) as error:
                damage.append(error)
            except Exception as error:
                if not is_url(path):
                    raise
                damage.append(FormatError(f"{path}: it cannot be read: {_text(error)}"))  # see `RemoteFile`
            indices.append(index)
        return indices, damage

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def __getitem__(self, number: int) -> Any:
        shard, within = locate(self.bounds, number)
        return self._read(self._file(shard), self.indices[shard], within)

    def _file(self, shard: int) -> File:
        file = self._open.get(shard)
        if file is None:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            try:
                file = self._open[shard] = open_file(self._paths[shard], self._in_order)
            except OSError as error:
                raise FormatError(f"{self._paths[shard]}: it cannot be opened: {error.strerror}") from error
        return file

    def close(self) -> None:
        """See `Records`."""
        while self._open:
            self._open.popitem()[1].close()


class FilesReader(Reader):
    """The base of readers whose records lie one after the other in files, found by going through these once.

    Args:
        paths: see `find`.
        shuffle: see `Reader`.
        on_error: see `Reader`.
        max_errors: see `Reader`.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        shuffle: bool = False,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        self.paths = find(paths, urls=True)
        self._known: tuple[list[Index], list[Exception]] | None = None  # goes along to workers

    def _scan(self, file: File, damage: list[Exception]) -> Index:
        raise NotImplementedError

    def _read(self, file: File, index: Index, number: int) -> Any:
        raise NotImplementedError

    def _open(self) -> Shards:
        shards = Shards(self.paths, self._scan, self._read, not self.shuffle, self._known)
        self._known = shards.indices, shards.damage
        return shards


def locate(bounds: npt.NDArray[np.int64], number: int) -> tuple[int, int]:
    """Which chunk a record is in, and its number there."""
    chunk = int(np.searchsorted(bounds, number, "right")) - 1
    return chunk, number - int(bounds[chunk])


class AppendedFile:
    """A file that is written from the beginning to the end, and can be gone on with; part of a `Sink`.

    Args:
        path: the file.
        position: how many bytes of it are safe; the rest is cut off. None: a new file.
    """

    def __init__(self, path: Path, position: int | None):
        self.file = open(path, "wb" if position is None else "r+b")  # noqa: SIM115
        if position is not None:
            self.file.truncate(position)
            self.file.seek(position)

    def flush(self) -> int:
        """See `Sink`."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """See `Sink`."""
        self.file.close()

    def abandon(self) -> None:
        """See `Sink`; what is still in the buffer may not fit on the disk."""
        try:
            self.file.close()
        except OSError:
            pass
