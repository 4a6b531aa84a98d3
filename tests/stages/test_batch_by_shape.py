import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def shapes(*sizes):
    return hr.DataFromList([[i, np.full(n, i)] for i, n in enumerate(sizes)], shuffle=False)


def test_batches_hold_equal_shapes_in_input_order():
    batches = list(hr.BatchDataByShape(shapes(2, 3, 2, 3, 3), 2, idx=1))
    assert [(ids.tolist(), data.shape) for ids, data in batches] == [([0, 2], (2, 2)), ([1, 3], (2, 3))]


def test_leftovers_are_kept_for_the_next_pass():
    flow = hr.BatchDataByShape(shapes(2, 3, 3), 2, idx=1)
    assert [ids.tolist() for ids, _ in flow] == [[1, 2]]
    assert [ids.tolist() for ids, _ in flow] == [[0, 0], [1, 2]]


def test_a_left_pass_begins_anew():
    flow = hr.BatchDataByShape(shapes(2, 2, 2, 2), 2, idx=1)
    next(iter(flow))
    assert [ids.tolist() for ids, _ in flow] == [[0, 1], [2, 3]]


def test_dicts_and_several_dimensions():
    ds = [{"image": np.zeros((2, 1)), "n": 1}, {"image": np.zeros((1, 2)), "n": 2}, {"image": np.ones((2, 1)), "n": 3}]
    (batch,) = hr.BatchDataByShape(ds, 2, idx="image")
    assert batch["n"].tolist() == [1, 3]


def test_has_no_length_and_one_iterator():
    flow = hr.BatchDataByShape(shapes(2, 2), 1, idx=1)
    with pytest.raises(hr.NoLengthError):
        len(flow)
    running = iter(flow)
    next(running)
    with pytest.raises(hr.NotReentrantError, match="not reentrant"):
        iter(flow)


def test_bad_input():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        hr.BatchDataByShape(shapes(2), 0, idx=1)
    with pytest.raises(IndexError, match="BatchDataByShape: there is no component 1, the datapoint has 1 components"):
        list(hr.BatchDataByShape([[5]], 1, idx=1))
    with pytest.raises(TypeError, match="component 0 has no shape: int"):
        list(hr.BatchDataByShape(shapes(2), 1, idx=0))


def test_resumes():
    check_resume(lambda: hr.BatchDataByShape(shapes(2, 3, 2, 3, 3, 4, 2), 2, idx=1))
