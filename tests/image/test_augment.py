import logging
import weakref

import numpy as np
import pytest

import headrace as hr
from headrace import imgaug
from headrace.testing import check_resume

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)


def augmentors():
    return [
        imgaug.RandomCrop(24),
        imgaug.RandomApplyAug(imgaug.Rotation(20), 0.7),
        imgaug.Flip(horiz=True),
        imgaug.RandomOrderAug([imgaug.Brightness(40), imgaug.Contrast((0.7, 1.3))]),
        imgaug.GaussianNoise(5),
    ]


AUGMENTORS = imgaug.AugmentorList(augmentors())


def augment(image, number, *, rng):
    return [AUGMENTORS.augment(image, rng=rng), number]


def rows(count=24):
    return [[IMAGE, n] for n in range(count)]


def same(a, b):
    assert [n for _, n in a] == [n for _, n in b]
    for (x, _), (y, _) in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_same_seed_gives_the_same_bits_and_each_pass_and_datapoint_others():
    hr.seed(5)
    flow = hr.AugmentImageComponent(rows(), augmentors())
    first, second = list(flow), list(flow)
    hr.seed(5)
    again = hr.AugmentImageComponent(rows(), augmentors())
    same(first, list(again))
    same(second, list(again))
    assert len({image.tobytes() for image, _ in first + second}) == 48


def test_the_same_bits_inline_in_threads_and_in_processes():
    hr.seed(9)
    inline = list(hr.MapData(rows(), augment))
    with hr.MultiThreadMapData(rows(), 3, augment) as flow:
        same(inline, list(flow))
    for processes in (1, 3):
        with hr.MultiProcessMapData(rows(), processes, augment) as flow:
            same(inline, list(flow))


def test_the_stage_in_the_copies_of_a_runner():
    hr.seed(9)
    results = []
    for _ in range(2):
        with hr.MultiProcessRunnerZMQ(hr.AugmentImageComponent(rows(), augmentors()), 2, shard=True) as flow:
            results.append(sorted(flow, key=lambda dp: dp[1]))
    same(*results)
    assert [n for _, n in results[0]] == list(range(24))
    assert len({image.tobytes() for image, _ in results[0]}) == 24


def test_threads_that_share_augmentors_do_not_disturb_each_other():
    shared = imgaug.AugmentorList(augmentors())
    results = []
    for _ in range(2):
        hr.seed(4)
        with hr.MultiThreadRunner(lambda: hr.AugmentImageComponent(rows(), shared), 10, 2, shard=True) as flow:
            results.append(sorted(flow, key=lambda dp: dp[1]))
    same(*results)


def test_resumes():
    check_resume(lambda: hr.AugmentImageComponent(hr.DataFromList(rows(6)), augmentors()))


def test_the_input_is_left_alone_unless_told_otherwise():
    image = np.zeros((4, 4), np.uint8)
    white = [imgaug.SaltPepperNoise(1, 0)]
    list(hr.AugmentImageComponent([[image]], white))
    assert image.max() == 0
    list(hr.AugmentImageComponent([[image]], white, copy=False))
    assert image.min() == 255


def test_dicts_tuples_and_other_indices():
    crop = [imgaug.CenterCrop(8)]
    ((label, image),) = hr.AugmentImageComponent([(7, IMAGE)], crop, index=1)
    assert (label, image.shape) == (7, (8, 8, 3))
    (dp,) = hr.AugmentImageComponent([{"image": IMAGE, "label": 7}], crop, index="image")
    assert dp["image"].shape == (8, 8, 3)


def test_images_masks_and_coordinates_go_together():
    rows = np.arange(32 * 40, dtype=np.float32).reshape(32, 40)
    points = np.array([[10.5, 20.5], [30.5, 5.5]], np.float32)
    flips = [imgaug.RandomCrop((30, 38)), imgaug.Flip(horiz=True), imgaug.Flip(vert=True), imgaug.Transpose()]
    source = [[rows.copy(), rows.copy(), points.copy()] for _ in range(30)]
    for image, mask, coords in hr.AugmentImageComponents(source, flips, (0, 1), (2,)):
        np.testing.assert_array_equal(image, mask)
        for (x, y), (old_x, old_y) in zip(coords, points, strict=True):
            if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:
                assert image[int(y), int(x)] == rows[int(old_y), int(old_x)]
    np.testing.assert_array_equal(source[0][2], points)


def test_coordinates_in_dicts():
    source = [{"image": IMAGE, "joints": np.array([[1.0, 2.0]])}]
    (dp,) = hr.AugmentImageCoordinates(source, [imgaug.Resize((64, 40))], "image", "joints")
    assert dp["joints"].tolist() == [[1.0, 4.0]]
    assert source[0]["joints"].tolist() == [[1.0, 2.0]]


def test_errors_name_stage_and_datapoint():
    source = [[IMAGE], [IMAGE[:10]]]
    with pytest.raises(ValueError, match="at least") as caught:
        list(hr.AugmentImageComponent(source, [imgaug.RandomCrop(24)]))
    assert "in AugmentImageComponent, datapoint 1" in caught.value.__notes__
    for stage, error, match in [
        (hr.AugmentImageComponent([IMAGE], []), TypeError, "needs list, tuple or dict datapoints, got ndarray"),
        (hr.AugmentImageComponent([["x"]], []), TypeError, "an image must be a numpy array, got str"),
        (hr.AugmentImageComponent([[IMAGE.astype(int)]], []), TypeError, "uint8 .* got int64"),
        (hr.AugmentImageCoordinates([[IMAGE, [[1, 2]]]], []), TypeError, "coordinates must be a numpy array, got list"),
        (hr.AugmentImageCoordinates([[IMAGE, np.ones((1, 2), int)]], []), TypeError, "coordinates must be floats"),
        (hr.AugmentImageCoordinates([[IMAGE, np.ones((2, 3))]], []), ValueError, r"shape \(n, 2\).* got \(2, 3\)"),
        (hr.AugmentImageComponents([[IMAGE, IMAGE[:5]]], []), ValueError, r"component 1 has \(5, 40\), the first one"),
    ]:
        with pytest.raises(error, match=match):
            list(stage)


@pytest.mark.parametrize("policy", [{"catch_exceptions": True}, {"on_error": "skip"}])
def test_bad_datapoints_can_be_left_out_are_listed_and_logged(policy, caplog):
    source = [[IMAGE if n % 10 == 0 else IMAGE[:10], n] for n in range(250)]
    flow = hr.AugmentImageComponent(source, [imgaug.CenterCrop(24)], **policy)
    with caplog.at_level(logging.WARNING, "headrace"):
        assert [n for _, n in flow] == list(range(0, 250, 10))
    assert len(flow.errors) == 225
    assert len(caplog.records) == 9 + 2  # the first nine, and each hundredth
    check_resume(lambda: hr.AugmentImageComponent(source[:15], [imgaug.RandomCrop(24)], **policy))


def test_a_function_can_replace_bad_datapoints_and_their_number_be_limited():
    source = [[IMAGE[:10]], [IMAGE]]
    flow = hr.AugmentImageComponent(source, [imgaug.CenterCrop(24)], on_error=lambda error: ["bad"])
    assert next(iter(flow)) == ["bad"]
    with pytest.raises(hr.TooManyErrors):
        list(hr.AugmentImageComponent(source, [imgaug.CenterCrop(24)], on_error="skip", max_errors=0))


def test_bad_arguments():
    for make, error, match in [
        (lambda: hr.AugmentImageComponent([], [np.copy]), TypeError, "of type ImageAugmentor"),
        (lambda: hr.AugmentImageComponent(3, []), TypeError, "expected a DataFlow"),
        (
            lambda: hr.AugmentImageComponent([], [], catch_exceptions=True, on_error="skip"),
            ValueError,
            "one of the two",
        ),
        (lambda: hr.AugmentImageComponent([], [], on_error="ignore"), ValueError, "on_error must be"),
        (lambda: hr.AugmentImageComponents([], [], index=0), TypeError, "index must be a tuple"),
        (lambda: hr.AugmentImageComponents([], [], index=()), ValueError, "at least one image"),
    ]:
        with pytest.raises(error, match=match):
            make()


def test_it_says_what_it_does():
    text = repr(hr.AugmentImageComponent([], [imgaug.Flip(horiz=True), imgaug.Resize(9)], index=1))
    assert text.splitlines()[0].startswith("AugmentImageComponent([Flip, Resize], index=1")


class Proxy(hr.ProxyDataFlow):
    def __init__(self, ds):
        self.ds = ds  # and no super().__init__(), as old projects do

    def __iter__(self):
        for image, number in self.ds:
            yield [image[..., 0], number]


def test_old_proxies_that_only_set_ds_and_old_resets_work():
    ds = hr.AugmentImageComponent(Proxy(hr.DataFromList(rows(4), shuffle=False)), [imgaug.Flip(horiz=True)])
    ds.reset_state()
    assert [n for _, n in ds] == [0, 1, 2, 3]
    assert len(ds) == 4


def test_errors_that_are_listed_do_not_keep_the_images():
    seen = []

    class Refusing(imgaug.ImageAugmentor):
        def get_transform(self, img):
            seen.append(weakref.ref(img))
            try:
                raise KeyError("no such image")
            except KeyError as error:
                raise ValueError("bad") from error

    source = hr.MapData(hr.DataFromList([0, 1]), lambda n: [np.zeros((8, 8, 3), np.uint8)])
    flow = hr.AugmentImageComponent(source, [Refusing()], on_error="skip")
    assert list(flow) == []
    assert [str(bad.error) for bad in flow.errors] == ["bad", "bad"]
    assert all(bad.error.__traceback__ is not None for bad in flow.errors)
    assert [image() for image in seen] == [None, None]
