"""``.npy``: one numpy array in a file, read through memory maps.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .files import AppendedFile, find
from .reader import Reader, Records
from .writing import PathLike, save

__all__ = ["NpyData", "NpySerializer"]


class NpyData(Reader):
    """The rows of a ``.npy`` file; or of several, one for each component.

    Args:
        paths: a file gives bare rows; a list of files (or patterns) gives a list of their rows, like ``zip``.
        shuffle: whether each pass is a new permutation.

    Order and integrity: each row once per pass. Nothing is loaded but the rows that are read; each is a new array (or
    a numpy scalar). Resumes in O(1).

    Raises:
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, a file is no ``.npy``, truncated, of objects, without rows, or they are of different
            lengths.

    Example:
        >>> import headrace as hr, numpy as np, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> np.save(f"{folder.name}/x.npy", np.arange(6).reshape(3, 2))
        >>> np.save(f"{folder.name}/y.npy", np.array([7, 8, 9]))
        >>> flow = hr.NpyData([f"{folder.name}/x.npy", f"{folder.name}/y.npy"])
        >>> [[x.tolist(), int(y)] for x, y in flow]
        [[[0, 1], 7], [[2, 3], 8], [[4, 5], 9]]
        >>> flow.close(); folder.cleanup()
    """

    def __init__(self, paths: PathLike | Iterable[PathLike], shuffle: bool = False):
        super().__init__(shuffle)
        self.paths = find(paths)
        self.single = isinstance(paths, (str, os.PathLike))
        if self.single and len(self.paths) > 1:
            raise ValueError(
                f"{os.fspath(paths)!r} stands for {len(self.paths)} files: give a list for their rows side by side, or "  # type: ignore[arg-type]
                "one NpyData for each to ConcatData for one after the other"
            )

    def _open(self) -> Records:
        return _Rows(self.paths, self.single)


class _Rows:
    bounds = None

    def __init__(self, paths: list[str], single: bool):
        self.damage: list[Exception] = []
        self._arrays = [_map(path) for path in paths]
        self._single = single
        if len({len(array) for array in self._arrays}) > 1:
            rows = ", ".join(f"{path}: {len(array)}" for path, array in zip(paths, self._arrays, strict=True))
            raise FormatError(f"the files have different numbers of rows: {rows}")

    def __len__(self) -> int:
        return len(self._arrays[0]) if self._arrays else 0

    def __getitem__(self, number: int) -> Any:
        rows = [np.array(array[number])[()] for array in self._arrays]
        return rows[0] if self._single else rows

    def close(self) -> None:
        self._arrays = []


def _map(path: str) -> Any:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path}: this cannot be read as .npy: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise FormatError(f"{path}: this is no .npy file, but an .npz archive")
    if array.ndim == 0:
        raise FormatError(f"{path}: the array has no rows: its shape is ()")
    return array


class NpySerializer:
    """Save a flow of arrays of one shape and dtype as the rows of a ``.npy`` file, and load it.

    Example:
        >>> import headrace as hr, numpy as np, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> ds = hr.FakeData([[2, 2]], 5, dtype="uint8", domain=(0, 9))
        >>> hr.NpySerializer.save(hr.MapData(ds, lambda dp: dp[0]), f"{folder.name}/x.npy", progress=False)
        5
        >>> np.load(f"{folder.name}/x.npy").shape
        (5, 2, 2)
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, *, progress: bool = True, overwrite: bool = False, resume: bool = False) -> int:
        """Write one pass of a flow whose datapoints are arrays or numbers.

        Args:
            df: the flow.
            path: the file.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.
            resume: see `LMDBSerializer.save`.

        Returns:
            How many rows the file holds.

        Raises:
            TypeError, ValueError: a datapoint is of another shape or dtype than the first one, or is no array.
            Exception: see `LMDBSerializer.save`.
        """
        return save(df, path, _Sink, progress=progress, overwrite=overwrite, resume=resume)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False) -> NpyData:
        """See `NpyData`."""
        return NpyData(path, shuffle)


class _Sink(AppendedFile):
    """See `Sink`. The header leaves room for any number of rows, so that it can be written again at the end."""

    def __init__(self, path: Path, position: list[Any] | None):
        self._row: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self._count = 0
        if position is not None:
            position, self._count, shape, dtype = position
            self._row = tuple(shape), np.lib.format.descr_to_dtype(dtype)
        super().__init__(path, position)  # type: ignore[arg-type]

    def write(self, datapoint: Any) -> None:
        try:
            row = np.asarray(datapoint)
        except ValueError:  # lists of several lengths
            row = np.asarray(None)
        if row.dtype.hasobject:
            raise TypeError(f"a row of .npy is an array of numbers, got {type(datapoint).__name__}: {datapoint!r:.60}")
        if self._row is None:
            self._row = row.shape, row.dtype
            self._write_header()
        if self._row != (row.shape, row.dtype):
            raise ValueError(
                f"the datapoint has shape {row.shape} and dtype {row.dtype}, the first one had shape {self._row[0]} "
                f"and dtype {self._row[1]}"
            )
        self.file.write(row.tobytes())
        self._count += 1

    def _write_header(self) -> None:
        shape, dtype = self._row if self._row is not None else ((), np.dtype(np.float64))
        descr = np.lib.format.dtype_to_descr(dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._count, *shape)}
        np.lib.format.write_array_header_2_0(self.file, header)

    def flush(self) -> Any:
        position = super().flush()
        if self._row is None or self._row[1].names is not None:
            return None
        return [position, self._count, list(self._row[0]), self._row[1].str]

    def close(self) -> None:
        self.file.seek(0)
        self._write_header()
        super().close()
