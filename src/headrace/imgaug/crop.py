"""Augmentors that cut rectangles out of images, or out of their contents."""

from __future__ import annotations

import math
from typing import Any

from .._opencv import INTER_LINEAR
from ..image.checks import Image, check_range, shape2d
from .base import ImageAugmentor, PhotometricAugmentor
from .misc import shortest_edge_to
from .transform import CropTransform, ResizeTransform, TransformList

__all__ = ["CenterCrop", "GoogleNetRandomCropAndResize", "RandomCrop", "RandomCropRandomShape", "RandomCutout"]


class RandomCrop(ImageAugmentor):
    """Cut out a rectangle of a fixed size, anywhere.

    Args:
        crop_shape: (height, width) in pixels, or one number for both.

    Raises:
        ValueError: for an image that is smaller.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.RandomCrop((2, 3)).augment(np.zeros((5, 5))).shape
        (2, 3)
    """

    def __init__(self, crop_shape: Any):
        super().__init__()
        self.crop_shape = shape2d("crop_shape", crop_shape)

    def get_transform(self, img: Image) -> CropTransform:
        """See `ImageAugmentor.get_transform`."""
        room_y, room_x = _room(self, img, self.crop_shape)
        return CropTransform(self.rng.randint(room_y + 1), self.rng.randint(room_x + 1), *self.crop_shape)


class CenterCrop(ImageAugmentor):
    """Cut out a rectangle of a fixed size in the middle.

    Args:
        crop_shape: (height, width) in pixels, or one number for both.

    Raises:
        ValueError: for an image that is smaller.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.CenterCrop(1).augment(np.arange(9.0).reshape(3, 3))
        array([[4.]])
    """

    def __init__(self, crop_shape: Any):
        super().__init__()
        self.crop_shape = shape2d("crop_shape", crop_shape)

    def get_transform(self, img: Image) -> CropTransform:
        """See `ImageAugmentor.get_transform`."""
        room_y, room_x = _room(self, img, self.crop_shape)
        return CropTransform(room_y // 2, room_x // 2, *self.crop_shape)


class RandomCropRandomShape(ImageAugmentor):
    """Cut out a rectangle of any size within limits, anywhere.

    Args:
        wmin: the least width, in pixels.
        hmin: the least height.
        wmax: the greatest width; default: that of the image.
        hmax: the greatest height; default: that of the image.
        max_aspect_ratio: the most that the longer side may be of the shorter one; default: any.

    Raises:
        ValueError: for an image that is smaller than the limits allow, or without a shape within the aspect ratio.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> height, width = imgaug.RandomCropRandomShape(2, 3).augment(np.zeros((9, 9))).shape
        >>> height >= 3 and width >= 2
        True
    """

    def __init__(
        self,
        wmin: int,
        hmin: int,
        wmax: int | None = None,
        hmax: int | None = None,
        max_aspect_ratio: float | None = None,
    ):
        super().__init__()
        self.wmin, self.hmin, self.wmax, self.hmax = wmin, hmin, wmax, hmax
        self.max_aspect_ratio = max_aspect_ratio
        shape2d("(hmin, wmin)", (hmin, wmin))
        check_range("(hmin, hmax)", (hmin, hmax or hmin))
        check_range("(wmin, wmax)", (wmin, wmax or wmin))
        if max_aspect_ratio is not None and max_aspect_ratio < 1:
            raise ValueError(f"max_aspect_ratio must be at least 1, got {max_aspect_ratio!r}")

    def get_transform(self, img: Image) -> CropTransform:
        """See `ImageAugmentor.get_transform`."""
        height, width = img.shape[:2]
        _room(self, img, (self.hmax or self.hmin, self.wmax or self.wmin))
        for _ in range(100):
            h = self.rng.randint(self.hmin, (self.hmax or height) + 1)
            w = self.rng.randint(self.wmin, (self.wmax or width) + 1)
            if self.max_aspect_ratio is None or max(h, w) <= self.max_aspect_ratio * min(h, w):
                return CropTransform(self.rng.randint(height - h + 1), self.rng.randint(width - w + 1), h, w)
        raise ValueError(f"{self!r}: none of 100 shapes within an image of shape {img.shape} keeps the aspect ratio")


class GoogleNetRandomCropAndResize(ImageAugmentor):
    """The crop of GoogleNet's training (Szegedy et al., *Going Deeper with Convolutions*, 2014, section 6).

    A rectangle with 8 % to 100 % of the area and an aspect ratio of 3:4 to 4:3, resized to a square. If ten attempts
    do not fit into the image: its shorter edge is resized, and the middle cut out.

    Args:
        crop_area_fraction: least and greatest part of the area.
        aspect_ratio_range: least and greatest width / height; or the inverse, in half of the cases.
        target_shape: edge of the result, in pixels, or (height, width).
        interp: OpenCV's interpolation.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.GoogleNetRandomCropAndResize().augment(np.zeros((375, 500, 3), np.uint8)).shape
        (224, 224, 3)
    """

    def __init__(
        self,
        crop_area_fraction: Any = (0.08, 1.0),
        aspect_ratio_range: Any = (0.75, 1.333),
        target_shape: Any = 224,
        interp: int = INTER_LINEAR,
    ):
        super().__init__()
        self.crop_area_fraction = check_range("crop_area_fraction", crop_area_fraction)
        self.aspect_ratio_range = check_range("aspect_ratio_range", aspect_ratio_range)
        self.target_shape = target_shape
        self._target = shape2d("target_shape", target_shape)
        self.interp = interp

    def get_transform(self, img: Image) -> TransformList:
        """See `ImageAugmentor.get_transform`."""
        height, width = img.shape[:2]
        for _ in range(10):
            area = height * width * self.rng.uniform(*self.crop_area_fraction)
            aspect = self.rng.uniform(*self.aspect_ratio_range)
            w, h = max(round(math.sqrt(area * aspect)), 1), max(round(math.sqrt(area / aspect)), 1)
            if self.rng.uniform() < 0.5:
                w, h = h, w
            if h <= height and w <= width:
                x0, y0 = self.rng.randint(width - w + 1), self.rng.randint(height - h + 1)
                crop = CropTransform(y0, x0, h, w)
                return TransformList([crop, ResizeTransform(h, w, *self._target, self.interp)])
        resize = shortest_edge_to(max(self._target), height, width, self.interp)
        new_h, new_w = self._target
        y0, x0 = (resize.new_h - new_h) // 2, (resize.new_w - new_w) // 2
        return TransformList([resize, CropTransform(y0, x0, new_h, new_w)])


class RandomCutout(PhotometricAugmentor):
    """Fill a rectangle anywhere in the image (DeVries and Taylor, *Improved Regularization ... with Cutout*, 2017).

    Args:
        h_range: its height in pixels: a number, or a pair (low, high) with high excluded.
        w_range: its width; default: as ``h_range``.
        fill: the value to fill with.

    Raises:
        ValueError: for an image that is smaller.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> int(imgaug.RandomCutout(2, 3).augment(np.ones((6, 6))).sum())
        30
    """

    def __init__(self, h_range: Any, w_range: Any = None, fill: float = 0.0):
        super().__init__()
        self.h_range = h_range
        self.w_range = h_range if w_range is None else w_range
        self.fill = fill
        for name, value in (("h_range", self.h_range), ("w_range", self.w_range)):
            if not isinstance(value, int):
                low, high = check_range(name, value)
                if low == high:
                    raise ValueError(f"{name} must be (low, high) with low < high, since high is excluded; got {value}")

    def _get_augment_params(self, img: Image) -> tuple[int, int, int, int]:
        h, w = (r if isinstance(r, int) else self.rng.randint(*r) for r in (self.h_range, self.w_range))
        room_y, room_x = _room(self, img, (h, w))
        x0, y0 = self.rng.randint(room_x + 1), self.rng.randint(room_y + 1)
        return y0, x0, h, w

    def _augment(self, img: Image, params: tuple[int, int, int, int]) -> Image:
        y0, x0, h, w = params
        img[y0 : y0 + h, x0 : x0 + w] = self.fill
        return img


def _room(augmentor: ImageAugmentor, img: Image, shape: tuple[int, int]) -> tuple[int, int]:
    """How many pixels an image has more than ``shape``, in height and width."""
    room = img.shape[0] - shape[0], img.shape[1] - shape[1]
    if min(room) < 0:
        raise ValueError(f"{augmentor!r} needs an image of at least (height, width) = {shape}, got {img.shape}")
    return room
