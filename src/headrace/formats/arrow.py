"""Parquet and Arrow files: tables, read a row group or record batch at a time.

What `ParquetSerializer` and `ArrowSerializer` write has ``headrace`` in the metadata of the schema: JSON with the
format, its version, and whether datapoints were lists, tuples or dicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import check_count
from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .chunks import Chunks
from .extras import need
from .files import find
from .reader import Reader, Records
from .writing import PathLike, save

__all__ = ["ArrowData", "ArrowSerializer", "ParquetData", "ParquetSerializer"]

_FORMAT, _VERSION = "headrace-arrow", 1
_GROUP_ROWS = 1000


class ParquetData(Reader):
    """The rows of Parquet files, as dicts (or as what `ParquetSerializer` was given).

    Lists of numbers come as arrays, tensors too; all else as Python objects.

    Args:
        paths: a file, a pattern such as ``"train-*.parquet"``, or a list of these. All must have the same schema.
        columns: which columns to read; all by default.
        shuffle: whether each pass is in another order: that of the row groups, and within each group that of the rows.
        on_error: what happens to rows and files that cannot be read, see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each row once per pass, in the order of the files unless shuffled. Resumes in O(1); a share of
    a runner or rank is a stretch of row groups.

    Raises:
        ImportError: pyarrow is not installed.
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, a file is damaged, lacks a column, or its schema is not that of the first one (the
            difference is told); while it is iterated, a row group cannot be read.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.parquet"
        >>> ds = hr.DataFromList([{"name": "a", "box": [1, 2]}, {"name": "b", "box": [3]}], shuffle=False)
        >>> hr.ParquetSerializer.save(ds, path, progress=False)
        2
        >>> list(hr.ParquetData(path))
        [{'name': 'a', 'box': array([1, 2])}, {'name': 'b', 'box': array([3])}]
        >>> folder.cleanup()
    """

    _of = "parquet"

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        columns: Sequence[str] | None = None,
        shuffle: bool = False,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        need("pyarrow", "arrow")
        self.paths = find(paths)
        if isinstance(columns, str) or not all(isinstance(name, str) for name in columns or ()):
            raise TypeError(f"columns must be a list of str, got {columns!r:.60}")
        self.columns = list(columns) if columns is not None else None

    def _open(self) -> Records:
        return _Groups(self.paths, self.columns, _ParquetFile if self._of == "parquet" else _ArrowFile)


class ArrowData(ParquetData):
    """The rows of Arrow IPC files (also called Feather, version 2), memory-mapped. Else as `ParquetData`.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.arrow"
        >>> hr.ArrowSerializer.save(hr.DataFromList([["a", 1], ["b", 2]], shuffle=False), path, progress=False)
        2
        >>> list(hr.ArrowData(path))
        [['a', 1], ['b', 2]]
        >>> folder.cleanup()
    """

    _of = "arrow"


class _ParquetFile:
    """A file as a list of tables."""

    def __init__(self, path: str):
        self._file = need("pyarrow.parquet", "arrow").ParquetFile(path)
        self.schema = self._file.schema_arrow
        metadata = self._file.metadata
        self.sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def table(self, group: int, columns: list[str]) -> Any:
        return self._file.read_row_group(group, columns=columns)

    def close(self) -> None:
        self._file.close()


class _ArrowFile:
    def __init__(self, path: str):
        pyarrow = need("pyarrow", "arrow")
        self._map = pyarrow.memory_map(path)
        self._reader = pyarrow.ipc.open_file(self._map)
        self.schema = self._reader.schema
        self.sizes = [self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)]

    def table(self, group: int, columns: list[str]) -> Any:
        return need("pyarrow", "arrow").Table.from_batches([self._reader.get_batch(group)]).select(columns)

    def close(self) -> None:
        self._map.close()


class _Groups(Chunks):
    """See `Records`. Files are kept open one at a time."""

    def __init__(self, paths: list[str], columns: list[str] | None, make: Any):
        self._paths, self._make = paths, make
        self._groups: list[tuple[int, int]] = []  # file, number in it
        self._file: tuple[int, Any] = (-1, None)
        sizes: list[int] = []
        damage: list[Exception] = []
        self._first: tuple[str, Any] | None = None
        for number, path in enumerate(paths):
            try:
                file = self._open_file(number)
                if not sum(file.sizes) and not file.schema.names:
                    continue  # a shard of ours that got no datapoint, and so no columns
                self._check_schema(path, file.schema)
            except (OSError, FormatError) as error:
                damage.append(error)
                continue
            self._groups += [(number, group) for group in range(len(file.sizes))]
            sizes += file.sizes
        super().__init__(sizes)
        self.damage = damage
        try:
            self._choose(columns)
        except BaseException:
            self.close()
            raise

    def _choose(self, columns: list[str] | None) -> None:
        """Which columns to read, and what to make of a row."""
        path, schema = self._first if self._first is not None else ("", None)
        names: list[str] = schema.names if schema is not None else []
        self._columns = columns if columns is not None else names
        missing = [name for name in self._columns if name not in names]
        if missing and schema is not None:
            raise FormatError(f"{path}: there is no column {missing[0]!r}; there are {names[:20]}")
        self._as = dict if columns is not None or schema is None else _kind(path, schema)

    def _open_file(self, number: int) -> Any:
        last, file = self._file
        if last != number:
            self._close_file()
            path = self._paths[number]
            pyarrow = need("pyarrow", "arrow")
            try:
                file = self._make(path)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise FormatError(f"{path}: this cannot be read: {error}") from error
            self._file = number, file
        return file

    def _check_schema(self, path: str, schema: Any) -> None:
        if self._first is None:
            self._first = path, schema
            return
        first_path, first = self._first
        ours, theirs = _types(schema), _types(first)
        if ours != theirs:
            names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
            told = "; ".join(f"{n!r} is {ours.get(n, 'missing')}, there {theirs.get(n, 'missing')}" for n in names[:5])
            raise FormatError(f"{path}: the schema is not that of {first_path}: {told}")

    def _load(self, chunk: int) -> list[Any]:
        number, group = self._groups[chunk]
        pyarrow = need("pyarrow", "arrow")
        try:
            table = self._open_file(number).table(group, self._columns)
            table.validate(full=True)  # Arrow trusts offsets in a file: damaged ones would end the process
            return [table.column(name).combine_chunks() for name in self._columns]
        except (pyarrow.ArrowException, OSError) as error:
            raise FormatError(f"{self._paths[number]}: group {group} cannot be read: {error}") from error

    def _row(self, loaded: list[Any], within: int) -> Any:
        try:
            values = [_value(column, within) for column in loaded]
        except (need("pyarrow", "arrow").ArrowException, ValueError) as error:
            raise FormatError(
                f"{self._paths[self._groups[self._last[0]][0]]}: a row cannot be read: {error}"
            ) from error
        return dict(zip(self._columns, values, strict=True)) if self._as is dict else self._as(values)

    def close(self) -> None:
        super().close()
        self._close_file()

    def _close_file(self) -> None:
        _, file = self._file
        self._file = (-1, None)
        if file is not None:
            file.close()


def _types(schema: Any) -> dict[str, Any]:
    return {field.name: field.type for field in schema}


def _kind(path: str, schema: Any) -> Any:
    text = (schema.metadata or {}).get(b"headrace")
    if text is None:
        return dict
    try:
        header = json.loads(text)
        known = header["format"], header["version"]
        kind = {"dict": dict, "list": list, "tuple": tuple}.get(header["kind"])
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: metadata 'headrace': the header is damaged: {error!r}") from error
    if known != (_FORMAT, _VERSION) or kind is None:
        raise FormatError(
            f"{path}: metadata 'headrace': format {known[0]!r}, version {known[1]!r}, datapoints {header['kind']!r}; "
            f"this headrace reads {_FORMAT!r}, version {_VERSION}"
        )
    return kind


def _value(column: Any, within: int) -> Any:
    types = need("pyarrow", "arrow").types
    scalar = column[within]
    kind = column.type
    if not scalar.is_valid:
        return None
    if hasattr(scalar, "to_numpy"):  # a tensor
        if kind.permutation is not None and kind.permutation != sorted(kind.permutation):
            return np.array(scalar.to_numpy())
        return np.array(scalar.value.values.to_numpy(zero_copy_only=False)).reshape(kind.shape)  # also of bool
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        of, values = kind.value_type, scalar.values
        numbers = types.is_integer(of) or types.is_floating(of) or types.is_boolean(of)
        if numbers and values.null_count == 0:
            return np.array(values.to_numpy(zero_copy_only=False))
    return scalar.as_py()


def _fits(types: Any, found: Any, kind: Any) -> bool:
    """Whether values of a type can be stored as another one; Arrow itself refuses numbers that are too large."""
    if found == kind or types.is_null(found):
        return True
    if types.is_integer(found):
        return bool(types.is_integer(kind) or types.is_floating(kind))
    if types.is_floating(found):
        return bool(types.is_floating(kind) and found.bit_width <= kind.bit_width)
    if types.is_list(found):
        return bool(types.is_list(kind) and _fits(types, found.value_type, kind.value_type))
    if types.is_struct(found) and types.is_struct(kind):
        return all(kind.get_field_index(f.name) >= 0 and _fits(types, f.type, kind.field(f.name).type) for f in found)
    return False


class ParquetSerializer:
    """Save a flow as a Parquet file, and load it.

    Example:
        >>> import headrace as hr, numpy as np, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/images.parquet"
        >>> ds = hr.DataFromList([[np.zeros((2, 2), np.uint8), 7]], shuffle=False)
        >>> hr.ParquetSerializer.save(ds, path, progress=False)
        1
        >>> [[image.shape, label] for image, label in hr.ParquetSerializer.load(path)]
        [[(2, 2), 7]]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(
        df: Any,
        path: PathLike,
        group_rows: int = _GROUP_ROWS,
        *,
        progress: bool = True,
        overwrite: bool = False,
    ) -> int:
        """Write one pass of a flow, a row group at a time. An unfinished file cannot be gone on with.

        Args:
            df: the flow. The columns are the keys of dicts, or ``"0"``, ``"1"`` and so on for lists and tuples; their
                types are those of the first row group. Arrays of two or more dimensions must have one shape.
            path: the file.
            group_rows: rows in a group: what a reader has to load at once, and a share consists of.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.

        Returns:
            How many rows the file holds.

        Raises:
            TypeError, ValueError: a datapoint has other components or types than the first ones.
            Exception: see `LMDBSerializer.save`.
        """
        return _save(df, path, group_rows, progress, overwrite, _parquet_writer)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False, *, on_error: OnErrorChoice = "raise") -> ParquetData:
        """See `ParquetData`."""
        return ParquetData(path, None, shuffle, on_error)


class ArrowSerializer:
    """Save a flow as an Arrow IPC file, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.arrow"
        >>> hr.ArrowSerializer.save(hr.DataFromList([{"n": 1}], shuffle=False), path, progress=False)
        1
        >>> list(hr.ArrowSerializer.load(path))
        [{'n': 1}]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(
        df: Any,
        path: PathLike,
        group_rows: int = _GROUP_ROWS,
        *,
        progress: bool = True,
        overwrite: bool = False,
    ) -> int:
        """Write one pass of a flow, a record batch at a time; see `ParquetSerializer.save`."""
        return _save(df, path, group_rows, progress, overwrite, _arrow_writer)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False, *, on_error: OnErrorChoice = "raise") -> ArrowData:
        """See `ArrowData`."""
        return ArrowData(path, None, shuffle, on_error)


def _save(df: Any, path: PathLike, group_rows: int, progress: bool, overwrite: bool, writer: Any) -> int:
    need("pyarrow", "arrow")
    rows = check_count("group_rows", group_rows)
    return save(df, path, lambda part, _: _Sink(part, rows, writer), progress=progress, overwrite=overwrite)


def _parquet_writer(file: Any, schema: Any) -> Any:
    return need("pyarrow.parquet", "arrow").ParquetWriter(file, schema)


def _arrow_writer(file: Any, schema: Any) -> Any:
    return need("pyarrow", "arrow").ipc.new_file(file, schema)


class _Sink:
    """See `Sink`."""

    def __init__(self, path: Path, group_rows: int, make_writer: Any):
        self._pyarrow = need("pyarrow", "arrow")
        self._file = open(path, "wb")  # noqa: SIM115
        self._group_rows, self._make_writer = group_rows, make_writer
        self._writer: Any = None
        self._kind: Any = None
        self._columns: dict[str, list[Any]] = {}
        self._types: dict[str, Any] = {}
        self._held = 0

    def write(self, datapoint: Any) -> None:
        if type(datapoint) not in (dict, list, tuple):
            raise TypeError(f"the datapoint must be a dict, list or tuple, got {type(datapoint).__name__}")
        row = datapoint if isinstance(datapoint, dict) else {str(i): value for i, value in enumerate(datapoint)}
        if self._kind is None:
            self._kind = type(datapoint)
            if not row or not all(isinstance(name, str) for name in row):
                raise TypeError(f"the components must have names, and there must be one: {list(row)!r:.60}")
            self._columns = {name: [] for name in row}
        if type(datapoint) is not self._kind or row.keys() != self._columns.keys():
            raise ValueError(
                f"the datapoint is a {type(datapoint).__name__} of {sorted(row)}, the first one was a "
                f"{self._kind.__name__} of {sorted(self._columns)}"
            )
        for name, value in row.items():
            self._columns[name].append(value)
        self._held += 1
        if self._held == self._group_rows:
            self._write_group()

    def _write_group(self) -> None:
        arrays = {name: self._array(name, values) for name, values in self._columns.items()}
        for values in self._columns.values():
            values.clear()
        self._held = 0
        if self._writer is None:
            self._open_writer({name: array.type for name, array in arrays.items()})
        self._writer.write(self._pyarrow.Table.from_arrays(list(arrays.values()), schema=self._schema))

    def _array(self, name: str, values: list[Any]) -> Any:
        pyarrow = self._pyarrow
        kind = self._types.get(name)
        first = values[0]
        try:
            if isinstance(first, np.ndarray) and first.ndim > 1:
                stacked = np.stack(values)
                if stacked.dtype.kind not in "biuf":
                    raise ValueError(f"arrays of {stacked.dtype} in {first.ndim} dimensions cannot be stored")
                if kind is not None and stacked.dtype != kind.value_type.to_pandas_dtype():
                    raise ValueError(f"dtype {stacked.dtype} instead of {kind}")
                array = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(stacked))
                if kind is not None and array.type != kind:
                    raise ValueError(f"shape {first.shape} instead of {kind}")
                return array
            array = pyarrow.array(values)
            if kind is None or array.type == kind:
                return array
            if not _fits(pyarrow.types, array.type, kind):  # Arrow would convert 1.5 to 1, and leave out keys
                raise ValueError(f"{array.type} instead of {kind}")
            return pyarrow.array(values, kind)
        except (pyarrow.ArrowException, NotImplementedError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"component {name!r}: no type of Arrow fits all rows: {error}") from error

    def _open_writer(self, types: dict[str, Any]) -> None:
        self._types = types
        header = {"format": _FORMAT, "version": _VERSION, "kind": (self._kind or dict).__name__}
        fields = [self._pyarrow.field(name, kind) for name, kind in types.items()]
        self._schema = self._pyarrow.schema(fields, {"headrace": json.dumps(header)})
        self._writer = self._make_writer(self._file, self._schema)

    def flush(self) -> None:
        """A table is readable when its end has been written."""

    def close(self) -> None:
        if self._held:
            self._write_group()
        if self._writer is None:
            self._open_writer({})
        self._writer.close()
        self._file.close()

    def abandon(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            self._file.close()
        except (OSError, self._pyarrow.ArrowException):  # the disk is full
            pass
