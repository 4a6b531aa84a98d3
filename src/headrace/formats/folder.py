"""A folder of files: each file is a datapoint."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .reader import Reader, Records
from .writing import PathLike, save

__all__ = ["FolderData", "FolderSerializer"]


class FolderData(Reader):
    """The files below a folder, as dicts: ``path``, relative to the folder, and ``data``, the bytes.

    Args:
        folder: where to look, in sub-folders too. Names that begin with a dot do not count.
        pattern: what names must match, for example ``"*.jpg"``.
        shuffle: whether each pass is a new permutation.
        on_error: what happens to a file that cannot be read, see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each file that was there on first use once per pass; without ``shuffle``, in the order of their
    paths. Resumes in O(1).

    Raises:
        TypeError, ValueError, FileNotFoundError, NotADirectoryError: at construction, a bad argument or path.
        FormatError: a file cannot be read (any more).

    Example:
        >>> import headrace as hr, pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (pathlib.Path(folder) / "cat").mkdir()
        ...     _ = (pathlib.Path(folder) / "cat" / "1.txt").write_text("meow")
        ...     list(hr.FolderData(folder))
        [{'path': 'cat/1.txt', 'data': b'meow'}]
    """

    def __init__(
        self,
        folder: PathLike,
        pattern: str = "*",
        shuffle: bool = False,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        self.folder = os.fspath(folder)
        if not os.path.isdir(self.folder):
            os.stat(self.folder)
            raise NotADirectoryError(f"FolderData reads a folder, got a file: {self.folder!r}")
        self.pattern = pattern
        self._known: list[str] | None = None  # goes along to workers: all have to see the same files

    def _open(self) -> Records:
        if self._known is None:
            self._known = sorted(_walk(self.folder, self.pattern))
        return _Files(self.folder, self._known)


def _walk(folder: str, pattern: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error  # a folder that cannot be listed is no empty one

    found = []
    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(here, name).relative_to(folder).as_posix()
            for name in names
            if not name.startswith(".") and PurePosixPath(name).match(pattern)
        ]
    return found


def _content(path: Path) -> bytes:
    """The bytes of a regular file; from a FIFO or a device they might never come, or never end.

    Raises:
        OSError: it is something else, or cannot be read.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read()


class _Files:
    bounds = None

    def __init__(self, folder: str, paths: list[str]):
        self.damage: list[Exception] = []
        self._folder, self._paths = folder, paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> dict[str, Any]:
        path = self._paths[number]
        try:
            return {"path": path, "data": _content(Path(self._folder, path))}
        except OSError as error:
            raise FormatError(f"{Path(self._folder, path)}: it cannot be read: {error.strerror}") from error

    def close(self) -> None:
        pass


class FolderSerializer:
    """Save a flow of ``{"path": ..., "data": ...}`` as files in a new folder, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> ds = hr.DataFromList([{"path": "a/1.txt", "data": b"one"}], shuffle=False)
        >>> hr.FolderSerializer.save(ds, f"{folder.name}/out", progress=False)
        1
        >>> list(hr.FolderSerializer.load(f"{folder.name}/out"))
        [{'path': 'a/1.txt', 'data': b'one'}]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, *, progress: bool = True, overwrite: bool = False) -> int:
        """Write one pass of a flow. The folder appears when it is complete; an unfinished one cannot be gone on with.

        Args:
            df: the flow; ``data`` is bytes, ``path`` stays below the folder.
            path: the folder.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.

        Returns:
            How many files there are.

        Raises:
            TypeError, ValueError: a datapoint is something else, its path leads out of the folder, begins with a dot,
                or has come before.
            Exception: see `LMDBSerializer.save`.
        """
        return save(df, path, lambda part, _: _Sink(part), progress=progress, overwrite=overwrite, folder=True)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False, *, on_error: OnErrorChoice = "raise") -> FolderData:
        """See `FolderData`."""
        return FolderData(path, shuffle=shuffle, on_error=on_error)


class _Sink:
    """See `Sink`."""

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir()

    def write(self, datapoint: Any) -> None:
        if not isinstance(datapoint, dict) or datapoint.keys() != {"path", "data"}:
            raise TypeError(
                f'expected {{"path": str, "data": bytes}}, got {type(datapoint).__name__}: {datapoint!r:.60}'
            )
        name, data = datapoint["path"], datapoint["data"]
        if not isinstance(name, str) or not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"path must be str and data bytes, got {type(name).__name__} and {type(data).__name__}")
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or any(part.startswith(".") for part in path.parts):
            raise ValueError(f"the path must lead to a visible file below the folder, got {name!r}")
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(target, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise ValueError(f"the path {name!r} comes twice") from None

    def flush(self) -> None:
        """A folder cannot be gone on with."""

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        shutil.rmtree(self._folder)
