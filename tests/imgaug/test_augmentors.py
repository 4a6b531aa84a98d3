import functools
import itertools
import pickle
import re

import cv2
import numpy as np
import pytest
from imgaug_cases import ALL, ALWAYS_THE_SAME, COLOUR, DEFORMING, GEOMETRIC, HEIGHT, PHOTOMETRIC, WIDTH, picture

import headrace as hr
from headrace import imgaug

ABSTRACT = {"Augmentor", "ImageAugmentor", "PhotometricAugmentor", "Albumentations", "IAAugmentor"}


def for_each(*cases):
    """One test for all cases, since what each test leaves behind is looked for; a note names the case."""

    def decorate(test):
        @functools.wraps(test)
        def run():
            for case in itertools.product(*(sorted(c) if isinstance(c, (dict, set)) else c for c in cases)):
                try:
                    test(*case)
                except BaseException as error:
                    error.add_note(f"case: {case}")
                    raise

        del run.__wrapped__  # pytest would look for fixtures
        return run

    return decorate


def test_there_is_a_case_for_each_augmentor():
    augmentors = {
        name
        for name in imgaug.__all__
        if isinstance(getattr(imgaug, name), type) and issubclass(getattr(imgaug, name), imgaug.ImageAugmentor)
    }
    assert augmentors - ABSTRACT == ALL.keys()


@for_each(ALL)
def test_the_same_rng_gives_the_same_image_and_another_one_another(name):
    augmentor, image = ALL[name], picture(3)

    images = [augmentor.augment(image.copy(), rng=seed) for seed in (1, 1, *range(2, 12))]

    np.testing.assert_array_equal(images[0], images[1])
    differ = any(a.shape != images[0].shape or (a != images[0]).any() for a in images[2:])
    assert differ == (name not in ALWAYS_THE_SAME)


@for_each(ALL.keys() - COLOUR.keys(), [(), (1,), (3,)])
def test_the_number_of_axes_and_channels_is_kept(name, channels):
    image = picture(*channels)
    augmented = ALL[name].augment(image.copy(), rng=0)
    assert augmented.shape[2:] == image.shape[2:]


@for_each(ALL, [np.uint8, np.float32, np.float64])
def test_the_type_is_kept(name, dtype):
    changed = {"ToUint8": np.uint8, "ToFloat32": np.float32}
    changed |= dict.fromkeys(("MeanVarianceNormalize", "MinMaxNormalize"), np.float32)
    if dtype == np.float64 and name in ("ColorSpace", "Grayscale", "Hue"):
        return  # OpenCV converts colours of float32, not of float64

    augmented = ALL[name].augment(picture(3).astype(dtype), rng=0)

    assert augmented.dtype == changed.get(name, dtype)


@for_each(ALL)
def test_a_transform_does_the_same_again(name):
    with imgaug.use_rng(3):
        transform = ALL[name].get_transform(picture(3))
        first = transform.apply_image(picture(3))
    with imgaug.use_rng(4):
        np.testing.assert_array_equal(first, transform.apply_image(picture(3)))


@for_each(ALL)
def test_deciding_leaves_the_image_alone(name):
    image = picture(3)
    ALL[name].get_transform(image)
    np.testing.assert_array_equal(image, picture(3))


@for_each(ALL)
def test_survives_pickle_and_says_what_it_is(name):
    again = pickle.loads(pickle.dumps(ALL[name]))
    np.testing.assert_array_equal(again.augment(picture(3), rng=5), ALL[name].augment(picture(3), rng=5))
    assert repr(ALL[name]).startswith(f"imgaug.{name}(")


@for_each(PHOTOMETRIC | COLOUR)
def test_photometric_augmentors_leave_coordinates(name):
    coords = np.array([[3.0, 4.0]])
    transform = ALL[name].get_transform(picture(3))
    np.testing.assert_array_equal(transform.apply_coords(coords.copy()), coords)


# A dot is drawn, the image is augmented, and its centre must be where the coordinates are sent.


def dot(x, y):
    """A round dot, brightest at the coordinate (x, y): the centre of a pixel is half a pixel from its corner."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8).astype(np.float32) * 255


def centre(image):
    weights = np.where(image > 2, image, 0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@for_each(GEOMETRIC.keys() - {"RandomPaste"})
def test_coordinates_go_where_the_pixels_go(name):
    seen = 0
    for seed in range(8):
        with imgaug.use_rng(seed):
            transform = GEOMETRIC[name].get_transform(dot(34.5, 22.5))
            image = transform.apply_image(dot(34.5, 22.5))
        if image[[0, -1]].max() < 2 and image[:, [0, -1]].max() < 2:  # a crop has not cut it
            coords = transform.apply_coords(np.array([[34.5, 22.5]]))
            np.testing.assert_allclose(centre(image), coords[0], atol=0.12)
            seen += 1
    assert seen >= 4


def test_whole_numbers_are_moved_to_where_floats_are():
    whole = np.array([[3, 5], [10, 1]])
    turn = imgaug.WarpAffineTransform(cv2.getRotationMatrix2D((4, 4), 30, 1), (20, 10))
    for transform in (imgaug.ResizeTransform(10, 20, 15, 25), turn):
        moved = transform.apply_coords(whole.copy())
        np.testing.assert_allclose(moved, transform.apply_coords(whole.astype(float)))
        assert transform.apply_coords(whole.astype(np.float32)).dtype == np.float32


def test_pasted_images_are_where_the_coordinates_say():
    paste = imgaug.RandomPaste((100, 120), imgaug.ConstantBackgroundFiller(7))
    image = picture(3)
    with imgaug.use_rng(1):
        transform = paste.get_transform(image)
    ((x, y),) = transform.apply_coords(np.zeros((1, 2))).astype(int)
    pasted = transform.apply_image(image)
    np.testing.assert_array_equal(pasted[y : y + HEIGHT, x : x + WIDTH], image)
    assert (pasted == 7).sum() >= (100 * 120 - HEIGHT * WIDTH) * 3


def test_all_places_of_a_crop_are_drawn():
    crop = imgaug.RandomCrop(2)
    image = np.arange(12.0).reshape(3, 4)
    with imgaug.use_rng(0):
        corners = {float(crop.augment(image)[0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 4, 5, 6}


def test_a_rotated_and_cropped_image_has_no_border():
    white = np.full((60, 90), 255, np.uint8)
    for seed in range(30):
        assert imgaug.RotationAndCropValid(180).augment(white, rng=seed)[1:-1, 1:-1].min() == 255


@for_each([(100, 100), (300, 100), (80, 200)], [0, 10, 45, 80, 90, 135, 180])
def test_the_largest_rectangle_fits_and_none_larger_of_its_shape(size, angle):
    w, h = size
    a, b = imgaug.RotationAndCropValid.largest_rotated_rect(w, h, angle)
    sin, cos = abs(np.sin(np.radians(angle))), abs(np.cos(np.radians(angle)))
    fits = [s * (a * cos + b * sin) <= w + 1 and s * (a * sin + b * cos) <= h + 1 for s in (1, 1.03)]
    assert fits == [True, False]


def test_quarter_turns_are_exact():
    square = np.random.default_rng(0).integers(0, 256, (7, 7), np.uint8)
    rotation = imgaug.Rotation(180, center_range=(0.5, 0.5), step_deg=90)
    turned = {rotation.augment(square, rng=seed).tobytes() for seed in range(30)}
    assert turned == {np.rot90(square, k).tobytes() for k in range(4)}


def test_a_crop_that_cannot_be_found_becomes_the_middle():
    thin = np.zeros((1000, 8, 3), np.uint8)
    crop = imgaug.GoogleNetRandomCropAndResize((0.9, 1), (0.75, 1.333), 32)
    assert crop.augment(thin).shape == (32, 32, 3)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_window_of_a_blur_is_drawn_as_tensorpack_draws_it(symmetric):
    rng = np.random.RandomState(1)
    window, sigma = 2 * rng.randint(2, 6, size=2) + 1, rng.uniform(1, 2, 2)
    if symmetric:
        window[1], sigma[1] = window[0], sigma[0]
    assert symmetric or window[0] != window[1]
    expected = cv2.GaussianBlur(
        picture(3), tuple(window.tolist()), sigmaX=sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_REPLICATE
    )
    blur = imgaug.GaussianBlur(size_range=(2, 6), sigma_range=(1, 2), symmetric=symmetric)
    np.testing.assert_array_equal(blur.augment(picture(3), rng=np.random.RandomState(1)), expected)


def test_the_old_name_of_the_size_of_a_blur_warns():
    with pytest.warns(DeprecationWarning, match="now called 'size_range'"):
        old = imgaug.GaussianBlur(max_size=4)
    np.testing.assert_array_equal(old.augment(picture(), rng=1), imgaug.GaussianBlur((0, 4)).augment(picture(), rng=1))


def test_uint8_is_clipped_and_rounded_never_wrapped():
    image = np.array([[[0, 128, 255]]], np.uint8)
    for augmentor in (imgaug.Brightness(300), imgaug.BrightnessScale((3, 3)), imgaug.Contrast((9, 9), rgb=True)):
        for seed in range(5):
            augmented = augmentor.augment(image, rng=seed).astype(int).ravel()
            assert (np.diff(augmented) >= 0).all(), (augmentor, augmented)


def test_normalised_images_have_mean_0_and_deviation_1_and_even_ones_are_no_error():
    normalised = imgaug.MeanVarianceNormalize(all_channel=False).augment(picture(3))
    np.testing.assert_allclose(normalised.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std((0, 1)), 1, atol=1e-4)
    even = np.full((4, 4, 3), 7, np.uint8)
    assert imgaug.MeanVarianceNormalize().augment(even).max() == 0
    assert imgaug.MinMaxNormalize().augment(even).max() == 0


@for_each(
    [
        (lambda: imgaug.Flip(), ValueError, "one of horiz=True and vert=True"),
        (lambda: imgaug.Flip(horiz=True, vert=True), ValueError, "use two"),
        (lambda: imgaug.Flip(horiz=True, prob=2), ValueError, "between 0 and 1, got 2"),
        (lambda: imgaug.RandomCrop("12"), TypeError, "crop_shape must be an integer or"),
        (lambda: imgaug.RandomCrop((0, 3)), ValueError, "crop_shape must be positive"),
        (lambda: imgaug.RandomCropRandomShape(5, 5, 3), ValueError, r"\(wmin, wmax\)"),
        (lambda: imgaug.RandomCutout((3, 3)), ValueError, "high is excluded"),
        (lambda: imgaug.Brightness(0), ValueError, "delta must be above 0"),
        (lambda: imgaug.BrightnessScale(2), TypeError, r"range must be a pair \(low, high\), got 2"),
        (lambda: imgaug.Contrast((2, 1)), ValueError, "low <= high"),
        (lambda: imgaug.Gamma((-1, 0)), ValueError, "above -1"),
        (lambda: imgaug.Saturation(1), ValueError, "alpha"),
        (lambda: imgaug.Lighting(0.1, [1, 2], np.eye(3)), ValueError, r"got \(2,\)"),
        (lambda: imgaug.GaussianBlur(0), ValueError, "size_range"),
        (lambda: imgaug.GaussianBlur(sigma_range=(-1, 0)), ValueError, "sigma_range must not be negative"),
        (lambda: imgaug.GaussianNoise(-1), ValueError, "sigma"),
        (lambda: imgaug.JpegNoise((50, 50)), ValueError, "quality_range"),
        (lambda: imgaug.SaltPepperNoise(0.7, 0.7), ValueError, "above 1 together"),
        (lambda: imgaug.Rotation(90, step_deg=45), ValueError, "max_deg=180"),
        (lambda: imgaug.Shift(1.0), ValueError, "horiz_frac"),
        (lambda: imgaug.Affine(scale=1.2), TypeError, "scale must be a pair"),
        (lambda: imgaug.Affine(shear=-1), ValueError, "shear"),
        (lambda: imgaug.RandomResize((0.5, 1.5)), ValueError, "yrange is needed"),
        (lambda: imgaug.RandomResize((0.5, 1.5), (20, 30)), TypeError, "both be factors or both pixels"),
        (lambda: imgaug.RandomChooseAug([]), ValueError, "at least one"),
        (lambda: imgaug.RandomChooseAug([(imgaug.Identity(), 0.5)]), ValueError, "add up to 1"),
        (lambda: imgaug.MapImage(3), TypeError, "callable"),
        (lambda: imgaug.AugmentorList(imgaug.Identity()), TypeError, "must be a list"),
        (lambda: imgaug.AugmentorList([np.copy]), TypeError, "of type ImageAugmentor"),
        (lambda: imgaug.TransformList([3]), TypeError, "holds transforms"),
        (lambda: imgaug.TransformFactory(image=np.copy), TypeError, "apply_"),
        (lambda: imgaug.Albumentations(3), TypeError, "Albumentations"),
        (lambda: imgaug.IAAugmentor(3), TypeError, "imgaug"),
    ]
)
def test_bad_arguments_are_refused_at_construction(case):
    make, error, match = case
    with pytest.raises(error, match=match):
        make()


@for_each(
    [
        (imgaug.RandomCrop(50), picture(3), r"at least \(height, width\) = \(50, 50\), got \(48, 64, 3\)"),
        (imgaug.CenterCrop((10, 70)), picture(3), "at least"),
        (imgaug.RandomCutout(60), picture(3), "at least"),
        (imgaug.CenterPaste(30), picture(3), "not larger"),
        (imgaug.Hue(), picture(), r"needs an image of shape \(height, width, 3\)"),
        (imgaug.Saturation(), picture(1), r"needs an image of shape \(height, width, 3\)"),
        (imgaug.Lighting(0.1, [1, 1, 1], np.eye(3)), picture(4), "needs an image of shape"),
        (imgaug.JpegNoise(), picture(4), "1 or 3 channels"),
        (imgaug.GaussianDeform([(0.5, 0.5)], (9, 9)), picture(3), r"of height and width \(9, 9\)"),
    ]
)
def test_images_that_do_not_fit_are_refused(case):
    augmentor, image, match = case
    with pytest.raises(ValueError, match=match):
        augmentor.augment(image)


@for_each(
    [
        ([[1, 2]], TypeError, "numpy array, got list"),
        (np.zeros((4, 4), np.int64), TypeError, "got int64; convert it with astype"),
        (np.zeros((4, 4), bool), TypeError, "got bool"),
        (np.zeros((4, 4), np.float16), TypeError, "got float16"),
        (np.zeros((4, 4), object), TypeError, "got object"),
        (np.zeros(4, np.uint8), ValueError, r"got \(4,\)"),
        (np.zeros((1, 2, 3, 4), np.uint8), ValueError, r"got \(1, 2, 3, 4\)"),
        (np.zeros((0, 4), np.uint8), ValueError, "not empty"),
    ]
)
def test_what_is_no_image_is_refused(case):
    image, error, match = case
    with pytest.raises(error, match=match):
        imgaug.Flip(horiz=True).augment(image)


def test_deformations_refuse_coordinates():
    transform = DEFORMING["GaussianDeform"].get_transform(picture(3))
    with pytest.raises(NotImplementedError, match="apply_coords"):
        transform.apply_coords(np.zeros((1, 2)))


def test_imgaug_is_an_attribute_of_headrace():
    assert hr.imgaug is imgaug


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1)])
def test_an_image_that_cannot_be_converted_is_described(shape):
    with pytest.raises(ValueError, match=rf"Grayscale\(.*cannot convert an image of shape {re.escape(str(shape))}"):
        imgaug.Grayscale().augment(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="and type float64"):
        imgaug.ColorSpace(cv2.COLOR_BGR2HSV).augment(np.zeros((6, 8, 3)))
