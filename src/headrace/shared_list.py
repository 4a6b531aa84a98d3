"""A list that many processes read and none has a copy of."""

from __future__ import annotations

import itertools
import mmap
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

__all__ = ["SharedList", "travelling"]

_CHUNK = 4096
"""So many elements are encoded at a time: what that takes beside the list itself stays small."""

_PICKLE = b"\x80"
"""Every pickle begins so, from protocol 2 on."""


class SharedList(Sequence[Any]):
    """An immutable list whose elements are stored once, in memory that all worker processes share.

    A million Python objects in a list cost each worker their pickling, their unpickling and their memory. Here they are
    one block of bytes; sending the list to a worker sends a file descriptor. An element is unpickled (or decoded, if it
    is a string) whenever it is read, so each ``lst[i]`` is a new object; that takes about a microsecond. `DataFromList`
    does this by itself for long lists under a process runner.

    Args:
        elements: anything that can be pickled.

    Raises:
        TypeError: ``elements`` is not iterable.
        Exception: what pickling an element raises.

    Order and integrity: as given; the elements are those at the time of construction. Linux only (``memfd_create``).

    Example:
        >>> import headrace as hr
        >>> paths = hr.SharedList(f"photo-{n}.jpg" for n in range(1000))
        >>> len(paths), paths[7], paths[-1], paths[2:4]
        (1000, 'photo-7.jpg', 'photo-999.jpg', ['photo-2.jpg', 'photo-3.jpg'])
    """

    def __init__(self, elements: Iterable[Any]):
        remaining, lengths = iter(elements), [np.empty(0, np.int64)]
        fd = os.memfd_create("headrace-list", os.MFD_CLOEXEC)
        with open(fd, "wb") as file:
            while chunk := list(itertools.islice(remaining, _CHUNK)):
                encoded = _encoded(chunk)
                lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
                file.write(b"".join(encoded))
            ends = np.concatenate([[0], *lengths]).cumsum()
            file.write(bytes(-ends[-1] % 8))
            file.write(ends.tobytes())
            file.flush()
            self._attach(os.dup(fd), len(ends) - 1)

    def _attach(self, fd: int, count: int) -> None:
        self._fd = fd
        self._count = count
        self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        self._ends = memoryview(self._map)[-8 * (count + 1) :].cast("q")

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"SharedList index {index} is out of range: it has {self._count} elements")
        index %= self._count
        data = self._map[self._ends[index] : self._ends[index + 1]]
        return pickle.loads(data) if data.startswith(_PICKLE) else data.decode()

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._count))

    def __repr__(self) -> str:
        return f"<SharedList of {self._count}>"

    def __reduce__(self) -> Any:
        if travelling():
            from multiprocessing import reduction

            return _arrived, (reduction.DupFd(self._fd), self._count)
        return SharedList, (list(self),)

    def __del__(self) -> None:
        if "_fd" in self.__dict__:
            os.close(self._fd)


def travelling() -> bool:
    """Whether something is being pickled for a worker process just now, so that descriptors can go with it."""
    from multiprocessing import context  # not at the top: headrace is quick to import

    return context.get_spawning_popen() is not None


def _arrived(passed: Any, count: int) -> SharedList:
    shared = SharedList.__new__(SharedList)
    shared._attach(os.dup(passed.detach()), count)
    return shared


def _encoded(elements: list[Any]) -> list[bytes]:
    """Strings as UTF-8, which begins with no such byte as a pickle does; all else as pickles."""
    if set(map(type, elements)) == {str}:
        try:
            return list(map(str.encode, elements))
        except UnicodeEncodeError:  # lone surrogates: pickle has a way for them
            pass
    return list(map(_dumps, elements))


def _dumps(element: Any) -> bytes:
    data = pickle.dumps(element, 5)
    if b"__main__" in data:  # workers do not import the main script
        import cloudpickle

        return bytes(cloudpickle.dumps(element, 5))
    return data
