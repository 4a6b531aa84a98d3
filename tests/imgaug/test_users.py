"""What users write: augmentors of their own, in the new style and in the old one, and imports of old projects."""

import concurrent.futures
import importlib
import os
import pickle

import numpy as np
import pytest
from imgaug_cases import picture

import headrace as hr
from headrace import imgaug


class OldBrightness(imgaug.ImageAugmentor):
    def __init__(self, delta):
        super().__init__()
        self._init(locals())

    def _get_augment_params(self, img):
        return self._rand_range(-self.delta, self.delta)

    def _augment(self, img, v):
        return np.clip(img + v, 0, 255).astype(img.dtype)


class OldFlip(imgaug.ImageAugmentor):
    def __init__(self, prob=0.5):  # and no super().__init__(), as some do
        self.prob = prob

    def _get_augment_params(self, img):
        return self.rng.rand() < self.prob, img.shape[1]

    def _augment(self, img, param):
        return img[:, ::-1] if param[0] else img

    def _augment_coords(self, coords, param):
        if param[0]:
            coords[:, 0] = param[1] - coords[:, 0]
        return coords


class OldShift(imgaug.transform.TransformAugmentorBase):
    def _get_augment_params(self, img):
        return imgaug.transform.CropTransform(0, self.rng.randint(3), 5, 5)


class Twice(imgaug.ImageAugmentor):
    """Holds another one, and does not know of reset_state."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def get_transform(self, img):
        return imgaug.TransformList([self.inner.get_transform(img), self.inner.get_transform(img)])


def old_style():
    return imgaug.AugmentorList([OldBrightness(30), OldFlip(), OldShift()])


def test_old_augmentors_work_in_flows():
    hr.seed(3)
    rows = [[picture(3), np.array([[1.0, 2.0]])] for _ in range(10)]
    points = [coords for _, coords in hr.AugmentImageCoordinates(rows, old_style())]
    assert all(p[0, 1] == 2 and p[0, 0] in (1, 0, -1, 63, 62, 61) for p in points)
    assert len({p[0, 0] for p in points}) > 2


def test_the_old_calls_work():
    augmentors = old_style()
    image = picture(3)
    augmented, params = augmentors.augment_return_params(image)
    np.testing.assert_array_equal(augmentors.augment_with_params(image, params), augmented)
    assert augmentors.augment_coords(np.array([[8.0, 2.0]]), params).shape == (1, 2)


def test_an_augmentor_without_anything_says_what_to_define():
    class Empty(imgaug.ImageAugmentor):
        pass

    with pytest.raises(TypeError, match=r"Empty must define get_transform\(img\), or _augment"):
        Empty().augment(picture())


def test_the_bug_of_a_user_is_not_taken_for_a_missing_method():
    class Buggy(imgaug.ImageAugmentor):
        def _get_augment_params(self, img):
            return self.no_such_attribute

    with pytest.raises(AttributeError, match="no_such_attribute"):
        Buggy().augment(picture())


def test_coordinates_before_the_image_are_an_error_in_a_list():
    transform = imgaug.AugmentorList([imgaug.Resize(9), imgaug.RandomCrop(3)]).get_transform(picture())
    with pytest.raises(RuntimeError, match="apply the image first"):
        transform.apply_coords(np.zeros((1, 2)))


def test_functions_without_coordinates_refuse_them():
    with pytest.raises(NotImplementedError, match="apply_coords"):
        imgaug.MapImage(np.copy).get_transform(picture()).apply_coords(np.zeros((1, 2)))


# Where the random numbers come from.


def draws(augmentor, count=5):
    return [float(augmentor.rng.rand()) for _ in range(count)]


def test_reset_state_fixes_the_numbers_of_all_parts():
    inner = imgaug.Brightness(9)
    augmentors = imgaug.AugmentorList([imgaug.Flip(horiz=True), imgaug.RandomApplyAug(inner, 0.5)])
    augmentors.reset_state(7)
    first = draws(augmentors), draws(augmentors.augmentors[0]), draws(inner)
    assert len({tuple(d) for d in first}) == 3
    augmentors.reset_state(7)
    assert (draws(augmentors), draws(augmentors.augmentors[0]), draws(inner)) == first
    augmentors.reset_state()
    assert draws(inner) != first[2]


def test_rng_can_be_assigned():
    flip = imgaug.Flip(horiz=True)
    flip.rng = np.random.RandomState(3)
    assert draws(flip) == np.random.RandomState(3).rand(5).tolist()
    with pytest.raises(TypeError, match="rng must be a numpy Generator"):
        flip.reset_state("3")


def test_use_rng_reaches_augmentors_inside_others_and_ends():
    outer = Twice(imgaug.Brightness(60))
    with imgaug.use_rng(np.random.default_rng(1)):
        first = outer.augment(picture(3))
        with imgaug.use_rng(2):
            outer.augment(picture(3))
    np.testing.assert_array_equal(outer.augment(picture(3), rng=np.random.default_rng(1)), first)
    assert draws(outer) != draws(outer)


def test_a_generator_goes_on_from_where_it_is():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(3):
        with imgaug.use_rng(rng):
            values.append(imgaug.Flip(horiz=True).rng.randint(10**9))
    assert len(set(values)) == 3


def test_threads_do_not_disturb_each_other():
    augmentors = imgaug.AugmentorList([imgaug.RandomCrop(20), imgaug.Rotation(30), imgaug.GaussianNoise(20)])
    image = picture(3)
    expected = [augmentors.augment(image, rng=seed) for seed in range(40)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda seed: augmentors.augment(image, rng=seed), range(40)))
    for a, b in zip(expected, images, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_forked_child_and_a_pickle_draw_their_own_numbers():
    flip = imgaug.Flip(horiz=True)
    flip.reset_state(1)
    assert draws(pickle.loads(pickle.dumps(flip))) != draws(flip)
    flip.reset_state(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, repr(draws(flip)).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        assert eval(pipe.read()) != draws(flip)


# Imports.


@pytest.mark.parametrize("package", ["headrace.imgaug", "headrace.dataset"])
def test_all_names_exist(package):
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_old_imports_work():
    from headrace.image import AugmentImageComponent, AugmentImageComponents, AugmentImageCoordinates, ImageFromFile
    from headrace.imgaug.base import PhotometricAugmentor
    from headrace.imgaug.geometry import RotationAndCropValid, TransformAugmentorBase, WarpAffineTransform
    from headrace.imgaug.imgproc import Brightness
    from headrace.imgaug.misc import Flip, RandomResize
    from headrace.imgaug.transform import CropTransform, ResizeTransform
    from headrace.imgaug.transform import TransformAugmentorBase as FromTransform

    for cls in (AugmentImageComponent, AugmentImageComponents, AugmentImageCoordinates, ImageFromFile):
        assert getattr(hr, cls.__name__) is cls
    assert TransformAugmentorBase is FromTransform is imgaug.ImageAugmentor
    assert None not in (WarpAffineTransform, RotationAndCropValid, Flip, RandomResize)
    assert ResizeTransform(1, 2, 3, 4, 1).new_w == 4
    assert CropTransform(1, 2, 3, 4).x0 == 2
    assert issubclass(Brightness, PhotometricAugmentor)


def test_the_stars_of_old_projects_bring_the_modules():
    names = {}
    exec("from headrace import *", names)
    assert names["imgaug"] is imgaug
    assert names["dataset"].Mnist
    assert names["AugmentImageComponent"] is hr.AugmentImageComponent
