import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def count(n):
    return hr.DataFromList([[i, i / 2] for i in range(n)], shuffle=False)


def test_drops_the_rest_of_a_pass():
    flow = hr.BatchData(count(10), 4)
    batches = list(flow)
    assert len(flow) == len(batches) == 2
    assert [b.dtype for b in batches[0]] == [np.int32, np.float32]
    assert [b[0].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [b[0].tolist() for b in flow] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_remainder_is_a_smaller_batch():
    flow = hr.BatchData(count(10), 4, remainder=True)
    assert len(flow) == 3
    assert [b[0].shape for b in flow] == [(4,), (4,), (2,)]
    assert len(hr.BatchData(count(8), 4, remainder=True)) == len(list(hr.BatchData(count(8), 4, remainder=True))) == 2
    assert [b[0].tolist() for b in hr.BatchData(count(2), 4, remainder=True)] == [[0, 1]]


def test_use_list_keeps_components_as_they_are():
    assert list(hr.BatchData([["a", None], ["b", {1}]], 2, use_list=True)) == [[["a", "b"], [None, {1}]]]
    assert list(hr.BatchData([1, 2], 2, use_list=True)) == [[1, 2]]


def test_dict_tuple_and_bare_datapoints():
    (batch,) = hr.BatchData([{"x": 1}, {"x": 2}], 2)
    assert batch["x"].tolist() == [1, 2]
    (batch,) = hr.BatchData([(1, "a"), (2, "b")], 2)
    assert type(batch) is list
    assert batch[1].tolist() == ["a", "b"]
    (batch,) = hr.BatchData(np.eye(2), 2)
    assert batch.tolist() == [[1, 0], [0, 1]]


def test_batch_larger_than_the_data():
    with pytest.raises(ValueError, match=r"batch_size 11 is larger than the data \(10 datapoints\).*remainder=True"):
        hr.BatchData(count(10), 11)
    assert len(hr.BatchData(count(10), 11, remainder=True)) == 1
    assert list(hr.BatchData(hr.DataFromGenerator(lambda: iter([1])), 11)) == []  # nobody can know
    assert list(hr.BatchData(hr.DataFromList([]), 11)) == []


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (None, TypeError)])
def test_bad_batch_size(size, error):
    with pytest.raises(error, match="batch_size must be"):
        hr.BatchData(count(10), size)


def test_shapes_that_differ_are_an_error_that_says_what_to_do():
    ragged = hr.DataFromList([[0, np.zeros((2, 3))], [1, np.zeros((2, 4))]], shuffle=False)
    with pytest.raises(hr.BatchError, match=r"component \[1\].*\(2, 3\), \(2, 4\).*use_list=True.*BatchDataByShape"):
        list(hr.BatchData(ragged, 2))


def test_a_failed_batch_does_not_spoil_the_next_pass():
    rows = [[1], [None], [3]]
    flow = hr.BatchData(hr.DataFromList(rows, shuffle=False), 2)
    with pytest.raises(hr.BatchError, match="None"):
        list(flow)
    rows[1] = [2]
    assert [b[0].tolist() for b in flow] == [[1, 2]]


def test_a_left_pass_leaves_nothing_for_the_next_one():
    flow = hr.BatchData(count(5), 2)
    next(iter(flow))
    assert [b[0].tolist() for b in flow] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("remainder", [True, False])
@pytest.mark.parametrize("use_list", [True, False])
def test_resumes(remainder, use_list):
    check_resume(lambda: hr.BatchData(hr.DataFromList(list(range(7))), 3, remainder, use_list))
    check_resume(lambda: hr.RepeatedData(hr.BatchData(hr.DataFromList(list(range(7))), 3, remainder, use_list), 2))


def test_aggregate_batch():
    assert hr.BatchData.aggregate_batch([[1], [2]])[0].tolist() == [1, 2]
    assert hr.BatchData.aggregate_batch([[1], [2]], use_list=True) == [[1, 2]]
