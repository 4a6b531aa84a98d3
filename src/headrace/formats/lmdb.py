"""LMDB: a memory-mapped database in one file, the fastest format for random access.

A database of `LMDBSerializer` has a record under ``__headrace__``: JSON with the format, its version, the codec and the
number of datapoints; these lie under ``00000000``, ``00000001`` and so on, as tensorpack has them. Tensorpack's own
databases have a pickled list of all keys under ``__keys__`` instead.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .._checks import check_count
from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from ..stages.map import MapData
from .extras import need
from .lmdb_database import FORMAT, HEADER, VERSION, open_database
from .reader import Reader, Records, check_there
from .records import check_codec, pack, unpack
from .writing import PathLike, save

__all__ = ["DecodedLMDB", "LMDBData", "LMDBDataDecoder", "LMDBSerializer"]


class LMDBData(Reader):
    """The entries of an LMDB database, as ``[key, value]``, both bytes.

    Args:
        lmdb_path: a database file, or a folder with ``data.mdb``.
        shuffle: whether each pass is a new permutation.
        keys: the keys to read: a list of str or bytes, or a format such as ``"{:0>8d}"`` for the numbers of all
            entries. By default, those that a header tells, else all keys of the database, found by going through it.
        on_error: what happens to a record that cannot be read: ``"raise"`` a `FormatError`, ``"skip"`` it, or call a
            function with the error that gives a datapoint in its place, or None.
        max_errors: the most errors of a pass, or which fraction of it; None: any number.

    Order and integrity: each entry once per pass; without ``shuffle`` in the order of ``keys``, by default that of the
    database. Opened on first use in each process; any number of flows may read one database. Resumes in O(1).

    Raises:
        ImportError: lmdb is not installed.
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, it is no LMDB database, truncated, or lacks a key.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.lmdb"
        >>> hr.LMDBSerializer.save(hr.DataFromList([10, 20], shuffle=False), path, progress=False)
        2
        >>> [key for key, value in hr.LMDBData(path, shuffle=False)]
        [b'00000000', b'00000001']
        >>> folder.cleanup()
    """

    def __init__(
        self,
        lmdb_path: PathLike,
        shuffle: bool = True,
        keys: str | Sequence[str | bytes] | None = None,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        need("lmdb", "lmdb")
        path = os.fspath(lmdb_path)
        self.lmdb_path = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        check_there(self.lmdb_path)
        self.keys = keys if keys is None else _check_keys(keys)

    def _open(self) -> Records:
        return _Entries(self.lmdb_path, self.keys)


def _check_keys(keys: Any) -> str | list[str | bytes]:
    if isinstance(keys, str):
        try:
            keys.format(0)
        except (LookupError, ValueError) as error:
            raise ValueError(f"keys={keys!r} is no format for numbers, such as '{{:0>8d}}': {error!r}") from None
        return keys
    keys = list(keys)
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise TypeError("keys must be str or bytes, or one format such as '{:0>8d}'")
    return keys  # type: ignore[no-any-return]


class _Entries:
    """See `Records`."""

    bounds = None

    def __init__(self, path: str, keys: str | Sequence[str | bytes] | None):
        self.path = path
        self.damage: list[Exception] = []
        self._database = open_database(path)
        self.header = self._database.header()
        self._keys = self._find_keys(keys)

    def _find_keys(self, keys: str | Sequence[str | bytes] | None) -> Sequence[bytes]:
        if keys is not None and not isinstance(keys, str):
            return [key.encode() if isinstance(key, str) else key for key in keys]
        if keys is not None:
            return _Numbered(keys, self._database.count)
        if self.header is not None:
            return _Numbered("{:08d}", self.header["count"])
        return self._database.stored_keys() or self._database.all_keys()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> list[bytes]:
        key = self._keys[number]
        return [key, self._database.get(key)]

    def close(self) -> None:
        """See `Records`: the database is closed when its last reader is gone."""
        self.__dict__.pop("_database", None)


class _Numbered(Sequence[bytes]):
    """Keys that are numbers: none of them is stored."""

    def __init__(self, form: str, count: int):
        self._form, self._count = form, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        return self._form.format(number).encode()


class LMDBDataDecoder(MapData):
    """Decode the entries of a database.

    Args:
        lmdb_data: an `LMDBData`.
        decoder: called as ``decoder(key, value)``, gives a datapoint, or None to discard the entry.

    Order and integrity: as `MapData`.

    Example:
        >>> import headrace as hr
        >>> entries = hr.DataFromList([[b"a", b"1"], [b"b", b"2"]], shuffle=False)
        >>> list(hr.LMDBDataDecoder(entries, lambda key, value: [key.decode(), int(value)]))
        [['a', 1], ['b', 2]]
    """

    def __init__(self, lmdb_data: Any, decoder: Callable[[bytes, bytes], Any]):
        if not callable(decoder):
            raise TypeError(f"decoder must be callable, got {type(decoder).__name__}: {decoder!r:.60}")
        super().__init__(lmdb_data, functools.partial(_decode_entry, decoder))
        self.decoder = decoder


def _decode_entry(decoder: Callable[[bytes, bytes], Any], entry: list[bytes]) -> Any:
    return decoder(entry[0], entry[1])


class DecodedLMDB(LMDBData):
    """Entries, each decoded to a datapoint; one that cannot be is a bad record."""

    def __init__(self, decode: Callable[[bytes], Any], *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.decode = decode

    def _open(self) -> Records:
        entries = _Entries(self.lmdb_path, self.keys)
        return _DecodedEntries(entries, self.decode)


class _DecodedEntries:
    bounds = None

    def __init__(self, entries: _Entries, decode: Callable[[bytes], Any]):
        self._entries, self._decode = entries, decode
        self.damage = entries.damage

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> Any:
        key, value = self._entries[number]
        try:
            return self._decode(value)
        except ValueError as error:
            raise FormatError(f"{self._entries.path}: key {key!r}: {error}") from error

    def close(self) -> None:
        self._entries.close()


class LMDBSerializer:
    """Save a flow as an LMDB database, and load it: the fastest format for random access.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/points.lmdb"
        >>> ds = hr.DataFromList([[1, "one"], [2, "two"]], shuffle=False)
        >>> hr.LMDBSerializer.save(ds, path, progress=False)
        2
        >>> list(hr.LMDBSerializer.load(path, shuffle=False))
        [[1, 'one'], [2, 'two']]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(
        df: Any,
        path: PathLike,
        write_frequency: int = 5000,
        codec: str = "plain",
        *,
        progress: bool = True,
        overwrite: bool = False,
        resume: bool = False,
    ) -> int:
        """Write one pass of a flow.

        Args:
            df: the flow.
            path: the file; in a folder that exists, ``data.mdb``. It appears when it is complete.
            write_frequency: datapoints between two commits, at most.
            codec: ``"plain"`` writes numbers, str, bytes, lists, tuples, dicts and arrays, and reading it cannot run
                code. ``"pickle"`` writes any object, and has to be read with ``allow_pickle=True``.
            progress: whether there is a progress bar on stderr.
            overwrite: whether a file that exists is replaced, when the new one is complete.
            resume: whether to go on with what an earlier call, which failed or was killed, has left.

        Returns:
            How many datapoints the file holds.

        Raises:
            FileExistsError: the file exists, or an unfinished one does, and neither argument allows for that.
            BlockingIOError: another process is writing it.
            StateError: under ``resume``, the unfinished file is of another flow.
            TypeError: a datapoint holds what the codec cannot store.
            OSError: the disk is full, and so on; what was written until then stays for ``resume``.
        """
        need("lmdb", "lmdb")
        check_codec(codec)
        path = Path(path)
        return save(
            df,
            path / "data.mdb" if path.is_dir() else path,
            lambda part, position: _Sink(part, position, codec),
            progress=progress,
            overwrite=overwrite,
            resume=resume,
            flush_every=check_count("write_frequency", write_frequency),
        )

    @staticmethod
    def load(
        path: PathLike,
        shuffle: bool = True,
        *,
        allow_pickle: bool = False,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ) -> LMDBData:
        """The datapoints of a database that `save` has written, or tensorpack.

        Args:
            path: see `LMDBData`.
            shuffle: see `LMDBData`.
            allow_pickle: whether pickled datapoints are accepted, as tensorpack's are. Unpickling runs whatever code
                the file names: only for files that you trust.
            on_error: see `LMDBData`.
            max_errors: see `LMDBData`.
        """
        decode = functools.partial(unpack, allow_pickle=bool(allow_pickle))
        return DecodedLMDB(decode, path, shuffle, on_error=on_error, max_errors=max_errors)


class _Sink:
    """See `Sink`. A commit every so often; a position is the number of datapoints committed."""

    def __init__(self, path: Path, position: int | None, codec: str):
        lmdb = need("lmdb", "lmdb")
        self._codec = codec
        self._count = position or 0
        self._errors = lmdb.Error
        self._path = path
        with self._as_oserror():
            self._env = _open_to_write(lmdb, os.fspath(path))
            self._transaction = self._env.begin(write=True)

    def _as_oserror(self) -> _AsOSError:
        return _AsOSError(self._errors, self._path)

    def write(self, datapoint: Any) -> None:
        record = pack(datapoint, self._codec)
        with self._as_oserror():
            self._transaction.put(b"%08d" % self._count, record)
        self._count += 1

    def flush(self) -> int:
        with self._as_oserror():
            self._transaction.commit()
            self._env.sync(True)
            self._transaction = self._env.begin(write=True)
        return self._count

    def close(self) -> None:
        header = {"format": FORMAT, "version": VERSION, "codec": self._codec, "count": self._count}
        with self._as_oserror():
            self._transaction.put(HEADER, json.dumps(header).encode())
            self._transaction.commit()
            self._env.sync(True)
        self._env.close()

    def abandon(self) -> None:
        if hasattr(self, "_env"):
            self._transaction.abort()
            self._env.close()


def _open_to_write(lmdb: Any, path: str) -> Any:
    """A database with room for 2 TiB, or for less where address space is limited; the file is no larger than needed."""

    def open_with(map_bytes: int) -> Any:
        return lmdb.open(path, subdir=False, map_size=map_bytes, lock=False, meminit=False, sync=False)

    for bits in range(41, 30, -1):
        try:
            return open_with(1 << bits)
        except lmdb.MemoryError:
            pass
    return open_with(1 << 30)


class _AsOSError:
    """LMDB's own errors while writing are those of the disk."""

    def __init__(self, errors: type[Exception], path: Path):
        self._errors, self._path = errors, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self._errors) and not isinstance(error, OSError):
            raise OSError(f"{self._path}: it cannot be written (the disk may be full): {error}") from error
