"""`ImageAugmentor`, the base of all augmentors, and where their random numbers come from."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..image.checks import Image, check_image
from ._named import Named
from .transform import BaseTransform, LazyTransform, PhotometricTransform, TransformFactory, TransformList

__all__ = ["Augmentor", "AugmentorList", "ImageAugmentor", "PhotometricAugmentor", "use_rng"]

AnyRNG = np.random.Generator | np.random.RandomState | int


class _InUse(threading.local):
    rng: np.random.RandomState | None = None


_in_use = _InUse()


@contextlib.contextmanager
def use_rng(rng: AnyRNG) -> Iterator[None]:
    """Let all augmentors in this thread draw from ``rng``, inside the ``with`` block.

    With the keyword ``rng`` of a map function, augmentors then give the same bits inline, in threads and in processes.

    Args:
        rng: a `numpy.random.Generator`, a `numpy.random.RandomState`, or a seed. A generator goes on from where it is,
            and is left where the augmentors ended.

    Raises:
        TypeError: it is none of these.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> flip = imgaug.Flip(horiz=True)
        >>> image, mask = np.arange(12.0).reshape(3, 4), np.eye(3, 4)
        >>> with imgaug.use_rng(np.random.default_rng(1)):
        ...     transform = flip.get_transform(image)
        >>> image, mask = transform.apply_image(image), transform.apply_image(mask)
    """
    before, _in_use.rng = _in_use.rng, _random_state(rng)
    try:
        yield
    finally:
        _in_use.rng = before


def _random_state(rng: AnyRNG) -> np.random.RandomState:
    """The legacy interface of numpy, which users' augmentors are written for, on the same stream of bits."""
    if isinstance(rng, np.random.RandomState):
        return rng
    if isinstance(rng, np.random.Generator):
        return np.random.RandomState(rng.bit_generator)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return np.random.RandomState(np.random.MT19937(int(rng)))
    raise TypeError(f"rng must be a numpy Generator or RandomState, or a seed, got {type(rng).__name__}: {rng!r:.60}")


class ImageAugmentor(Named):
    """The base of all augmentors. A subclass decides at random in `get_transform`, and nowhere else.

    Old-style subclasses, with ``_get_augment_params(img)``, ``_augment(img, params)`` and perhaps
    ``_augment_coords(coords, params)``, work as well.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> class Roll(imgaug.ImageAugmentor):
        ...     def __init__(self, most):
        ...         super().__init__()
        ...         self.most = most
        ...     def get_transform(self, img):
        ...         by = self.rng.randint(self.most)
        ...         return imgaug.TransformFactory("roll", apply_image=lambda img: np.roll(img, by, axis=1))
        >>> Roll(3).augment(np.eye(3), rng=4)
        array([[0., 0., 1.],
               [1., 0., 0.],
               [0., 1., 0.]])
    """

    _own_rng: tuple[int, np.random.RandomState] | None = None

    def __init__(self) -> None:
        """Nothing needs to be done; subclasses in the wild call it."""

    @property
    def rng(self) -> np.random.RandomState:
        """The random numbers to draw: those of `use_rng` (in a flow: of the datapoint), else its own."""
        if _in_use.rng is not None:
            return _in_use.rng
        if self._own_rng is None or self._own_rng[0] != os.getpid():  # a forked child draws its own
            self.reset_state()
        assert self._own_rng is not None
        return self._own_rng[1]

    @rng.setter
    def rng(self, rng: AnyRNG) -> None:
        self._own_rng = os.getpid(), _random_state(rng)

    def reset_state(self, rng: AnyRNG | None = None) -> None:
        """Begin the augmentor's own random numbers anew, for use outside of flows; needed only to fix them.

        Args:
            rng: a `numpy.random.Generator`, a `numpy.random.RandomState` or a seed. Default: a seed that is drawn:
                inside `use_rng` from that, else from numpy's global state, which headrace seeds in workers.
        """
        if rng is None:
            source: Any = _in_use.rng if _in_use.rng is not None else np.random
            rng = np.random.RandomState(source.randint(0, 2**32, 4, np.uint32))
        self.rng = rng

    def _reset(self, parts: Sequence[ImageAugmentor]) -> None:
        """Give augmentors that this one is made of random numbers that follow from its own."""
        assert self._own_rng is not None
        with use_rng(self._own_rng[1]):
            for part in parts:
                part.reset_state()  # without arguments: users override it

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_own_rng"}

    def get_transform(self, img: Image) -> Any:
        """Decide at random what is to be done to images of this kind.

        Args:
            img: the image, of shape (height, width) or (height, width, channels); it is not changed.

        Returns:
            A `Transform`: deterministic, to be applied to this image, to other images of its size and to coordinates.
        """
        decide = getattr(self, "_get_augment_params", None) or getattr(self, "get_augment_params", None)
        params = decide(img) if decide is not None else None
        if isinstance(params, BaseTransform):
            return params
        augment = getattr(self, "_augment", None)
        if augment is None:
            raise TypeError(f"{type(self).__name__} must define get_transform(img), or _augment(img, params)")
        move = getattr(self, "_augment_coords", None)  # without it, coordinates stay: that is the old rule
        return TransformFactory(
            f"from {type(self).__name__}",
            apply_image=lambda img: augment(img, params),
            apply_coords=lambda coords: coords if move is None else move(coords, params),
        )

    def augment(self, img: Image, *, rng: AnyRNG | None = None) -> Image:
        """Decide, and apply it to the image.

        Args:
            img: as for `get_transform`. Some augmentors change it.
            rng: where to draw from, see `use_rng`; default: ``self.rng``.

        Returns:
            The augmented image.

        Raises:
            TypeError, ValueError: it is no image, or one that the augmentor cannot work on.
        """
        check_image(img)
        with use_rng(rng) if rng is not None else contextlib.nullcontext():
            image: Image = self.get_transform(img).apply_image(img)
            return image

    def augment_return_params(self, d: Image) -> tuple[Image, Any]:
        """Upstream's old interface: the augmented image and the transform."""
        transform = self.get_transform(check_image(d))
        return transform.apply_image(d), transform

    def augment_with_params(self, d: Image, param: Any) -> Image:
        """Upstream's old interface: apply a transform to another image."""
        image: Image = param.apply_image(d)
        return image

    def augment_coords(self, coords: np.ndarray[Any, Any], param: Any) -> np.ndarray[Any, Any]:
        """Upstream's old interface: apply a transform to coordinates."""
        moved: np.ndarray[Any, Any] = param.apply_coords(coords)
        return moved

    def _rand_range(self, low: float = 1.0, high: float | None = None, size: Any = None) -> Any:
        """A uniform number between ``low`` and ``high``, or 0 and ``low``."""
        if high is None:
            low, high = 0, low
        return self.rng.uniform(low, high, size)


Augmentor = ImageAugmentor


class AugmentorList(ImageAugmentor):
    """One augmentor after the other.

    Args:
        augmentors: a list of `ImageAugmentor`.

    Raises:
        TypeError: something else.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> both = imgaug.AugmentorList([imgaug.CenterCrop((20, 30)), imgaug.Transpose(prob=1)])
        >>> both.augment(np.zeros((50, 50), np.uint8)).shape
        (30, 20)
    """

    def __init__(self, augmentors: Sequence[ImageAugmentor]):
        if not isinstance(augmentors, (list, tuple)):
            raise TypeError(f"augmentors must be a list, got {type(augmentors).__name__}: {augmentors!r:.60}")
        for augmentor in augmentors:
            if not callable(getattr(augmentor, "get_transform", None)):
                raise TypeError(f"augmentors must be of type ImageAugmentor, got {augmentor!r:.60}")
        super().__init__()
        self.augmentors = list(augmentors)

    def reset_state(self, rng: AnyRNG | None = None) -> None:
        """See `ImageAugmentor.reset_state`; the same for all augmentors of the list."""
        super().reset_state(rng)
        self._reset(self.augmentors)

    def get_transform(self, img: Image) -> TransformList:
        """See `ImageAugmentor.get_transform`. All but the first decide when the list is applied to an image."""
        check_image(img)
        transforms: list[Any] = []
        for augmentor in self.augmentors:
            # The next one decides about what this one makes of the image, which does not exist yet.
            transform = LazyTransform(augmentor.get_transform) if transforms else augmentor.get_transform(img)
            transforms.extend(transform.tfms if isinstance(transform, TransformList) else [transform])
        return TransformList(transforms)

    def __repr__(self) -> str:
        return "imgaug.AugmentorList([\n" + "".join(f"  {augmentor!r},\n" for augmentor in self.augmentors) + "])"


class PhotometricAugmentor(ImageAugmentor):
    """The base of augmentors that change pixels where they are: coordinates stay.

    A subclass defines ``_get_augment_params(img)``, which draws, and ``_augment(img, params)``, which computes.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> class Fade(imgaug.PhotometricAugmentor):
        ...     def _get_augment_params(self, img):
        ...         return self.rng.uniform(0.5, 1)
        ...     def _augment(self, img, factor):
        ...         return img * factor
        >>> float(Fade().augment(np.ones((2, 2)), rng=0)[0, 0])
        0.739...
    """

    def get_transform(self, img: Image) -> PhotometricTransform:
        """See `ImageAugmentor.get_transform`."""
        params = self._get_augment_params(img)
        return PhotometricTransform(lambda img: self._augment(img, params), type(self).__name__)

    def _get_augment_params(self, img: Image) -> Any:
        return None

    def _augment(self, img: Image, params: Any) -> Image:
        raise NotImplementedError(f"{type(self).__name__} must define _augment(img, params)")
