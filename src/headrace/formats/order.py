"""In which order the records of a file are read, and which of them belong to a share."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ..seeding import Place
from ..stages.shard import share_size

__all__ = ["ChunkOrder", "FlatOrder", "Order"]

_SOME = 4096


class Order(Protocol):
    """The numbers of the records of one share of one pass."""

    def __len__(self) -> int: ...

    def __getitem__(self, turn: int) -> int: ...

    def since(self, turn: int) -> Iterator[int]:
        """All numbers from the ``turn``-th on; finding the first one reads nothing and takes no time."""


class FlatOrder:
    """Any record can be read as easily as any other: a permutation of all, of which a share takes every n-th.

    Args:
        count: how many records there are.
        shuffle: whether they are permuted.
        place: of the flow.
        pass_index: of the pass.
        share: which share, of how many.
    """

    def __init__(self, count: int, shuffle: bool, place: Place, pass_index: int, share: tuple[int, int]):
        order = place.generator(pass_index).permutation(count) if shuffle else range(count)
        self._order: Any = order[share[0] :: share[1]]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, turn: int) -> int:
        return int(self._order[turn])

    def since(self, turn: int) -> Iterator[int]:
        """See `Order`."""
        for base in range(turn, len(self._order), _SOME):  # as Python ints, all at once would be many
            some = self._order[base : base + _SOME]
            yield from some if isinstance(some, range) else some.tolist()


class ChunkOrder:
    """Records lie in chunks (files, row groups) that are read one after the other.

    Chunks are permuted, and the records in each; a share is a stretch of that order, so that it needs few chunks.

    Args:
        bounds: the number of the first record of each chunk, and the count of all.
        shuffle: see `FlatOrder`.
        place: see `FlatOrder`.
        pass_index: see `FlatOrder`.
        share: see `FlatOrder`.
    """

    def __init__(self, bounds: Any, shuffle: bool, place: Place, pass_index: int, share: tuple[int, int]):
        self._bounds = np.asarray(bounds, np.int64)
        sizes = np.diff(self._bounds)
        chunks = place.generator(pass_index).permutation(len(sizes)) if shuffle else np.arange(len(sizes))
        self._chunks = chunks.tolist()
        self._begins = [0, *np.cumsum(sizes[chunks]).tolist()]
        self._shuffle, self._place, self._pass_index = shuffle, place, pass_index
        total = self._begins[-1]
        index, count = share
        self._first = index * (total // count) + min(index, total % count)
        self._count = share_size(total, index, count)
        self._last: tuple[int, Any] = (-1, range(0))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, turn: int) -> int:
        slot, within = self._find(turn)
        return int(self._within(slot)[within])

    def since(self, turn: int) -> Iterator[int]:
        """See `Order`."""
        while turn < self._count:
            slot, begin = self._find(turn)
            inside = self._within(slot)
            end = min(begin + self._count - turn, len(inside))
            yield from inside[begin:end]
            turn += end - begin

    def _find(self, turn: int) -> tuple[int, int]:
        at = self._first + turn
        slot = bisect.bisect_right(self._begins, at) - 1
        return slot, at - self._begins[slot]

    def _within(self, slot: int) -> Any:
        """The numbers of the records of the chunk that is read ``slot``-th."""
        if self._last[0] != slot:
            chunk = self._chunks[slot]
            first, end = int(self._bounds[chunk]), int(self._bounds[chunk + 1])
            inside: Any = range(first, end)
            if self._shuffle:
                permutation = self._place.generator(self._pass_index, chunk).permutation(end - first)
                inside = (permutation + first).tolist()
            self._last = slot, inside
        return self._last[1]
