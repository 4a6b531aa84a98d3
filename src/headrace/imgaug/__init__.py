"""Image augmentors: random decisions made by an *augmentor*, carried out by a deterministic *transform*.

An augmentor looks at an image and gives a `Transform`, which can be applied to that image, to others of the same size
(masks) and to coordinates. Images are arrays of shape (height, width) or (height, width, channels), of uint8 in 0..255
or float32 in 0..1 or 0..255. Coordinates are float arrays of shape (n, 2), each row ``(x, y)`` in pixels; the upper
left corner of the image is (0, 0), so the centre of the upper left pixel is (0.5, 0.5).

The names and arguments are those of ``tensorpack.dataflow.imgaug``. The random numbers come from the flow that
augments (see `headrace.AugmentImageComponent`), from `use_rng`, or from ``reset_state(rng)``.

Example:
    >>> import numpy as np
    >>> from headrace import imgaug
    >>> augmentors = imgaug.AugmentorList([imgaug.RandomCrop(20), imgaug.Flip(horiz=True), imgaug.Brightness(30)])
    >>> image = np.zeros((32, 40, 3), np.uint8)
    >>> augmentors.augment(image, rng=np.random.default_rng(0)).shape
    (20, 20, 3)
"""

from . import base, convert, crop, deform, external, geometry, imgproc, meta, misc, noise, paste, transform
from .base import Augmentor, AugmentorList, ImageAugmentor, PhotometricAugmentor, use_rng
from .convert import ColorSpace, Grayscale, ToFloat32, ToUint8
from .crop import CenterCrop, GoogleNetRandomCropAndResize, RandomCrop, RandomCropRandomShape, RandomCutout
from .deform import GaussianDeform
from .external import Albumentations, IAAugmentor
from .geometry import Affine, Rotation, RotationAndCropValid, Shift
from .imgproc import (
    Brightness,
    BrightnessScale,
    Clip,
    Contrast,
    Gamma,
    GaussianBlur,
    Hue,
    Lighting,
    MeanVarianceNormalize,
    MinMaxNormalize,
    Saturation,
)
from .meta import Identity, MapImage, RandomApplyAug, RandomChooseAug, RandomOrderAug
from .misc import Flip, RandomResize, Resize, ResizeShortestEdge, Transpose
from .noise import GaussianNoise, JpegNoise, SaltPepperNoise
from .paste import BackgroundFiller, CenterPaste, ConstantBackgroundFiller, RandomPaste
from .transform import (
    CropTransform,
    FlipTransform,
    NoOpTransform,
    PhotometricTransform,
    ResizeTransform,
    Transform,
    TransformFactory,
    TransformList,
    TransposeTransform,
    WarpAffineTransform,
)

__all__ = [
    # what augmentors are made of
    "Augmentor",
    "AugmentorList",
    "ImageAugmentor",
    "PhotometricAugmentor",
    "use_rng",
    # transforms
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
    # colours and types
    "ColorSpace",
    "Grayscale",
    "ToFloat32",
    "ToUint8",
    # crops
    "CenterCrop",
    "GoogleNetRandomCropAndResize",
    "RandomCrop",
    "RandomCropRandomShape",
    "RandomCutout",
    # geometry
    "Affine",
    "Flip",
    "GaussianDeform",
    "RandomResize",
    "Resize",
    "ResizeShortestEdge",
    "Rotation",
    "RotationAndCropValid",
    "Shift",
    "Transpose",
    # pixels
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
    # noise
    "GaussianNoise",
    "JpegNoise",
    "SaltPepperNoise",
    # onto a background
    "BackgroundFiller",
    "CenterPaste",
    "ConstantBackgroundFiller",
    "RandomPaste",
    # made of others
    "Identity",
    "MapImage",
    "RandomApplyAug",
    "RandomChooseAug",
    "RandomOrderAug",
    # of other libraries
    "Albumentations",
    "IAAugmentor",
    # modules, under the names that old projects import
    "base",
    "convert",
    "crop",
    "deform",
    "external",
    "geometry",
    "imgproc",
    "meta",
    "misc",
    "noise",
    "paste",
    "transform",
]
