"""CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..sources.indexed import IndexedSource
from .download import Published, fetch
from .folder import check_split, dataset_folder, find_file

__all__ = ["Cifar10", "Cifar100", "CifarBase"]

_URL = "https://www.cs.toronto.edu/~kriz/cifar.html"
_FILES = {  # classes -> folder, training files, test files, names, keys of labels and names
    10: ("cifar-10-batches-py", [f"data_batch_{n}" for n in range(1, 6)], ["test_batch"], "batches.meta", "label"),
    100: ("cifar-100-python", ["train"], ["test"], "meta", "fine_label"),
}


class CifarBase(IndexedSource):
    """CIFAR's small photographs: ``[image, label]``, a uint8 image (32, 32, 3), red, green, blue, and an int.

    ``data`` is the list of all pairs, ``fs`` that of the files they were read from.

    Args:
        train_or_test: ``"train"`` (50,000) or ``"test"`` (10,000).
        shuffle: whether each pass is a new permutation; default: for training.
        dir: the folder that holds ``cifar-10-batches-py`` or ``cifar-100-python`` (the "python version"); default:
            ``cifar10_data`` or ``cifar100_data`` below ``HEADRACE_DATASET``.
        cifar_classnum: 10 or 100.
        download: whether the archive is downloaded (170 MB) and unpacked if its folder is missing, and the checksum
            compared.

    The files are pickles. They are read by an unpickler that makes arrays and plain data, and nothing else.

    Raises:
        ValueError: another name or number, or no folder.
        FileNotFoundError: a file or the folder is missing.
        FormatError: a file is damaged, or holds something else.
        ConnectionError: it cannot be downloaded.

    Example:
        >>> from headrace import dataset
        >>> dataset.CifarBase("train", cifar_classnum=20)
        Traceback (most recent call last):
            ...
        ValueError: cifar_classnum must be 10 or 100, got 20
    """

    SOURCE_URL = "https://www.cs.toronto.edu/~kriz/"
    # https://github.com/keras-team/keras/blob/master/keras/src/datasets/cifar10.py, and cifar100.py
    SHA256: Mapping[int, str] = {
        10: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        100: "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    }

    def __init__(
        self,
        train_or_test: str,
        shuffle: bool | None = None,
        dir: Any = None,
        cifar_classnum: int = 10,
        *,
        download: bool = False,
    ):
        self.train_or_test = check_split("train_or_test", train_or_test, ("train", "test"))
        if cifar_classnum not in _FILES:
            raise ValueError(f"cifar_classnum must be 10 or 100, got {cifar_classnum!r}")
        self.cifar_classnum = cifar_classnum
        self.shuffle = train_or_test == "train" if shuffle is None else shuffle
        self.dir = dataset_folder(f"cifar{cifar_classnum}_data", dir, make=download)
        if download:
            url = f"{self.SOURCE_URL}cifar-{cifar_classnum}-python.tar.gz"
            folder = _FILES[cifar_classnum][0]
            fetch(self.dir / folder, Published(f"sha256:{self.SHA256[cifar_classnum]}", (url,), folder))
        self.fs = [str(self._file(name)) for name in self._parts(train_or_test)]
        self.data = self._read(train_or_test)
        names = self._load(_FILES[cifar_classnum][3])
        self._label_names = [str(name) for name in _entry(names, f"{_FILES[cifar_classnum][4]}_names", self.dir)]

    def __len__(self) -> int:
        return len(self.data)

    def _datapoint(self, number: int) -> list[Any]:
        image, label = self.data[number]
        return [image.copy(), label]

    def get_label_names(self) -> list[str]:
        """Names of the classes."""
        return self._label_names

    def get_per_pixel_mean(self, names: Sequence[str] = ("train", "test")) -> np.ndarray[Any, Any]:
        """The mean of all images of these parts, a float32 array of shape (32, 32, 3).

        Raises:
            ValueError: a part is neither ``"train"`` nor ``"test"``.
        """
        images = [image for name in names for image, _ in self._read(check_split("names", name, ("train", "test")))]
        return np.asarray(np.mean(images, axis=0, dtype=np.float64), np.float32)

    def get_per_channel_mean(self, names: Sequence[str] = ("train", "test")) -> np.ndarray[Any, Any]:
        """The mean of each channel over all images of these parts, three float32 numbers."""
        mean: np.ndarray[Any, Any] = self.get_per_pixel_mean(names).mean(axis=(0, 1))
        return mean

    def _read(self, train_or_test: str) -> list[list[Any]]:
        label = _FILES[self.cifar_classnum][4]
        data: list[list[Any]] = []
        for name in self._parts(train_or_test):
            content = self._load(name)
            pixels, labels = _entry(content, "data", name), _entry(content, f"{label}s", name)
            if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
                raise FormatError(f"{self.dir}: {name} does not hold a uint8 array of shape ({len(labels)}, 3072)")
            images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            data.extend([image, int(number)] for image, number in zip(images, labels, strict=True))
        return data

    def _parts(self, train_or_test: str) -> list[str]:
        _, train, test, *_ = _FILES[self.cifar_classnum]
        return train if train_or_test == "train" else test

    def _file(self, name: str) -> Path:
        return find_file(self.dir, [f"{_FILES[self.cifar_classnum][0]}/{name}"], _URL)

    def _load(self, name: str) -> Any:
        return _unpickle(self._file(name))


class Cifar10(CifarBase):
    """CIFAR-10; see `CifarBase`.

    Args:
        train_or_test: see `CifarBase`.
        shuffle: see `CifarBase`.
        dir: see `CifarBase`.
        download: see `CifarBase`.

    Example:
        >>> from headrace import dataset
        >>> issubclass(dataset.Cifar10, dataset.CifarBase)
        True
    """

    def __init__(self, train_or_test: str, shuffle: bool | None = None, dir: Any = None, *, download: bool = False):
        super().__init__(train_or_test, shuffle, dir, 10, download=download)


class Cifar100(CifarBase):
    """CIFAR-100, with its 100 fine labels; see `CifarBase`.

    Args:
        train_or_test: see `CifarBase`.
        shuffle: see `CifarBase`.
        dir: see `CifarBase`.
        download: see `CifarBase`.

    Example:
        >>> from headrace import dataset
        >>> issubclass(dataset.Cifar100, dataset.CifarBase)
        True
    """

    def __init__(self, train_or_test: str, shuffle: bool | None = None, dir: Any = None, *, download: bool = False):
        super().__init__(train_or_test, shuffle, dir, 100, download=download)


_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no data")
        if name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]  # numpy has moved it, and warns where it was
        return super().find_class(module, name)


def _unpickle(path: Path) -> Any:
    data = io.BytesIO(path.read_bytes())
    try:
        content = _DataUnpickler(data, encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise FormatError(f"{path}: damaged, or no file of CIFAR: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: a file of CIFAR holds a dict, this a {type(content).__name__}")
    return {k.decode() if isinstance(k, bytes) else k: _text(v) for k, v in content.items()}


def _text(value: Any) -> Any:
    """Lists of names were pickled by Python 2, as bytes."""
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [v.decode() for v in value]
    return value


def _entry(content: dict[str, Any], key: str, where: Any) -> Any:
    if key not in content:
        raise FormatError(f"{where}: there is no {key!r} in it, only {sorted(content)}")
    return content[key]
