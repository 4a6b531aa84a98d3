"""Augmentors that change pixels: brightness, colour, blur, normalisation.

They compute in float32 and give back the type they were given; uint8 is clipped to 0..255 and rounded.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._opencv import BORDER_REPLICATE, cv2
from ..image.checks import Image, check_range
from .base import PhotometricAugmentor
from .transform import keep_channels

__all__ = [
    "Brightness",
    "BrightnessScale",
    "Clip",
    "Contrast",
    "Gamma",
    "GaussianBlur",
    "Hue",
    "Lighting",
    "MeanVarianceNormalize",
    "MinMaxNormalize",
    "Saturation",
]


class Hue(PhotometricAugmentor):
    """Turn the colours around the colour wheel.

    Args:
        range: (low, high) of the turn, in units of two degrees: within -90..90 or 0..180.
        rgb: whether the channels are red, green, blue, or blue, green, red.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Hue((60, 60)).augment(np.array([[[255, 0, 0]]], np.uint8))  # red becomes green
        array([[[  0, 255,   0]]], dtype=uint8)
    """

    def __init__(self, range: Any = (0, 180), rgb: bool = True):
        super().__init__()
        self.range = check_range("range", range)
        self.rgb = bool(rgb)

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(*self.range))

    def _augment(self, img: Image, params: float) -> Image:
        check_colour(self, img)
        hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV if self.rgb else cv2.COLOR_BGR2HSV)
        # OpenCV's hue is 0..180 for 8 bits, and 0..360 for floats:
        # https://docs.opencv.org/4.x/de/d25/imgproc_color_conversions.html
        turn, circle = (round(params), 180) if img.dtype == np.uint8 else (2 * params, 360)
        hsv[..., 0] = (hsv[..., 0].astype(np.float32) + turn) % circle
        turned: Image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB if self.rgb else cv2.COLOR_HSV2BGR)
        return turned


class Brightness(PhotometricAugmentor):
    """Add the same number to all pixels.

    Args:
        delta: the most that is added or taken away, above 0.
        clip: whether float images are clipped to 0..255, too.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Brightness(50).augment(np.full((1, 1), 100.0), rng=0).round()
        array([[98.]])
    """

    def __init__(self, delta: float, clip: bool = True):
        super().__init__()
        if delta <= 0:
            raise ValueError(f"delta must be above 0, got {delta!r}")
        self.delta = delta
        self.clip = clip

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(-self.delta, self.delta))

    def _augment(self, img: Image, params: float) -> Image:
        return as_before(img.astype(np.float32) + np.float32(params), img.dtype, self.clip)


class BrightnessScale(PhotometricAugmentor):
    """Multiply all pixels by the same factor.

    Args:
        range: (low, high) of the factor.
        clip: whether float images are clipped to 0..255, too.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.BrightnessScale((2, 2)).augment(np.array([[100, 200]], np.uint8))
        array([[200, 255]], dtype=uint8)
    """

    def __init__(self, range: Any, clip: bool = True):
        super().__init__()
        self.range = check_range("range", range)
        self.clip = clip

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(*self.range))

    def _augment(self, img: Image, params: float) -> Image:
        return as_before(img.astype(np.float32) * np.float32(params), img.dtype, self.clip)


class Contrast(PhotometricAugmentor):
    """Move all pixels away from their mean, or towards it: ``(x - mean) * factor + mean``.

    Args:
        factor_range: (low, high) of the factor.
        rgb: None: each channel has its mean. True or False: the mean of the grey image, whose channels are red, green,
            blue, or blue, green, red.
        clip: whether float images are clipped to 0..255, too.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Contrast((2, 2)).augment(np.array([[100, 200]], np.uint8))
        array([[ 50, 250]], dtype=uint8)
    """

    def __init__(self, factor_range: Any, rgb: bool | None = None, clip: bool = True):
        super().__init__()
        self.factor_range = check_range("factor_range", factor_range)
        self.rgb = rgb
        self.clip = clip

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(*self.factor_range))

    def _augment(self, img: Image, params: float) -> Image:
        pixels = img.astype(np.float32)
        if self.rgb is not None and img.ndim == 3:
            check_colour(self, img)
            mean = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY if self.rgb else cv2.COLOR_BGR2GRAY).mean()
        else:
            mean = pixels.mean(axis=(0, 1), keepdims=True)
        return as_before(pixels * np.float32(params) + mean * np.float32(1 - params), img.dtype, self.clip)


class MeanVarianceNormalize(PhotometricAugmentor):
    """Scale to mean 0 and standard deviation 1, as float32.

    The deviation is taken as at least ``1 / sqrt(number of values)``, so that an even image gives zeros.

    Args:
        all_channel: whether all channels are scaled together, or each by itself.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.MeanVarianceNormalize().augment(np.array([[1, 3]], np.uint8))
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, all_channel: bool = True):
        super().__init__()
        self.all_channel = all_channel

    def _augment(self, img: Image, params: None) -> Image:
        pixels = img.astype(np.float32)
        axes = None if self.all_channel else (0, 1)
        mean = pixels.mean(axis=axes, keepdims=True)
        deviation = np.maximum(pixels.std(axis=axes, keepdims=True), np.float32(1 / np.sqrt(img.size)))
        return np.asarray((pixels - mean) / deviation)


class GaussianBlur(PhotometricAugmentor):
    """Blur, with a random window.

    Args:
        size_range: (low, high) of ``size``, high excluded; the window has an edge of ``2 * size + 1`` pixels. A number
            n stands for (0, n).
        sigma_range: (low, high) of the standard deviation, in pixels. 0: as OpenCV derives it from the window.
        symmetric: whether width and height are the same, or drawn for each.
        max_size: the old name of ``size_range``.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.GaussianBlur((1, 3)).augment(np.zeros((8, 8, 1), np.uint8)).shape
        (8, 8, 1)
    """

    def __init__(
        self,
        size_range: Any = (0, 3),
        sigma_range: Any = (0, 0),
        symmetric: bool = True,
        max_size: int | None = None,
    ):
        super().__init__()
        if max_size is not None:
            warnings.warn("the argument 'max_size' is now called 'size_range'", DeprecationWarning, stacklevel=2)
            size_range = max_size
        if isinstance(size_range, (int, np.integer)):
            size_range = (0, size_range)
        low, high = check_range("size_range", size_range)
        if not 0 <= low < high:
            raise ValueError(f"size_range must be (low, high) with 0 <= low < high, got {size_range!r}")
        if check_range("sigma_range", sigma_range)[0] < 0:
            raise ValueError(f"sigma_range must not be negative, got {sigma_range!r}")
        self.size_range, self.sigma_range = size_range, sigma_range
        self.symmetric = bool(symmetric)

    def _get_augment_params(self, img: Image) -> tuple[int, int, float, float]:
        width, height = (2 * self.rng.randint(self.size_range[0], self.size_range[1], 2) + 1).tolist()
        x, y = self._rand_range(self.sigma_range[0], self.sigma_range[1], 2).tolist()
        return (width, width, x, x) if self.symmetric else (width, height, x, y)

    def _augment(self, img: Image, params: tuple[int, int, float, float]) -> Image:
        width, height, x, y = params
        blurred = cv2.GaussianBlur(img, (width, height), sigmaX=x, sigmaY=y, borderType=BORDER_REPLICATE)
        return keep_channels(blurred, img)


class Gamma(PhotometricAugmentor):
    """Change gamma: ``255 * (x / 255) ** (1 / (1 + gamma))``. Computed in 256 steps, also for floats in 0..255.

    Args:
        range: (low, high) of gamma, above -1; 0 changes nothing.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Gamma((1, 1)).augment(np.array([[0, 64, 255]], np.uint8))
        array([[  0, 128, 255]], dtype=uint8)
    """

    def __init__(self, range: Any = (-0.5, 0.5)):
        super().__init__()
        self.range = check_range("range", range)
        if range[0] <= -1:
            raise ValueError(f"range must be above -1, got {range!r}")

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(*self.range))

    def _augment(self, img: Image, params: float) -> Image:
        table = as_before(255 * (np.arange(256) / 255) ** (1 / (1 + params)), np.dtype(np.uint8), True)
        return table[as_before(img, np.dtype(np.uint8), True)].astype(img.dtype)


class Clip(PhotometricAugmentor):
    """Clip all values.

    Args:
        min: the least.
        max: the greatest.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Clip(0, 1).augment(np.array([[-0.5, 0.5, 1.5]]))
        array([[0. , 0.5, 1. ]])
    """

    def __init__(self, min: float = 0, max: float = 255):
        super().__init__()
        check_range("(min, max)", (min, max))
        self.min, self.max = min, max

    def _augment(self, img: Image, params: None) -> Image:
        return np.clip(img, self.min, self.max)


class Saturation(PhotometricAugmentor):
    """Move colours away from grey, or towards it.

    Args:
        alpha: the factor is within ``1 - alpha`` and ``1 + alpha``; below 1.
        rgb: whether the channels are red, green, blue, or blue, green, red.
        clip: whether float images are clipped to 0..255, too.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Saturation(0.5).augment(np.full((2, 2, 3), 7, np.uint8))[0, 0]  # grey stays
        array([7, 7, 7], dtype=uint8)
    """

    def __init__(self, alpha: float = 0.4, rgb: bool = True, clip: bool = True):
        super().__init__()
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha must be within 0 <= alpha < 1, got {alpha!r}")
        self.alpha = alpha
        self.rgb = bool(rgb)
        self.clip = clip

    def _get_augment_params(self, img: Image) -> float:
        return float(self._rand_range(1 - self.alpha, 1 + self.alpha))

    def _augment(self, img: Image, params: float) -> Image:
        check_colour(self, img)
        pixels = img.astype(np.float32)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY if self.rgb else cv2.COLOR_BGR2GRAY)[..., np.newaxis]
        return as_before(pixels * np.float32(params) + grey * np.float32(1 - params), img.dtype, self.clip)


class Lighting(PhotometricAugmentor):
    """Add a random colour along the principal axes of the colours (Krizhevsky et al., *ImageNet Classification with
    Deep Convolutional Neural Networks*, 2012, section 4.1).

    Args:
        std: standard deviation of the random weights.
        eigval: the three eigenvalues.
        eigvec: 3 x 3, each column an eigenvector, in the order of the channels.
        clip: whether float images are clipped to 0..255, too.

    Raises:
        ValueError: other shapes.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> lighting = imgaug.Lighting(0.1, [0.2175, 0.0188, 0.0045], np.eye(3))
        >>> lighting.augment(np.zeros((2, 2, 3), np.float32)).shape
        (2, 2, 3)
    """

    def __init__(self, std: float, eigval: Any, eigvec: Any, clip: bool = True):
        super().__init__()
        self.std = std
        self.eigval, self.eigvec = np.asarray(eigval, np.float64), np.asarray(eigvec, np.float64)
        self.clip = clip
        if self.eigval.shape != (3,) or self.eigvec.shape != (3, 3):
            raise ValueError(
                f"eigval and eigvec must be of shape (3,) and (3, 3), got {self.eigval.shape} and {self.eigvec.shape}"
            )

    def _get_augment_params(self, img: Image) -> Any:
        check_colour(self, img)
        return self.eigvec @ (self.rng.randn(3) * self.std * self.eigval)

    def _augment(self, img: Image, params: Any) -> Image:
        return as_before(img.astype(np.float32) + params.astype(np.float32), img.dtype, self.clip)


class MinMaxNormalize(PhotometricAugmentor):
    """Scale so that the least value becomes ``min`` and the greatest ``max``, as float32; even images become ``min``.

    Args:
        min: the new least value.
        max: the new greatest value.
        all_channel: whether all channels are scaled together, or each by itself.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.MinMaxNormalize(0, 1).augment(np.array([[2, 4]], np.uint8))
        array([[0., 1.]], dtype=float32)
    """

    def __init__(self, min: float = 0, max: float = 255, all_channel: bool = True):
        super().__init__()
        self.min, self.max = min, max
        self.all_channel = all_channel

    def _augment(self, img: Image, params: None) -> Image:
        pixels = img.astype(np.float32)
        axes = None if self.all_channel else (0, 1)
        least = pixels.min(axis=axes, keepdims=True)
        extent = pixels.max(axis=axes, keepdims=True) - least
        scaled = (pixels - least) / np.where(extent == 0, np.float32(1), extent)
        return np.asarray(scaled * np.float32(self.max - self.min) + np.float32(self.min))


def as_before(pixels: Image, dtype: np.dtype[Any], clip: bool) -> Image:
    """Give computed pixels the type they had: clipped to 0..255 for uint8 or on demand, integers rounded."""
    if clip or dtype == np.uint8:
        pixels = np.clip(pixels, 0, 255)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    return pixels.astype(dtype, copy=False)


def check_colour(augmentor: PhotometricAugmentor, img: Image) -> None:
    """Refuse what is no colour image.

    Raises:
        ValueError: the shape is not (height, width, 3).
    """
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError(f"{augmentor!r} needs an image of shape (height, width, 3), got {img.shape}")
