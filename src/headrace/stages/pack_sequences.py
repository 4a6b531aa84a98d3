"""Pack sequences of tokens into rows of one length."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from .._checks import check_count
from ..errors import NoLengthError
from ..flow import ProxyDataFlow
from ..sequences import check_pad_value, padding
from ..stacking import stack_datapoints
from ..state import State

__all__ = ["PackSequences"]

_ADDED = ("segment_ids", "positions")


class PackSequences(ProxyDataFlow):
    """Put several sequences into each row of ``pack_length`` tokens, so that little of it is padding.

    Args:
        ds: the input flow, of sequences: 1-D arrays or lists of numbers; or dicts of those, all of one length (such as
            tokens and their labels).
        pack_length: tokens in a row.
        strategy: which open row takes a sequence: ``"first_fit"``, the oldest with room enough, or ``"best_fit"``, the
            one in which it leaves the least room.
        num_bins: how many rows are open at a time. When a sequence fits in none of them, and there are so many, one is
            closed: the oldest by first fit, the fullest by best fit (bounded-space bin packing: Csirik and Johnson,
            *Bounded space on-line bin packing: best is better than first*, 2001).
        pad_value: what the rest of a row is filled with: a number, or one for each key.
        overlong: what happens to a sequence of more than ``pack_length`` tokens: ``"raise"``, or ``"split"`` it into
            several.

    A row is a dict: the tokens (under ``"tokens"``, or under the keys of the datapoints), ``"segment_ids"`` (1, 2, ...
    for each sequence of the row, 0 for padding) and ``"positions"`` (from 0 in each sequence), all 1-D, int32 but for
    the tokens, which keep their dtype (lists of ints: int32, or int64 where the values need it).

    Order and integrity: each sequence is in one row, whole and contiguous (unless it was split); input order within a
    row. An empty sequence takes no room and leaves no trace. A row is given when it is full, when it is closed, or at
    the end of the pass. No length. The state holds the open rows.

    Raises:
        TypeError, ValueError: at construction, bad arguments; later, a datapoint that is no such sequence, or too long,
            or has other keys, or a ``pad_value`` that a row cannot hold.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> ds = hr.DataFromList([np.full(n, n) for n in (3, 4, 2)], shuffle=False)
        >>> for row in hr.PackSequences(ds, pack_length=6):
        ...     print(row["tokens"], row["segment_ids"], row["positions"])
        [3 3 3 2 2 0] [1 1 1 2 2 0] [0 1 2 0 1 0]
        [4 4 4 4 0 0] [1 1 1 1 0 0] [0 1 2 3 0 0]
    """

    elementwise = True

    def __init__(
        self,
        ds: Any,
        pack_length: int,
        strategy: str = "first_fit",
        num_bins: int = 64,
        pad_value: float | Mapping[str, float] = 0,
        overlong: str = "raise",
    ):
        super().__init__(ds)
        self.pack_length = check_count("pack_length", pack_length)
        if strategy not in ("first_fit", "best_fit"):
            raise ValueError(f"strategy must be 'first_fit' or 'best_fit', got {strategy!r}")
        self.strategy = strategy
        self.num_bins = check_count("num_bins", num_bins)
        for value in pad_value.values() if isinstance(pad_value, Mapping) else [pad_value]:
            check_pad_value(value)
        self.pad_value = pad_value
        if overlong not in ("raise", "split"):
            raise ValueError(f"overlong must be 'raise' or 'split', got {overlong!r}")
        self.overlong = overlong

    def __len__(self) -> int:
        raise NoLengthError("PackSequences has no length: the number of rows depends on the lengths")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        bins: list[list[Any]] = state.setdefault("bins", [])  # of [room, sequences], the oldest first
        waiting: list[Any] = state.setdefault("waiting", [])  # pieces of the last datapoint that are in no row yet
        yield from self._place(bins, waiting)
        if not state.get("ended"):
            for dp in source:
                waiting.extend(self._pieces(dp))
                yield from self._place(bins, waiting)
            state["ended"] = True
        while bins:
            yield self._row(bins.pop(0)[1])

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: with the pad values of all keys."""
        pad = sorted(self.pad_value.items()) if isinstance(self.pad_value, Mapping) else self.pad_value
        return f"PackSequences({self.describe()}, {pad})"

    def _place(self, bins: list[list[Any]], waiting: list[Any]) -> Iterator[Any]:
        """Put what waits into rows; gives the rows that are closed by that."""
        while waiting:
            tokens = _tokens(waiting[0])
            number = self._fitting(bins, tokens)
            if number is None:
                if len(bins) == self.num_bins:
                    yield self._row(bins.pop(self._to_close(bins))[1])
                bins.append([self.pack_length, []])
                number = len(bins) - 1
            bins[number][0] -= tokens
            bins[number][1].append(waiting.pop(0))
            if not bins[number][0]:
                yield self._row(bins.pop(number)[1])

    def _fitting(self, bins: list[list[Any]], tokens: int) -> int | None:
        fits = [number for number, (room, _) in enumerate(bins) if room >= tokens]
        if not fits or self.strategy == "first_fit":
            return fits[0] if fits else None
        return min(fits, key=lambda number: bins[number][0])

    def _to_close(self, bins: list[list[Any]]) -> int:
        return 0 if self.strategy == "first_fit" else min(range(len(bins)), key=lambda number: bins[number][0])

    def _pieces(self, dp: Any) -> list[Any]:
        if isinstance(dp, dict):
            fields = {key: _array(value, f" under {key!r}") for key, value in dp.items()}
        else:
            fields = {"": _array(dp, "")}
        lengths = {key: len(array) for key, array in fields.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"PackSequences: the sequences of a datapoint must be of one length, got {lengths}")
        if any(key in fields for key in _ADDED):
            raise ValueError(f"PackSequences adds the keys {_ADDED}, but a datapoint has one of them: {list(fields)}")
        tokens = next(iter(lengths.values()))
        if tokens > self.pack_length and self.overlong == "raise":
            raise ValueError(
                f"PackSequences: a sequence has {tokens} tokens, more than pack_length, {self.pack_length}; "
                "overlong='split' makes several of it"
            )
        cuts = range(0, tokens, self.pack_length)
        return [{key: array[cut : cut + self.pack_length] for key, array in fields.items()} for cut in cuts]

    def _row(self, pieces: list[Any]) -> dict[str, Any]:
        keys = pieces[0].keys()
        for piece in pieces:
            if piece.keys() != keys:
                raise ValueError(f"PackSequences: datapoints of one row have the keys {list(keys)} and {list(piece)}")
        row = {key or "tokens": self._fill(key, [piece[key] for piece in pieces]) for key in keys}
        if isinstance(self.pad_value, Mapping) and not self.pad_value.keys() <= row.keys():
            raise ValueError(f"PackSequences: pad_value has the keys {list(self.pad_value)}, the rows have {list(row)}")
        lengths = [_tokens(piece) for piece in pieces]
        segments = np.repeat(np.arange(1, len(pieces) + 1, dtype=np.int32), lengths)
        positions = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        rest = (0, self.pack_length - len(segments))
        return {**row, "segment_ids": np.pad(segments, rest), "positions": np.pad(positions, rest)}

    def _fill(self, key: str, parts: list[Any]) -> np.ndarray[Any, Any]:
        value = self.pad_value
        pad = value.get(key or "tokens", 0) if isinstance(value, Mapping) else value
        dtype = np.result_type(*parts)
        tokens = sum(map(len, parts))
        filled = np.empty(self.pack_length, dtype)
        np.concatenate(parts, out=filled[:tokens])
        if tokens < self.pack_length:
            filled[tokens:] = padding(pad, dtype)
        return filled


def _tokens(piece: dict[str, Any]) -> int:
    return len(next(iter(piece.values())))


def _array(value: Any, name: str) -> np.ndarray[Any, Any]:
    if isinstance(value, (list, tuple)):
        value = stack_datapoints(value) if value else np.zeros(0, np.int32)
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "biuf":
        kind = type(value).__name__ + (f" of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else "")
        raise TypeError(f"PackSequences takes 1-D arrays or lists of numbers, or dicts of them, got {kind}{name}")
    return value
