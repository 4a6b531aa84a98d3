"""Transforms: what augmentors decided, ready to be applied to images, masks and coordinates.

The methods may change what they are given; the flows that augment copy it before, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._opencv import BORDER_CONSTANT, INTER_LINEAR, cv2
from ..image.checks import Image
from ._named import Named

__all__ = [
    "CropTransform",
    "FlipTransform",
    "NoOpTransform",
    "PhotometricTransform",
    "ResizeTransform",
    "Transform",
    "TransformFactory",
    "TransformList",
    "TransposeTransform",
    "WarpAffineTransform",
]

Coords = np.ndarray[Any, Any]


def __getattr__(name: str) -> Any:
    if name == "TransformAugmentorBase":  # upstream's old name; base imports this module
        from .base import ImageAugmentor

        return ImageAugmentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BaseTransform(Named):
    """What `Transform` and the transforms that delegate to others have in common."""


class Transform(BaseTransform):
    """A deterministic change of images, with ``apply_image``, and ``apply_coords`` where it is possible.

    Any other method ``apply_...`` that is not defined raises `NotImplementedError`.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> class Invert(imgaug.Transform):
        ...     def apply_image(self, img):
        ...         return 255 - img
        >>> Invert().apply_image(np.zeros((1, 2), np.uint8))
        array([[255, 255]], dtype=uint8)
    """

    def __init__(self) -> None:
        """Nothing needs to be done."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("apply_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def missing(x: Any) -> Any:
            raise NotImplementedError(f"{type(self).__name__} does not define {name}")

        return missing


class ResizeTransform(Transform):
    """Resize an image of a known size.

    Args:
        h: height of the images it is applied to, in pixels.
        w: their width.
        new_h: the height they get.
        new_w: the width they get.
        interp: OpenCV's interpolation.

    Raises:
        ValueError: when it is applied to an image of another size.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.ResizeTransform(10, 20, 5, 40, 1).apply_coords(np.array([[20.0, 10.0]]))
        array([[40.,  5.]])
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: int = INTER_LINEAR):
        self.h, self.w = h, w
        self.new_h, self.new_w = new_h, new_w
        self.interp = interp

    def apply_image(self, img: Image) -> Image:
        """The resized image."""
        if img.shape[:2] != (self.h, self.w):
            raise ValueError(f"this transform is for images of height and width {self.h, self.w}, got {img.shape}")
        return keep_channels(cv2.resize(img, (self.new_w, self.new_h), interpolation=self.interp), img)

    def apply_coords(self, coords: Coords) -> Coords:
        """The coordinates, scaled."""
        return _as_floats(coords * (self.new_w / self.w, self.new_h / self.h), coords)


class CropTransform(Transform):
    """Cut out a rectangle.

    Args:
        y0: its first row.
        x0: its first column.
        h: its height, in pixels.
        w: its width.

    Raises:
        ValueError: when it is applied to an image that does not hold the rectangle.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.CropTransform(1, 0, 1, 2).apply_image(np.arange(6).reshape(2, 3))
        array([[3, 4]])
    """

    def __init__(self, y0: int, x0: int, h: int, w: int):
        self.y0, self.x0 = int(y0), int(x0)
        self.h, self.w = int(h), int(w)

    def apply_image(self, img: Image) -> Image:
        """A view of the rectangle."""
        if min(self.y0, self.x0) < 0 or self.y0 + self.h > img.shape[0] or self.x0 + self.w > img.shape[1]:
            raise ValueError(f"an image of shape {img.shape} does not hold the rectangle of {self!r}")
        return img[self.y0 : self.y0 + self.h, self.x0 : self.x0 + self.w]

    def apply_coords(self, coords: Coords) -> Coords:
        """The coordinates, relative to the rectangle."""
        coords[:, 0] -= self.x0
        coords[:, 1] -= self.y0
        return coords


class WarpAffineTransform(Transform):
    """An affine map.

    Args:
        mat: OpenCV's matrix, of shape (2, 3): it maps indices of pixels.
        dsize: (width, height) of the result.
        interp: OpenCV's interpolation.
        borderMode: what is beyond the edge, see OpenCV.
        borderValue: the value for ``cv2.BORDER_CONSTANT``.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> turn = imgaug.WarpAffineTransform(np.array([[0.0, 1, 0], [-1, 0, 9]]), (10, 10))  # a quarter
        >>> turn.apply_coords(np.array([[0.0, 0.0]]))
        array([[ 0., 10.]])
    """

    def __init__(
        self,
        mat: Any,
        dsize: tuple[int, int],
        interp: int = INTER_LINEAR,
        borderMode: int = BORDER_CONSTANT,  # noqa: N803 - upstream's name
        borderValue: Any = 0,  # noqa: N803
    ):
        self.mat = np.asarray(mat)
        self.dsize = dsize
        self.interp = interp
        self.borderMode, self.borderValue = borderMode, borderValue

    def apply_image(self, img: Image) -> Image:
        """The mapped image."""
        warped = cv2.warpAffine(
            img, self.mat, self.dsize, flags=self.interp, borderMode=self.borderMode, borderValue=self.borderValue
        )
        return keep_channels(warped, img)

    def apply_coords(self, coords: Coords) -> Coords:
        """The mapped coordinates. The index of a pixel is half a pixel less than the coordinate of its centre."""
        return _as_floats((coords - 0.5) @ self.mat[:, :2].T + self.mat[:, 2] + 0.5, coords)


class FlipTransform(Transform):
    """Mirror an image.

    Args:
        h: height of the images, in pixels.
        w: their width.
        horiz: whether left and right are exchanged, or top and bottom.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.FlipTransform(1, 3).apply_image(np.array([[1, 2, 3]]))
        array([[3, 2, 1]])
    """

    def __init__(self, h: int, w: int, horiz: bool = True):
        self.h, self.w = h, w
        self.horiz = horiz

    def apply_image(self, img: Image) -> Image:
        """A view, mirrored."""
        return img[:, ::-1] if self.horiz else img[::-1]

    def apply_coords(self, coords: Coords) -> Coords:
        """The mirrored coordinates."""
        axis, size = (0, self.w) if self.horiz else (1, self.h)
        coords[:, axis] = size - coords[:, axis]
        return coords


class TransposeTransform(Transform):
    """Exchange rows and columns.

    Example:
        >>> import numpy as np
        >>> from headrace import imgaug
        >>> imgaug.TransposeTransform().apply_image(np.zeros((4, 6, 3))).shape
        (6, 4, 3)
    """

    def apply_image(self, img: Image) -> Image:
        """A view, transposed."""
        return img.swapaxes(0, 1)

    def apply_coords(self, coords: Coords) -> Coords:
        """A view of the coordinates as (y, x)."""
        return coords[:, ::-1]


class NoOpTransform(Transform):
    """Nothing.

    Example:
        >>> from headrace import imgaug
        >>> imgaug.NoOpTransform().apply_coords("anything")
        'anything'
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("apply_"):
            return lambda x: x
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class PhotometricTransform(Transform):
    """A function of the image that leaves coordinates where they are.

    Args:
        func: from image to image.
        name: for ``repr``.

    Example:
        >>> from headrace import imgaug
        >>> imgaug.PhotometricTransform(abs, "absolute").apply_image(-2)
        2
    """

    def __init__(self, func: Callable[[Any], Any], name: str | None = None):
        self._func = func
        self._name = name

    def apply_image(self, img: Image) -> Image:
        """What the function gives."""
        return self._func(img)  # type: ignore[no-any-return]

    def apply_coords(self, coords: Coords) -> Coords:
        """The same coordinates."""
        return coords

    def __repr__(self) -> str:
        return f"imgaug.{type(self).__name__}({self._name or ''})"


class TransformFactory(Transform):
    """A transform made of functions.

    Args:
        name: for ``repr``.
        functions: ``apply_image=...``, ``apply_coords=...``.

    Raises:
        TypeError: a keyword that does not begin with ``apply_``, or no function.

    Example:
        >>> from headrace import imgaug
        >>> imgaug.TransformFactory("negative", apply_image=lambda img: -img).apply_image(3)
        -3
    """

    def __init__(self, name: str | None = None, **functions: Callable[[Any], Any]):
        for keyword, function in functions.items():
            if not keyword.startswith("apply_") or not callable(function):
                raise TypeError(f"TransformFactory takes functions apply_...=, got {keyword}={function!r}")
            setattr(self, keyword, function)
        self._name = name

    def __repr__(self) -> str:
        return f"imgaug.TransformFactory({self._name or ''})"


class TransformList(BaseTransform):
    """One transform after the other.

    Args:
        tfms: transforms.

    Raises:
        TypeError: something else.

    Example:
        >>> from headrace import imgaug
        >>> both = imgaug.TransformList([imgaug.FlipTransform(4, 6), imgaug.CropTransform(0, 0, 2, 3)])
        >>> len((both + imgaug.NoOpTransform()).tfms)
        3
    """

    def __init__(self, tfms: Sequence[Any]):
        for tfm in tfms:
            if not isinstance(tfm, BaseTransform):
                raise TypeError(f"a TransformList holds transforms, got {type(tfm).__name__}: {tfm!r:.60}")
        self.tfms = list(tfms)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("apply_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def apply(x: Any) -> Any:
            for tfm in self.tfms:
                x = getattr(tfm, name)(x)
            return x

        return apply

    def __add__(self, other: BaseTransform) -> TransformList:
        return TransformList(self.tfms + _as_list(other))

    def __radd__(self, other: BaseTransform) -> TransformList:
        return TransformList(_as_list(other) + self.tfms)

    def __iadd__(self, other: BaseTransform) -> TransformList:
        self.tfms.extend(_as_list(other))
        return self

    def __repr__(self) -> str:
        return "imgaug.TransformList([\n" + "".join(f"  {tfm!r},\n" for tfm in self.tfms) + "])"


class LazyTransform(BaseTransform):
    """A transform that is decided when it is first applied to an image.

    Args:
        get_transform: from image to transform.
    """

    def __init__(self, get_transform: Callable[[Image], Any]):
        self.get_transform = get_transform
        self._transform: Any = None

    def apply_image(self, img: Image) -> Image:
        """Decide, if that has not been done yet, and apply."""
        if self._transform is None:
            self._transform = self.get_transform(img)
        return self._transform.apply_image(img)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("apply_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self._transform is None:
            raise RuntimeError(f"{name} needs a decision that is made by apply_image: apply the image first")
        return getattr(self._transform, name)

    def __repr__(self) -> str:
        return repr(self._transform) if self._transform is not None else "imgaug.LazyTransform(not yet decided)"


def keep_channels(result: Image, img: Image) -> Image:
    """OpenCV drops the third axis of images with one channel: give it back."""
    return result[:, :, np.newaxis] if img.ndim == 3 and result.ndim == 2 else result


def _as_floats(moved: Coords, coords: Coords) -> Coords:
    """Moved coordinates in the type they had, unless that is one of integers."""
    return moved.astype(coords.dtype, copy=False) if coords.dtype.kind == "f" else moved


def _as_list(tfm: BaseTransform) -> list[Any]:
    return tfm.tfms if isinstance(tfm, TransformList) else [tfm]
