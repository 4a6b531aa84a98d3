import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_keeps_what_the_function_says_yes_to():
    assert list(hr.Filter(L(0, 1, 2, 3), lambda n: n % 2)) == [1, 3]
    assert list(hr.Filter(L(0, None, 2), lambda n: n is None)) == [None]
    assert list(hr.Filter(L(), bool)) == []


def test_the_function_may_take_components_or_keys():
    assert list(hr.Filter(L([1, 2], [2, 1]), lambda a, b: a < b)) == [[1, 2]]
    assert list(hr.Filter(L({"a": 1, "b": 2}), lambda a, b: a < b)) == [{"a": 1, "b": 2}]


def test_the_function_cannot_change_the_datapoint():
    def takes_out(dp):
        return dp.pop()

    assert list(hr.Filter(L([1, 2]), takes_out)) == [[1, 2]]


def test_random_filtering_is_decided_by_the_seed_and_the_datapoint():
    def flow():
        return hr.Filter(L(*range(200)), lambda n, *, rng: rng.random() < 0.5)

    hr.seed(5)
    first, again = list(flow()), list(flow())
    assert first == again
    assert 60 < len(first) < 140
    check_resume(lambda: hr.Filter(L(*range(12)), lambda n, *, rng: rng.random() < 0.5))


def test_has_no_length():
    with pytest.raises(hr.NoLengthError, match="depends on the data"):
        len(hr.Filter(L(1), bool))


def test_bad_input():
    with pytest.raises(TypeError, match="must be callable"):
        hr.Filter(L(1), 3)


def test_resumes():
    check_resume(lambda: hr.Filter(hr.DataFromList(list(range(9))), lambda n: n % 3))
