"""SVMlight (also libsvm): a line of text for each datapoint, ``label index:value index:value ... # comment``.

http://svmlight.joachims.org
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..parallel.policy import OnErrorChoice
from .files import AppendedFile
from .reader import Reader, Records, check_there
from .writing import PathLike, save

__all__ = ["SVMLightData", "SVMLightSerializer"]


class SVMLightData(Reader):
    r"""The lines of an SVMlight file, as ``[x, y]``: a vector of float64, and a float.

    Args:
        filename: the file. It is parsed as a whole on first use; only values that are given take memory. The vectors
            are as long as the largest index says. Indices begin with 1, unless a 0 occurs.
        shuffle: whether each pass is a new permutation.
        on_error: see `LMDBData`.
        max_errors: see `LMDBData`.

    Order and integrity: each line once per pass. Resumes in O(1).

    Raises:
        TypeError, ValueError, FileNotFoundError: at construction, a bad argument or path.
        FormatError: on first use, a line cannot be parsed; names the file and the offset.

    Example:
        >>> import headrace as hr, tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".svm") as file:
        ...     file.write("1 1:0.5 3:2 # first\n-1 2:1\n") and file.flush()
        ...     list(hr.SVMLightData(file.name, shuffle=False))
        [[array([0.5, 0. , 2. ]), 1.0], [array([0., 1., 0.]), -1.0]]
    """

    def __init__(
        self,
        filename: PathLike,
        shuffle: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(shuffle, on_error, max_errors)
        self.filename = os.fspath(filename)
        check_there(self.filename)

    def _open(self) -> Records:
        return _Lines(self.filename)


class _Lines:
    bounds = None

    def __init__(self, path: str):
        self.damage: list[Exception] = []
        self._labels: list[float] = []
        self._rows: list[tuple[Any, Any]] = []
        least, most = 1, 0
        at = 0
        with open(path, "rb") as file:
            for line in file:
                words = line.partition(b"#")[0].split()
                try:
                    if words:
                        label, indices, values = _parse(words)
                        self._labels.append(label)
                        self._rows.append((indices, values))
                        least, most = min([least, *indices[:1]]), max([most, *indices[-1:]])
                except ValueError as error:
                    self.damage.append(FormatError(f"{path}: at byte {at}: {error}"))
                at += len(line)
        self._base = least
        self._width = int(most) + 1 - least

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> list[Any]:
        indices, values = self._rows[number]
        x = np.zeros(self._width)
        x[indices - self._base] = values
        return [x, self._labels[number]]

    def close(self) -> None:
        self._rows.clear()
        self._labels.clear()


def _parse(words: list[bytes]) -> tuple[float, Any, Any]:
    pairs = [word.split(b":") for word in words[1:] if not word.startswith(b"qid:")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"expected index:value, got {next(w for w in words[1:] if w.count(b':') != 1)!r}")
    try:
        label = float(words[0])
        indices = np.array([int(index) for index, _ in pairs], np.int64)
        values = np.array([float(value) for _, value in pairs])
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a number cannot be read: {error}") from error
    if len(indices) and (indices[0] < 0 or (np.diff(indices) <= 0).any()):
        raise ValueError("the indices must not be negative, and must increase")
    return label, indices, values


class SVMLightSerializer:
    """Save a flow of ``[x, y]`` as an SVMlight file, and load it.

    Example:
        >>> import headrace as hr, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> ds = hr.DataFromList([[[0, 0.5], 1], [[2, 0], -1]], shuffle=False)
        >>> hr.SVMLightSerializer.save(ds, f"{folder.name}/points.svm", progress=False)
        2
        >>> list(hr.SVMLightSerializer.load(f"{folder.name}/points.svm", shuffle=False))
        [[array([0. , 0.5]), 1.0], [array([2., 0.]), -1.0]]
        >>> folder.cleanup()
    """

    @staticmethod
    def save(df: Any, path: PathLike, *, progress: bool = True, overwrite: bool = False, resume: bool = False) -> int:
        """Write one pass of a flow.

        Args:
            df: the flow; a datapoint is a vector and a number.
            path: the file.
            progress: see `LMDBSerializer.save`.
            overwrite: see `LMDBSerializer.save`.
            resume: see `LMDBSerializer.save`.

        Returns:
            How many datapoints the file holds.

        Raises:
            TypeError, ValueError: a datapoint is something else.
            Exception: see `LMDBSerializer.save`.
        """
        return save(df, path, _Sink, progress=progress, overwrite=overwrite, resume=resume)

    @staticmethod
    def load(path: PathLike, shuffle: bool = True, *, on_error: OnErrorChoice = "raise") -> SVMLightData:
        """See `SVMLightData`."""
        return SVMLightData(path, shuffle, on_error)


class _Sink(AppendedFile):
    def __init__(self, path: Path, position: int | None):
        super().__init__(path, position)

    def write(self, datapoint: Any) -> None:
        if not isinstance(datapoint, (list, tuple)) or len(datapoint) != 2:
            raise TypeError(
                f"an SVMlight line is a vector and a number, got {type(datapoint).__name__}: {datapoint!r:.60}"
            )
        x, y = datapoint
        x = np.asarray(x, np.float64)
        if x.ndim != 1:
            raise ValueError(f"an SVMlight line holds a vector, got shape {x.shape}")
        words = [repr(float(y)), *(f"{i + 1}:{float(x[i])!r}" for i in np.flatnonzero(x))]
        self.file.write(" ".join(words).encode() + b"\n")
