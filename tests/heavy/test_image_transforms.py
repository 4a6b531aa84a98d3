"""Transforms of other libraries, as map functions and as augmentors."""

import functools
import os
import sys

import numpy as np
import pytest

import headrace as hr
from headrace import imgaug

pytest.importorskip("cv2")

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
ROWS = [[IMAGE, n] for n in range(8)]


def library(name):
    """The module; or skip, with the reason: it may be missing, or not fit to what else is installed."""
    try:
        return __import__(name, fromlist=["*"])
    except Exception as error:
        pytest.skip(f"{name} cannot be imported: {type(error).__name__}: {error!s:.200}")


def same(a, b):
    assert [n for _, n in a] == [n for _, n in b] == list(range(8))
    for (x, _), (y, _) in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def compose(**kwargs):
    A = library("albumentations")
    steps = [A.HorizontalFlip(p=0.5), A.Rotate(limit=20, p=1), A.RandomBrightnessContrast(p=1)]
    return A.Compose([*steps, A.RandomCrop(32, 32)], **kwargs)


def test_albumentations_as_a_map_function():
    transform = compose()

    def augment(image, number, *, rng):
        transform.set_random_seed(int(rng.integers(2**31)))
        return [transform(image=image)["image"], number]

    hr.seed(3)
    inline = list(hr.MapData(ROWS, augment))
    with hr.MultiProcessMapData(ROWS, 2, augment) as flow:
        same(inline, list(flow))
    assert inline[0][0].shape == (32, 32, 3)
    assert len({image.tobytes() for image, _ in inline}) == 8


def test_albumentations_as_an_augmentor():
    hr.seed(3)
    flow = hr.AugmentImageComponent(ROWS, [imgaug.Albumentations(compose()), imgaug.Flip(vert=True)])
    first = list(flow)
    hr.seed(3)
    same(first, list(hr.AugmentImageComponent(ROWS, [imgaug.Albumentations(compose()), imgaug.Flip(vert=True)])))
    assert len({image.tobytes() for image, _ in first}) == 8


def test_albumentations_moves_masks_and_coordinates_with_the_image():
    A = library("albumentations")
    keypoints = A.KeypointParams("xy", remove_invisible=False)
    flip = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], keypoint_params=keypoints)
    rows = np.arange(40 * 48, dtype=np.float32).reshape(40, 48)
    source = [[rows, rows, np.array([[10.0, 20.0]])] for _ in range(12)]
    seen = set()
    for image, mask, ((x, y),) in hr.AugmentImageComponents(source, [imgaug.Albumentations(flip)], (0, 1), (2,)):
        np.testing.assert_array_equal(image, mask)
        assert image[round(y), round(x)] == rows[20, 10]  # that library counts from the centre of the first pixel
        seen.add((float(x), float(y)))
    assert len(seen) > 1


def test_albumentations_without_keypoints_refuses_coordinates():
    library("albumentations")
    with pytest.raises(NotImplementedError, match="keypoint_params"):
        list(hr.AugmentImageCoordinates([[IMAGE, np.zeros((1, 2))]], [imgaug.Albumentations(compose())]))


@functools.cache
def torchvision_transform():
    """A transform of torchvision; made anew in each worker.

    The registry's torchvision has compiled parts for a torch with CUDA. Beside a torch without CUDA they are not
    loaded, and then the import fails on the names of two of their operators. The transforms need no operators, so it is
    enough to declare those two. (`make` puts torchvision in a folder of its own, where Lightning does not find it.)
    """
    torch = library("torch")
    if torch.version.cuda is None:
        for name in ("nms", "qnms"):
            try:
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
            except RuntimeError:
                pass  # it has been declared before
    beside = os.path.join(sys.prefix, "torchvision")
    if beside not in sys.path:
        sys.path.append(beside)
    v2 = library("torchvision.transforms.v2")
    return v2.Compose([v2.ToImage(), v2.RandomResizedCrop(24, antialias=True), v2.RandomHorizontalFlip()])


def augment_by_torchvision(image, number, *, rng):
    transform = torchvision_transform()
    library("torch").manual_seed(int(rng.integers(2**63)))
    return [transform(image).permute(1, 2, 0).numpy(), number]


def test_torchvision_as_a_map_function():
    torchvision_transform()
    hr.seed(3)
    inline = list(hr.MapData(ROWS, augment_by_torchvision))
    with hr.MultiProcessMapData(ROWS, 2, augment_by_torchvision) as flow:
        same(inline, list(flow))
    assert inline[0][0].shape == (24, 24, 3)
    assert len({image.tobytes() for image, _ in inline}) == 8


def test_aleju_imgaug_as_an_augmentor():
    iaa = library("imgaug.augmenters")
    make = lambda: imgaug.IAAugmentor(iaa.Sequential([iaa.Fliplr(0.5), iaa.Crop(px=(0, 8))]))  # noqa: E731
    hr.seed(3)
    first = list(hr.AugmentImageComponent(ROWS, [make()]))
    hr.seed(3)
    same(first, list(hr.AugmentImageComponent(ROWS, [make()])))
    assert len({image.tobytes() for image, _ in first}) > 1


def test_aleju_imgaug_moves_coordinates_with_the_image():
    iaa = library("imgaug.augmenters")
    source = [[IMAGE, np.array([[10.0, 20.0]], np.float32)] for _ in range(8)]
    flow = hr.AugmentImageCoordinates(source, [imgaug.IAAugmentor(iaa.Fliplr(0.5))])
    for image, ((x, _),) in flow:
        assert x == (10 if (image == IMAGE).all() else 38)
