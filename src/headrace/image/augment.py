"""Stages that apply augmentors to the images of each datapoint."""

from __future__ import annotations

import copy as copying
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from .._checks import check_components
from ..flow import ProxyDataFlow
from ..parallel.policy import OnErrorChoice
from ..seeding import item_generator
from ..state import State
from .checks import Image, check_coords, check_image
from .policy import LeavesOut

if TYPE_CHECKING:
    from ..imgaug.base import AugmentorList, ImageAugmentor

__all__ = ["AugmentImageComponent", "AugmentImageComponents", "AugmentImageCoordinates", "ImageStage"]


class ImageStage(LeavesOut, ProxyDataFlow):
    """A stage that changes components of each datapoint, with a policy for those that fail.

    A subclass defines ``_change(dp, number, key)``, which assigns to components of a copy of the datapoint.
    """

    elementwise = True

    def __init__(self, ds: Any, catch_exceptions: bool, on_error: OnErrorChoice, max_errors: int | float | None):
        super().__init__(ds)
        if catch_exceptions and on_error != "raise":
            raise ValueError('catch_exceptions=True means on_error="skip": give one of the two')
        self.catch_exceptions = bool(catch_exceptions)
        self._choose_policy("skip" if catch_exceptions else on_error, max_errors)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        key = state.place.item_key(state.pass_index)
        policy = self._policy(state)
        state.setdefault("index", 0)
        for dp in source:
            number = state.place.index_of(state["index"])
            state["index"] += 1
            try:
                result = self._changed(dp, number, key)
            except Exception as error:
                error.add_note(f"in {type(self).__name__}, datapoint {number}")
                result = policy.handle(error, number)
            if result is not None:
                yield result

    def _changed(self, dp: Any, number: int, key: int) -> Any:
        check_components(dp, type(self).__name__)
        dp = dict(dp) if isinstance(dp, dict) else list(dp)
        self._change(dp, number, key)
        return dp

    def _change(self, dp: Any, number: int, key: int) -> None:
        raise NotImplementedError


class _AugmentStage(ImageStage):
    def __init__(
        self,
        ds: Any,
        augmentors: AugmentorList | Sequence[ImageAugmentor],
        copy: bool,
        catch_exceptions: bool,
        on_error: OnErrorChoice,
        max_errors: int | float | None,
    ):
        from ..imgaug.base import AugmentorList

        super().__init__(ds, catch_exceptions, on_error, max_errors)
        self.augs = augmentors if isinstance(augmentors, AugmentorList) else AugmentorList(augmentors)
        self.copy = copy

    def reset_state(self) -> None:
        """See `DataFlow.reset_state`; the augmentors are reset too."""
        super().reset_state()
        self.augs.reset_state()

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        names = ", ".join(type(augmentor).__name__ for augmentor in self.augs.augmentors)
        return f"[{names}], {super().describe()}"

    def _change(self, dp: Any, number: int, key: int) -> None:
        from ..imgaug.base import use_rng

        with use_rng(item_generator(key, number)):
            self._augment(dp)

    def _augment(self, dp: Any) -> None:
        raise NotImplementedError

    def _own(self, value: Any) -> Any:
        return copying.deepcopy(value) if self.copy else value


class AugmentImageComponent(_AugmentStage):
    """Apply augmentors to one image component of each datapoint.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        augmentors: a list of `imgaug.ImageAugmentor`, or an `imgaug.AugmentorList`.
        index: the index or key of the component.
        copy: whether to copy the image before; some augmentors change it. Turn it off for images that nobody else has.
        catch_exceptions: tensorpack's name for ``on_error="skip"``.
        on_error: what happens to a datapoint that fails: ``"raise"`` its exception, ``"skip"`` it, or call a function
            with the exception, whose result takes its place (None: nothing does). What failed is listed in ``errors``;
            the first nine and each hundredth are logged.
        max_errors: how many bad datapoints of a pass are too many (`TooManyErrors`); see `MultiProcessMapData`.

    Order and integrity: input order, each datapoint once, less those left out by ``on_error``. The random numbers
    depend on the seed, the place of the stage, the pass and the index of the datapoint, and on nothing else. Resumes
    exactly. A tuple comes out as a list.

    Raises:
        TypeError, ValueError: at construction, for bad arguments; later, for a component that is no image.
        Exception: what an augmentor raised, with a note that names the datapoint.

    Example:
        >>> import numpy as np
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[np.zeros((30, 40, 3), np.uint8), 7]])
        >>> augmentors = [hr.imgaug.ResizeShortestEdge(24), hr.imgaug.RandomCrop(20), hr.imgaug.Flip(horiz=True)]
        >>> ((image, label),) = hr.AugmentImageComponent(ds, augmentors)
        >>> image.shape, label
        ((20, 20, 3), 7)
    """

    def __init__(
        self,
        ds: Any,
        augmentors: AugmentorList | Sequence[ImageAugmentor],
        index: Any = 0,
        copy: bool = True,
        catch_exceptions: bool = False,
        *,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(ds, augmentors, copy, catch_exceptions, on_error, max_errors)
        self.index = index

    def _augment(self, dp: Any) -> None:
        dp[self.index] = self.augs.augment(self._own(check_image(dp[self.index])))


class AugmentImageCoordinates(_AugmentStage):
    """Apply augmentors to an image and to coordinates in it.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        augmentors: see `AugmentImageComponent`.
        img_index: the index or key of the image.
        coords_index: the index or key of the coordinates: a float array of shape (n, 2), each row (x, y) in pixels.
        copy: see `AugmentImageComponent`; also for the coordinates.
        catch_exceptions: see `AugmentImageComponent`.
        on_error: see `AugmentImageComponent`.
        max_errors: see `AugmentImageComponent`.

    Order and integrity: as `AugmentImageComponent`. Coordinates that leave the image are kept.

    Raises:
        TypeError, ValueError: as `AugmentImageComponent`; also for coordinates of a wrong shape or type.
        NotImplementedError: an augmentor cannot move coordinates.

    Example:
        >>> import numpy as np
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[np.zeros((10, 20)), np.array([[5.0, 5.0]])]])
        >>> ((image, coords),) = hr.AugmentImageCoordinates(ds, [hr.imgaug.Resize((20, 20))])
        >>> coords
        array([[ 5., 10.]])
    """

    def __init__(
        self,
        ds: Any,
        augmentors: AugmentorList | Sequence[ImageAugmentor],
        img_index: Any = 0,
        coords_index: Any = 1,
        copy: bool = True,
        catch_exceptions: bool = False,
        *,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(ds, augmentors, copy, catch_exceptions, on_error, max_errors)
        self.img_index, self.coords_index = img_index, coords_index

    def _augment(self, dp: Any) -> None:
        _augment_together(self, dp, (self.img_index,), (self.coords_index,))


class AugmentImageComponents(_AugmentStage):
    """Apply the same random decisions to several images (an image and its mask) and to coordinates in them.

    Args:
        ds: the input flow, of lists, tuples or dicts.
        augmentors: see `AugmentImageComponent`.
        index: indices or keys of the images. The first one is what the augmentors decide about; the others must have
            its height and width.
        coords_index: indices or keys of coordinates, see `AugmentImageCoordinates`.
        copy: see `AugmentImageComponent`; also for the coordinates.
        catch_exceptions: see `AugmentImageComponent`.
        on_error: see `AugmentImageComponent`.
        max_errors: see `AugmentImageComponent`.

    Order and integrity: as `AugmentImageComponent`.

    Raises:
        TypeError, ValueError: as `AugmentImageCoordinates`; also for images of different sizes.
        NotImplementedError: an augmentor cannot move coordinates.

    Example:
        >>> import numpy as np
        >>> import headrace as hr
        >>> image = np.arange(12.0).reshape(3, 4)
        >>> ds = hr.DataFromList([{"image": image, "mask": image + 100}])
        >>> (dp,) = hr.AugmentImageComponents(ds, [hr.imgaug.RandomCrop(2)], index=("image", "mask"))
        >>> dp["mask"] - dp["image"]
        array([[100., 100.],
               [100., 100.]])
    """

    def __init__(
        self,
        ds: Any,
        augmentors: AugmentorList | Sequence[ImageAugmentor],
        index: Sequence[Any] = (0, 1),
        coords_index: Sequence[Any] = (),
        copy: bool = True,
        catch_exceptions: bool = False,
        *,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
    ):
        super().__init__(ds, augmentors, copy, catch_exceptions, on_error, max_errors)
        for name, value in (("index", index), ("coords_index", coords_index)):
            if not isinstance(value, (tuple, list)):
                raise TypeError(f"{name} must be a tuple of indices or keys, got {value!r}")
        if not index:
            raise ValueError("index must name at least one image, got none")
        self.index, self.coords_index = tuple(index), tuple(coords_index)

    def _augment(self, dp: Any) -> None:
        _augment_together(self, dp, self.index, self.coords_index)


def _augment_together(stage: _AugmentStage, dp: Any, images: Sequence[Any], coords: Sequence[Any]) -> None:
    main = check_image(dp[images[0]])
    for index in images[1:]:
        _check_same_size(check_image(dp[index]), main, index)
    for index in coords:
        check_coords(dp[index])
    transform = stage.augs.get_transform(main)
    for index in images:  # the main one first: it is what the later augmentors of the list decide about
        dp[index] = transform.apply_image(stage._own(dp[index]))
    for index in coords:
        dp[index] = transform.apply_coords(stage._own(dp[index]))


def _check_same_size(img: Image, main: Image, index: Any) -> None:
    if img.shape[:2] != main.shape[:2]:
        raise ValueError(
            f"images of a datapoint must have the same height and width: component {index!r} has {img.shape[:2]}, "
            f"the first one {main.shape[:2]}"
        )
