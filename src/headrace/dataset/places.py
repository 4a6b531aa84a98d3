"""Places365, the standard set in low resolution."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from .folder import find_file
from .image_files import LabelledFiles

__all__ = ["Places365Standard"]


class Places365Standard(LabelledFiles):
    """Pictures of 365 kinds of places: ``[image, label]``, a uint8 image (256, 256, 3), blue, green, red, and 0 to 364.

    Labels follow the alphabetical order of the classes.

    Args:
        dir: the folder with ``train.txt``, ``val.txt`` and the folders they name (the "easy directory structure").
        name: ``"train"`` (1,803,460) or ``"val"`` (36,500).
        shuffle: whether each pass is a new permutation; default: for training.

    Raises:
        ValueError: another name.
        FileNotFoundError: a file or the folder is missing.
        FormatError: a list or an image is damaged; for images, when it is their turn.

    Example:
        >>> from headrace import dataset
        >>> dataset.Places365Standard("/data/places365_standard", "test")
        Traceback (most recent call last):
            ...
        ValueError: name must be one of 'train', 'val', got 'test'
    """

    def __init__(self, dir: Any, name: str, shuffle: bool | None = None):
        super().__init__("places365_standard", dir, name, shuffle)
        listing = find_file(self.dir, [f"{name}.txt"], "http://places2.csail.mit.edu/download.html")
        paths = listing.read_text().split()
        for number, path in enumerate(paths, 1):
            if path.count("/") < 2:  # train/airfield/00000001.jpg
                raise FormatError(f"{listing}, line {number}: expected {name}/CLASS/FILE, got {path!r:.60}")
        classes = [path.split("/")[1] for path in paths]
        self._labels = sorted(set(classes))
        numbers = {label: number for number, label in enumerate(self._labels)}
        self._files = [(str(self.dir / path), numbers[label]) for path, label in zip(paths, classes, strict=True)]

    def get_label_names(self) -> list[str]:
        """Names of the classes."""
        return self._labels
