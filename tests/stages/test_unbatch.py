import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


ROWS = [
    [np.arange(6, dtype=np.int16).reshape(2, 3), np.float32(1.5), {"a": np.int64(3), "b": [np.zeros(2)]}],
    [np.ones((2, 3), np.int16), np.float32(2.5), {"a": np.int64(4), "b": [np.ones(2)]}],
    [np.full((2, 3), 7, np.int16), np.float32(3.5), {"a": np.int64(5), "b": [np.full(2, 2.0)]}],
]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_undoes_batching(size):
    assert same(list(hr.Unbatch(hr.BatchData(L(*ROWS), size, remainder=True))), ROWS)


def test_undoes_batching_with_lists():
    rows = [["a", None, [1]], ["b", 3, [2, 3]]]
    assert list(hr.Unbatch(hr.BatchData(L(*rows), 2, use_list=True), use_list=True)) == rows


def test_dicts_and_bare_arrays():
    assert list(hr.Unbatch(L({"x": np.array([1, 2]), "y": np.array(["a", "b"])}))) == [
        {"x": 1, "y": "a"},
        {"x": 2, "y": "b"},
    ]
    assert list(hr.Unbatch(L(np.array([1, 2]), np.array([], int), np.array([3])))) == [1, 2, 3]


def test_bad_input():
    with pytest.raises(hr.BatchError, match=r"differ in length: \[0\]: 2, \[1\]\['x'\]: 3"):
        list(hr.Unbatch(L([np.zeros(2), {"x": np.zeros(3)}])))
    with pytest.raises(hr.BatchError, match=r"\[1\] is of type str"):
        list(hr.Unbatch(L([np.zeros(2), "ab"])))
    with pytest.raises(hr.BatchError, match="a batch is of type ndarray, which has no rows"):
        list(hr.Unbatch(L(np.array(3))))
    with pytest.raises(hr.BatchError, match="no component"):
        list(hr.Unbatch(L([])))
    with pytest.raises(hr.BatchError, match=r"\[0\] is of type ndarray"):
        list(hr.Unbatch(L([np.zeros(2)]), use_list=True))
    with pytest.raises(hr.NoLengthError):
        len(hr.Unbatch(L(1)))


def test_resumes():
    check_resume(lambda: hr.Unbatch(hr.BatchData(hr.DataFromList(list(range(7))), 3, remainder=True)))
    check_resume(lambda: hr.Unbatch(hr.BatchData(hr.DataFromList([["a"], ["b"], ["c"]]), 2, True, True), use_list=True))
