"""Augmentors that add noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._opencv import cv2
from ..image.checks import Image, check_range
from .base import PhotometricAugmentor
from .imgproc import as_before
from .transform import keep_channels

__all__ = ["GaussianNoise", "JpegNoise", "SaltPepperNoise"]


class JpegNoise(PhotometricAugmentor):
    """The artefacts of JPEG compression.

    Args:
        quality_range: (low, high) of the quality, 1 to 100; high is excluded.

    Raises:
        ValueError: for an image with other than 1 or 3 channels.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.JpegNoise((10, 20)).augment(np.zeros((8, 8, 3), np.uint8)).shape
        (8, 8, 3)
    """

    def __init__(self, quality_range: Any = (40, 100)):
        super().__init__()
        low, high = check_range("quality_range", quality_range)
        if not 0 <= low < high <= 101:
            raise ValueError(f"quality_range must be (low, high) with 0 <= low < high <= 101, got {quality_range!r}")
        self.quality_range = quality_range

    def _get_augment_params(self, img: Image) -> int:
        return int(self.rng.randint(*self.quality_range))

    def _augment(self, img: Image, params: int) -> Image:
        if img.ndim == 3 and img.shape[2] not in (1, 3):
            raise ValueError(f"{self!r} needs an image with 1 or 3 channels, got {img.shape}")
        pixels = as_before(img, np.dtype(np.uint8), True)
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, params])
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        return keep_channels(decoded, img).astype(img.dtype, copy=False)


class GaussianNoise(PhotometricAugmentor):
    """Add independent normal noise to each value.

    Args:
        sigma: its standard deviation.
        clip: whether float images are clipped to 0..255, too.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> noisy = imgaug.GaussianNoise(10).augment(np.full((100, 100), 100.0), rng=0)
        >>> round(float(noisy.std()))
        10
    """

    def __init__(self, sigma: float = 1, clip: bool = True):
        super().__init__()
        if sigma < 0:
            raise ValueError(f"sigma must not be negative, got {sigma!r}")
        self.sigma = sigma
        self.clip = clip

    def _get_augment_params(self, img: Image) -> Any:
        return self.rng.randn(*img.shape)

    def _augment(self, img: Image, params: Any) -> Image:
        return as_before(img + params * self.sigma, img.dtype, self.clip)


class SaltPepperNoise(PhotometricAugmentor):
    """Set random values to 255 or 0, each channel by itself.

    Args:
        white_prob: the probability of 255.
        black_prob: the probability of 0.

    Raises:
        ValueError: they are negative, or add up to more than 1.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> noisy = imgaug.SaltPepperNoise(0.1, 0.2).augment(np.full((100, 100), 9, np.uint8), rng=0)
        >>> round(float((noisy == 255).mean()), 1), round(float((noisy == 0).mean()), 1)
        (0.1, 0.2)
    """

    def __init__(self, white_prob: float = 0.05, black_prob: float = 0.05):
        super().__init__()
        if white_prob < 0 or black_prob < 0 or white_prob + black_prob > 1:
            raise ValueError(
                f"white_prob and black_prob must not be negative, nor above 1 together, got {white_prob}, {black_prob}"
            )
        self.white_prob, self.black_prob = white_prob, black_prob

    def _get_augment_params(self, img: Image) -> Any:
        return self.rng.uniform(size=img.shape)

    def _augment(self, img: Image, params: Any) -> Image:
        img[params >= 1 - self.white_prob] = 255
        img[params < self.black_prob] = 0
        return img
