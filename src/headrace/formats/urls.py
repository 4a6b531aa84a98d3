"""Files by URL, through fsspec (https://filesystem-spec.readthedocs.io): object stores, web servers and the like."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Any, TypeGuard

from .extras import need

__all__ = ["exists", "filesystem", "find_urls", "is_url", "refuse_existing", "upload"]


def is_url(path: Any) -> TypeGuard[str]:
    """Whether a path is one for fsspec: ``"s3://bucket/train.tar"``, or ``"simplecache::s3://bucket/train.tar"``."""
    return isinstance(path, str) and "://" in path


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL is on, and the path there.

    Raises:
        ImportError: fsspec is not installed, or what it needs for this kind of URL; says what to install.
        ValueError: there is no such kind of URL.
    """
    fs, path = need("fsspec.core", "fsspec").url_to_fs(url)
    return fs, path


def find_urls(url: str) -> list[str]:
    """The files that a URL names; those of a pattern in alphabetical order. Those of this machine are given as paths.

    Raises:
        FileNotFoundError: nothing matches the pattern, or the file does not exist.
    """
    fs, path = filesystem(url)
    if any(mark in path for mark in "*?["):
        found = sorted(fs.glob(path))
        if not found:
            raise FileNotFoundError(errno.ENOENT, "no file matches the pattern", url)
    else:
        fs.info(path)  # raises, if there is none
        found = [path]
    if _is_local(fs):
        return found
    head = url.rpartition(path.lstrip("/"))[0]  # also of "simplecache::s3://..."
    return [head + name.lstrip("/") for name in found]


def _is_local(fs: Any) -> bool:
    return isinstance(fs, need("fsspec.implementations.local", "fsspec").LocalFileSystem)


def exists(url: str) -> bool:
    """Whether there is a file."""
    fs, path = filesystem(url)
    return bool(fs.exists(path))


def refuse_existing(url: str) -> None:
    """There must be no file yet.

    Raises:
        FileExistsError: there is one.
    """
    if exists(url):
        raise FileExistsError(errno.EEXIST, "it exists; overwrite=True replaces it", url)


def upload(local: Path, url: str, overwrite: bool) -> None:
    """Bring a complete file to a URL. It goes there under another name, and is moved when all of it is there."""
    fs, path = filesystem(url)
    folder, _, name = path.rpartition("/")
    part = f"{folder}/.{name}.{secrets.token_hex(4)}.part"
    if folder:
        fs.makedirs(folder, exist_ok=True)
    try:
        fs.put_file(os.fspath(local), part)
        if not overwrite:
            refuse_existing(url)
        fs.mv(part, path)
    except BaseException:
        if fs.exists(part):
            fs.rm_file(part)
        raise
