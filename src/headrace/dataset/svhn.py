"""Street View House Numbers, cropped digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from ..sources.indexed import IndexedSource
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

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: the file or the folder is missing.
        FormatError: the file is damaged, or holds something else.
        ImportError: SciPy is not installed: ``pip install 'headrace[dataset]'``.

    Example:
        >>> from headrace import dataset
        >>> dataset.SVHNDigit("validation")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'test', 'extra', got 'validation'
    """

    def __init__(self, name: str, data_dir: Any = None, shuffle: bool = True):
        self.name = check_split("name", name, _SPLITS)
        self.data_dir = dataset_folder("svhn_data", data_dir)
        self.shuffle = shuffle
        path = find_file(self.data_dir, [f"{name}_32x32.mat"], "http://ufldl.stanford.edu/housenumbers/")
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
