"""Shuffle within a buffer."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count
from .._deprecation import renamed
from ..flow import ProxyDataFlow, RNGDataFlow
from ..state import State
from .repeat import forever

__all__ = ["LocallyShuffleData"]


class LocallyShuffleData(ProxyDataFlow, RNGDataFlow):
    """Shuffle a stream within a buffer: an endless one, in which the passes of the input run into each other.

    Args:
        ds: the input flow, read again and again.
        buffer_size: how many datapoints the buffer holds.
        num_reuse: how often each datapoint comes out. More than once is for inputs that are slow to read.
        shuffle_interval: the buffer is shuffled each time this many inputs have been read; a third of the buffer by
            default. Less is better shuffled, and slower.

    Order and integrity: never ends; ``len`` is that of one pass of the input, times ``num_reuse``. Each datapoint comes
    out ``num_reuse`` times for each pass of the input, some ``buffer_size`` later than it came in. Decided by the seed
    and the number of the pass. The state holds the buffer.

    Raises:
        TypeError, ValueError: at construction, an argument that is not an integer, or less than 1.
        EmptySourceError: the input gives nothing.

    Example:
        >>> import headrace as hr
        >>> import itertools
        >>> flow = hr.LocallyShuffleData(hr.DataFromList(range(10), shuffle=False), buffer_size=4)
        >>> len(set(itertools.islice(flow, 6)))
        6
    """

    @renamed(nr_reuse="num_reuse")
    def __init__(self, ds: Any, buffer_size: int, num_reuse: int = 1, shuffle_interval: int | None = None):
        super().__init__(ds)
        self.buffer_size = check_count("buffer_size", buffer_size)
        self.num_reuse = check_count("num_reuse", num_reuse)
        if shuffle_interval is None:
            shuffle_interval = max(1, self.buffer_size // 3)
        self.shuffle_interval = check_count("shuffle_interval", shuffle_interval)

    def __len__(self) -> int:
        return len(self.ds) * self.num_reuse

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        buffer: list[Any] = state.setdefault("buffer", [])  # a ring once it is full; `oldest` goes out next
        waiting: list[Any] = state.setdefault("waiting", [])  # copies of the last input that are not in it yet
        oldest = state.setdefault("oldest", 0)
        state.setdefault("read", 0)
        datapoints = forever(source, "LocallyShuffleData")
        while True:
            while waiting:
                dp = waiting.pop()
                if len(buffer) < self.buffer_size:
                    buffer.append(dp)
                    continue
                dp, buffer[oldest] = buffer[oldest], dp
                oldest = state["oldest"] = (oldest + 1) % self.buffer_size
                yield dp
            waiting.extend([next(datapoints)] * self.num_reuse)
            state["read"] += 1
            if state["read"] % self.shuffle_interval == 0:
                buffer[:] = [buffer[i] for i in state.rng.permutation(len(buffer)).tolist()]
