"""Berkeley's segmentation data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..image.decode import Decoder, read_file
from ..sources.indexed import IndexedSource
from .folder import check_split, dataset_folder, load_mat, mat_variable

__all__ = ["BSDS500"]

_URL = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
_SHAPE = (321, 481)


class BSDS500(IndexedSource):
    """Photographs with contours drawn by people: ``[image, label]``.

    The image is uint8 of shape (321, 481, 3), blue, green, red; upright ones are transposed. The label is float32 of
    shape (321, 481): how many of the people drew a contour there, 0 to 1. ``data`` and ``label`` hold all of them.

    Args:
        name: ``"train"`` (200), ``"test"`` (200) or ``"val"`` (100).
        data_dir: the folder that holds ``BSR``; default: ``bsds500_data`` below ``HEADRACE_DATASET``.
        shuffle: whether each pass is a new permutation.

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: a file or the folder is missing.
        FormatError: a file is damaged, or holds something else.
        ImportError: OpenCV or SciPy is not installed: ``pip install 'headrace[dataset]'``.

    Example:
        >>> from headrace import dataset
        >>> dataset.BSDS500("all")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'test', 'val', got 'all'
    """

    def __init__(self, name: str, data_dir: Any = None, shuffle: bool = True):
        self.name = check_split("name", name, ("train", "test", "val"))
        self.data_root = dataset_folder("bsds500_data", data_dir) / "BSR" / "BSDS500" / "data"
        self.shuffle = shuffle
        files = sorted((self.data_root / "images" / name).glob("*.jpg"))
        if not files:
            raise FileNotFoundError(f"no *.jpg in {self.data_root / 'images' / name}; published at {_URL}")
        decode = Decoder(rgb=False)
        self.data = np.stack([_lying(decode(read_file(file), str(file)), file) for file in files])
        labels = [self.data_root / "groundTruth" / name / f"{file.stem}.mat" for file in files]
        self.label = np.stack([_lying(_contours(path), path) for path in labels])

    def __len__(self) -> int:
        return len(self.data)

    def _datapoint(self, number: int) -> list[Any]:
        return [self.data[number].copy(), self.label[number].copy()]


def _contours(path: Path) -> np.ndarray[Any, Any]:
    """The mean of what the people drew: ``groundTruth`` is a cell for each, a struct with ``Boundaries``."""
    people = mat_variable(path, load_mat(path), "groundTruth").reshape(-1)
    try:
        drawn = [np.asarray(person["Boundaries"].item(), np.float32) for person in people]
        return np.asarray(np.mean(drawn, axis=0, dtype=np.float32))
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: groundTruth does not hold structs with Boundaries of one shape: {error}") from error


def _lying(image: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
    if image.shape[0] > image.shape[1]:
        image = image.swapaxes(0, 1)
    if image.shape[:2] != _SHAPE:
        raise FormatError(f"{path}: expected 321 x 481 or 481 x 321 pixels, got {image.shape}")
    return image
