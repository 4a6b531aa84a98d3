"""How datapoints travel between processes: pickle protocol 5, with large arrays beside it in the arena.

* Each datapoint is pickled by itself, at once: a function may use its output buffer again, and two datapoints that hold
  the same object arrive as two. It is unpickled when its turn comes (`Unread`): a thousand objects that wait cost
  memory, cold caches and garbage collections; their pickles do not.
* Data is pickled plainly. Objects that plain pickle refuses, and objects of ``__main__`` (which workers do not
  import), go by cloudpickle, which sends classes by value and gives them their identity back at home.
* Arrays from `LARGE_BYTES` on are written straight into an arena block, in whatever layout they have. The pickles of a
  message go there as well when they are many: sockets would copy them four times.
* Large bytes objects that are components of a datapoint (files read from disk, values of a database) go the same way.
* Whatever the sender's array was, the receiver's is writable and its own; dtype, shape, byte order and C or Fortran
  order are kept (other layouts arrive in C order).

`encoder` and `decoder` have the two ends. Here is what they agree on.
"""

from __future__ import annotations

import copyreg
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "SHORT",
    "Array",
    "Block",
    "BlockReader",
    "BlockWriter",
    "Encoded",
    "CLOCKED_EACH",
    "bytes_of",
    "datapoints_in",
    "on_block",
    "same",
]

Block = tuple[int, int, int]
"""Number, offset and length in bytes of an arena block."""

Array = npt.NDArray[Any]


# -- a message


class Encoded(NamedTuple):
    """Datapoints on their way.

    Attributes:
        data: pickles, one after the other.
        blocks: arena blocks of large arrays, in the order in which the pickles need them.
        layout: for each pickle, how many datapoints it is a list of (0: it is one datapoint itself), its length, and
            how many blocks it needs.
        spilled: whether the pickles are in a block as well, the last one, and not in ``data``.
    """

    data: bytes | memoryview
    blocks: list[Block]
    layout: list[tuple[int, int, int]]
    spilled: bool = False

    @property
    def nbytes(self) -> int:
        """Its size."""
        return len(self.data) + sum(length for _, _, length in self.blocks)


CLOCKED_EACH = 16
"""Of the messages with datapoints that are pickled by themselves, the datapoints of one in so many are clocked. In the
others they cost nothing for that: a few lines of Python for each would be 2 % of the way of an image."""


def datapoints_in(layout: list[tuple[int, int, int]]) -> int:
    """How many datapoints there are in a message."""
    return sum(max(1, count) for count, _, _ in layout)


class BlockWriter(Protocol):
    """Where large arrays are put: an arena, or what stands for one."""

    @property
    def used_bytes(self) -> int:
        """The size of all shared memory that was needed so far."""

    def allocate(self, nbytes: int) -> tuple[int, int, Array] | None:
        """A block: its number, its offset, and its memory; None if there is none to be had."""

    def take_back(self, block: int) -> None:
        """Free a block that was never sent."""

    def trim(self) -> None:
        """Give unused memory back to the system."""


class BlockReader(Protocol):
    """Where they are taken from."""

    def take(self, block: int, offset: int, nbytes: int) -> Array:
        """The memory of a block, writable, and the taker's for as long as it is referred to."""

    def drop(self, block: int) -> None:
        """Return a block that nobody will look at."""


# -- what pickles call

SHORT = {id(dtype): dtype.str for dtype in map(np.dtype, "?bBhHiIlLqQefdgFDG")}  # they exist once, and for ever
"""What is sent for a dtype, by the dtype's id."""

_PLAIN: dict[Any, np.dtype[Any]] = {short: np.dtype(short) for short in SHORT.values()}


def on_block(memory: Any, dtype: str | np.dtype[Any], shape: tuple[int, ...], order: Any = "C") -> Array:
    """An array on a block (or on any other memory)."""
    return np.ndarray(shape, _PLAIN.get(dtype, dtype), memory, 0, None, order)


def bytes_of(memory: Any) -> bytes:
    """A bytes object again: copied, so the block is free at once."""
    return bytes(memory)


def same(data: bytes) -> bytes:
    """A bytes object that found no block."""
    return data


# Names of functions are looked up anew for each pickle, except for these: numbers from the range for private use.
for _code, _function in enumerate((on_block, bytes_of), 0xF0):
    copyreg.add_extension(_function.__module__, _function.__name__, _code)
