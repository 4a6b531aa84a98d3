import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same


def test_shapes_dtypes_and_domains():
    flow = hr.FakeData([[2, 2], [3]], size=50, dtype=["uint8", "float32"], domain=[(0, 255), (-1, 1)])
    images, vectors = zip(*flow, strict=True)
    assert len(flow) == len(images) == 50
    assert {i.shape for i in images} == {(2, 2)}
    assert {(v.shape, v.dtype) for v in vectors} == {((3,), np.dtype("float32"))}
    assert np.stack(images).dtype == np.uint8
    assert np.stack(images).max() > 128
    assert -1 <= np.stack(vectors).min() < 0 < np.stack(vectors).max() < 1


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", np.int32, np.dtype("f4")])
def test_any_number_type(dtype):
    ((a, b),) = hr.FakeData([(4,), ()], size=1, dtype=dtype)
    assert (a.dtype, b.shape) == (np.dtype(dtype), ())


def test_not_random_is_one_point_in_lists_of_their_own():
    a, b = hr.FakeData([(3,)], size=2, random=False)
    assert same(a, b)
    assert a is not b


def test_random_points_differ_and_are_decided_by_the_seed():
    hr.seed(9)
    flow = hr.FakeData([(3,)], size=3)
    first, second = list(flow), list(flow)
    assert not same(first[0], first[1])
    assert not same(first, second)
    hr.seed(9)
    assert same(list(hr.FakeData([(3,)], size=3)), first)


def test_bad_input():
    with pytest.raises(TypeError, match="shapes must be a list of shapes"):
        hr.FakeData((3, 4))
    with pytest.raises(ValueError, match="2 shapes need as many entries in dtype, got 1"):
        hr.FakeData([(1,), (2,)], dtype=["uint8"])
    with pytest.raises(ValueError, match="size must be at least 0, got -1"):
        hr.FakeData([(1,)], size=-1)
    with pytest.raises(ValueError, match=r"domain must be \(low, high\), got \(1, 0\)"):
        hr.FakeData([(1,)], domain=(1, 0))
    with pytest.raises(TypeError, match=r"domain must be \(low, high\), two numbers, got \('a', 'b'\)"):
        hr.FakeData([(1,)], domain=("a", "b"))
    with pytest.raises(TypeError, match=r"domain must be \(low, high\), two numbers, got 3"):
        hr.FakeData([(1,)], domain=3)
    with pytest.raises(ValueError, match=r"domain must be \(low, high\), got \(0, inf\)"):
        hr.FakeData([(1,)], domain=(0, float("inf")))
    for domain in ((0, 256), (-1, 5), (0.2, 0.8)):
        with pytest.raises(ValueError, match="domain must hold integers of uint8, which are from 0 to 255, got"):
            hr.FakeData([(1,)], dtype="uint8", domain=domain)
    with pytest.raises(TypeError, match="one of bools, integers or floats"):
        hr.FakeData([(1,)], dtype="U3")


@pytest.mark.parametrize("random", [True, False])
def test_resumes(random):
    check_resume(lambda: hr.FakeData([(2,), ()], size=4, random=random, dtype=["uint8", "float64"]))
