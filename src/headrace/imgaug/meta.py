"""Augmentors made of others, or of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..image.checks import Image, check_probability
from .base import AnyRNG, ImageAugmentor
from .transform import NoOpTransform, TransformFactory, TransformList

__all__ = ["Identity", "MapImage", "RandomApplyAug", "RandomChooseAug", "RandomOrderAug"]


class Identity(ImageAugmentor):
    """Nothing.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.Identity().augment(np.ones((1, 1)))
        array([[1.]])
    """

    def get_transform(self, img: Image) -> NoOpTransform:
        """See `ImageAugmentor.get_transform`."""
        return NoOpTransform()


class MapImage(ImageAugmentor):
    """A function of the image.

    Args:
        func: from image to image.
        coord_func: from coordinates of shape (n, 2) to such. Without it, coordinates are refused, since nobody knows
            where the function moves them.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.MapImage(np.negative).augment(np.ones((1, 1)))
        array([[-1.]])
    """

    def __init__(self, func: Callable[[Any], Any], coord_func: Callable[[Any], Any] | None = None):
        super().__init__()
        if not callable(func):
            raise TypeError(f"func must be callable, got {func!r:.60}")
        self.func = func
        self.coord_func = coord_func

    def get_transform(self, img: Image) -> TransformFactory:
        """See `ImageAugmentor.get_transform`."""
        functions = {"apply_image": self.func}
        if self.coord_func is not None:
            functions["apply_coords"] = self.coord_func
        return TransformFactory("MapImage", **functions)


class RandomApplyAug(ImageAugmentor):
    """An augmentor, or nothing.

    Args:
        aug: the augmentor.
        prob: the probability that it is applied.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.RandomApplyAug(imgaug.CenterCrop(1), prob=0).augment(np.ones((2, 2))).shape
        (2, 2)
    """

    def __init__(self, aug: ImageAugmentor, prob: float):
        super().__init__()
        self.aug = aug
        self.prob = check_probability("prob", prob)

    def reset_state(self, rng: AnyRNG | None = None) -> None:
        """See `ImageAugmentor.reset_state`."""
        super().reset_state(rng)
        self._reset([self.aug])

    def get_transform(self, img: Image) -> Any:
        """See `ImageAugmentor.get_transform`."""
        return self.aug.get_transform(img) if self._rand_range() < self.prob else NoOpTransform()


class RandomChooseAug(ImageAugmentor):
    """One of several augmentors.

    Args:
        aug_lists: the augmentors, or pairs (augmentor, probability).

    Raises:
        ValueError: no augmentor, or probabilities that do not add up to 1.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> either = imgaug.RandomChooseAug([(imgaug.CenterCrop(1), 0.3), (imgaug.CenterCrop(2), 0.7)])
        >>> either.augment(np.ones((4, 4)), rng=0).shape
        (2, 2)
    """

    def __init__(self, aug_lists: Sequence[Any]):
        super().__init__()
        if not len(aug_lists):
            raise ValueError("aug_lists must hold at least one augmentor, got none")
        if isinstance(aug_lists[0], (tuple, list)):
            self.prob = [float(prob) for _, prob in aug_lists]
            self.aug_lists = [aug for aug, _ in aug_lists]
        else:
            self.prob = [1 / len(aug_lists)] * len(aug_lists)
            self.aug_lists = list(aug_lists)
        if min(self.prob) < 0 or not np.isclose(sum(self.prob), 1):
            raise ValueError(f"the probabilities must add up to 1, got {self.prob}")

    def reset_state(self, rng: AnyRNG | None = None) -> None:
        """See `ImageAugmentor.reset_state`."""
        super().reset_state(rng)
        self._reset(self.aug_lists)

    def get_transform(self, img: Image) -> Any:
        """See `ImageAugmentor.get_transform`."""
        return self.aug_lists[self.rng.choice(len(self.aug_lists), p=self.prob)].get_transform(img)


class RandomOrderAug(ImageAugmentor):
    """Several augmentors, in a random order.

    Args:
        aug_lists: augmentors that do not change the shape of the image: all decide about the image as it came.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> both = imgaug.RandomOrderAug([imgaug.MapImage(lambda x: x + 1), imgaug.MapImage(lambda x: x * 2)])
        >>> float(both.augment(np.ones((1, 1)), rng=0)[0, 0]) in (3, 4)
        True
    """

    def __init__(self, aug_lists: Sequence[ImageAugmentor]):
        super().__init__()
        self.aug_lists = list(aug_lists)

    def reset_state(self, rng: AnyRNG | None = None) -> None:
        """See `ImageAugmentor.reset_state`."""
        super().reset_state(rng)
        self._reset(self.aug_lists)

    def get_transform(self, img: Image) -> TransformList:
        """See `ImageAugmentor.get_transform`."""
        order = self.rng.permutation(len(self.aug_lists))
        transforms = [augmentor.get_transform(img) for augmentor in self.aug_lists]
        return TransformList([transforms[number] for number in order])
