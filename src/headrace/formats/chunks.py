"""Records that lie in chunks which have to be loaded as a whole, side by side as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from .files import locate

__all__ = ["Chunks", "Columns", "every"]


class Chunks:
    """See `Records`. The chunk that was read last is kept.

    Args:
        sizes: how many records each chunk has.
    """

    def __init__(self, sizes: Any):
        self.bounds: Any = np.cumsum([0, *sizes])
        self.damage: list[Exception] = []
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def __getitem__(self, number: int) -> Any:
        chunk, within = locate(self.bounds, number)
        last, loaded = self._last
        if last != chunk:
            loaded = self._load(chunk)
            self._last = chunk, loaded
        return self._row(loaded, within)

    def _load(self, chunk: int) -> Any:
        raise NotImplementedError

    def _row(self, loaded: Any, within: int) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """See `Records`."""
        self._last = (-1, None)


def every(rows: int, total: int) -> list[int]:
    """The sizes of chunks of so many rows."""
    return [min(rows, total - first) for first in range(0, total, rows)]


class Columns(Chunks):
    """Arrays in a file that is no memory map (HDF5, Zarr), read a stretch of rows at a time.

    Args:
        where: what to call the file in messages.
        names: of the columns.
        columns: they have ``shape`` and ``[start:stop]``.
        chunk_rows: rows in a stretch; 0: single rows can be read as easily.

    Raises:
        FormatError: they have no rows, or not the same number.
    """

    def __init__(self, where: str, names: list[str], columns: list[Any], chunk_rows: int):
        self._where, self._names, self._columns = where, names, columns
        for name, column in zip(names, columns, strict=True):
            if not column.shape:
                raise FormatError(f"{where}: {name!r} has no rows: its shape is ()")
        lengths = [int(column.shape[0]) for column in columns]
        if len(set(lengths)) > 1:
            told = ", ".join(f"{name!r}: {n}" for name, n in zip(names, lengths, strict=True))
            raise FormatError(f"{where}: the numbers of rows differ: {told}")
        total = lengths[0] if lengths else 0
        super().__init__(every(chunk_rows or 1, total))
        if not chunk_rows:
            self.bounds = None
        self._total = total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, number: int) -> Any:
        if self.bounds is None:
            return self._row(self._read(number, number + 1), 0)
        return super().__getitem__(number)

    def _load(self, chunk: int) -> list[Any]:
        return self._read(int(self.bounds[chunk]), int(self.bounds[chunk + 1]))

    def _read(self, start: int, stop: int) -> list[Any]:
        loaded = []
        for name, column in zip(self._names, self._columns, strict=True):
            try:
                loaded.append(column[start:stop])
            except (OSError, RuntimeError, ValueError) as error:
                raise FormatError(
                    f"{self._where}: rows {start} to {stop - 1} of {name!r} cannot be read: {error}"
                ) from error
        return loaded

    def _row(self, loaded: list[Any], within: int) -> list[Any]:
        return [np.array(v) if isinstance(v := column[within], np.ndarray) else v for column in loaded]

    def close(self) -> None:
        """See `Records`."""
        super().close()
        self._columns = []
