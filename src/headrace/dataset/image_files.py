"""The base of data sets that are lists of image files with labels."""

from __future__ import annotations

from typing import Any

from ..image.decode import Decoder, read_file
from ..sources.indexed import IndexedSource
from .folder import check_split, dataset_folder

__all__ = ["LabelledFiles", "read_bgr"]


class LabelledFiles(IndexedSource):
    """Pairs ``[image, label]`` from a list of paths and labels, in the attribute ``_files``.

    Images are uint8 of shape (height, width, 3), blue, green, red. A file is read when it is its turn.
    """

    _files: list[tuple[str, int]]

    def __init__(self, usual: str, dir: Any, name: str, shuffle: bool | None):
        """The arguments of the data sets: their usual folder, the given one, the part, and whether it is shuffled."""
        self.name = check_split("name", name, ("train", "val"))
        self.dir = dataset_folder(usual, dir)
        self.shuffle = name == "train" if shuffle is None else shuffle

    def __len__(self) -> int:
        return len(self._files)

    def _datapoint(self, number: int) -> list[Any]:
        path, label = self._files[number]
        return [read_bgr(path), label]


def read_bgr(path: str) -> Any:
    """An image in OpenCV's order of colours, as upstream's data sets give it.

    Raises:
        OSError: the file is missing or cannot be read.
        FormatError: it is no image, or a damaged one.
    """
    return Decoder(rgb=False)(read_file(path), path)
