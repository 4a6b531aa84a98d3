from collections import Counter

import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_stops_when_a_flow_has_ended():
    hr.seed(1)
    values = list(hr.RandomChooseData([L(*range(100)), L(-1, -2, -3)]))
    assert values[-1] >= 0 or values[-1] == -3 or -3 in values
    assert [v for v in values if v >= 0] == list(range(sum(v >= 0 for v in values)))
    assert -1 in values


def test_probabilities_decide_how_often():
    hr.seed(1)
    counts = Counter(
        hr.RandomChooseData([(hr.RepeatedData(["a"], -1), 0.25), (hr.RepeatedData(["b"] * 9000, 1), 0.75)])
    )
    assert counts["b"] == 9000
    assert 2700 < counts["a"] < 3300


def test_pairs_may_be_lists_and_ten_tenths_are_one():
    assert list(hr.RandomChooseData([[L(1), 1.0], [L(2), 0.0]])) == [1]
    flow = hr.RandomChooseData([(hr.RepeatedData([i], -1), 0.1) for i in range(10)])
    assert next(iter(flow)) in range(10)


def test_has_no_length():
    with pytest.raises(TypeError):
        len(hr.RandomChooseData([L(1)]))
    assert list(hr.RandomChooseData([L(1)])) == [1]


def test_bad_input():
    with pytest.raises(ValueError, match="at least one flow"):
        hr.RandomChooseData([])
    with pytest.raises(ValueError, match=r"must sum to 1, got \[0.5, 0.4\]"):
        hr.RandomChooseData([(L(1), 0.5), (L(2), 0.4)])
    with pytest.raises(ValueError, match=r"must not be negative, got -0\.5"):
        hr.RandomChooseData([(L(1), 1.5), (L(2), -0.5)])
    with pytest.raises(TypeError, match="not both"):
        hr.RandomChooseData([(L(1), 0.5), L(2)])
    with pytest.raises(TypeError, match="a probability must be a number, got str"):
        hr.RandomChooseData([(L(1), "often")])
    with pytest.raises(TypeError, match="list of flows"):
        hr.RandomChooseData(L(1))


def test_resumes():
    check_resume(lambda: hr.RandomChooseData([hr.DataFromList(list(range(6))), (hr.DataFromList([-1, -2, -3, -4]))]))
    check_resume(lambda: hr.RandomChooseData([(L(*range(6)), 0.7), (L(*"abcd"), 0.3)]))
