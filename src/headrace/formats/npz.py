"""``.npz``: a small data set in one archive of numpy, loaded as a whole.

`NumpySerializer` writes three arrays: ``headrace`` (JSON: format, version, codec), ``records`` (the bytes of all
datapoints) and ``ends`` (where each one ends).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .reader import Reader, Records, check_there
from .records import check_codec, pack, unpack
from .writing import PathLike, save

__all__ = ["NumpySerializer"]

_FORMAT, _VERSION = "headrace-npz", 1


class NumpySerializer:
    """Save a flow as an ``.npz`` archive, and load it. Both hold all of it in memory: for small data sets.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.npz"
        >>> ds = hr.DataFromList([[1, "one"], [2, "two"]], shuffle=False)
        >>> hr.NumpySerializer.save(ds, path, progress=False)
        2
        >>> list(hr.NumpySerializer.load(path, shuffle=False))
        [[1, 'one'], [2, 'two']]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, codec: str = "plain", *, progress: bool = True, overwrite: bool = False) -> int:
        """Write one pass of a flow.

        Args:
            df: the flow.
            path: the file.
            codec: see `LMDBSerializer.save`.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.

        Returns:
            How many datapoints the file holds.

        Raises:
            Exception: see `LMDBSerializer.save`.
        """
        check_codec(codec)
        return save(df, path, lambda part, _: _Sink(part, codec), progress=progress, overwrite=overwrite)

    @staticmethod
    def load(
        path: PathLike,
        shuffle: bool = True,
        *,
        allow_pickle: bool = False,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ) -> Reader:
        """The datapoints of an archive that `save` has written, or tensorpack.

        Args:
            path: the file.
            shuffle: whether each pass is a new permutation.
            allow_pickle: see `LMDBSerializer.load`.
            on_error: see `LMDBData`.
            max_errors: see `LMDBData`.
        """
        return _NumpyData(path, shuffle, bool(allow_pickle), on_error, max_errors)


class _NumpyData(Reader):
    """What `NumpySerializer` wrote."""

    def __init__(
        self,
        path: PathLike,
        shuffle: bool,
        allow_pickle: bool,
        on_error: OnErrorChoice,
        max_errors: int | float | None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        self.path = os.fspath(path)
        check_there(self.path)
        self.allow_pickle = allow_pickle

    def _open(self) -> Records:
        import zipfile  # not at the top: headrace is quick to import
        import zlib

        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                if isinstance(archive, np.ndarray):
                    raise FormatError(f"{self.path}: this is no .npz archive, but an .npy file")
                if "headrace" not in archive and "buffer" in archive:
                    return _Objects(self._load_upstream(), self.path)
                if "headrace" not in archive:
                    raise FormatError(f"{self.path}: NumpySerializer has not written this: it holds {archive.files}")
                header = json.loads(str(archive["headrace"]))
                if (header["format"], header["version"]) != (_FORMAT, _VERSION):
                    raise FormatError(
                        f"{self.path}: format {header['format']!r}, version {header['version']!r}; this headrace reads "
                        f"{_FORMAT!r}, version {_VERSION}"
                    )
                return _Packed(archive["records"], archive["ends"], self.path, self.allow_pickle)
        except FormatError:
            raise
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise FormatError(f"{self.path}: this cannot be read as an .npz archive: {error}") from error

    def _load_upstream(self) -> Any:
        if not self.allow_pickle:
            raise FormatError(
                f"{self.path}: it is pickled, as tensorpack writes it, and unpickling may run any code; give "
                "allow_pickle=True if you trust who wrote it"
            )
        with np.load(self.path, allow_pickle=True) as archive:
            return archive["buffer"]


class _Packed:
    bounds = None

    def __init__(self, records: Any, ends: Any, path: str, allow_pickle: bool):
        self.damage: list[Exception] = []
        self._records, self._ends, self._path, self._allow_pickle = records, ends, path, allow_pickle
        if records.ndim != 1 or ends.ndim != 1 or (len(ends) and int(ends[-1]) != records.nbytes):
            raise FormatError(f"{path}: the records have {records.nbytes} bytes, other than their index says")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Any:
        begin, end = int(self._ends[number - 1]) if number else 0, int(self._ends[number])
        try:
            return unpack(memoryview(self._records[begin:end]), self._allow_pickle)
        except ValueError as error:
            raise FormatError(f"{self._path}: record {number}: {error}") from error

    def close(self) -> None:
        self._records, self._ends = self._records[:0], self._ends[:0]


class _Objects:
    """What tensorpack wrote: an array of objects, each a datapoint, or rows, which numpy made of lists."""

    bounds = None

    def __init__(self, buffer: Any, path: str):
        self.damage: list[Exception] = []
        if buffer.ndim == 0:
            raise FormatError(f"{path}: 'buffer' is no list of datapoints")
        self._buffer = buffer

    def __len__(self) -> int:
        return len(self._buffer)

    def __getitem__(self, number: int) -> Any:
        datapoint = self._buffer[number]
        return list(datapoint) if self._buffer.ndim > 1 else datapoint

    def close(self) -> None:
        self._buffer = self._buffer[:0]


class _Sink:
    """See `Sink`."""

    def __init__(self, path: Path, codec: str):
        self._path, self._codec = path, codec
        self._records: list[bytes] = []

    def write(self, datapoint: Any) -> None:
        self._records.append(pack(datapoint, self._codec))

    def flush(self) -> None:
        """All of it is written at the end."""

    def close(self) -> None:
        header = {"format": _FORMAT, "version": _VERSION, "codec": self._codec}
        with open(self._path, "wb") as file:
            np.savez_compressed(
                file,
                headrace=np.array(json.dumps(header)),
                records=np.frombuffer(b"".join(self._records), np.uint8),
                ends=np.cumsum([len(record) for record in self._records], dtype=np.int64),
            )

    def abandon(self) -> None:
        self._records.clear()
