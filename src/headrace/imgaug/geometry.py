"""Affine maps: shift, rotate, scale, shear."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._opencv import BORDER_CONSTANT, BORDER_REPLICATE, INTER_LINEAR, cv2
from ..image.checks import Image, check_range
from .base import ImageAugmentor
from .transform import CropTransform, TransformList, WarpAffineTransform

__all__ = ["Affine", "Rotation", "RotationAndCropValid", "Shift"]

TransformAugmentorBase = ImageAugmentor  # upstream's old name


class Shift(ImageAugmentor):
    """Move the image by whole pixels.

    Args:
        horiz_frac: the most it moves left or right, as a fraction of its width.
        vert_frac: the most it moves up or down, as a fraction of its height.
        border: what comes in from beyond the edge, see OpenCV.
        border_value: the value for ``cv2.BORDER_CONSTANT``.

    Raises:
        ValueError: a fraction is not within 0 <= x < 1.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Shift(0.2, 0.1).augment(np.zeros((10, 20, 3), np.uint8)).shape
        (10, 20, 3)
    """

    def __init__(
        self,
        horiz_frac: float = 0,
        vert_frac: float = 0,
        border: int = BORDER_REPLICATE,
        border_value: Any = 0,
    ):
        super().__init__()
        if not (0 <= horiz_frac < 1 and 0 <= vert_frac < 1):
            raise ValueError(f"horiz_frac and vert_frac must be within 0 <= x < 1, got {horiz_frac} and {vert_frac}")
        self.horiz_frac, self.vert_frac = horiz_frac, vert_frac
        self.border, self.border_value = border, border_value

    def get_transform(self, img: Image) -> WarpAffineTransform:
        """See `ImageAugmentor.get_transform`."""
        mat = np.eye(2, 3)
        mat[:, 2] = _draw_shift(self, img, self.horiz_frac, self.vert_frac)
        return WarpAffineTransform(mat, img.shape[1::-1], borderMode=self.border, borderValue=self.border_value)


class Rotation(ImageAugmentor):
    """Rotate the image around a random centre.

    Args:
        max_deg: the greatest angle, in degrees, either way.
        center_range: (low, high) of the centre, as a fraction of width and height.
        interp: OpenCV's interpolation.
        border: what comes in from beyond the edge, see OpenCV.
        step_deg: the angle is a multiple of this divisor of 180; needs ``max_deg=180``.
        border_value: the value for ``cv2.BORDER_CONSTANT``.

    Raises:
        ValueError: ``step_deg`` without ``max_deg=180``, or no divisor of it.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Rotation(30).augment(np.zeros((10, 20), np.uint8)).shape
        (10, 20)
    """

    def __init__(
        self,
        max_deg: float,
        center_range: Any = (0, 1),
        interp: int = INTER_LINEAR,
        border: int = BORDER_REPLICATE,
        step_deg: float | None = None,
        border_value: Any = 0,
    ):
        super().__init__()
        _check_step(max_deg, step_deg)
        self.max_deg, self.step_deg = max_deg, step_deg
        self.center_range = check_range("center_range", center_range)
        self.interp, self.border, self.border_value = interp, border, border_value

    def get_transform(self, img: Image) -> WarpAffineTransform:
        """See `ImageAugmentor.get_transform`."""
        low, high = self.center_range
        center = self.rng.uniform(low, high, 2) * img.shape[1::-1]
        return WarpAffineTransform(
            _rotation(center, _draw_angle(self, self.max_deg, self.step_deg)),
            img.shape[1::-1],
            self.interp,
            self.border,
            self.border_value,
        )


class RotationAndCropValid(ImageAugmentor):
    """Rotate the image around its middle, and cut out the largest upright rectangle without a border.

    The result is smaller than the image, differently each time.

    Args:
        max_deg: the greatest angle, in degrees, either way.
        interp: OpenCV's interpolation.
        step_deg: see `Rotation`.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.RotationAndCropValid.largest_rotated_rect(100, 100, 45)
        (71, 71)
    """

    def __init__(self, max_deg: float, interp: int = INTER_LINEAR, step_deg: float | None = None):
        super().__init__()
        _check_step(max_deg, step_deg)
        self.max_deg, self.step_deg = max_deg, step_deg
        self.interp = interp

    def get_transform(self, img: Image) -> TransformList:
        """See `ImageAugmentor.get_transform`."""
        h, w = img.shape[:2]
        degrees = _draw_angle(self, self.max_deg, self.step_deg)
        new_w, new_h = self.largest_rotated_rect(w, h, degrees)
        new_w, new_h = min(max(new_w, 1), w), min(max(new_h, 1), h)
        rotate = WarpAffineTransform(_rotation((w / 2, h / 2), degrees), (w, h), self.interp, BORDER_CONSTANT)
        return TransformList([rotate, CropTransform((h - new_h) // 2, (w - new_w) // 2, new_h, new_w)])

    @staticmethod
    def largest_rotated_rect(w: float, h: float, angle: float) -> tuple[int, int]:
        """The largest upright rectangle inside a rectangle that was rotated around its middle.

        A rectangle of (a, b) fits if ``a cos + b sin <= w`` and ``a sin + b cos <= h``. Its area is greatest where both
        hold with equality, or, if a thin image makes that impossible, on the edge for the shorter side alone.

        Args:
            w: width of the image.
            h: height of the image.
            angle: in degrees.

        Returns:
            Width and height, rounded.
        """
        if w <= 0 or h <= 0:
            return 0, 0
        sin, cos = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
        short = min(w, h)
        if short <= 2 * sin * cos * max(w, h) or abs(cos - sin) < 1e-10:
            along, across = short / (2 * sin), short / (2 * cos)  # halves of the short side, seen at the angle
            a, b = (along, across) if w >= h else (across, along)
        else:
            a, b = (w * cos - h * sin) / (cos**2 - sin**2), (h * cos - w * sin) / (cos**2 - sin**2)
        return round(a), round(b)


class Affine(ImageAugmentor):
    """Scale, move, rotate and shear the image, around its middle.

    Args:
        scale: (low, high) of the factor; default: 1.
        translate_frac: the most it moves, as fractions of (width, height); default: not at all.
        rotate_max_deg: the greatest angle, in degrees, either way.
        shear: the greatest angle of the shear, in degrees, either way.
        interp: OpenCV's interpolation.
        border: what comes in from beyond the edge, see OpenCV.
        border_value: the value for ``cv2.BORDER_CONSTANT``.

    Raises:
        TypeError: ``scale`` or ``translate_frac`` is no pair.
        ValueError: ``shear`` is negative.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Affine((0.8, 1.2), (0.1, 0.1), 10, 5).augment(np.zeros((10, 20), np.uint8)).shape
        (10, 20)
    """

    def __init__(
        self,
        scale: Any = None,
        translate_frac: Any = None,
        rotate_max_deg: float = 0.0,
        shear: float = 0.0,
        interp: int = INTER_LINEAR,
        border: int = BORDER_REPLICATE,
        border_value: Any = 0,
    ):
        super().__init__()
        self.scale = scale if scale is None else check_range("scale", scale)
        if translate_frac is not None and (not isinstance(translate_frac, (tuple, list)) or len(translate_frac) != 2):
            raise TypeError(f"translate_frac must be a pair of fractions of (width, height), got {translate_frac!r}")
        if shear < 0:
            raise ValueError(f"shear must not be negative, got {shear!r}")
        self.translate_frac = translate_frac
        self.rotate_max_deg, self.shear = rotate_max_deg, shear
        self.interp, self.border, self.border_value = interp, border, border_value

    def get_transform(self, img: Image) -> WarpAffineTransform:
        """See `ImageAugmentor.get_transform`."""
        scale = self._rand_range(*self.scale) if self.scale is not None else 1.0
        shift = _draw_shift(self, img, *(self.translate_frac or (0, 0)))
        shear = math.radians(self._rand_range(-self.shear, self.shear))
        turn = _rotation((0.5, 0.5), self._rand_range(-self.rotate_max_deg, self.rotate_max_deg), scale)[:, :2]
        linear = turn @ np.array([[1, math.sin(shear)], [0, math.cos(shear)]])
        middle = np.array(img.shape[1::-1]) / 2 - 0.5
        mat = np.column_stack([linear, middle - linear @ middle + shift])
        return WarpAffineTransform(mat, img.shape[1::-1], self.interp, self.border, self.border_value)


def _rotation(center: Any, degrees: float, scale: float = 1) -> np.ndarray[Any, Any]:
    """OpenCV's matrix for a centre in coordinates; it maps indices, which are half a pixel less."""
    mat: np.ndarray[Any, Any] = cv2.getRotationMatrix2D((center[0] - 0.5, center[1] - 0.5), degrees, scale)
    return mat


def _draw_shift(augmentor: ImageAugmentor, img: Image, horiz: float, vert: float) -> np.ndarray[Any, Any]:
    most = np.array([horiz * img.shape[1], vert * img.shape[0]])
    return np.round(augmentor.rng.uniform(-most, most))


def _draw_angle(augmentor: ImageAugmentor, max_deg: float, step_deg: float | None) -> float:
    degrees: float = augmentor.rng.uniform(-max_deg, max_deg)
    return degrees // step_deg * step_deg if step_deg is not None else degrees


def _check_step(max_deg: float, step_deg: float | None) -> None:
    if step_deg is not None and (max_deg != 180 or step_deg <= 0 or 180 % step_deg != 0):
        raise ValueError(f"step_deg must be a divisor of max_deg=180, got {step_deg!r} and {max_deg!r}")
