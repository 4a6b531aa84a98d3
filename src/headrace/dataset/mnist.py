"""MNIST, and the sets that come in its format."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .arrays import LabelledImages
from .download import Published
from .folder import check_split, dataset_folder, find_file

__all__ = ["FashionMnist", "Mnist"]


class Mnist(LabelledImages):
    """MNIST's handwritten digits: ``[image, label]``, a float32 image (28, 28) in 0..1, and a label 0 to 9.

    ``images``, of shape (n, 28, 28, 1), and ``labels`` hold all of them.

    Args:
        train_or_test: ``"train"`` (60,000) or ``"test"`` (10,000).
        shuffle: whether each pass is a new permutation.
        dir: the folder with ``train-images-idx3-ubyte.gz`` and so on, compressed or not; default: ``mnist_data`` below
            ``HEADRACE_DATASET``.
        download: whether what is missing in the folder is downloaded, and the checksums compared.

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: a file or the folder is missing.
        FormatError: a file is damaged, or of another format.
        ConnectionError: it cannot be downloaded.

    Example:
        >>> from headrace import dataset
        >>> dataset.Mnist("validation")
        Traceback (most recent call last):
            ...
        ValueError: train_or_test must be one of 'train', 'test', got 'validation'
    """

    _DIR_NAME = "mnist_data"  # tensorpack's name: subclasses in old projects set it
    SOURCE_URL = "http://yann.lecun.com/exdb/mnist/"
    MIRRORS: tuple[str, ...] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    # https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/url_checksums/mnist.txt
    SHA256: Mapping[str, str] = {
        "train-images": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }

    def __init__(self, train_or_test: str, shuffle: bool = True, dir: Any = None, *, download: bool = False):
        self.train_or_test = check_split("train_or_test", train_or_test, ("train", "test"))
        self.shuffle = shuffle
        folder = dataset_folder(self._DIR_NAME, dir, make=download)
        prefix = {"train": "train", "test": "t10k"}[train_or_test]
        images = self._read(folder, f"{prefix}-images", 3, download)[..., np.newaxis]
        self.images = np.divide(images, 255, dtype=np.float32)
        self.labels = self._read(folder, f"{prefix}-labels", 1, download)
        if len(self.images) != len(self.labels):
            raise FormatError(f"{folder}: {len(self.images)} images, but {len(self.labels)} labels")

    def _read(self, folder: Path, part: str, axes: int, download: bool) -> np.ndarray[Any, Any]:
        name = f"{part}-idx{axes}-ubyte"
        urls = tuple(f"{mirror}{name}.gz" for mirror in self.MIRRORS)
        published = Published(f"sha256:{self.SHA256[part]}", urls) if download else None
        return read_idx(find_file(folder, (f"{name}.gz", name), self.SOURCE_URL, published), axes)

    def _datapoint(self, number: int) -> list[Any]:
        return [self.images[number].reshape(self.images.shape[1:3]).copy(), self.labels[number]]


class FashionMnist(Mnist):
    """Zalando's pictures of clothes, in MNIST's format; see `Mnist`. The folder is ``fashion_mnist_data``.

    Args:
        train_or_test: see `Mnist`.
        shuffle: see `Mnist`.
        dir: see `Mnist`.
        download: see `Mnist`.

    Example:
        >>> from headrace import dataset
        >>> dataset.FashionMnist._DIR_NAME
        'fashion_mnist_data'
    """

    _DIR_NAME = "fashion_mnist_data"
    SOURCE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    MIRRORS = (SOURCE_URL,)
    # https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/url_checksums/fashion_mnist.txt
    SHA256 = {
        "train-images": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }

    def get_label_names(self) -> list[str]:
        """Names of the ten classes."""
        clothes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
        return [*clothes, "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def read_idx(path: Path, axes: int) -> np.ndarray[Any, Any]:
    """A file of unsigned bytes in the IDX format (http://yann.lecun.com/exdb/mnist/), perhaps compressed by gzip.

    Args:
        path: the file.
        axes: how many axes are expected: 3 for images, 1 for labels.

    Raises:
        FormatError: it is damaged, or something else.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise FormatError(f"{path}: truncated or damaged: {error}") from error
    magic = bytes([0, 0, 8, axes])  # two zeros, the code of uint8, the number of axes
    if data[:4] != magic:
        raise FormatError(
            f"{path}, offset 0: an IDX file with {axes} axes begins with {magic!r}, this with {data[:4]!r}"
        )
    begin = 4 + 4 * axes
    shape = tuple(int.from_bytes(data[n : n + 4], "big") for n in range(4, begin, 4))
    if len(data) - begin != math.prod(shape):
        raise FormatError(f"{path}: {len(data) - begin} bytes of data, but a shape of {shape}")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)
