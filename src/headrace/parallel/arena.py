"""The arena: a memory file through which one process hands large arrays to another without a second copy.

One arena has one writer and one reader. The writer copies an array into a *block* and tells the reader which (the
message is not the arena's business). The reader makes arrays that point into the block; when the last of them dies,
one byte in the header says so, and the writer uses the block again::

    header: one byte a block                       blocks, page-aligned, each of one size class
    ┌─────────────────────────────────┬───────────────┬───────────────┬──────────────────────────────┐
    │ LENT RETURNED LENT UNUSED ...   │ block 0       │ block 1       │ sparse: never touched        │
    └─────────────────────────────────┴───────────────┴───────────────┴──────────────────────────────┘
      writer sets LENT, reader sets RETURNED (or PINNED); each byte has one owner at a time, so there is no lock.

Why so: a fresh page of shared memory costs a hundred times a reused one, so blocks are reused, the one freed last
first. The file has no name (``memfd_create``): nothing can be left behind, whatever is killed. It is sparse: its size
is a limit on address space, not on memory. The reader's mapping lives as long as an array on it, whatever happens to
the writer, so arrays of a dead worker stay valid.

A reader may have blocks *pinned*, so that a device reads them where they lie. That is done once a block; when it comes
back its byte says so, and the writer never gives its memory back to the system: the device would go on reading the old
pages.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import threading
import weakref
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..recycling import size_class

__all__ = ["ArenaReader", "ArenaWriter", "Pinner", "create_arena", "is_arena", "pin"]

Bytes = npt.NDArray[np.uint8]

LARGE_BYTES = 8192
"""Arrays from this size on travel through the arena; smaller ones are cheaper inside the message."""

_forks = 0  # how many forks lie between the first process and this one: cheaper to compare than os.getpid()


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)

_BLOCKS = 1 << 16

_NAME = "headrace-arena"
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

_HOT_BYTES = 1 << 18
"""For blocks from this size on it pays to look for a freshly returned one, which is in the cache, each time."""

_PAGE = mmap.PAGESIZE
_UNUSED, _LENT, _RETURNED, _PINNED = 0, 1, 2, 3  # the last: returned, and pinned from now on


def create_arena() -> int:
    """A new, empty arena.

    Returns:
        Its file descriptor, to be mapped by one `ArenaWriter` and one `ArenaReader`.
    """
    fd = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _BLOCKS + _address_space())
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def is_arena(fd: int) -> bool:
    """Whether a descriptor that came from elsewhere is one of `create_arena`: its size never changes, so what is read
    from it cannot fail half-way.
    """
    try:
        named = os.readlink(f"/proc/self/fd/{fd}").startswith(f"/memfd:{_NAME} ")
        return named and fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS and os.fstat(fd).st_size > _BLOCKS
    except OSError:
        return False


def _address_space() -> int:
    """Twice the machine's memory, at most 64 GiB: never the limit that is met first.

    Under a limit on address space (``ulimit -v``), a 64th of that: there are two arenas for each worker.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    most = 64 << 30 if limit == resource.RLIM_INFINITY else limit // 64
    return min(2 * memory, most) // _PAGE * _PAGE


class ArenaWriter:
    """The side that fills blocks.

    Args:
        fd: of `create_arena`; it can be closed afterwards.
    """

    def __init__(self, fd: int):
        self._map = mmap.mmap(fd, 0)
        self._forks = _forks
        self._busy = threading.Lock()  # of this side's own lists, which a thread of user code may need as well
        self._flags = np.frombuffer(self._map, np.uint8, _BLOCKS)
        self._end = _BLOCKS  # bytes of the file in use
        self._offsets: list[int] = []
        self._sizes: list[int] = []
        self._free: dict[int, list[int]] = {}  # size class -> blocks, freed last on top
        self._pinned: set[int] = set()
        self._held: set[int] = set()

    @property
    def used_bytes(self) -> int:
        """The size of all blocks that were made so far, free or lent."""
        return self._end - _BLOCKS

    def allocate(self, nbytes: int) -> tuple[int, int, Bytes] | None:
        """A block for ``nbytes``, marked as lent.

        Returns:
            Its number, its offset in the file, and its memory; None when the arena is full, or another thread, or code
            that a garbage collection runs in the midst of this, is just being served.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            size = size_class(nbytes)
            free = self._free.setdefault(size, [])
            if not free or size >= _HOT_BYTES:
                self._collect()
            block = free.pop() if free else self._extend(size)
            if block is None:
                return None
            self._flags[block] = _LENT
            offset = self._offsets[block]
        finally:
            self._busy.release()
        return block, offset, np.frombuffer(self._map, np.uint8, nbytes, offset)

    def take_back(self, block: int) -> None:
        """Free a block that was never sent, or whose reader is gone; in any thread. A forked child frees nothing."""
        if _forks == self._forks:
            self._flags[block] = _RETURNED

    def hold(self, block: int) -> None:
        """Do not use a block again before `let_go`, even if its reader has returned it: it may be sent again."""
        self._held.add(block)

    def let_go(self, block: int) -> None:
        """What was held is not needed any more."""
        self._held.discard(block)

    def trim(self, keep_bytes: int = 64 << 20) -> None:
        """Give the memory of free blocks back to the system, except for ``keep_bytes`` of each size class.

        Pinned blocks keep theirs.
        """
        with self._busy:
            self._collect()
            for size, blocks in self._free.items():
                for block in blocks[: max(0, len(blocks) - keep_bytes // size)]:
                    if block not in self._pinned:
                        self._map.madvise(mmap.MADV_REMOVE, self._offsets[block], size)

    def _collect(self) -> None:
        for block in np.flatnonzero(self._flags[: len(self._sizes)] >= _RETURNED).tolist():
            if block in self._held:
                continue
            if self._flags[block] == _PINNED:
                self._pinned.add(block)
            self._flags[block] = _UNUSED
            self._free.setdefault(self._sizes[block], []).append(block)

    def _extend(self, size: int) -> int | None:
        if len(self._sizes) == _BLOCKS or self._end + size > len(self._map):
            return None
        self._offsets.append(self._end)
        self._sizes.append(size)
        self._end += size
        return len(self._sizes) - 1


class Pinner(Protocol):
    """Has memory pinned for a device."""

    def register(self, address: int, nbytes: int) -> None:
        """Pin whole pages. Raises RuntimeError when they cannot be."""

    def unregister(self, address: int) -> None:
        """End it; the memory is still mapped. Runs in any thread, and must not raise."""


class _Mapping(mmap.mmap):
    """A reader's mapping of an arena, which unpins what was pinned before it ends.

    (`__del__` is in time. The callback of a weak reference to a plain `mmap` finds the memory unmapped.)
    """

    pinned: dict[int, Pinner] = {}  # that of one which could not be mapped

    def __init__(self, *_: Any):
        self.address = np.frombuffer(self, np.uint8).ctypes.data
        self.pinned = {}  # offsets of blocks
        self.forks = _forks

    def __del__(self) -> None:
        for offset, pinner in self.pinned.items():
            if _forks == self.forks:  # what was pinned belongs to the parent
                pinner.unregister(self.address + offset)


def pin(array: npt.NDArray[Any], pinner: Pinner) -> bool:
    """Have the block pinned on which an array lies, the first time that one is seen.

    Pinned it stays, for as long as it is mapped. Its memory is the caller's only while the array (or a view) lives.

    Returns:
        Whether the array lies on a pinned block; False for one that is not in an arena, and in a forked child.

    Raises:
        RuntimeError: ``pinner`` could not pin it.
    """
    first, owner = array, array.base
    while isinstance(owner, (np.ndarray, memoryview)):
        if isinstance(owner, np.ndarray):
            first, owner = owner, owner.base
        else:
            owner = owner.obj
    if not isinstance(owner, _Mapping) or owner.forks != _forks:
        return False
    offset = first.ctypes.data - owner.address  # `take` made it: it begins where its block does
    if offset not in owner.pinned:
        pinner.register(first.ctypes.data, size_class(first.nbytes))
        owner.pinned[offset] = pinner
    return True


class ArenaReader:
    """The side that is given arrays on the blocks.

    Args:
        fd: of `create_arena`; it can be closed afterwards.
    """

    def __init__(self, fd: int):
        self._map = _Mapping(fd, 0)
        self._forks = _forks
        self._lent: dict[int, weakref.ref[Any]] = {}

    def take(self, block: int, offset: int, nbytes: int) -> Bytes:
        """An array on a block; the block returns to the writer when it and all views of it are dead."""
        array = np.frombuffer(self._map, np.uint8, nbytes, offset)

        def give_back(_: object) -> None:
            # Runs wherever the last reference dies, in any thread. A forked child must not free its parent's blocks.
            self._lent.pop(block, None)
            if _forks == self._forks:
                self._map[block] = _PINNED if offset in self._map.pinned else _RETURNED

        self._lent[block] = weakref.ref(array, give_back)
        return array

    def has(self, block: int, offset: int, nbytes: int) -> bool:
        """Whether such a place can be: `take` believes what it is told."""
        return 0 <= block < _BLOCKS <= offset and 0 < nbytes <= len(self._map) - offset

    def drop(self, block: int) -> None:
        """Return a block that nobody will look at."""
        self._map[block] = _RETURNED
