"""ILSVRC 2012, the ImageNet challenge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._opencv import cv2
from ..errors import FormatError
from ..sources.indexed import IndexedSource
from .folder import check_split, dataset_folder, find_file
from .image_files import read_bgr

__all__ = ["ILSVRC12", "ILSVRC12Files", "ILSVRCMeta"]

_SPLITS = ("train", "val", "test")
_META_URL = "http://dl.caffe.berkeleyvision.org/caffe_ilsvrc12.tar.gz"


class ILSVRCMeta:
    r"""Lists and names of ILSVRC 2012, from the files of Caffe: ``synsets.txt``, ``train.txt`` and so on.

    Args:
        dir: the folder with these files; default: ``ilsvrc_metadata`` below ``HEADRACE_DATASET``.

    Raises:
        ValueError: no folder.
        FileNotFoundError: a file or the folder is missing.

    Example:
        >>> import tempfile, pathlib
        >>> from headrace import dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "synsets.txt").write_text("n01440764\nn01443537\n")
        ...     dataset.ILSVRCMeta(folder).get_synset_1000()
        {0: 'n01440764', 1: 'n01443537'}
    """

    def __init__(self, dir: Any = None):
        self.dir = dataset_folder("ilsvrc_metadata", dir)
        find_file(self.dir, ["synsets.txt"], _META_URL)

    def get_synset_1000(self) -> dict[int, str]:
        """From class number to the name of its synset, like ``n01440764``."""
        return self._lines("synsets.txt")

    def get_synset_words_1000(self) -> dict[int, str]:
        """From class number to synset and words."""
        return self._lines("synset_words.txt")

    def get_image_list(self, name: str, dir_structure: str = "original") -> list[tuple[str, int]]:
        """The files of a part, relative to its folder, with their class numbers.

        Args:
            name: ``"train"``, ``"val"`` or ``"test"``.
            dir_structure: ``"train"``: images of ``val`` are in folders for each class, too.

        Raises:
            ValueError: other names.
            FileNotFoundError: the list is missing.
            FormatError: the list is damaged; names the line.
        """
        check_split("name", name, _SPLITS)
        check_split("dir_structure", dir_structure, ("original", "train"))
        path = find_file(self.dir, [f"{name}.txt"], _META_URL)
        synsets = self.get_synset_1000() if name != "train" and dir_structure == "train" else None
        images = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            fields = line.split()
            if len(fields) != 2 or not fields[1].isdigit():
                raise FormatError(f"{path}, line {number}: expected a file and a number, got {line!r:.60}")
            file, label = fields[0], int(fields[1])
            images.append((f"{synsets[label]}/{file}" if synsets is not None else file, label))
        if not images:
            raise FormatError(f"{path}: the list is empty")
        return images

    def get_per_pixel_mean(self, size: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
        """The mean image, float32 of shape (256, 256, 3), blue, green, red, 0 to 255.

        Args:
            size: (height, width) in pixels to resize it to.

        Raises:
            FileNotFoundError: ``imagenet_mean.binaryproto`` is missing.
            FormatError: it is damaged.
        """
        path = find_file(self.dir, ["imagenet_mean.binaryproto"], _META_URL)
        mean = _read_blob(path).transpose(1, 2, 0)
        return np.asarray(mean if size is None else cv2.resize(mean, tuple(size)[::-1]))

    @staticmethod
    def guess_dir_structure(dir: Any) -> str:
        """``"train"`` if a folder of images has folders like ``n01440764``, else ``"original"``."""
        with os.scandir(dir) as entries:
            return "train" if any(entry.name.startswith("n") and entry.is_dir() for entry in entries) else "original"

    def _lines(self, name: str) -> dict[int, str]:
        text = find_file(self.dir, [name], _META_URL).read_text()
        return {number: line.strip() for number, line in enumerate(text.splitlines())}


class ILSVRC12Files(IndexedSource):
    """ILSVRC 2012 as ``[path, label]``: the images are not read. Let a mapper decode them.

    Args:
        dir: the folder that holds ``train``, ``val`` or ``test``.
        name: ``"train"`` (1,281,167), ``"val"`` (50,000) or ``"test"`` (100,000).
        meta_dir: the folder of `ILSVRCMeta`.
        shuffle: whether each pass is a new permutation; default: for training.
        dir_structure: ``"original"``: the images of ``val`` are in one folder; ``"train"``: in one for each class.
            Default: looked up.

    Labels are 0 to 999, in the order of ``synsets.txt``. ``imglist`` is the list of all files and labels.

    Raises:
        ValueError: another name, or no folder.
        FileNotFoundError: a list, a folder, or one of the first ten images is missing.
        FormatError: a list is damaged.

    Example:
        >>> from headrace import dataset
        >>> dataset.ILSVRC12Files("/data/ilsvrc", "validation")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'val', 'test', got 'validation'
    """

    def __init__(
        self,
        dir: Any,
        name: str,
        meta_dir: Any = None,
        shuffle: bool | None = None,
        dir_structure: str | None = None,
    ):
        self.name = check_split("name", name, _SPLITS)
        self.full_dir = str(dataset_folder("ilsvrc", Path(dir).expanduser() / name))
        self.shuffle = name == "train" if shuffle is None else shuffle
        if name == "train":
            dir_structure = "train"
        elif dir_structure is None:
            dir_structure = ILSVRCMeta.guess_dir_structure(self.full_dir)
        self.dir_structure = dir_structure
        self.imglist = ILSVRCMeta(meta_dir).get_image_list(name, dir_structure)
        for file, _ in self.imglist[:10]:
            find_file(Path(self.full_dir), [file], "https://image-net.org")

    def __len__(self) -> int:
        return len(self.imglist)

    def _datapoint(self, number: int) -> list[Any]:
        file, label = self.imglist[number]
        return [os.path.join(self.full_dir, file), label]


class ILSVRC12(ILSVRC12Files):
    """ILSVRC 2012 as ``[image, label]``: a uint8 image (height, width, 3), blue, green, red; see `ILSVRC12Files`.

    Args:
        dir: see `ILSVRC12Files`.
        name: see `ILSVRC12Files`.
        meta_dir: see `ILSVRC12Files`.
        shuffle: see `ILSVRC12Files`.
        dir_structure: see `ILSVRC12Files`.

    Raises:
        FormatError: an image is damaged, when it is its turn; names the file.

    Example:
        >>> from headrace import dataset
        >>> issubclass(dataset.ILSVRC12, dataset.ILSVRC12Files)
        True
    """

    def _datapoint(self, number: int) -> list[Any]:
        path, label = super()._datapoint(number)
        return [read_bgr(path), label]

    @staticmethod
    def get_training_bbox(bbox_dir: Any, imglist: Sequence[tuple[str, int]]) -> list[Any]:
        """Where the thing in each image is, from the annotations that ImageNet publishes.

        Args:
            bbox_dir: the folder with files such as ``n01440764/n01440764_18.xml``.
            imglist: files and labels, as `ILSVRCMeta.get_image_list` gives them.

        Returns:
            For each image the first box, four float32 numbers (xmin, ymin, xmax, ymax) in pixels; None if there is no
            annotation, as for most images.

        Raises:
            FormatError: an annotation is damaged.
        """
        return [_first_box(Path(bbox_dir, file).with_suffix(".xml")) for file, _ in imglist]


def _first_box(path: Path) -> Any:
    from xml.etree import ElementTree  # not at the top: only who wants boxes needs it

    if not path.exists():
        return None
    try:
        box = ElementTree.parse(path).getroot().find("object/bndbox")
        if box is None:
            return None
        corners = [float(str(box.findtext(name))) for name in ("xmin", "ymin", "xmax", "ymax")]
    except (ElementTree.ParseError, ValueError) as error:
        raise FormatError(f"{path}: damaged, or no annotation of ImageNet: {error}") from error
    return np.array(corners, np.float32)


def _read_blob(path: Path) -> np.ndarray[Any, Any]:
    """The array of a ``BlobProto`` of Caffe, in the encoding of protocol buffers.

    Fields 1 to 4 are the shape, field 5 the values, as float32 in one piece
    (https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto, https://protobuf.dev/programming-guides/encoding/).
    """
    data = path.read_bytes()
    shape, values, position = [1, 1, 1, 1], np.zeros(0, np.float32), 0
    try:
        while position < len(data):
            key, position = _varint(data, position)
            value, position = _varint(data, position)  # of a number: itself; of a piece: its length
            if key & 7 == 0 and 1 <= key >> 3 <= 4:
                shape[(key >> 3) - 1] = value
            elif key & 7 == 2:
                if key >> 3 == 5:
                    values = np.frombuffer(data[position : position + value], "<f4")
                position += value
            elif key & 7 != 0:
                raise ValueError(f"unknown kind of field {key}")
        mean: np.ndarray[Any, Any] = values.reshape(shape)[0].astype(np.float32)
        return mean
    except (ValueError, IndexError) as error:
        raise FormatError(f"{path}, offset {position}: damaged, or no BlobProto of Caffe: {error}") from error


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
