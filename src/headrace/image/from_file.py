"""Images read from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

from ..parallel.policy import OnErrorChoice
from ..sources.indexed import IndexedSource
from ..state import State
from .decode import Decoder, read_file
from .policy import LeavesOut

__all__ = ["ImageFromFile"]


class ImageFromFile(LeavesOut, IndexedSource):
    """The images in files, each as a datapoint ``[image]``.

    Args:
        files: list of paths. It is left as it is (upstream shuffles it in place).
        channel: 3: the image is (height, width, 3), in the order red, green, blue. 1: grey, (height, width, 1).
        resize: None, or (height, width) in pixels, or one number for both.
        shuffle: whether each pass is a new permutation.
        on_error: what happens to a file that cannot be read or decoded: see `AugmentImageComponent`.
        max_errors: see `AugmentImageComponent`.

    Order and integrity: each file once per pass, less those left out by ``on_error``. Images are
    uint8, and upright as EXIF says. Resumes in O(1).

    Raises:
        TypeError, ValueError: at construction, no files, or a bad ``channel`` or ``resize``.
        OSError: a file is missing or cannot be read.
        FormatError: a file is no image, or a truncated or damaged one.
        ImportError: OpenCV is not installed: ``pip install 'headrace[image]'``.

    Example:
        >>> import cv2, tempfile
        >>> import numpy as np
        >>> import headrace as hr
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(folder + "/red.png", np.array([[[0, 0, 255]]], np.uint8))  # OpenCV: blue, green, red
        ...     list(hr.ImageFromFile([folder + "/red.png"]))
        [[array([[[255,   0,   0]]], dtype=uint8)]]
    """

    takes_share = True  # said again, since `run` is defined here

    def __init__(
        self,
        files: Sequence[Any],
        channel: int = 3,
        resize: Any = None,
        shuffle: bool = False,
        *,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        if isinstance(files, (str, bytes, os.PathLike)) or not hasattr(files, "__getitem__"):
            raise TypeError(f"files must be a list of paths, got {type(files).__name__}: {files!r:.60}")
        if not len(files):
            raise ValueError("files must hold at least one path, got none")
        self.files = files
        self._decode = Decoder(channel, resize)
        self.channel, self.resize = self._decode.channel, self._decode.resize
        self.shuffle = shuffle
        self._choose_policy(on_error, max_errors)

    def __len__(self) -> int:
        return len(self.files)

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        policy = self._policy(state)
        for number in self._numbers(state):
            try:
                datapoint = self._datapoint(number)
            except Exception as error:
                datapoint = policy.handle(error, number)
            if datapoint is not None:
                yield datapoint

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`: none where files may be left out, since that shifts the numbers."""
        return super().reader(pass_index) if self.on_error == "raise" else None

    def _datapoint(self, number: int) -> list[Any]:
        path = self.files[number]
        return [self._decode(read_file(path), os.fspath(path))]
