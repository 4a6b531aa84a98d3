"""Flips and sizes."""

from __future__ import annotations

import logging
from typing import Any

from .._opencv import INTER_LINEAR
from ..image.checks import Image, check_probability, check_range, shape2d
from .base import ImageAugmentor
from .transform import FlipTransform, NoOpTransform, ResizeTransform, Transform, TransposeTransform

__all__ = ["Flip", "RandomResize", "Resize", "ResizeShortestEdge", "Transpose"]

logger = logging.getLogger("headrace")


class Flip(ImageAugmentor):
    """Mirror the image, or not.

    Args:
        horiz: exchange left and right.
        vert: exchange top and bottom. One of both; for both, take two `Flip`.
        prob: the probability.

    Raises:
        ValueError: neither or both.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Flip(horiz=True, prob=1).augment(np.array([[1.0, 2.0]]))
        array([[2., 1.]])
    """

    def __init__(self, horiz: bool = False, vert: bool = False, prob: float = 0.5):
        super().__init__()
        if bool(horiz) == bool(vert):
            raise ValueError(f"Flip takes one of horiz=True and vert=True, got {horiz=}, {vert=}; for both, use two")
        self.horiz, self.vert = horiz, vert
        self.prob = check_probability("prob", prob)

    def get_transform(self, img: Image) -> Transform:
        """See `ImageAugmentor.get_transform`."""
        if self._rand_range() >= self.prob:
            return NoOpTransform()
        return FlipTransform(img.shape[0], img.shape[1], self.horiz)


class Transpose(ImageAugmentor):
    """Exchange rows and columns, or not.

    Args:
        prob: the probability.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Transpose(prob=1).augment(np.zeros((2, 5))).shape
        (5, 2)
    """

    def __init__(self, prob: float = 0.5):
        super().__init__()
        self.prob = check_probability("prob", prob)

    def get_transform(self, img: Image) -> Transform:
        """See `ImageAugmentor.get_transform`."""
        return TransposeTransform() if self._rand_range() < self.prob else NoOpTransform()


class Resize(ImageAugmentor):
    """Resize to a fixed size.

    Args:
        shape: (height, width) in pixels, or one number for both.
        interp: OpenCV's interpolation.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Resize((2, 3)).augment(np.zeros((8, 8, 1))).shape
        (2, 3, 1)
    """

    def __init__(self, shape: Any, interp: int = INTER_LINEAR):
        super().__init__()
        self.shape = shape2d("shape", shape)
        self.interp = interp

    def get_transform(self, img: Image) -> ResizeTransform:
        """See `ImageAugmentor.get_transform`."""
        return ResizeTransform(img.shape[0], img.shape[1], *self.shape, self.interp)


class ResizeShortestEdge(ImageAugmentor):
    """Resize so that the shorter edge gets a fixed length, and the aspect ratio stays.

    Args:
        size: that length, in pixels.
        interp: OpenCV's interpolation.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ResizeShortestEdge(10).augment(np.zeros((20, 30))).shape
        (10, 15)
    """

    def __init__(self, size: int, interp: int = INTER_LINEAR):
        super().__init__()
        self.size, _ = shape2d("size", int(size))
        self.interp = interp

    def get_transform(self, img: Image) -> ResizeTransform:
        """See `ImageAugmentor.get_transform`."""
        return shortest_edge_to(self.size, img.shape[0], img.shape[1], self.interp)


class RandomResize(ImageAugmentor):
    """Resize width and height at random.

    Args:
        xrange: (low, high) of the width: a factor, if one of the two is a float, else in pixels.
        yrange: the same for the height. None if ``aspect_ratio_thres`` is 0.
        minimum: the least (width, height), in pixels.
        aspect_ratio_thres: how much the aspect ratio may change, relative to what it was. 0: not at all.
        interp: OpenCV's interpolation.

    If 50 attempts change the aspect ratio too much, the image keeps its size, and a warning is logged.

    Raises:
        TypeError: a range of factors and one of pixels.
        ValueError: ``yrange`` is missing, or not wanted.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.RandomResize((0.5, 0.5), aspect_ratio_thres=0).augment(np.zeros((8, 6))).shape
        (4, 3)
    """

    def __init__(
        self,
        xrange: Any,
        yrange: Any = None,
        minimum: tuple[int, int] = (0, 0),
        aspect_ratio_thres: float = 0.15,
        interp: int = INTER_LINEAR,
    ):
        super().__init__()
        self.xrange = check_range("xrange", xrange)
        self.yrange: Any = yrange if yrange is None else check_range("yrange", yrange)
        self.minimum = minimum
        self.aspect_ratio_thres = aspect_ratio_thres
        self.interp = interp
        self._is_factor = any(isinstance(x, float) for x in xrange)
        if aspect_ratio_thres < 0:
            raise ValueError(f"aspect_ratio_thres must not be negative, got {aspect_ratio_thres!r}")
        if aspect_ratio_thres == 0:
            if yrange is not None and tuple(yrange) != tuple(xrange):
                raise ValueError("with aspect_ratio_thres=0 the width decides the height: leave yrange out")
        elif yrange is None:
            raise ValueError("yrange is needed, unless aspect_ratio_thres=0")
        elif any(isinstance(y, float) for y in yrange) != self._is_factor:
            raise TypeError(f"xrange and yrange must both be factors or both pixels, got {xrange!r} and {yrange!r}")

    def get_transform(self, img: Image) -> ResizeTransform:
        """See `ImageAugmentor.get_transform`."""
        h, w = img.shape[:2]
        for _ in range(50):
            new_h, new_w = self._draw(h, w)
            change = abs(new_w / new_h - w / h) / (w / h)
            if self.aspect_ratio_thres == 0 or change < self.aspect_ratio_thres + 1e-5:
                return ResizeTransform(h, w, new_h, new_w, self.interp)
        logger.warning("%r found no size for an image of shape %s, which stays as it is", self, img.shape)
        return ResizeTransform(h, w, h, w, self.interp)

    def _draw(self, h: int, w: int) -> tuple[int, int]:
        x = self._rand_range(*self.xrange) * (w if self._is_factor else 1)
        if self.aspect_ratio_thres == 0:
            y = x * h / w
        else:
            y = self._rand_range(*self.yrange) * (h if self._is_factor else 1)
        return max(int(max(y, self.minimum[1]) + 0.5), 1), max(int(max(x, self.minimum[0]) + 0.5), 1)


def shortest_edge_to(size: int, h: int, w: int, interp: int) -> ResizeTransform:
    """The transform that gives the shorter edge of an image of ``h`` times ``w`` pixels the length ``size``."""
    scale = size / min(h, w)
    new_h, new_w = (size, int(scale * w + 0.5)) if h < w else (int(scale * h + 0.5), size)
    return ResizeTransform(h, w, new_h, new_w, interp)
