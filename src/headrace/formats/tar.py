"""Tar files in the manner of WebDataset (https://github.com/webdataset/webdataset): consecutive members whose names
agree up to the first dot of the base name are one sample, and the rest of the name tells the component.

Tar members begin with a header of 512 bytes (POSIX pax or ustar, or GNU), and are padded to a multiple of that.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .files import AppendedFile, File, FilesReader, Index
from .writing import PathLike, save

if TYPE_CHECKING:
    import tarfile

__all__ = ["WebDatasetData", "WebDatasetSerializer"]

_BLOCK = 512
_HEADER_BYTES = 1 << 20  # more than any name is long


class WebDatasetData(FilesReader):
    """The samples of WebDataset shards, as dicts: ``__key__``, and the bytes of each component.

    Args:
        paths: a tar file, a pattern such as ``"train-*.tar"`` or ``"train-{000000..000146}.tar"``, or a list of these;
            also URLs that fsspec knows, such as ``"s3://bucket/train-*.tar"``.
        shuffle: whether each pass is in another order: that of the shards, and within each shard that of the samples.
        on_error: see `LMDBData`. After a damaged header, the rest of a shard cannot be read.
        max_errors: see `LMDBData`.

    Order and integrity: each sample once per pass, in the order of the shards unless shuffled. When it is opened, the
    headers of all members are read once; then it has a length, and resumes in O(1). Tar has no checksum of contents.
    By URL, each sample is one request, or read ahead if not shuffled.

    Raises:
        ImportError: for a URL: fsspec is not installed, or what it needs for it.
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: a shard is no tar file, damaged or truncated; names file and offset.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/train-000000.tar"
        >>> ds = hr.DataFromList([{"__key__": "cat", "jpg": b"...", "cls": 3}], shuffle=False)
        >>> hr.WebDatasetSerializer.save(ds, path, progress=False)
        1
        >>> list(hr.WebDatasetData(path))
        [{'__key__': 'cat', 'jpg': b'...', 'cls': b'3'}]
        >>> folder.cleanup()
    """

    def _scan(self, file: File, damage: list[Exception]) -> Index:
        import tarfile  # not at the top: headrace is quick to import

        samples = _Samples()
        with file.stream() as raw:
            at = 0
            try:
                # Uncompressed and by our own hand: tarfile takes a damaged header after the first for the end.
                with tarfile.open(fileobj=raw, mode="r:", tarinfo=_tar_info()) as tar:
                    while (member := tar.next()) is not None:
                        at = tar.offset  # of the next one
                        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                        if at > file.size:
                            raise tarfile.ReadError(f"the file ends at byte {file.size}, within {member.name!r}")
                        if member.isfile():
                            samples.add(member)
                    _check_end(file, at)
            except FormatError as error:
                damage.append(error)
            except (tarfile.TarError, EOFError, ValueError, UnicodeDecodeError) as error:
                hint = " (it is compressed: unpack it first)" if file.read(0, min(2, file.size)) == b"\x1f\x8b" else ""
                damage.append(file.error(at, f"this is no tar file, or it is damaged: {error}{hint}"))
                samples.pop()  # perhaps not all of it is there
        return samples.index()

    def _read(self, file: File, index: Index, number: int) -> dict[str, Any]:
        members: _Members = index.more
        key, parts = members.of(number)
        begin = int(index.offsets[number])
        data = file.read(begin, int(index.sizes[number]))  # in one go: by URL, each read may be a request
        return {"__key__": key, **{name: data[at - begin : at - begin + size] for name, at, size in parts}}


@functools.cache
def _tar_info() -> type[tarfile.TarInfo]:
    import tarfile

    about_others = {
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    }

    class Info(tarfile.TarInfo):
        """Refuses headers that would take all memory: tarfile reads what they announce."""

        def _proc_member(self, tar: tarfile.TarFile) -> Any:
            if self.type in about_others and self.size > _HEADER_BYTES:
                raise tarfile.ReadError(f"a header of {self.size} bytes, longer than any name is")
            return super()._proc_member(tar)  # type: ignore[misc]

    return Info


@dataclasses.dataclass(frozen=True)
class _Members:
    """What the samples of a shard consist of, in few bytes: a data set may have hundreds of millions of them.

    Attributes:
        keys: of all samples, one after the other, as UTF-8.
        key_ends: where each one ends.
        extensions: all that occur.
        firsts: the number of the first member of each sample, and the count of all.
        kinds: the extension of each member, by its number.
        offsets: of the contents of each member, in bytes.
        sizes: of the contents of each member, in bytes.
    """

    keys: bytes
    key_ends: array[int]
    extensions: list[str]
    firsts: array[int]
    kinds: array[int]
    offsets: array[int]
    sizes: array[int]

    def of(self, number: int) -> tuple[str, Iterator[tuple[str, int, int]]]:
        """The key of a sample, and its members: extension, offset and size."""
        key = self.keys[self.key_ends[number - 1] if number else 0 : self.key_ends[number]]
        own = slice(self.firsts[number], self.firsts[number + 1])
        names = map(self.extensions.__getitem__, self.kinds[own])
        return key.decode("utf-8", "surrogateescape"), zip(names, self.offsets[own], self.sizes[own], strict=True)


class _Samples:
    """Collects members in the order of the file."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of extensions
        self._keys = bytearray()
        self._key_ends, self._firsts = array("q"), array("q")
        self._kinds, self._offsets, self._sizes = array("i"), array("q"), array("q")
        self._key: str | None = None

    def add(self, member: tarfile.TarInfo) -> None:
        """Take a member: into the sample of the one before, if their keys are equal, else into a new one.

        Raises:
            ValueError: the sample has such a component already.
        """
        folder, base = os.path.split(member.name)
        stem, _, extension = base.partition(".")
        if not extension:
            return  # as WebDataset has it: no component
        key = os.path.join(folder, stem)
        kind = self._numbers.setdefault(extension, len(self._numbers))
        if key != self._key:
            self._key = key
            self._keys += key.encode("utf-8", "surrogateescape")
            self._key_ends.append(len(self._keys))
            self._firsts.append(len(self._kinds))
        elif kind in self._kinds[self._firsts[-1] :]:
            raise ValueError(f"sample {key!r} has two components {extension!r}")
        self._kinds.append(kind)
        self._offsets.append(member.offset_data)
        self._sizes.append(member.size)

    def pop(self) -> None:
        """Forget the last sample, if there is one."""
        if self._firsts:
            first = self._firsts.pop()
            self._key_ends.pop()
            del self._kinds[first:], self._offsets[first:], self._sizes[first:]

    def index(self) -> Index:
        """Where the samples lie: from the contents of their first member to those of their last."""
        self._firsts.append(len(self._kinds))
        offsets, sizes = np.array(self._offsets, np.int64), np.array(self._sizes, np.int64)
        firsts = np.array(self._firsts, np.int64)
        begins, lasts = offsets[firsts[:-1]], firsts[1:] - 1
        members = _Members(
            bytes(self._keys),
            self._key_ends,
            list(self._numbers),
            self._firsts,
            self._kinds,
            self._offsets,
            self._sizes,
        )
        return Index(begins, offsets[lasts] + sizes[lasts] - begins, members)


def _check_end(file: File, at: int) -> None:
    """After the last member there is a block of zeros; else tarfile has stopped at damage, or something is missing."""
    if at + _BLOCK > file.size:
        raise ValueError("the file ends without an end-of-archive mark: it is truncated")
    if any(file.read(at, _BLOCK)):
        raise ValueError("there is no header where one should be")


class WebDatasetSerializer:
    """Save a flow of dicts as a WebDataset shard, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/train-000000.tar"
        >>> ds = hr.DataFromList([{"txt": "a cat"}, {"txt": "a dog"}], shuffle=False)
        >>> hr.WebDatasetSerializer.save(ds, path, progress=False)
        2
        >>> list(hr.WebDatasetSerializer.load(path))
        [{'__key__': '00000000', 'txt': b'a cat'}, {'__key__': '00000001', 'txt': b'a dog'}]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, *, progress: bool = True, overwrite: bool = False, resume: bool = False) -> int:
        """Write one pass of a flow of dicts.

        Args:
            df: the flow. ``__key__`` names a sample (else its number in this file does, so that names in several
                shards are equal); the other keys are extensions. bytes are
                written as they are, str and numbers as text, an array as ``.npy`` if its extension ends in ``npy``,
                lists and dicts as JSON if it ends in ``json``.
            path: the file, or a URL that fsspec knows.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.
            resume: see `LMDBSerializer.save`.

        Returns:
            How many samples the file holds.

        Raises:
            TypeError, ValueError: a datapoint is no such dict, or has the ``__key__`` of the one before.
            Exception: see `LMDBSerializer.save`.
        """
        return save(df, path, _Sink, progress=progress, overwrite=overwrite, resume=resume)

    @staticmethod
    def load(path: PathLike, shuffle: bool = False, *, on_error: OnErrorChoice = "raise") -> WebDatasetData:
        """See `WebDatasetData`."""
        return WebDatasetData(path, shuffle, on_error)


class _Sink(AppendedFile):
    def __init__(self, path: Path, position: list[Any] | None):
        offset, count, last = position if position is not None else (None, 0, None)
        super().__init__(path, offset)
        self._count: int = count
        self._last: str | None = last

    def write(self, datapoint: Any) -> None:
        import tarfile

        if not isinstance(datapoint, dict) or not all(isinstance(name, str) for name in datapoint):
            raise TypeError(f"a WebDataset sample is a dict with names, got {type(datapoint).__name__}")
        key = datapoint.get("__key__", f"{self._count:08d}")
        if not isinstance(key, str) or not key or "." in os.path.basename(key):
            raise ValueError(f"__key__ must be a name without dots, got {key!r:.60}")
        if key == self._last:
            raise ValueError(f"the sample before has the __key__ {key!r}, too: readers would take both for one")
        members = []
        for extension, value in datapoint.items():
            if extension != "__key__":
                if not extension or "/" in extension:
                    raise ValueError(f"the component {extension!r} cannot be the end of a file's name")
                data = _as_bytes(extension, value)
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                members.append(info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % _BLOCK))
        if not members:
            raise ValueError(f"sample {key!r} has no component")
        self.file.write(b"".join(members))
        self._count += 1
        self._last = key

    def flush(self) -> Any:
        return [super().flush(), self._count, self._last]

    def close(self) -> None:
        self.file.write(bytes(2 * _BLOCK))
        super().close()


def _as_bytes(extension: str, value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, np.ndarray) and extension.endswith("npy") and not value.dtype.hasobject:
        file = io.BytesIO()
        np.save(file, value)
        return file.getvalue()
    if isinstance(value, (list, dict)) and extension.endswith("json"):
        return json.dumps(value).encode()
    if isinstance(value, (int, float, np.integer, np.floating)):
        return str(value).encode()
    raise TypeError(f"component {extension!r} is a {type(value).__name__}, which a WebDataset shard cannot hold")
