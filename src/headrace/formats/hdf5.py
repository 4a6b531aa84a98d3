"""HDF5: arrays in a file, one for each component.

A file of `HDF5Serializer` has an attribute ``headrace``: JSON with the format, its version, and what the components are
called.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .chunks import Columns
from .extras import need
from .reader import Reader, Records, check_there
from .writing import PathLike, save

__all__ = ["HDF5Data", "HDF5Serializer"]

_FORMAT, _VERSION = "headrace-hdf5", 1
_CHUNK_BYTES = 1 << 18
_MOST_ROWS = 1024


class HDF5Data(Reader):
    """The rows of datasets in an HDF5 file, side by side: ``[row of the first, row of the second, ...]``.

    Nothing is loaded but the rows that are read, or the chunks they are in.

    Args:
        filename: the file.
        data_paths: the paths of the datasets, such as ``["images", "labels"]``. By default, what `HDF5Serializer` wrote
            (and as it was: dicts come back as dicts).
        shuffle: whether each pass is in another order. Rows of datasets that are stored in chunks are shuffled within
            their chunk, and the chunks are; others freely.
        on_error: see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each row once per pass. Resumes in O(1).

    Raises:
        ImportError: h5py is not installed.
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, it is no HDF5 file, truncated, lacks a dataset, or their numbers of rows differ;
            while it is iterated, rows cannot be read.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.h5"
        >>> ds = hr.DataFromList([[b"jpeg", 7], [b"png", 8]], shuffle=False)
        >>> hr.HDF5Serializer.save(ds, path, ["image", "label"], progress=False)
        2
        >>> [[image, int(label)] for image, label in hr.HDF5Data(path, ["image", "label"], shuffle=False)]
        [[b'jpeg', 7], [b'png', 8]]
        >>> folder.cleanup()
    """

    def __init__(
        self,
        filename: PathLike,
        data_paths: Sequence[str] | None = None,
        shuffle: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        need("h5py", "hdf5")
        self.filename = os.fspath(filename)
        check_there(self.filename)
        self.data_paths = None if data_paths is None else check_paths(data_paths)

    def _open(self) -> Records:
        return _Datasets(self.filename, self.data_paths)


def check_paths(data_paths: Any) -> list[str]:
    """The names of datasets, as a list.

    Raises:
        TypeError: they are no list of str.
        ValueError: there is none, or one twice.
    """
    if isinstance(data_paths, str):
        raise TypeError(f"data_paths must be a list of str, got {data_paths!r:.60}")
    paths = list(data_paths)
    if not all(isinstance(path, str) for path in paths):
        raise TypeError(f"data_paths must be a list of str, got {paths!r:.60}")
    if not paths or len(set(paths)) < len(paths):
        raise ValueError(f"data_paths must name at least one dataset, and none twice, got {paths}")
    return paths


class _Datasets(Columns):
    def __init__(self, filename: str, paths: list[str] | None):
        h5py = need("h5py", "hdf5")
        try:
            self._file = h5py.File(filename, "r")
        except OSError as error:
            if isinstance(error, PermissionError):
                raise
            raise FormatError(f"{filename}: this cannot be read as HDF5: {error}") from error
        try:
            header = _header(filename, self._file)
            self._as_dict = paths is None and header["kind"] == "dict"
            names = paths if paths is not None else header["paths"]
            if not names:
                raise FormatError(f"{filename}: it was not written by HDF5Serializer, so data_paths must be given")
            datasets = [_dataset(h5py, filename, self._file, name) for name in names]
            rows = [d.chunks[0] for d in datasets if d.chunks]
            super().__init__(filename, names, [_Column(h5py, d) for d in datasets], max(rows, default=0))
        except BaseException:
            self._file.close()
            raise

    def _row(self, loaded: list[Any], within: int) -> Any:
        row = super()._row(loaded, within)
        return dict(zip(self._names, row, strict=True)) if self._as_dict else row

    def close(self) -> None:
        super().close()
        self._file.close()


def _header(filename: str, file: Any) -> dict[str, Any]:
    text = file.attrs.get("headrace")
    if text is None:
        return {"kind": "list", "paths": None}
    try:
        header = json.loads(text)
        known = header["format"], header["version"]
        found = {"kind": header["kind"], "paths": header["paths"]}
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{filename}: attribute 'headrace': the header is damaged: {error!r}") from error
    if known != (_FORMAT, _VERSION):
        raise FormatError(
            f"{filename}: attribute 'headrace': format {known[0]!r}, version {known[1]!r}; this headrace reads "
            f"{_FORMAT!r}, version {_VERSION}"
        )
    return found


def _dataset(h5py: Any, filename: str, file: Any, name: str) -> Any:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        there: list[str] = []
        file.visititems(lambda path, entry: there.append(path) if isinstance(entry, h5py.Dataset) else None)
        raise FormatError(f"{filename}: there is no dataset {name!r}; there are {there[:20]}")
    return dataset


class _Column:
    """A dataset whose texts come as str, and whose bytes come as bytes."""

    def __init__(self, h5py: Any, dataset: Any):
        self.shape = dataset.shape
        text = h5py.check_string_dtype(dataset.dtype)
        self._source = dataset.asstr() if text is not None and text.encoding == "utf-8" else dataset
        self._bytes = dataset.attrs.get("headrace") == "bytes"

    def __getitem__(self, rows: slice) -> Any:
        values = self._source[rows]
        return [value.tobytes() for value in values] if self._bytes else values


class HDF5Serializer:
    """Save a flow as datasets of an HDF5 file, one for each component, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.h5"
        >>> ds = hr.DataFromList([{"name": "é", "size": 1.5}], shuffle=False)
        >>> hr.HDF5Serializer.save(ds, path, progress=False)
        1
        >>> [(dp["name"], float(dp["size"])) for dp in hr.HDF5Serializer.load(path)]
        [('é', 1.5)]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(
        df: Any,
        path: PathLike,
        data_paths: Sequence[str] | None = None,
        *,
        progress: bool = True,
        overwrite: bool = False,
    ) -> int:
        """Write one pass of a flow, in chunks: it need not fit into memory. An unfinished file cannot be gone on with.

        Args:
            df: the flow. A component is an array or number (of one shape and dtype in all datapoints), a str, or bytes.
            path: the file.
            data_paths: where the components of each datapoint go; by default the keys of a dict, or ``"0"``, ``"1"``
                and so on.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.

        Returns:
            How many datapoints the file holds.

        Raises:
            TypeError, ValueError: a datapoint has other components, shapes or dtypes than the first one.
            Exception: see `LMDBSerializer.save`.
        """
        need("h5py", "hdf5")
        paths = None if data_paths is None else check_paths(data_paths)
        return save(df, path, lambda part, _: _Sink(part, paths), progress=progress, overwrite=overwrite)

    @staticmethod
    def load(
        path: PathLike,
        data_paths: Sequence[str] | None = None,
        shuffle: bool = True,
        *,
        on_error: OnErrorChoice = "raise",
    ) -> HDF5Data:
        """See `HDF5Data`."""
        return HDF5Data(path, data_paths, shuffle, on_error)


class _Sink:
    """See `Sink`."""

    def __init__(self, path: Path, paths: list[str] | None):
        self._h5py = need("h5py", "hdf5")
        self._raw = _Careful(open(path, "w+b", buffering=0))  # noqa: SIM115
        self._file = self._h5py.File(self._raw, "w")
        self._paths = paths
        self._kind = "list"
        self._columns: list[_Growing] = []

    def write(self, datapoint: Any) -> None:
        if not isinstance(datapoint, (list, tuple, dict)):
            raise TypeError(f"the datapoint must have components, got {type(datapoint).__name__}: {datapoint!r:.60}")
        if self._paths is None:
            self._kind = "dict" if isinstance(datapoint, dict) else "list"
            self._paths = check_paths(datapoint if self._kind == "dict" else map(str, range(len(datapoint))))
        if isinstance(datapoint, dict):
            if datapoint.keys() != set(self._paths):
                raise ValueError(f"the datapoint has the components {sorted(datapoint)}, expected {self._paths}")
            datapoint = [datapoint[path] for path in self._paths]
        if len(datapoint) != len(self._paths):
            raise ValueError(
                f"the datapoint has {len(datapoint)} components, expected {len(self._paths)}: {self._paths}"
            )
        values = [_value(path, value) for path, value in zip(self._paths, datapoint, strict=True)]
        if not self._columns:
            pairs = zip(self._paths, values, strict=True)
            self._columns = [_Growing(self._h5py, self._file, path, value) for path, value in pairs]
        for column, value in zip(self._columns, values, strict=True):
            column.check(value)
        for column, value in zip(self._columns, values, strict=True):
            column.add(value)
        self._raw.check()

    def flush(self) -> None:
        """HDF5 does not promise that a file is readable if its writer dies."""

    def close(self) -> None:
        for column in self._columns:
            column.write()
        if not self._columns:
            for path in self._paths or ["0"]:
                self._file.create_dataset(path, (0,), "f8")
        header = {"format": _FORMAT, "version": _VERSION, "kind": self._kind, "paths": self._paths or ["0"]}
        self._file.attrs["headrace"] = json.dumps(header)
        self._file.close()
        self._raw.check()
        self._raw.close()

    def abandon(self) -> None:
        self._file.close()
        self._raw.close()


class _Careful(io.RawIOBase):
    """A file that never tells HDF5 of an error, but us: HDF5 crashes the process some time after a full disk."""

    def __init__(self, raw: io.FileIO):
        self._raw = raw
        self._error: OSError | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._error is None:
            try:
                done += self._raw.write(view[done:])
            except OSError as error:
                self._error = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        got = self._raw.readinto(buffer)
        memoryview(buffer).cast("B")[got:] = bytes(len(buffer) - got)  # what could not be written
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _value(path: str, value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biufcV" or array.dtype.hasobject:
        raise TypeError(f"component {path!r} is a {type(value).__name__}, which an HDF5 dataset cannot hold")
    return array


class _Growing:
    """A dataset that is written a chunk at a time."""

    def __init__(self, h5py: Any, file: Any, path: str, first: Any):
        self._path = path
        self._kind = type(first)
        self._shape: tuple[int, ...] = ()
        if isinstance(first, np.ndarray):
            self._shape, dtype, row_bytes = first.shape, first.dtype, max(first.nbytes, 1)
        else:
            dtype = h5py.string_dtype() if isinstance(first, str) else h5py.vlen_dtype(np.uint8)
            row_bytes = max(len(first), 1)
        self._rows = max(1, min(_MOST_ROWS, _CHUNK_BYTES // row_bytes))
        self._dtype = dtype
        self._dataset = file.create_dataset(
            path,
            (0, *self._shape),
            dtype,
            maxshape=(None, *(n or None for n in self._shape)),
            chunks=(self._rows, *(max(n, 1) for n in self._shape)),
        )
        if isinstance(first, bytes):
            self._dataset.attrs["headrace"] = "bytes"
        self._held: list[Any] = []

    def check(self, value: Any) -> None:
        if type(value) is not self._kind:
            raise TypeError(
                f"component {self._path!r} is a {type(value).__name__}, in the first datapoint it was a "
                f"{self._kind.__name__}"
            )
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"component {self._path!r} has a null character in it, which HDF5 takes for the end")
        if isinstance(value, np.ndarray) and (value.shape, value.dtype) != (self._shape, self._dtype):
            raise ValueError(
                f"component {self._path!r} has shape {value.shape} and dtype {value.dtype}, in the first datapoint it "
                f"had shape {self._shape} and dtype {self._dtype}"
            )

    def add(self, value: Any) -> None:
        self._held.append(np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value)
        if len(self._held) == self._rows:
            self.write()

    def write(self) -> None:
        held, self._held = self._held, []
        if not held:
            return
        first = self._dataset.shape[0]
        self._dataset.resize(first + len(held), axis=0)
        if self._kind is np.ndarray:
            self._dataset[first:] = np.stack(held)
        else:
            for row, value in enumerate(held, first):  # numpy would make a matrix of texts of one length
                self._dataset[row] = value
