import pytest

import headrace as hr
from headrace.testing import check_resume


def test_maps_one_component_of_lists_tuples_and_dicts():
    assert list(hr.MapDataComponent([[1, 2]], lambda x: x * 10)) == [[10, 2]]
    assert list(hr.MapDataComponent([(1, 2)], lambda x: x * 10, index=1)) == [[1, 20]]  # a tuple comes out as a list
    assert list(hr.MapDataComponent([{"a": 1, "b": 2}], lambda x: x * 10, index="b")) == [{"a": 1, "b": 20}]


def test_none_discards_the_datapoint():
    assert list(hr.MapDataComponent([[1], [2]], lambda x: x if x > 1 else None)) == [[2]]


def test_the_source_is_left_alone():
    rows = [[1, 2], [3, 4]]
    list(hr.MapDataComponent(rows, lambda x: 0))
    assert rows == [[1, 2], [3, 4]]


def test_rng():
    hr.seed(1)
    flow = hr.MapDataComponent([[1], [1]], lambda x, *, rng: int(rng.integers(10**9)))
    (a,), (b,) = flow
    assert a != b


def test_bad_input():
    with pytest.raises(TypeError, match="must be callable"):
        hr.MapDataComponent([[1]], None)
    with pytest.raises(TypeError, match="MapDataComponent needs list, tuple or dict datapoints, got int"):
        list(hr.MapDataComponent([1], abs))
    with pytest.raises(IndexError, match="MapDataComponent: there is no component 2, the datapoint has 1 components"):
        list(hr.MapDataComponent([[1]], abs, 2))


def test_resumes():
    check_resume(lambda: hr.MapDataComponent([[i] for i in range(5)], lambda x, *, rng: rng.random() if x else None))
