import cv2
import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def photo(height=20, width=30):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 40)], 2).astype(np.uint8)


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{n}.png") for n in range(5)]
    for n, path in enumerate(paths):
        cv2.imwrite(path, np.full((4, 6, 3), (n, 100, 200), np.uint8))
    return paths


def test_gives_rgb_images_in_the_order_of_the_list(files):
    flow = hr.ImageFromFile(files)
    images = [image for (image,) in flow]
    assert len(flow) == len(images) == 5
    assert [image[0, 0].tolist() for image in images] == [[200, 100, n] for n in range(5)]
    assert images[0].shape == (4, 6, 3)
    assert images[0].dtype == np.uint8


def test_grey_and_resized(files):
    assert next(iter(hr.ImageFromFile(files, channel=1)))[0].shape == (4, 6, 1)
    assert next(iter(hr.ImageFromFile(files, channel=1, resize=3)))[0].shape == (3, 3, 1)
    assert next(iter(hr.ImageFromFile(files, resize=(8, 5))))[0].shape == (8, 5, 3)


def test_shuffles_each_pass_anew_and_leaves_the_list_alone(files):
    hr.seed(1)
    before = list(files)
    flow = hr.ImageFromFile(files, shuffle=True)
    passes = [[int(image[0, 0, 2]) for (image,) in flow] for _ in range(4)]
    assert all(sorted(p) == [0, 1, 2, 3, 4] for p in passes)
    assert len({tuple(p) for p in passes}) > 1
    assert files == before


def test_resumes(files):
    check_resume(lambda: hr.ImageFromFile(files, shuffle=True))


def test_a_share_decodes_only_its_own_files(files, tmp_path):
    # Of two copies, each reads every second file: a damaged one hurts the copy that has to read it.
    (tmp_path / "1.png").write_bytes(b"no image")
    with hr.MultiProcessRunnerZMQ(hr.ImageFromFile(files, on_error="skip"), 2, shard=True) as flow:
        assert sorted(int(image[0, 0, 2]) for (image,) in flow) == [0, 2, 3, 4]


def test_a_users_subclass_with_its_own_iter_is_shared_too(files):
    with hr.MultiProcessRunnerZMQ(Numbers(files), 2, shard=True) as flow:
        assert sorted(flow) == [0, 1, 2, 3, 4]


class Numbers(hr.ImageFromFile):
    def __iter__(self):
        for (image,) in super().__iter__():
            yield int(image[0, 0, 2])


def test_paths_beyond_ascii_and_path_objects(tmp_path):
    path = tmp_path / "фото 写真 ü.jpg"
    path.write_bytes(cv2.imencode(".jpg", photo())[1].tobytes())
    assert [image.shape for (image,) in hr.ImageFromFile([path, str(path)])] == [(20, 30, 3)] * 2


def test_16_bits_alpha_and_orientation(tmp_path):
    deep, alpha = tmp_path / "deep.png", tmp_path / "alpha.png"
    cv2.imwrite(str(deep), np.full((2, 2, 3), 65535, np.uint16))
    cv2.imwrite(str(alpha), np.full((2, 2, 4), 9, np.uint8))
    for (image,) in hr.ImageFromFile([deep, alpha]):
        assert image.dtype == np.uint8
        assert image.shape == (2, 2, 3)


def with_preview(jpeg):
    """A JPEG with another one inside its header, as cameras write it."""
    preview = cv2.imencode(".jpg", photo(8, 8))[1].tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview + jpeg[2:]


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_truncated_files_are_errors_that_name_the_file(tmp_path, extension, capfd):
    whole = cv2.imencode(extension, photo(60, 80))[1].tobytes()
    for part in (0.98, 0.5, 0.1):
        path = tmp_path / f"cut{extension}"
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(hr.FormatError, match=f"cut{extension}"):
            list(hr.ImageFromFile([path]))


def test_a_jpeg_cut_after_its_preview_is_an_error_and_a_whole_one_with_junk_at_the_end_is_not(tmp_path):
    jpeg = with_preview(cv2.imencode(".jpg", photo(60, 80))[1].tobytes())
    path = tmp_path / "camera.jpg"
    path.write_bytes(jpeg + b"\0\0junk")
    assert next(iter(hr.ImageFromFile([path])))[0].shape == (60, 80, 3)
    path.write_bytes(jpeg[:-200])
    with pytest.raises(hr.FormatError, match=r"camera.jpg: this JPEG of \d+ bytes is truncated"):
        list(hr.ImageFromFile([path]))


def test_other_bad_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello, I am text")
    (tmp_path / "closed.jpg").mkdir()
    for name, error, match in [
        ("empty.jpg", hr.FormatError, "empty.jpg: empty"),
        ("text.jpg", hr.FormatError, "text.jpg: no image .* begins with b'hello, I'"),
        ("missing.jpg", FileNotFoundError, "missing.jpg"),
        ("closed.jpg", IsADirectoryError, "closed.jpg"),
    ]:
        with pytest.raises(error, match=match):
            list(hr.ImageFromFile([tmp_path / name]))


def test_bad_files_can_be_left_out_and_are_listed(files, tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "3.png").unlink()
    flow = hr.ImageFromFile(files, on_error="skip")
    assert [int(image[0, 0, 2]) for (image,) in flow] == [0, 2, 4]
    assert [(bad.index, type(bad.error)) for bad in flow.errors] == [(1, hr.FormatError), (3, FileNotFoundError)]
    check_resume(lambda: hr.ImageFromFile(files, on_error="skip"))
    with pytest.raises(hr.TooManyErrors):
        list(hr.ImageFromFile(files, on_error="skip", max_errors=1))


def test_bad_arguments():
    for make, error, match in [
        (lambda: hr.ImageFromFile([]), ValueError, "at least one path"),
        (lambda: hr.ImageFromFile("a.jpg"), TypeError, "files must be a list of paths"),
        (lambda: hr.ImageFromFile(["a"], channel=2), ValueError, "channel must be 1 or 3, got 2"),
        (lambda: hr.ImageFromFile(["a"], resize=(1, 2, 3)), TypeError, "resize must be an integer or"),
        (lambda: hr.ImageFromFile(["a"], resize=0), ValueError, "resize must be positive"),
        (lambda: hr.ImageFromFile(["a"], on_error="ignore"), ValueError, "on_error must be"),
    ]:
        with pytest.raises(error, match=match):
            make()
