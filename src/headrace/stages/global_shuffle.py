"""Shuffle a sequence of any length in constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import StateError
from ..flow import DataFlow
from ..seeding import Place
from ..state import Cursor, State

__all__ = ["GlobalShuffle"]

Words = npt.NDArray[np.uint64]

_ROUNDS = 8
_BLOCK = 4096


class GlobalShuffle(DataFlow):
    """The elements of a sequence in random order, a new one in each pass, without a list of that order.

    `DataFromList` keeps a permutation in memory, 8 bytes for each element. This computes the element at each position
    by a keyed bijection, so a billion elements cost as little as ten: take it with a `range`, a memory-mapped array, a
    `SharedList`, or your own class with ``len`` and ``[i]`` over files.

    Args:
        lst: anything with ``len()`` and ``[i]``. It is not copied.

    Order and integrity: each element once per pass. Decided by the seed and the number of the pass. Resumes in O(1),
    reading no element again. Of a share, only its own elements are read. (The bijection is a Feistel network over the
    two digits of the index, with cycle walking: Black and Rogaway, *Ciphers with Arbitrary Finite Domains*, 2002. It
    reaches 2**128 orders at most, and is not meant to keep secrets.)

    Raises:
        TypeError: ``lst`` has no length or no ``[i]``.

    Example:
        >>> import headrace as hr
        >>> import itertools
        >>> flow = hr.GlobalShuffle(range(10**12))
        >>> len(set(itertools.islice(flow, 5)))
        5
        >>> sorted(hr.GlobalShuffle("edcba"))
        ['a', 'b', 'c', 'd', 'e']
    """

    takes_share = True

    def __init__(self, lst: Sequence[Any]):
        if not (hasattr(lst, "__len__") and hasattr(lst, "__getitem__")) or isinstance(lst, dict):
            remedy = "; give it the sequence itself, and wrap flows around it" if isinstance(lst, DataFlow) else ""
            raise TypeError(f"expected what has len() and [i], got {type(lst).__name__}: {lst!r:.60}{remedy}")
        self.lst = lst

    def __len__(self) -> int:
        return len(self.lst)

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """None: flows in the sequence are datapoints."""
        return ()

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        index, count = state.share
        positions = range(index, len(self.lst), count)
        done = state.get("position", 0)
        if done > len(positions):
            raise StateError(f"{done} elements had been read when the state was saved, of {len(positions)} now")
        order = _Permutation(len(self.lst), state.place, state.pass_index)
        for base in range(done, len(positions), _BLOCK):
            some = positions[base : base + _BLOCK]
            block = order.at(np.arange(some.start, some.stop, some.step, dtype=np.uint64))
            cursor = state["position"] = Cursor(block.tolist(), base=base)
            yield from map(self.lst.__getitem__, cursor.iterator)

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`."""
        place = self._runtime.place
        if place is None or place.share[1] > 1:
            return None
        order = _Permutation(len(self.lst), place, pass_index)
        return lambda number: self.lst[int(order.at(np.array([number], np.uint64))[0])]

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"{len(self.lst)} datapoints"


class _Permutation:
    """A bijection on ``range(count)``.

    An index is two digits, ``high * base + low``. Each round adds a keyed hash of one digit to the other one, which can
    be undone, so all of them together permute the ``rows * base`` indices. One that is thrown beyond ``count`` is
    permuted again until it falls below; there are fewer than ``base`` of those, so that is rare.
    """

    def __init__(self, count: int, place: Place, pass_index: int):
        self.count = np.uint64(count)
        self.base = np.uint64(max(1, math.isqrt(max(count - 1, 0)) + 1))
        self.rows = np.uint64(max(1, -(-count // int(self.base))))
        self.keys = place.sequence(pass_index).generate_state(_ROUNDS, np.uint64)

    def at(self, positions: Words) -> Words:
        """The elements at some positions."""
        index = self._permute(positions)
        while (beyond := np.flatnonzero(index >= self.count)).size:
            index[beyond] = self._permute(index[beyond])
        return index

    def _permute(self, index: Words) -> Words:
        high, low = np.divmod(index, self.base)
        for one, other in zip(self.keys[::2], self.keys[1::2], strict=True):
            high = (high + _hash(low ^ one) % self.rows) % self.rows
            low = (low + _hash(high ^ other) % self.base) % self.base
        return high * self.base + low


def _hash(words: Words) -> Words:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit of the input reaches every bit."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
