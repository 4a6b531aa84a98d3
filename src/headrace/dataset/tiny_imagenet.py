"""Tiny ImageNet."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from .folder import find_file
from .image_files import LabelledFiles

__all__ = ["TinyImageNet"]

_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


class TinyImageNet(LabelledFiles):
    """Tiny ImageNet's 200 classes: ``[image, label]``, a uint8 image (64, 64, 3), blue, green, red, and 0 to 199.

    The label is the line of the class in ``wnids.txt``. ``imglist`` is the list of all files and labels.

    Args:
        dir: the folder ``tiny-imagenet-200``.
        name: ``"train"`` (100,000) or ``"val"`` (10,000).
        shuffle: whether each pass is a new permutation; default: for training.

    Raises:
        ValueError: another name.
        FileNotFoundError: a file or the folder is missing.
        FormatError: a list or an image is damaged; for images, when it is their turn.

    Example:
        >>> from headrace import dataset
        >>> dataset.TinyImageNet("/data/tiny-imagenet-200", "test")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'val', got 'test'
    """

    def __init__(self, dir: Any, name: str, shuffle: bool | None = None):
        super().__init__("tiny-imagenet-200", dir, name, shuffle)
        self.full_dir = self.dir / name
        self.synsets = find_file(self.dir, ["wnids.txt"], _URL).read_text().split()
        self._files = self._train() if name == "train" else self._val()

    @property
    def imglist(self) -> list[tuple[str, int]]:
        """All files with their labels; users may replace or cut it."""
        return self._files

    @imglist.setter
    def imglist(self, files: list[tuple[str, int]]) -> None:
        self._files = files

    def _train(self) -> list[tuple[str, int]]:
        files = [
            (str(file), label)
            for label, synset in enumerate(self.synsets)
            for file in sorted((self.dir / "train" / synset / "images").glob("*.JPEG"))
        ]
        if not files:
            raise FileNotFoundError(f"no images in {self.dir / 'train'}; the data set is published at {_URL}")
        return files

    def _val(self) -> list[tuple[str, int]]:
        labels = {synset: label for label, synset in enumerate(self.synsets)}
        annotations = find_file(self.dir / "val", ["val_annotations.txt"], _URL)
        files = []
        for number, line in enumerate(annotations.read_text().splitlines(), 1):
            name, *rest = line.split("\t")
            if not rest or rest[0] not in labels:
                raise FormatError(f"{annotations}, line {number}: expected a file and its class, got {line!r:.60}")
            files.append((str(self.dir / "val" / "images" / name), labels[rest[0]]))
        return files
