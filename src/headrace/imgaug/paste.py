"""Augmentors that paste the image onto a larger background."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..image.checks import Image, shape2d
from .base import ImageAugmentor
from .transform import TransformFactory

__all__ = ["BackgroundFiller", "CenterPaste", "ConstantBackgroundFiller", "RandomPaste"]


class BackgroundFiller:
    """The base of what fills a background: a subclass defines ``_fill(background_shape, img)``.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> class Mean(imgaug.BackgroundFiller):
        ...     def _fill(self, background_shape, img):
        ...         return np.full(background_shape + img.shape[2:], img.mean(), img.dtype)
        >>> imgaug.CenterPaste((1, 3), Mean()).augment(np.full((1, 1), 7, np.uint8))
        array([[7, 7, 7]], dtype=uint8)
    """

    def fill(self, background_shape: Any, img: Image) -> Image:
        """A background for an image.

        Args:
            background_shape: (height, width) in pixels.
            img: the image.

        Returns:
            A new array of that size, with the channels and the dtype of the image.
        """
        return self._fill(tuple(background_shape), img)

    def _fill(self, background_shape: tuple[int, int], img: Image) -> Image:
        raise NotImplementedError(f"{type(self).__name__} must define _fill(background_shape, img)")


class ConstantBackgroundFiller(BackgroundFiller):
    """A background of one value.

    Args:
        value: the value, or one for each channel.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ConstantBackgroundFiller(9).fill((1, 2), np.zeros((1, 1), np.uint8))
        array([[9, 9]], dtype=uint8)
    """

    def __init__(self, value: Any):
        self.value = value

    def _fill(self, background_shape: tuple[int, int], img: Image) -> Image:
        return np.full(background_shape + img.shape[2:], self.value, img.dtype)

    def __repr__(self) -> str:
        return f"imgaug.ConstantBackgroundFiller(value={self.value!r})"


class CenterPaste(ImageAugmentor):
    """Paste the image onto the middle of a background.

    Args:
        background_shape: (height, width) of the result in pixels, or one number for both.
        background_filler: what makes the background; default: zeros.

    Raises:
        ValueError: for an image that is larger.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.CenterPaste((1, 3)).augment(np.ones((1, 1)))
        array([[0., 1., 0.]])
    """

    def __init__(self, background_shape: Any, background_filler: BackgroundFiller | None = None):
        super().__init__()
        self.background_shape = shape2d("background_shape", background_shape)
        self.background_filler = ConstantBackgroundFiller(0) if background_filler is None else background_filler

    def get_transform(self, img: Image) -> TransformFactory:
        """See `ImageAugmentor.get_transform`."""
        room = self.background_shape[0] - img.shape[0], self.background_shape[1] - img.shape[1]
        if min(room) < 0:
            raise ValueError(f"{self!r} needs an image that is not larger, got {img.shape}")
        y0, x0 = self._place(*room)

        def paste(img: Image) -> Image:
            background = self.background_filler.fill(self.background_shape, img)
            background[y0 : y0 + img.shape[0], x0 : x0 + img.shape[1]] = img
            return background

        def move(coords: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return np.asarray(coords + np.array((x0, y0)), coords.dtype)

        return TransformFactory(type(self).__name__, apply_image=paste, apply_coords=move)

    def _place(self, room_y: int, room_x: int) -> tuple[int, int]:
        """Upper left corner, given how much room there is."""
        return room_y // 2, room_x // 2


class RandomPaste(CenterPaste):
    """Paste the image onto a background, anywhere.

    Args:
        background_shape: see `CenterPaste`.
        background_filler: see `CenterPaste`.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> float(imgaug.RandomPaste((5, 5)).augment(np.ones((2, 2))).sum())
        4.0
    """

    def _place(self, room_y: int, room_x: int) -> tuple[int, int]:
        return int(self.rng.randint(room_y + 1)), int(self.rng.randint(room_x + 1))
