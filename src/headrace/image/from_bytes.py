"""Images decoded from bytes."""

from __future__ import annotations

from typing import Any

from ..parallel.policy import OnErrorChoice
from .augment import ImageStage
from .decode import Decoder

__all__ = ["ImageFromBytes"]


class ImageFromBytes(ImageStage):
    """Decode one component of each datapoint: encoded bytes (JPEG, PNG...) become an image.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        index: the index or key of the component; it is bytes, or a one-dimensional uint8 array.
        channel: 3: the image is (height, width, 3), in the order red, green, blue. 1: grey, (height, width, 1).
        resize: None, or (height, width) in pixels, or one number for both.
        catch_exceptions: see `AugmentImageComponent`.
        on_error: see `AugmentImageComponent`.
        max_errors: see `AugmentImageComponent`.

    Order and integrity: input order, each datapoint once, less those left out by ``on_error``. Resumes exactly.

    Raises:
        TypeError, ValueError: at construction, for bad arguments; later, a component that is no bytes.
        FormatError: no image, or a truncated or damaged one; names the number of the datapoint.
        ImportError: OpenCV is not installed: ``pip install 'headrace[image]'``.

    Example:
        >>> import cv2
        >>> import numpy as np
        >>> import headrace as hr
        >>> jpeg = cv2.imencode(".jpg", np.zeros((8, 6, 3), np.uint8))[1].tobytes()
        >>> ((image, label),) = hr.ImageFromBytes([[jpeg, 7]])
        >>> image.shape, label
        ((8, 6, 3), 7)
    """

    def __init__(
        self,
        ds: Any,
        index: Any = 0,
        channel: int = 3,
        resize: Any = None,
        catch_exceptions: bool = False,
        *,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(ds, catch_exceptions, on_error, max_errors)
        self.index = index
        self._decode = Decoder(channel, resize)
        self.channel, self.resize = self._decode.channel, self._decode.resize

    def _change(self, dp: Any, number: int, key: int) -> None:
        dp[self.index] = self._decode(dp[self.index], f"datapoint {number}, component {self.index!r}")
