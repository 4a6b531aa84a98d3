"""LMDB databases as they are read: opened once in a process, and refused when they are truncated."""

from __future__ import annotations

import io
import json
import os
import pickle
import threading
import weakref
from typing import Any

from ..errors import FormatError
from .extras import need

__all__ = ["FORMAT", "HEADER", "VERSION", "Database", "open_database"]

HEADER = b"__headrace__"
_KEYS = b"__keys__"
FORMAT, VERSION = "headrace-lmdb", 1


class Database:
    """An open database; there must not be two of one file in a process, so all readers share it."""

    def __init__(self, path: str):
        lmdb = need("lmdb", "lmdb")
        self.path = path
        self._broken = lmdb.Error
        _check_size(path)
        try:
            self._env = lmdb.open(
                path,
                subdir=False,
                readonly=True,
                lock=False,
                readahead=False,
                map_size=os.path.getsize(path),  # of address space, which may be limited
                max_readers=100,
            )
            self.count = self._env.stat()["entries"]
            for key in (HEADER, _KEYS):
                self.count -= self._read(key) is not None
        except lmdb.Error as error:
            raise FormatError(f"{path}: this cannot be read as an LMDB database: {error}") from error

    def _read(self, key: bytes) -> bytes | None:
        with self._env.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def get(self, key: bytes) -> bytes:
        """The value of a key.

        Raises:
            FormatError: there is none, or it cannot be read.
        """
        try:
            value = self._read(key)
        except self._broken as error:
            raise FormatError(f"{self.path}: key {key!r}: it cannot be read: {error}") from error
        if value is None:
            raise FormatError(f"{self.path}: there is no key {key!r}")
        return value

    def close(self) -> None:
        """Close it, whoever has it."""
        self._env.close()

    def header(self) -> dict[str, Any] | None:
        """What `LMDBSerializer` wrote about the database; None: somebody else wrote it.

        Raises:
            FormatError: it is damaged, or of a version that we do not know.
        """
        text = self._read(HEADER)
        if text is None:
            return None
        try:
            header: dict[str, Any] = json.loads(text)
            version, _ = header["version"], header["count"] + 0
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{self.path}: key {HEADER!r}: the header is damaged: {error!r}") from error
        if header.get("format") != FORMAT or version != VERSION:
            raise FormatError(
                f"{self.path}: key {HEADER!r}: format {header.get('format')!r}, version {version!r}; this headrace "
                f"reads {FORMAT!r}, version {VERSION}"
            )
        return header

    def stored_keys(self) -> list[bytes] | None:
        """The list that tensorpack stored; None if there is none, or it is more than a list of keys."""
        stored = self._read(_KEYS)
        if stored is None:
            return None
        try:
            keys = _OnlyData(io.BytesIO(stored)).load()
        except Exception:
            return None  # msgpack or pyarrow, which tensorpack could be told to use
        if not isinstance(keys, list) or not all(isinstance(key, (bytes, str)) for key in keys):
            return None
        return [key.encode() if isinstance(key, str) else key for key in keys]

    def all_keys(self) -> list[bytes]:
        """All keys of datapoints, found by going through the database."""
        try:
            with self._env.begin() as transaction, transaction.cursor() as cursor:
                return [bytes(key) for key in cursor.iternext(values=False) if key not in (HEADER, _KEYS)]
        except self._broken as error:
            raise FormatError(f"{self.path}: its keys cannot be read: {error}") from error


class _OnlyData(pickle.Unpickler):
    """Unpickles lists, bytes and str. There is no code in these, so nothing that a file says is run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not data")


_File = tuple[int, int]  # device and inode
_databases: weakref.WeakValueDictionary[_File, Database] = weakref.WeakValueDictionary()
_inherited: dict[_File, Database] = {}
_opening = threading.Lock()


def _after_fork() -> None:
    """What the parent had open must not be used here, nor may it be opened again before it is closed."""
    global _opening
    _opening = threading.Lock()
    _inherited.update(_databases)
    _databases.clear()


os.register_at_fork(after_in_child=_after_fork)


def open_database(path: str) -> Database:
    """The database, which all readers in this process share."""
    stat = os.stat(path)
    file = stat.st_dev, stat.st_ino
    with _opening:
        database = _databases.get(file)
        if database is None:
            if file in _inherited:
                _inherited.pop(file).close()
            database = _databases[file] = Database(path)
        return database


_PAGE_BYTES_AT, _LAST_PAGE_AT, _MAGIC_AT = 40, 136, 16


def _check_size(path: str) -> None:
    """Refuse a truncated file: reading beyond its end through the memory map would kill the process.

    The first two pages hold, from byte 16, MDB_meta of LMDB's mdb.c: magic, version, address, map size, two MDB_db (the
    first begins with the page size), last page, transaction.
    """
    with open(path, "rb") as file:
        head = file.read(144)
        if len(head) < 144 or int.from_bytes(head[_MAGIC_AT : _MAGIC_AT + 4], "little") != 0xBEEFC0DE:
            raise FormatError(f"{path}: at byte {_MAGIC_AT}: this is no LMDB database: it has no magic number")
        page_bytes = int.from_bytes(head[_PAGE_BYTES_AT : _PAGE_BYTES_AT + 4], "little")
        file.seek(page_bytes)
        second = file.read(144)
        size = file.seek(0, os.SEEK_END)
    metas = [meta for meta in (head, second) if len(meta) == 144]
    last_page = max(int.from_bytes(meta[_LAST_PAGE_AT : _LAST_PAGE_AT + 8], "little") for meta in metas)
    if len(metas) < 2 or (last_page + 1) * page_bytes > size:
        raise FormatError(
            f"{path}: the file ends at byte {size}, but the database has {(last_page + 1) * page_bytes}: truncated"
        )
