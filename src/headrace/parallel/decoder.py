"""The receiver's end of the codec: bytes and arena blocks become objects. See `codec`."""

from __future__ import annotations

import collections
import contextlib
import gc
import pickle
import time
from collections.abc import Iterator
from typing import Any

from .codec import CLOCKED_EACH, Array, Block, BlockReader, Encoded, datapoints_in

__all__ = ["MANY", "Decoder", "Unread", "collection_paused"]


class Unread:
    """The datapoints of a message, each of which is unpickled when its turn comes.

    An iterator that goes on after an error: then one datapoint could not be unpickled. It holds the blocks of those
    that are still to come, and gives them back when it dies.

    Args:
        data: the pickles.
        layout: see `Encoded`.
        blocks: the memory of the arena blocks.
        each_s: seconds that it takes to unpickle one of them, judged by messages that were clocked.

    Attributes:
        decode_s: seconds that it takes to unpickle all of them.
    """

    def __init__(self, data: memoryview, layout: list[tuple[int, int, int]], blocks: list[Array], each_s: float):
        self._data = data
        self._parts = iter(layout)
        self._count = datapoints_in(layout)
        self._blocks = collections.deque(blocks)
        self._at = 0
        self._plain: Iterator[Any] = iter(())
        self.decode_s = each_s * self._count

    def __len__(self) -> int:
        """How many there were at the beginning."""
        return self._count

    def __iter__(self) -> Unread:
        return self

    def __next__(self) -> Any:
        for datapoint in self._plain:
            return datapoint
        count, length, needed = next(self._parts)
        here, self._at = self._at, self._at + length
        try:
            buffers = [self._blocks.popleft() for _ in range(needed)] if needed else None
            datapoint = pickle.loads(self._data[here : here + length], buffers=buffers)
        except StopIteration as error:
            raise RuntimeError("unpickling raised StopIteration") from error
        if count:
            self._plain = iter(datapoint)
            return next(self._plain)
        return datapoint


class _Clocked(Unread):
    """One that is clocked.

    Args:
        data, layout, blocks: see `Unread`.
        rate: learns from it.
    """

    def __init__(self, data: memoryview, layout: list[tuple[int, int, int]], blocks: list[Array], rate: _Rate):
        super().__init__(data, layout, blocks, 0.0)
        self._rate = rate
        self._read = 0

    def __next__(self) -> Any:
        began_s = time.perf_counter()
        try:
            return super().__next__()
        finally:
            self._read += 1
            self.decode_s += time.perf_counter() - began_s
            self._rate.each_s = self.decode_s / self._read


class _Rate:
    """What unpickling costs.

    Attributes:
        each_s: seconds for one datapoint of the last message that was clocked.
    """

    def __init__(self) -> None:
        self.each_s = 0.0


class Decoder:
    """Turns bytes and arena blocks into objects.

    Args:
        arena: reads what the encoder's wrote; None if it has none.
    """

    def __init__(self, arena: BlockReader | None):
        self._arena = arena
        self._rate = _Rate()
        self._unread = 0  # messages that were opened and not read at once

    def open(self, encoded: Encoded) -> Unread | list[Any]:
        """The datapoints: a list of plain ones, or else to be unpickled one by one.

        Their arrays on blocks hold them until they die.
        """
        arena = self._arena
        blocks = [arena.take(*block) for block in encoded.blocks] if arena is not None else []
        data = memoryview(blocks.pop() if encoded.spilled else encoded.data)  # type: ignore[arg-type]
        if len(encoded.layout) == 1 and encoded.layout[0][0]:
            plain: list[Any]
            if encoded.layout[0][0] < MANY:
                plain = pickle.loads(data)
            else:
                with collection_paused():
                    plain = pickle.loads(data)
            return plain
        clocked = self._unread % CLOCKED_EACH == 0
        self._unread += 1
        if clocked:
            return _Clocked(data, encoded.layout, blocks, self._rate)
        return Unread(data, encoded.layout, blocks, self._rate.each_s)

    def decode(self, encoded: Encoded) -> list[Any] | range:
        """The datapoints, all at once. After an error nothing is held."""
        opened = self.open(encoded)
        if not isinstance(opened, Unread):
            return opened
        with collection_paused():
            return list(opened)

    def drop(self, blocks: list[Block]) -> None:
        """Return the blocks of a message that nobody will decode."""
        for block, _, _ in blocks:
            assert self._arena is not None
            self._arena.drop(block)


MANY = 16
"""From so many datapoints on, a pause in garbage collection is worth its while."""


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection in the midst of making many objects that all stay alive: it would find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
