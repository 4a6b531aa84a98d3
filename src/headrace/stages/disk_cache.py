"""Keep the datapoints of one pass in a file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from typing import Any

from ..errors import StateError
from ..flow import ProxyDataFlow
from ..formats.cache import CacheReader, CacheWriter
from ..state import State
from ..tree import pipeline_fingerprint

__all__ = ["DiskCache"]


class DiskCache(ProxyDataFlow):
    """Write the datapoints of the first complete pass to a file, and read all later passes from it.

    The file serves later runs and other processes, too. It is written under another name, and gets its own when it is
    complete: nobody ever reads half a cache. What a killed process has left is written over.

    Args:
        ds: the input flow; finite. Random augmentation belongs behind the cache: here it would be the same for ever.
        path: of the file. Its folder must exist.
        shuffle: whether passes that are read from the file are shuffled, each in its own way.
        allow_pickle: whether datapoints are pickled. If not, they are numbers, strings, bytes, arrays, and lists,
            tuples and dicts of these. A pickle can run code when it is read: allow it for files that only people whom
            you trust can write.

    The file says for which pipeline it was written: which stages with which arguments (functions by name), and how many
    datapoints the sources have. What this does not show, such as other contents of the same files, or another body of
    the same function, is for you to know: take another path, or delete the file.

    Order and integrity: each datapoint of the input's pass once; in its order, or shuffled. Each record has a checksum.
    While one process (or iterator) writes, others read the input, and write nothing. A pass that is left early writes
    nothing. The cache is not part of the state: a pass that was read from the file goes on in O(1) where the file is at
    hand; one that was read from the input goes on there, and writes nothing.

    Raises:
        FileNotFoundError: at construction, there is no such folder.
        FormatError: the file is none of ours, of another version, of another pipeline, or damaged; it says where. The
            file is left as it is.
        StateError: a pass that was read from a file cannot go on: the file is gone, or another one.
        TypeError: a datapoint that is no plain data, or cannot be pickled.
        OSError: the file cannot be written, for example because the disk is full; what was written is removed.

    Example:
        >>> import headrace as hr
        >>> import tempfile
        >>> def slow():
        ...     print("reading")
        ...     yield from range(3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     flow = hr.DiskCache(hr.DataFromGenerator(slow), f"{folder}/cache")
        ...     list(flow), list(flow), len(flow)
        reading
        ([0, 1, 2], [0, 1, 2], 3)
    """

    def __init__(self, ds: Any, path: str | os.PathLike[str], shuffle: bool = False, allow_pickle: bool = False):
        super().__init__(ds)
        self.path = os.path.abspath(os.fspath(path))
        self.shuffle = bool(shuffle)
        self.allow_pickle = bool(allow_pickle)
        if not os.path.isdir(os.path.dirname(self.path)):
            raise FileNotFoundError(f"DiskCache: there is no folder {os.path.dirname(self.path)!r}; make it first")
        self._cached_length()

    def __len__(self) -> int:
        cached = self._cached_length()
        return len(self.ds) if cached is None else cached

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        resumed = "content" in state
        if not resumed:
            cache = self._open()
            state["content"] = cache.content if cache is not None else None
        elif state["content"] is not None:
            cache = self._reopen(state["content"])
        if state["content"] is not None:
            assert cache is not None
            yield from self._read(cache, state)
            return
        writer = None if resumed else CacheWriter.open(self.path, pipeline_fingerprint(self.ds), self.allow_pickle)
        if writer is None:
            yield from source
            return
        try:
            for dp in source:
                writer.add(dp)
                yield dp
            writer.finish()
        finally:
            writer.close()

    def _read(self, cache: CacheReader, state: State) -> Generator[Any, None, None]:
        with cache:
            order: Any = range(len(cache))
            if self.shuffle:
                order = state.generator().permutation(len(cache)).tolist()
            for number in itertools.islice(order, state.setdefault("given", 0), None):
                dp = cache[number]
                state["given"] += 1
                yield dp

    def _open(self) -> CacheReader | None:
        try:
            return CacheReader(self.path, pipeline_fingerprint(self.ds), self.allow_pickle)
        except FileNotFoundError:
            return None

    def _reopen(self, content: str) -> CacheReader:
        cache = self._open()
        if cache is None:
            raise StateError(f"DiskCache: the pass was read from {self.path}, which is gone; bring it, or begin anew")
        if cache.content != content:
            cache.close()
            raise StateError(f"DiskCache: the pass was read from {self.path}, which now has other contents")
        return cache

    def _cached_length(self) -> int | None:
        cache = self._open()
        if cache is None:
            return None
        with cache:
            return len(cache)

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: neither the path nor the codec makes a difference."""
        return f"DiskCache(shuffle={self.shuffle})"
