"""Caltech 101 silhouettes."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from .arrays import LabelledImages
from .download import Published
from .folder import check_split, dataset_folder, find_file, load_mat, mat_variable

__all__ = ["Caltech101Silhouettes"]


class Caltech101Silhouettes(LabelledImages):
    """Silhouettes of things: ``[image, label]``, an image (28, 28) of 0 and 1, and a label 0 to 100.

    ``images`` and ``labels`` hold all of them.

    Args:
        name: ``"train"`` (4,100), ``"test"`` (2,307) or ``"val"`` (2,264).
        shuffle: whether each pass is a new permutation.
        dir: the folder with ``caltech101_silhouettes_28_split1.mat``; default: ``caltech101_data`` below
            ``HEADRACE_DATASET``.
        download: whether the file is downloaded if it is missing, and the checksum compared.

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: the file or the folder is missing.
        FormatError: the file is damaged, or holds something else.
        ConnectionError: it cannot be downloaded.
        ImportError: SciPy is not installed: ``pip install 'headrace[dataset]'``.

    Example:
        >>> from headrace import dataset
        >>> dataset.Caltech101Silhouettes("all")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'test', 'val', got 'all'
    """

    _DIR_NAME = "caltech101_data"
    SOURCE_URL = "https://people.cs.umass.edu/~marlin/data/"
    # https://github.com/google-deepmind/dm_nevis/blob/main/dm_nevis/datasets_storage/handlers/silhouettes.py
    MD5 = "4483e9c14b188fd09937f9ea6f9ea777"

    def __init__(self, name: str, shuffle: bool = True, dir: Any = None, *, download: bool = False):
        self.name = check_split("name", name, ("train", "test", "val"))
        self.shuffle = shuffle
        folder = dataset_folder(self._DIR_NAME, dir, make=download)
        file = "caltech101_silhouettes_28_split1.mat"
        published = Published(f"md5:{self.MD5}", (self.SOURCE_URL + file,)) if download else None
        path = find_file(folder, [file], self.SOURCE_URL, published)
        variables = load_mat(path)
        images, labels = mat_variable(path, variables, f"{name}_data"), mat_variable(path, variables, f"{name}_labels")
        if images.shape != (labels.size, 784):
            raise FormatError(f"{path}: {name}_data must be of shape ({labels.size}, 784), got {images.shape}")
        self.images = images.reshape(-1, 28, 28)
        self.labels = labels.reshape(-1).astype(int) - 1  # MATLAB counts from 1
