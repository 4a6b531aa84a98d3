"""Memory files without a name: what a process hands to another one by their descriptors."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator

__all__ = ["SharedNumber", "make_memfd", "open_memfds", "read_memfd"]


class SharedNumber:
    """See `Signal`: eight bytes of shared memory."""

    def __init__(self, fd: int):
        self._map = mmap.mmap(fd, mmap.PAGESIZE)

    def get(self) -> int:
        """See `Signal`."""
        return int(struct.unpack_from("<q", self._map)[0])

    def set(self, stream: int) -> None:
        """See `Signal`. Once it is closed nobody reads it, and this does nothing: an old iterator may die late."""
        with contextlib.suppress(ValueError):
            self._map[:8] = struct.pack("<q", stream)

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


def make_memfd(data: bytes) -> int:
    """A file that holds ``data``: its descriptor, which has to be closed."""
    fd = os.memfd_create("headrace", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def read_memfd(fd: int) -> bytes:
    """All that is in it."""
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


@contextlib.contextmanager
def open_memfds(*contents: bytes) -> Iterator[list[int]]:
    """Files that hold these, for as long as it takes to pass them on."""
    fds = [make_memfd(data) for data in contents]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)
