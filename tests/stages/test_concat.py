import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_chains():
    flow = hr.ConcatData([L(0, 1), L(), L(0)])
    assert list(flow) == list(flow) == [0, 1, 0]
    assert len(flow) == 3
    assert list(hr.ConcatData([L(1)])) == [1]


def test_the_same_flow_twice_is_two_passes_of_it():
    hr.seed(0)
    ds = hr.DataFromList(list(range(20)))
    values = list(hr.ConcatData([ds, ds]))
    assert sorted(values[:20]) == sorted(values[20:]) == list(range(20))
    assert values[:20] != values[20:]


def test_bad_input():
    with pytest.raises(ValueError, match="at least one flow"):
        hr.ConcatData([])
    with pytest.raises(TypeError, match="expected a DataFlow"):
        hr.ConcatData([1])
    with pytest.raises(hr.NoLengthError):
        len(hr.ConcatData([L(1), hr.DataFromGenerator(lambda: [1])]))


def test_resumes():
    check_resume(lambda: hr.ConcatData([hr.DataFromList([1, 2, 3]), L(), hr.DataFromList([4, 5])]))

    def shared():
        ds = hr.DataFromList([1, 2, 3])
        return hr.ConcatData([ds, hr.RepeatedData(ds, 2), ds])

    check_resume(shared)
