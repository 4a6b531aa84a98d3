"""Augmentors that deform the image smoothly."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._opencv import BORDER_REPLICATE, INTER_LINEAR, cv2
from ..image.checks import Image, shape2d
from .base import ImageAugmentor
from .transform import TransformFactory, keep_channels

__all__ = ["GaussianDeform"]


class GaussianDeform(ImageAugmentor):
    """Pull the image at some anchors, each in a random direction, with a pull that fades like a bell around it.

    Coordinates are refused: the inverse of the deformation is not known.

    Args:
        anchors: list of (y, x), as fractions of height and width.
        shape: (height, width) of the images, in pixels.
        sigma: how far the pull reaches: its weight is ``exp(-distance**2 / sigma)``, in fractions of the image.
        randrange: the most an anchor is pulled along each axis, in pixels; default: an eighth of the height.

    Raises:
        ValueError: for an image of another size.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.GaussianDeform([(0.3, 0.3), (0.7, 0.7)], (20, 30)).augment(np.zeros((20, 30))).shape
        (20, 30)
    """

    def __init__(self, anchors: Any, shape: Any, sigma: float = 0.5, randrange: float | None = None):
        super().__init__()
        self.anchors = anchors
        self.shape = shape2d("shape", shape)
        self.sigma = sigma
        self.randrange = self.shape[0] / 8 if randrange is None else randrange
        height, width = self.shape
        self._y, self._x = np.mgrid[:height, :width].astype(np.float32)
        distances = [(self._y / height - y) ** 2 + (self._x / width - x) ** 2 for y, x in anchors]
        self._weights = np.exp(-np.array(distances, np.float32) / sigma)  # (anchors, height, width)

    def get_transform(self, img: Image) -> TransformFactory:
        """See `ImageAugmentor.get_transform`."""
        if img.shape[:2] != self.shape:
            raise ValueError(f"this GaussianDeform is for images of height and width {self.shape}, got {img.shape}")
        pulls = self.rng.uniform(-self.randrange, self.randrange, (2, len(self.anchors))).astype(np.float32)
        dy, dx = np.tensordot(pulls, self._weights, 1)

        def deform(img: Image) -> Image:
            moved = cv2.remap(img, self._x + dx, self._y + dy, INTER_LINEAR, borderMode=BORDER_REPLICATE)
            return keep_channels(moved, img)

        return TransformFactory("GaussianDeform", apply_image=deform)
