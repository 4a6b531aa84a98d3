"""Formats by the ending of a file's name, for conversions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from .arrow import ArrowData, ArrowSerializer, ParquetData, ParquetSerializer
from .folder import FolderData, FolderSerializer
from .hdf5 import HDF5Data, HDF5Serializer
from .jsonl import JSONLinesData, JSONLinesSerializer
from .lmdb import LMDBSerializer
from .npy import NpyData, NpySerializer
from .npz import NumpySerializer
from .svmlight import SVMLightData, SVMLightSerializer
from .tar import WebDatasetData, WebDatasetSerializer
from .tfrecord import TFRecordSerializer
from .writing import PathLike

__all__ = ["FORMATS", "Format", "format_of"]


@dataclasses.dataclass(frozen=True)
class Format:
    """What a conversion has to know of a format.

    Attributes:
        name: for people.
        endings: of file names; the first one is the usual one.
        save: writes a flow.
        load: reads what was written, unshuffled, with the keyword ``on_error`` (except for ``.npy``).
        resumes: whether ``save`` can go on with an unfinished file.
        has_codec: whether ``save`` takes a codec, and ``load`` takes ``allow_pickle``.
        is_folder: whether it is a folder that ``save`` writes.
    """

    name: str
    endings: tuple[str, ...]
    save: Callable[..., int]
    load: Callable[..., Any]
    resumes: bool = True
    has_codec: bool = False
    is_folder: bool = False


FORMATS = (
    Format("LMDB", (".lmdb", ".mdb"), LMDBSerializer.save, LMDBSerializer.load, has_codec=True),
    Format("TFRecord", (".tfrecord", ".tfrecords"), TFRecordSerializer.save, TFRecordSerializer.load, has_codec=True),
    Format("WebDataset", (".tar",), WebDatasetSerializer.save, WebDatasetData),
    Format("JSON lines", (".jsonl", ".ndjson"), JSONLinesSerializer.save, JSONLinesData),
    Format("Parquet", (".parquet",), ParquetSerializer.save, ParquetData, resumes=False),
    Format("Arrow", (".arrow", ".feather"), ArrowSerializer.save, ArrowData, resumes=False),
    Format("HDF5", (".h5", ".hdf5"), HDF5Serializer.save, HDF5Data, resumes=False),
    Format("npz", (".npz",), NumpySerializer.save, NumpySerializer.load, resumes=False, has_codec=True),
    Format("npy", (".npy",), NpySerializer.save, NpyData),
    Format("SVMlight", (".svm", ".svmlight", ".libsvm"), SVMLightSerializer.save, SVMLightData),
    Format("folder of files", ("",), FolderSerializer.save, FolderData, resumes=False, is_folder=True),
)


def format_of(path: PathLike) -> Format:
    """The format of a file, by the ending of its name; a name without one is that of a folder.

    Raises:
        ValueError: no format has that ending.

    Example:
        >>> format_of("photos/train.TAR").name, format_of("photos").name
        ('WebDataset', 'folder of files')
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    for form in FORMATS:
        if ending in form.endings:
            return form
    known = ", ".join(e for form in FORMATS for e in form.endings if e)
    raise ValueError(f"{os.fspath(path)}: no format has the ending {ending!r}; known are {known}")
