"""Checks of images, coordinates and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Image", "check_coords", "check_image", "check_probability", "check_range", "shape2d"]

Image = np.ndarray[Any, Any]

# What OpenCV computes with: https://docs.opencv.org/4.x/d1/d1b/group__core__hal__interface.html
_DTYPES = frozenset(np.dtype(d) for d in ("u1", "i1", "u2", "i2", "i4", "f4", "f8"))


def check_image(img: Any) -> Image:
    """``img``, if it is an image.

    Raises:
        TypeError: it is no array, or of a dtype that OpenCV does not know.
        ValueError: it is not of shape (height, width) or (height, width, channels), or empty.
    """
    if not isinstance(img, np.ndarray):
        raise TypeError(f"an image must be a numpy array, got {type(img).__name__}: {img!r:.60}")
    if img.dtype not in _DTYPES:
        raise TypeError(
            f"an image must be of uint8 (0 to 255) or float32, got {img.dtype}; convert it with astype() first"
        )
    if img.ndim not in (2, 3) or img.size == 0:
        raise ValueError(
            f"an image must be of shape (height, width) or (height, width, channels), not empty; got {img.shape}"
        )
    return img


def check_coords(coords: Any) -> np.ndarray[Any, Any]:
    """``coords``, if they are coordinates.

    Raises:
        TypeError: they are no array, or not of floats.
        ValueError: they are not of shape (n, 2).
    """
    if not isinstance(coords, np.ndarray):
        raise TypeError(f"coordinates must be a numpy array, got {type(coords).__name__}: {coords!r:.60}")
    if coords.dtype.kind != "f":
        raise TypeError(f"coordinates must be floats, got {coords.dtype}; convert them with astype('float32')")
    if coords.ndim != 2 or coords.shape[1] != 2:
        raise ValueError(f"coordinates must be of shape (n, 2), a row for each (x, y); got {coords.shape}")
    return coords


def shape2d(name: str, shape: Any) -> tuple[int, int]:
    """``(height, width)`` from such a pair, or from one integer for both.

    Raises:
        TypeError: it is neither.
        ValueError: one is not positive.
    """
    pair = (shape, shape) if isinstance(shape, (int, np.integer)) else shape
    if not isinstance(pair, (Sequence, np.ndarray)) or isinstance(pair, (str, bytes)) or len(pair) != 2:
        raise TypeError(f"{name} must be an integer or (height, width), got {shape!r}")
    height, width = (int(x) for x in pair)
    if height < 1 or width < 1:
        raise ValueError(f"{name} must be positive, got {shape!r}")
    return height, width


def check_range(name: str, value: Any) -> Any:
    """``value``, if it is a pair ``(low, high)``.

    Raises:
        TypeError: it is no pair.
        ValueError: low is above high.
    """
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (low, high), got {value!r}")
    if not value[0] <= value[1]:
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, got {value!r}")
    return value


def check_probability(name: str, value: Any) -> float:
    """``value``, if it is between 0 and 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return float(value)
