"""Street View House Numbers, cropped digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from ..sources.indexed import IndexedSource
from .download import Published
from .folder import check_split, dataset_folder, find_file, load_mat, mat_variable

__all__ = ["SVHNDigit"]

_SPLITS = ("train", "test", "extra")


class SVHNDigit(IndexedSource):
    """House numbers in the street, one digit each: ``[image, label]``, a uint8 image (32, 32, 3), red, green, blue.

    ``X``, of shape (n, 32, 32, 3), and ``Y``, the labels 0 to 9, hold all of them.

    Args:
        name: ``"train"`` (73,257), ``"test"`` (26,032) or ``"extra"`` (531,131).
        data_dir: the folder with ``train_32x32.mat`` and so on; default: ``svhn_data`` below ``HEADRACE_DATASET``.
        shuffle: whether each pass is a new permutation.
        download: whether the file is downloaded if it is missing (182, 64 or 1,329 MB), and the checksum compared.

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: the file or the folder is missing.
        FormatError: the file is damaged, or holds something else.
        ConnectionError: it cannot be downloaded.
        ImportError: SciPy is not installed: ``pip install 'headrace[dataset]'``.

    Example:
        >>> from headrace import dataset
        >>> dataset.SVHNDigit("validation")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'test', 'extra', got 'validation'
    """

    SOURCE_URL = "http://ufldl.stanford.edu/housenumbers/"
    # https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/url_checksums/svhn_cropped.txt
    SHA256: Mapping[str, str] = {
        "train": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        "test": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        "extra": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
    }

    def __init__(self, name: str, data_dir: Any = None, shuffle: bool = True, *, download: bool = False):
        self.name = check_split("name", name, _SPLITS)
        self.data_dir = dataset_folder("svhn_data", data_dir, make=download)
        self.shuffle = shuffle
        file = f"{name}_32x32.mat"
        published = Published(f"sha256:{self.SHA256[name]}", (self.SOURCE_URL + file,)) if download else None
        path = find_file(self.data_dir, [file], self.SOURCE_URL, published)
        variables = load_mat(path)
        images, labels = mat_variable(path, variables, "X"), mat_variable(path, variables, "y").reshape(-1)
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
            raise FormatError(f"{path}: X must be uint8 of shape (32, 32, 3, {len(labels)}), got {images.shape}")
        self.X = images.transpose(3, 0, 1, 2)
        self.Y = np.where(labels == 10, 0, labels)  # MATLAB counts from 1: the digit 0 is stored as 10

    def __len__(self) -> int:
        return len(self.X)

    def _datapoint(self, number: int) -> list[Any]:
        return [self.X[number].copy(), self.Y[number]]

    @staticmethod
    def get_per_pixel_mean(names: Sequence[str] = _SPLITS, data_dir: Any = None) -> np.ndarray[Any, Any]:
        """The mean of all images of these parts, of shape (32, 32, 3)."""
        parts = [SVHNDigit(name, data_dir).X for name in names]
        total = sum(part.sum(axis=0, dtype=np.int64) for part in parts)
        return np.asarray(total / sum(len(part) for part in parts))
