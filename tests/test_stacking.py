from collections import namedtuple

import numpy as np
import pytest

import headrace as hr
from headrace.stacking import stack_datapoints


def stack(*values):
    return stack_datapoints([[v] for v in values])[0]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((1, -2), "int32"),
        ((1, 2**31), "int64"),
        ((-(2**31), 2**31 - 1), "int32"),
        ((1.5, 2.0), "float32"),
        ((1, 2.5), "float32"),
        ((1e300, 2.0), "float64"),
        ((float("inf"), float("nan")), "float32"),
        ((True, False), "bool"),
        ((True, 2), "int32"),
        (("a", "bcd"), "<U3"),
        ((b"a", b"bcd"), "S3"),
        ((np.float64(1), np.float64(2)), "float64"),
        ((np.uint8(1), np.uint8(2)), "uint8"),
        ((np.float32(1), 2.0), "float32"),
        ((np.uint8(1), np.float32(2)), "float32"),
        ((np.array([1], "uint16"), np.array([2], "uint16")), "uint16"),
        ((np.array([1], "uint8"), np.array([2], "float32")), "float32"),
    ],
)
def test_dtypes(values, dtype):
    batch = stack(*values)
    assert batch.dtype == np.dtype(dtype)
    assert batch.shape[0] == len(values)
    assert all(
        np.array_equal(a, b, equal_nan=np.asarray(b).dtype.kind == "f") for a, b in zip(batch, values, strict=True)
    )


def test_arrays_of_objects_and_of_subclasses():
    batch = stack(np.array([{}, None], object), np.array([1, "x"], object))
    assert batch.dtype == object
    assert batch[1].tolist() == [1, "x"]
    assert stack(np.ma.masked_array([1, 2]), np.array([3, 4])).tolist() == [[1, 2], [3, 4]]


def test_nested_components():
    batch = stack_datapoints([{"a": {"x": 1, "y": [np.zeros(2), "s"]}}, {"a": {"x": 2, "y": (np.ones(2), "t")}}])
    assert batch["a"]["x"].tolist() == [1, 2]
    assert batch["a"]["y"][0].tolist() == [[0, 0], [1, 1]]
    assert batch["a"]["y"][1].tolist() == ["s", "t"]


def test_bare_datapoints_and_namedtuples():
    assert stack_datapoints([np.zeros(2), np.ones(2)]).shape == (2, 2)
    assert stack_datapoints([1, 2]).tolist() == [1, 2]
    point = namedtuple("point", "x y")
    assert [c.tolist() for c in stack_datapoints([point(1, 2), point(3, 4)])] == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, None], [1, 2]], r"component \[1\] is None .*use_list=True"),
        ([{"x": {1}}, {"x": {2}}], r"component \['x'\] is of type set"),
        ([[np.zeros(2)], [np.zeros(3)]], r"component \[0\] has different shapes in one batch: \(2,\), \(3,\)"),
        ([np.zeros(2), np.zeros(3)], r"component has different shapes"),
        ([[0, [1, 2]], [0, [1]]], r"component \[1\]: lists of different lengths.*2 and 1"),
        ([[0, {"b": [1, None]}], [0, {"b": [1, 2]}]], r"component \[1\]\['b'\]\[1\] is None"),
        ([{"x": 1}, {"y": 1}], r"dicts of other keys: \[\"'x'\"\] and \[\"'y'\"\]"),
        ([{"x": 1}, [1]], "datapoint is dict and list in one batch"),
        ([[1], {"x": 1}], "datapoint is list and dict in one batch"),
        ([5, [1]], "component is int and list in one batch"),
        ([[np.zeros(1)], [[0.0]]], r"component \[0\] is ndarray and list in one batch, .*use_list=True"),
        ([[[0.0]], [np.zeros(1)]], r"component \[0\] is list and ndarray in one batch"),
        ([[np.array("ab")], [np.array(1)]], r"component \[0\] has dtypes that do not go together: <U2, int64"),
        ([[np.array("ab")], [np.array(b"ab")]], r"do not go together: <U2, \|S2"),
        ([], "a batch needs at least one datapoint"),
        ([[1], ["a"]], r"component \[0\] is of type int and str"),
        ([["a"], [b"a"]], r"bytes and str"),
        ([[2**63], [0]], r"integers beyond 64 bits, 0 to 9223372036854775808"),
        ([[10**400], [0.5]], "beyond the range of floats"),
        ([[np.uint8(1)], [300]], r"300 does not go with uint8"),
        ([[b"jpeg\0"], [b"x"]], r"component \[0\] ends in NUL"),
        ([["a\0"], ["x"]], r"component \[0\] ends in NUL"),
        ([[np.zeros(1, "M8[s]")], [np.zeros(1)]], "dtypes that do not go together"),
    ],
)
def test_what_cannot_be_stacked_is_named(rows, message):
    with pytest.raises(hr.BatchError, match=message):
        stack_datapoints(rows)
    assert issubclass(hr.BatchError, ValueError)


def test_use_list_only_groups():
    assert stack_datapoints([{"x": None}, {"x": 1}], use_list=True) == {"x": [None, 1]}
    with pytest.raises(hr.BatchError):
        stack_datapoints([[1], [1, 2]], use_list=True)


def test_out_supplies_the_memory():
    asked = []

    def out(shape, dtype):
        asked.append(np.full(shape, 7, dtype))
        return asked[-1]

    batch = stack_datapoints([[np.zeros((2, 2), "uint8"), 5], [np.ones((2, 2), "uint8"), 6]], out=out)
    assert [a.shape for a in asked] == [(2, 2, 2), (2,)]
    assert all(a is b for a, b in zip(batch, asked, strict=True))
    assert batch[0].sum() == 4
    assert batch[1].tolist() == [5, 6]
    stack_datapoints([np.array([{}], object)], out=out)
    assert len(asked) == 2
