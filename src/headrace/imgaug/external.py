"""Augmentors of other libraries: Albumentations, and aleju's imgaug."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..image.checks import Image
from .base import ImageAugmentor
from .transform import Transform

__all__ = ["Albumentations", "IAAugmentor"]


class Albumentations(ImageAugmentor):
    """A transform of Albumentations (https://albumentations.ai), with our random numbers.

    Args:
        augmentor: a transform or a ``Compose``. Coordinates need a ``Compose`` with
            ``keypoint_params=KeypointParams("xy", remove_invisible=False)``.

    Example (needs ``albumentations``)::

        imgaug.Albumentations(albumentations.RandomRotate90(p=1))
    """

    def __init__(self, augmentor: Any):
        super().__init__()
        if not callable(augmentor):
            raise TypeError(f"augmentor must be a transform of Albumentations, got {augmentor!r:.60}")
        self._aug = augmentor

    def get_transform(self, img: Image) -> Transform:
        """See `ImageAugmentor.get_transform`."""
        return _AlbumentationsTransform(self._aug, img, int(self.rng.randint(2**31)))


class _AlbumentationsTransform(Transform):
    """The same random decisions whenever it is applied: the seed is set before each call."""

    def __init__(self, augmentor: Any, img: Image, seed: int):
        self._augmentor, self._img, self._seed = augmentor, img, seed

    def apply_image(self, img: Image) -> Image:
        with _seeded(self._augmentor, self._seed):
            return self._augmentor(image=img)["image"]  # type: ignore[no-any-return]

    def apply_coords(self, coords: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not getattr(self._augmentor, "processors", {}).get("keypoints"):
            raise NotImplementedError(
                "Albumentations moves coordinates only in a Compose with "
                'keypoint_params=KeypointParams("xy", remove_invisible=False)'
            )
        with _seeded(self._augmentor, self._seed):
            moved = np.array(self._augmentor(image=self._img, keypoints=coords)["keypoints"], coords.dtype)
        if moved.shape != coords.shape:
            raise ValueError(
                f"of {len(coords)} coordinates, Albumentations gave back {len(moved)}: use remove_invisible=False"
            )
        return moved


@contextlib.contextmanager
def _seeded(augmentor: Any, seed: int) -> Iterator[None]:
    if hasattr(augmentor, "set_random_seed"):  # 2.0 and later: generators of its own
        augmentor.set_random_seed(seed)
        yield
        return
    if hasattr(augmentor, "set_random_state"):
        augmentor.set_random_state(np.random.default_rng(seed), random.Random(seed))
        yield
        return
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


class IAAugmentor(ImageAugmentor):
    """An augmenter of aleju's library imgaug (https://github.com/aleju/imgaug), with our random numbers.

    That library takes uint8 images, and was last released in 2020: it does not run with numpy 2.

    Args:
        augmentor: an ``imgaug.augmenters.Augmenter``.

    Example (needs ``imgaug``)::

        imgaug.IAAugmentor(imgaug.augmenters.Fliplr(0.5))
    """

    def __init__(self, augmentor: Any):
        super().__init__()
        if not hasattr(augmentor, "to_deterministic"):
            raise TypeError(f"augmentor must be an Augmenter of aleju's imgaug, got {augmentor!r:.60}")
        self._aug = augmentor

    def get_transform(self, img: Image) -> Transform:
        """See `ImageAugmentor.get_transform`."""
        fixed = self._aug.to_deterministic()
        fixed.seed_(int(self.rng.randint(2**31)), deterministic_too=True)
        return _IATransform(fixed, img.shape)


class _IATransform(Transform):
    def __init__(self, augmentor: Any, shape: tuple[int, ...]):
        self._augmentor, self._shape = augmentor, shape

    def apply_image(self, img: Image) -> Image:
        return self._augmentor.augment_image(img)  # type: ignore[no-any-return]

    def apply_coords(self, coords: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import imgaug

        points = imgaug.KeypointsOnImage([imgaug.Keypoint(x=x, y=y) for x, y in coords], shape=self._shape)
        moved = self._augmentor.augment_keypoints([points])[0].keypoints
        return np.array([[point.x, point.y] for point in moved], coords.dtype).reshape(-1, 2)
