import itertools

import pytest

import headrace as hr
from headrace.testing import check_resume


def count(n):
    return hr.DataFromList(list(range(n)), shuffle=False)


def test_repeats_passes():
    flow = hr.RepeatedData(count(2), 3)
    assert list(flow) == [0, 1] * 3
    assert list(flow) == [0, 1] * 3
    assert len(flow) == 6
    assert list(hr.RepeatedData(count(2), 0)) == []


def test_for_ever_has_no_length():
    flow = hr.RepeatedData(count(2), -1)
    assert list(itertools.islice(flow, 5)) == [0, 1, 0, 1, 0]
    with pytest.raises(NotImplementedError):
        len(flow)


def test_each_pass_is_shuffled_anew():
    hr.seed(0)
    values = list(hr.RepeatedData(hr.DataFromList(list(range(20))), 2))
    assert sorted(values[:20]) == sorted(values[20:])
    assert values[:20] != values[20:]


def test_an_empty_input_ends_or_is_an_error_but_never_spins():
    assert list(hr.RepeatedData(count(0), 3)) == []
    with pytest.raises(RuntimeError, match="RepeatedData repeats DataFromList, which gives no datapoint"):
        list(hr.RepeatedData(count(0), -1))


def test_a_one_shot_source_says_so():
    with pytest.raises(hr.ExhaustedSourceError, match="DataFromGenerator"):
        list(hr.RepeatedData(hr.DataFromGenerator(iter([1, 2])), 2))


@pytest.mark.parametrize(("num", "error"), [(-2, ValueError), ("3", TypeError), (2.0, TypeError)])
def test_bad_num(num, error):
    with pytest.raises(error, match="num"):
        hr.RepeatedData(count(2), num)


@pytest.mark.parametrize("num", [-1, 1, 3])
def test_resumes(num):
    check_resume(lambda: hr.RepeatedData(hr.DataFromList(list(range(3))), num), limit=20)
