import cv2
import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume

RED = cv2.imencode(".png", np.full((4, 6, 3), (0, 0, 255), np.uint8))[1]


def test_decodes_bytes_and_arrays_of_bytes():
    for data in (RED.tobytes(), bytearray(RED.tobytes()), RED, memoryview(RED.tobytes())):
        ((image, label),) = hr.ImageFromBytes([[data, 7]])
        assert image.shape == (4, 6, 3)
        assert image[0, 0].tolist() == [255, 0, 0]
        assert label == 7


def test_dicts_grey_and_sizes():
    ((dp),) = hr.ImageFromBytes([{"jpg": RED.tobytes(), "cls": 1}], index="jpg", channel=1, resize=(2, 3))
    assert dp["jpg"].shape == (2, 3, 1)


def test_errors_name_the_datapoint():
    rows = [[RED.tobytes()], [b"no image"]]
    with pytest.raises(hr.FormatError, match="datapoint 1, component 0: no image"):
        list(hr.ImageFromBytes(rows))
    with pytest.raises(TypeError, match=r"an encoded image is bytes.*float64 array of shape \(2,\)"):
        list(hr.ImageFromBytes([[np.zeros(2)]]))
    with pytest.raises(TypeError, match="needs list, tuple or dict datapoints, got bytes"):
        list(hr.ImageFromBytes([b"x"]))


def test_bad_ones_can_be_left_out_and_it_resumes():
    rows = [[RED.tobytes(), n] if n % 3 else [b"no image", n] for n in range(7)]
    flow = hr.ImageFromBytes(rows, on_error="skip")
    assert [n for _, n in flow] == [1, 2, 4, 5]
    assert [bad.index for bad in flow.errors] == [0, 3, 6]
    check_resume(lambda: hr.ImageFromBytes(hr.DataFromList(rows), catch_exceptions=True))
