"""Downloading a data set, when somebody asks for it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .._progress import progress_bar
from ..errors import FormatError
from ..formats.writing import Target

__all__ = ["Published", "fetch"]

_SILENCE_S = 60.0
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Published:
    """A file as its authors published it.

    Attributes:
        digest: of its bytes, such as ``"sha256:440fca..."``.
        urls: where it is; they are tried in turn.
        folder: for a ``.tar.gz``: the folder in it that is meant.
    """

    digest: str
    urls: tuple[str, ...]
    folder: str | None = None


def fetch(path: Path, published: Published) -> None:
    """Download a file (or the folder in an archive), unless it is there. Shows a progress bar on stderr.

    Processes that want the same file wait for the one that was first. The file appears when all of it has come and its
    checksum is right.

    Raises:
        FormatError: something else is there than was published.
        ConnectionError: it cannot be downloaded.
        OSError: it cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Target(path, overwrite=False, resume=False, wait=True) as target:
            try:
                if published.folder is None:
                    _download(published, target.part, path.name)
                else:
                    target.part.mkdir()
                    archive = target.part / ".archive"
                    _download(published, archive, path.name)
                    _unpack(archive, published.folder, target.part)
                    archive.unlink()
                target.commit()
            except BaseException as error:
                target.keep(error)
                raise
    except FileExistsError:
        pass  # while we waited, another process has brought it


def _download(published: Published, path: Path, name: str) -> None:
    errors: list[Exception] = []
    for url in published.urls:
        try:
            with open(path, "wb") as file:
                _copy(url, file, published.digest, name)
            return
        except (ConnectionError, FormatError) as error:
            errors.append(error)
    first, *others = errors
    for other in others:
        first.add_note(str(other))
    raise first


def _copy(url: str, file: IO[bytes], digest: str, name: str) -> None:
    kind, _, expected = digest.partition(":")
    seen = hashlib.new(kind, usedforsecurity=False)
    count = 0
    with progress_bar(unit="B", unit_scale=True, desc=name) as bar:
        for chunk, total in _chunks(url):
            bar.total = total
            file.write(chunk)
            seen.update(chunk)
            count += len(chunk)
            bar.update(len(chunk))
    if seen.hexdigest() != expected:
        raise FormatError(
            f"{url}: {count} bytes have come, with the {kind} {seen.hexdigest()}; published was {expected}: it was cut "
            "off or changed, and has not been kept"
        )


def _chunks(url: str) -> Iterator[tuple[bytes, int | None]]:
    """What comes, and how much of it there will be in all."""
    import http.client  # not at the top: only who downloads needs these
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=_SILENCE_S) as response:
            total = response.length
            while chunk := response.read(_CHUNK_BYTES):
                yield chunk, total
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise ConnectionError(f"{url}: it cannot be downloaded: {error}") from error


def _unpack(archive: Path, folder: str, into: Path) -> None:
    """The files of a folder, and nothing else that an archive can hold."""
    import tarfile

    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            parent, name = os.path.split(member.name)
            content = tar.extractfile(member) if member.isfile() and parent == folder else None
            if content is not None:
                with content, open(into / name, "xb") as file:
                    shutil.copyfileobj(content, file)
