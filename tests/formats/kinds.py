"""The formats, and how the tests write and read them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace as hr


def any_datapoint(n: int) -> Any:
    return [n, f"é{n}", {"a": np.arange(n, dtype=np.int16), "b": (n / 2, None, bytes([n]))}]


@dataclasses.dataclass
class Format:
    """How a format is written and read, and what it can hold.

    Attributes:
        name: of a file.
        save: the writer.
        load: the reader, with ``shuffle``.
        make: the n-th datapoint of a test.
        given: what comes back for it.
    """

    name: str
    save: Callable[..., int]
    load: Callable[..., hr.DataFlow]
    make: Callable[[int], Any] = any_datapoint
    given: Callable[[int], Any] | None = None

    def expected(self, count: int) -> list[Any]:
        return [(self.given or self.make)(n) for n in range(count)]

    def flow(self, count: int) -> hr.DataFlow:
        return hr.DataFromList([self.make(n) for n in range(count)], shuffle=False)

    def write(self, folder: Path, count: int = 20, **how: Any) -> Path:
        path = folder / self.name
        assert self.save(self.flow(count), path, progress=False, **how) == count
        return path


FORMATS = [
    Format("x.lmdb", hr.LMDBSerializer.save, hr.LMDBSerializer.load),
    Format("x.tfrecord", hr.TFRecordSerializer.save, hr.TFRecordSerializer.load),
    Format("x.jsonl", hr.JSONLinesSerializer.save, hr.JSONLinesSerializer.load, lambda n: {"n": n, "t": ["é", n / 2]}),
    Format(
        "x.tar",
        hr.WebDatasetSerializer.save,
        hr.WebDatasetSerializer.load,
        lambda n: {"txt": f"é{n}", "seg.png": bytes([n])},
        lambda n: {"__key__": f"{n:08d}", "txt": f"é{n}".encode(), "seg.png": bytes([n])},
    ),
    Format("x.npy", hr.NpySerializer.save, hr.NpySerializer.load, lambda n: np.full((2, 3), n, np.int16)),
]
FORMATS += [
    Format("x.npz", hr.NumpySerializer.save, hr.NumpySerializer.load),
    Format(
        "x.h5",
        hr.HDF5Serializer.save,
        hr.HDF5Serializer.load,
        lambda n: {"x": np.full((2, 3), n, np.int16), "name": f"é{n}", "jpeg": bytes([n, 0])},
    ),
    Format(
        "x.svm",
        hr.SVMLightSerializer.save,
        hr.SVMLightSerializer.load,
        lambda n: [np.array([0.0, n, 1.5]), float(-n)],
    ),
    Format(
        "x.parquet",
        functools.partial(hr.ParquetSerializer.save, group_rows=3),
        hr.ParquetSerializer.load,
        lambda n: (n, f"é{n}", np.full((2, 3), n, np.int16), np.arange(n, dtype=np.float32), bytes([n]), {"a": [None]}),
    ),
    Format(
        "x.arrow",
        functools.partial(hr.ArrowSerializer.save, group_rows=3),
        hr.ArrowSerializer.load,
        lambda n: {"n": n, "x": np.full((2, 3), n, np.int16)},
    ),
    Format(
        "x",
        hr.FolderSerializer.save,
        hr.FolderSerializer.load,
        lambda n: {"path": f"é/{n:03d}.txt", "data": bytes([n])},
    ),
]
RESUMABLE = [f for f in FORMATS if f.name in ("x.lmdb", "x.tfrecord", "x.jsonl", "x.tar", "x.npy", "x.svm")]

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name[2:])
