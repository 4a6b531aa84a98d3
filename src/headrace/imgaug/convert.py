"""Augmentors that change the colour space or the type."""

from __future__ import annotations

import numpy as np

from .._opencv import cv2
from ..image.checks import Image
from .base import PhotometricAugmentor
from .transform import keep_channels

__all__ = ["ColorSpace", "Grayscale", "ToFloat32", "ToUint8"]


class ColorSpace(PhotometricAugmentor):
    """Convert to another colour space.

    Args:
        mode: OpenCV's code of the conversion, for example ``cv2.COLOR_BGR2HSV``.
        keepdims: whether an image with three axes keeps them.

    Raises:
        ValueError: while augmenting, an image of other channels or of another type than the conversion is for.

    Example:
        >>> import cv2
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ColorSpace(cv2.COLOR_BGR2RGB).augment(np.array([[[1, 2, 3]]], np.uint8))
        array([[[3, 2, 1]]], dtype=uint8)
    """

    def __init__(self, mode: int, keepdims: bool = True):
        super().__init__()
        self.mode = mode
        self.keepdims = keepdims

    def _augment(self, img: Image, params: None) -> Image:
        try:
            converted: Image = cv2.cvtColor(img, self.mode)
        except cv2.error as error:
            raise ValueError(
                f"{self!r} cannot convert an image of shape {img.shape} and type {img.dtype}: {error.err.strip()}"
            ) from error
        return keep_channels(converted, img) if self.keepdims else converted


class Grayscale(ColorSpace):
    """Convert a colour image to grey.

    Args:
        keepdims: whether the result is of shape (height, width, 1), or (height, width).
        rgb: whether the channels are red, green, blue, or (as OpenCV reads them) blue, green, red.
        keepshape: whether the grey is repeated in three channels.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Grayscale().augment(np.zeros((4, 5, 3), np.uint8)).shape
        (4, 5, 1)
    """

    def __init__(self, keepdims: bool = True, rgb: bool = False, keepshape: bool = False):
        super().__init__(cv2.COLOR_RGB2GRAY if rgb else cv2.COLOR_BGR2GRAY, keepdims)
        self.rgb = rgb
        self.keepshape = keepshape

    def _augment(self, img: Image, params: None) -> Image:
        grey = super()._augment(img, params)
        if self.keepshape:
            grey = np.repeat(np.atleast_3d(grey), 3, axis=2)
        return grey


class ToUint8(PhotometricAugmentor):
    """Clip to 0..255, round, and make it uint8: a quarter of the bytes of float32 on the way to the consumer.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ToUint8().augment(np.array([[-3.0, 7.6, 300.0]]))
        array([[  0,   8, 255]], dtype=uint8)
    """

    def _augment(self, img: Image, params: None) -> Image:
        return np.asarray(np.rint(np.clip(img, 0, 255)), np.uint8)


class ToFloat32(PhotometricAugmentor):
    """Make it float32, so that later augmentors lose nothing by rounding.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ToFloat32().augment(np.array([[7]], np.uint8))
        array([[7.]], dtype=float32)
    """

    def _augment(self, img: Image, params: None) -> Image:
        return np.asarray(img, np.float32)
