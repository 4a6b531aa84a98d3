import random

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def count(n):
    return hr.DataFromList([[i] for i in range(n)], shuffle=False)


def test_gives_the_results_in_input_order():
    assert list(hr.MapData(count(3), lambda dp: dp[0] * 2)) == [0, 2, 4]
    assert len(hr.MapData(count(3), len)) == 3


def test_none_discards_the_datapoint():
    assert list(hr.MapData(count(4), lambda dp: dp if dp[0] % 2 else None)) == [[1], [3]]


def test_the_function_may_assign_to_its_datapoint():
    rows, dicts = [[1], [2]], [{"x": 1}]

    def clear(dp):
        dp[0] = 99
        return dp

    assert list(hr.MapData(hr.DataFromList(rows, shuffle=False), clear)) == [[99], [99]]
    assert rows == [[1], [2]]
    list(hr.MapData(hr.DataFromList(dicts), lambda dp: dp.pop("x")))
    assert dicts == [{"x": 1}]


def test_a_function_that_requires_more_parameters_gets_the_components():
    assert list(hr.MapData(hr.DataFromList([("a", 1)]), lambda name, label: f"{name}{label}")) == ["a1"]
    assert list(hr.MapData(hr.DataFromList([{"b": 1, "a": 2}]), lambda a, b: (a, b))) == [(2, 1)]
    assert list(hr.MapData(hr.DataFromList([("a", 1)]), lambda dp, extra=0: dp)) == [("a", 1)]


@pytest.mark.parametrize("dp", ["ab", b"ab", 3, None])
def test_a_bare_datapoint_has_no_components(dp):
    with pytest.raises(TypeError, match=r"<lambda>\(\) requires several parameters, .* but a datapoint is a bare"):
        list(hr.MapData([dp], lambda a, b: a))


def test_an_rng_is_given_by_keyword_only():
    with pytest.raises(TypeError, match=r"<lambda>\(\) wants an rng, .* by keyword only: write def f\(dp, \*, rng\)"):
        hr.MapData(count(1), lambda dp, rng: dp)


def test_rng_is_decided_by_seed_and_index():
    def noisy(dp, *, rng):
        return None if dp[0] == 1 else (dp[0], int(rng.integers(10**6)))

    hr.seed(5)
    first = list(hr.MapData(count(4), noisy))
    hr.seed(5)
    again = hr.MapData(count(4), noisy)
    assert list(again) == first
    assert list(again) != first  # the next pass
    assert len({value for _, value in first}) == 3


def test_an_error_of_the_function_arrives_as_it_is_and_the_flow_can_be_iterated_again():
    flow = hr.MapData(count(3), lambda dp: 1 // (1 - dp[0]))
    with pytest.raises(ZeroDivisionError):
        list(flow)
    with pytest.raises(ZeroDivisionError):
        list(flow)


def test_a_function_must_be_callable():
    with pytest.raises(TypeError, match="must be callable, got int: 3"):
        hr.MapData(count(3), 3)


def test_resumes():
    check_resume(lambda: hr.MapData(hr.DataFromList(list(range(5))), lambda x: x if x != 2 else None))
    check_resume(lambda: hr.MapData(hr.DataFromList(list(range(5))), lambda x, *, rng: x + rng.integers(100)))


def test_global_random_is_left_alone():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    list(hr.MapData(hr.DataFromList([1, 2, 3]), lambda x, *, rng: rng.random()))
    assert (random.random(), np.random.rand()) == expected
