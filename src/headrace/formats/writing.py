"""How files are written: all of a file or nothing, by one process at a time, never over another one.

Beside the target ``photos.lmdb`` there are, while it is written:

* ``.photos.lmdb.lock``, locked by the one process that writes (the lock ends with it, however it ends);
* ``.photos.lmdb.part``, the file as far as it is written; when it is complete, it is synced and renamed;
* ``.photos.lmdb.resume``, for formats that can go on: how much of the part is safe, and where the flow stood then.

A folder that is replaced by a new one is called ``.photos.old`` until the new one has its name.

What goes to a URL is written to a file in the folder for temporary files first, and sent when it is complete.

A format brings a `Sink`; everything else is here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from .._checks import known_length
from .._progress import progress_bar
from ..errors import FormatError
from ..flow import DataFlow, as_flow
from .urls import is_url, refuse_existing, upload

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["PathLike", "Sink", "Target", "save", "write_atomically"]

PathLike = str | os.PathLike[str]

_CHECKPOINT_S = 5.0


class Sink(Protocol):
    """Where datapoints of one format go."""

    def write(self, datapoint: Any) -> None:
        """Take a datapoint. One that does not fit the format is a TypeError or ValueError."""

    def flush(self) -> Any:
        """Make safe what was taken.

        Returns:
            Plain data: what to give to a new sink on this file so that it goes on from here. None: it cannot.
        """

    def close(self) -> None:
        """Complete the file."""

    def abandon(self) -> None:
        """Close it as it is."""


def save(
    df: Any,
    path: PathLike,
    open_sink: Callable[[Path, Any], Sink],
    *,
    progress: bool = True,
    overwrite: bool = False,
    resume: bool = False,
    flush_every: int | None = None,
    folder: bool = False,
) -> int:
    """Write one pass of a flow into a file.

    Args:
        df: the flow.
        path: the file, or a URL for fsspec; it appears when it is complete.
        open_sink: makes the sink on a new file, or on an unfinished one and what `Sink.flush` said.
        progress: whether there is a progress bar on stderr.
        overwrite: whether a file that exists is replaced (when the new one is complete), and an unfinished one is
            thrown away (but not under ``resume``).
        resume: whether to go on with an unfinished file, if there is one.
        flush_every: datapoints between two flushes at most; by default, only the time counts.
        folder: whether it is a folder that is written.

    Returns:
        How many datapoints the file holds.

    Raises:
        FileExistsError: the file exists, or an unfinished one does, and neither argument allows for that.
        FileNotFoundError: there is no such folder to write into.
        IsADirectoryError, NotADirectoryError: a folder shall be replaced by a file, or a file by a folder.
        BlockingIOError: another process is writing it.
        StateError: under ``resume``, the unfinished file is of another flow.
        OSError: the disk is full, and so on. What was written stays for ``resume``, where the format can go on.
        ValueError: ``resume`` with a URL: nothing unfinished is kept there.
    """
    if is_url(path):
        how = {"progress": progress, "flush_every": flush_every}
        return _save_to_url(df, path, open_sink, overwrite=overwrite, resume=resume, **how)
    flow = as_flow(df)
    with Target(path, overwrite=overwrite, resume=resume, folder=folder) as target:
        journal = _Journal(target, flow)
        sink = open_sink(target.part, journal.position)
        bar = progress_bar(total=known_length(flow), initial=journal.count, disable=not progress, desc=target.path.name)
        try:
            with bar:
                _write_all(flow, sink, journal, bar, flush_every)
            sink.close()
        except BaseException as error:
            with contextlib.suppress(Exception):  # what was safe before stays so
                journal.write(sink)
            sink.abandon()
            target.keep(error)
            raise
        target.commit()
    return journal.count


def _save_to_url(
    df: Any, url: str, open_sink: Callable[[Path, Any], Sink], *, overwrite: bool, resume: bool, **how: Any
) -> int:
    if resume:
        raise ValueError(f"{url}: resume=True: only an unfinished file on this machine can be gone on with")
    if not overwrite:
        refuse_existing(url)
    folder = tempfile.mkdtemp(prefix="headrace-")
    try:
        local = Path(folder, url.rpartition("/")[2])
        count = save(df, local, open_sink, **how)
    except BaseException:
        shutil.rmtree(folder)
        raise
    try:
        upload(local, url, overwrite)
    except BaseException as error:
        error.add_note(f"the file is complete, and was kept as {local}; it could not be brought to {url}")
        raise
    shutil.rmtree(folder)
    return count


def _write_all(flow: DataFlow, sink: Sink, journal: _Journal, bar: tqdm[Any], flush_every: int | None) -> None:
    datapoints = iter(flow)
    for _ in range(journal.skip):
        next(datapoints)
    due = time.monotonic() + _CHECKPOINT_S
    for datapoint in datapoints:
        try:
            sink.write(datapoint)
        except (TypeError, ValueError) as error:
            error.add_note(f"this was datapoint {journal.count} of the flow, on its way to {journal.target.path}")
            raise
        journal.count += 1
        bar.update()
        if (flush_every is not None and journal.count % flush_every == 0) or time.monotonic() > due:
            journal.advance()
            journal.write(sink)
            due = time.monotonic() + _CHECKPOINT_S


class _Journal:
    """What is saved beside an unfinished file.

    Attributes:
        count: datapoints that the file has taken.
        skip: how many of them came after the flow stood where it was saved.
        position: what `Sink.flush` said then.
    """

    def __init__(self, target: Target, flow: DataFlow):
        self.target = target
        self._flow = flow
        saved = target.saved
        if saved is not None:
            flow.load_state_dict(saved["flow"])
        self._state = flow.state_dict()
        self.count: int = saved["datapoints"] if saved is not None else 0
        self._count_then = self.count - (saved["skip"] if saved is not None else 0)
        self.position = saved["position"] if saved is not None else None

    @property
    def skip(self) -> int:
        return self.count - self._count_then

    def advance(self) -> None:
        """Between two datapoints: note where the flow stands. (After an error nobody can tell; then it is counted.)"""
        self._state = self._flow.state_dict()
        self._count_then = self.count

    def write(self, sink: Sink) -> None:
        position = sink.flush()
        if position is None:
            return
        entry = {"datapoints": self.count, "skip": self.skip, "position": position, "flow": self._state}
        try:
            text = json.dumps(entry)
        except TypeError:
            return  # the flow holds datapoints that JSON does not know: this file cannot be resumed
        write_atomically(self.target.journal, text.encode())


class Target:
    """A file that is being written; see the module.

    Args:
        path: what it shall be in the end.
        overwrite: see `save`.
        resume: see `save`.
        wait: whether to wait for another process that is writing it.
        folder: see `save`.

    Attributes:
        path: what it shall be in the end.
        part: what it is until then.
        journal: where it is said how to go on.
        saved: what was said there; None: begin.
    """

    def __init__(self, path: PathLike, *, overwrite: bool, resume: bool, wait: bool = False, folder: bool = False):
        self.path = Path(path)
        if not self.path.name:
            raise ValueError(f"expected the path of a file, got {os.fspath(path)!r}")
        self.part, self.journal, self._lock_path = (
            self.path.with_name(f".{self.path.name}.{suffix}") for suffix in ("part", "resume", "lock")
        )
        self.saved: dict[str, Any] | None = None
        self._overwrite, self._resume, self._wait, self._folder = overwrite, resume, wait, folder
        self._lock: int | None = None

    def __enter__(self) -> Target:
        if not self.path.parent.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder to write into", str(self.path.parent))
        self._lock = _lock(self._lock_path, self.path, self._wait)
        try:
            self._begin()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()

    def _begin(self) -> None:
        if os.path.lexists(self.path):
            if not self._overwrite:
                raise FileExistsError(errno.EEXIST, "it exists; overwrite=True replaces it", str(self.path))
            self._refuse_other_kind()
        if self.journal.exists() and self.part.exists():
            saved = self._read_journal()
            if self._resume:
                self.saved = saved
                return
            if not self._overwrite:
                raise FileExistsError(
                    errno.EEXIST,
                    f"an unfinished file with {saved['datapoints']} datapoints is there; resume=True goes on with it, "
                    "overwrite=True throws it away",
                    str(self.part),
                )
        self._discard()

    def _refuse_other_kind(self) -> None:
        """Who overwrites a file does not mean a folder with all that is in it."""
        if self.path.is_dir() and not self._folder:
            raise IsADirectoryError(errno.EISDIR, "it is a folder, which a file does not replace", str(self.path))
        if self._folder and not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, which a folder does not replace", str(self.path))

    def _read_journal(self) -> dict[str, Any]:
        try:
            saved = json.loads(self.journal.read_bytes())
            return {name: saved[name] for name in ("datapoints", "skip", "position", "flow")}
        except (ValueError, KeyError, TypeError) as error:
            if self._overwrite:
                return {"datapoints": 0}
            raise FormatError(f"{self.journal}: not what was saved beside an unfinished file ({error})") from None

    def _discard(self) -> None:
        self.journal.unlink(missing_ok=True)
        _remove(self.part)

    def keep(self, error: BaseException) -> None:
        """Writing failed: leave what can be gone on with, and say so."""
        count = self._read_journal()["datapoints"] if self.journal.exists() else 0
        if count:
            error.add_note(f"{count} datapoints are safe in {self.part}; saving with resume=True goes on with it")
        else:
            self._discard()

    def commit(self) -> None:
        """It is complete."""
        _sync(self.part)
        if os.path.lexists(self.path) and not self._overwrite:  # not one of us: we would have the lock
            raise FileExistsError(errno.EEXIST, f"it has come into being; the new one is {self.part}", str(self.path))
        if self.path.is_dir():
            self._replace_folder()
        else:
            os.replace(self.part, self.path)
            _sync(self.path.parent)
        self.journal.unlink(missing_ok=True)

    def _replace_folder(self) -> None:
        """In two steps, since there is no one for it; neither removes anything."""
        old = self.path.with_name(f".{self.path.name}.old")
        _remove(old)
        os.rename(self.path, old)
        os.rename(self.part, self.path)
        _sync(self.path.parent)
        _remove(old)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _lock(path: Path, target: Path, wait: bool) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            current = os.stat(path)
        except BlockingIOError:
            holder = os.read(fd, 20).decode(errors="replace")
            os.close(fd)
            who = f"process {holder}" if holder else "another process"
            raise BlockingIOError(errno.EWOULDBLOCK, f"{who} is writing it", str(target)) from None
        except FileNotFoundError:
            os.close(fd)  # the one who had it has removed it
            continue
        if os.path.samestat(current, os.fstat(fd)):
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            return fd
        os.close(fd)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file: all of it, or nothing."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(new, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
