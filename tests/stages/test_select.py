import pickle

import pytest

import headrace as hr
from headrace.testing import check_resume


def test_picks_components_in_order():
    assert list(hr.SelectComponent([[1, 2, 3]], [2, 1])) == [[3, 2]]
    assert list(hr.SelectComponent([(1, 2, 3)], (0, -1, 0))) == [[1, 3, 1]]
    assert list(hr.SelectComponent([{"a": 1, "b": 2}], ["b"])) == [[2]]
    assert len(hr.SelectComponent([[1], [2]], [0])) == 2


def test_pickles():
    flow = pickle.loads(pickle.dumps(hr.SelectComponent(hr.DataFromList([[1, 2]]), [1])))
    assert list(flow) == [[2]]


def test_bad_input():
    with pytest.raises(TypeError, match="idxs must be a list"):
        hr.SelectComponent([[1]], 0)
    with pytest.raises(TypeError, match="idxs must be a list"):
        hr.SelectComponent([[1]], "image")
    with pytest.raises(TypeError, match="SelectComponent needs list, tuple or dict datapoints, got int"):
        list(hr.SelectComponent([5], [0]))
    with pytest.raises(IndexError, match="SelectComponent: there is no component 3, the datapoint has 1 components"):
        list(hr.SelectComponent([[1]], [3]))
    with pytest.raises(KeyError, match="there is no component 'b', the datapoint has the keys \\['a'\\]"):
        list(hr.SelectComponent([{"a": 1}], ["b"]))
    with pytest.raises(TypeError, match="there is no component 'b', the datapoint has 1 components"):
        list(hr.SelectComponent([[1]], ["b"]))


def test_resumes():
    check_resume(lambda: hr.SelectComponent(hr.DataFromList([[i, -i] for i in range(4)]), [1, 0]))
