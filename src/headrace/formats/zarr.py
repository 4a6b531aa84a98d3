"""Zarr: arrays in a folder, stored in chunks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .chunks import Columns
from .extras import need
from .hdf5 import check_paths
from .reader import Reader, Records, check_there
from .writing import PathLike

__all__ = ["ZarrData"]


class ZarrData(Reader):
    """The rows of arrays in a Zarr group, side by side: ``[row of the first, row of the second, ...]``.

    Args:
        path: the folder of the group.
        data_paths: the paths of the arrays in it, such as ``["images", "labels"]``.
        shuffle: whether each pass is in another order: that of the chunks, and within each chunk that of the rows.
        on_error: see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each row once per pass. Only the chunks that are read are loaded. Resumes in O(1).

    Raises:
        ImportError: zarr is not installed.
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, it is no Zarr group, lacks an array, or their numbers of rows differ.

    Example:
        >>> import headrace as hr
        >>> flow = hr.ZarrData("photos.zarr", ["images", "labels"])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: PathLike,
        data_paths: Sequence[str],
        shuffle: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        need("zarr", "zarr")
        self.path = os.fspath(path)
        check_there(self.path)
        self.data_paths = check_paths(data_paths)

    def _open(self) -> Records:
        zarr = need("zarr", "zarr")
        try:
            group = zarr.open_group(self.path, mode="r")
        except Exception as error:  # zarr has many, of its own and of others
            raise FormatError(f"{self.path}: this cannot be read as a Zarr group: {error}") from error
        arrays: list[Any] = [group.get(name) for name in self.data_paths]
        for name, array in zip(self.data_paths, arrays, strict=True):
            if not isinstance(array, zarr.Array):
                raise FormatError(f"{self.path}: there is no array {name!r}")
        return Columns(self.path, self.data_paths, arrays, max(array.chunks[0] for array in arrays if array.chunks))
