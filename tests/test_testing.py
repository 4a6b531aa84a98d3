import collections

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same


def test_finds_a_stage_that_forgets():
    class Pairs(hr.ProxyDataFlow):
        def run(self, source, state):
            before = None
            for dp in source:
                yield before, dp
                before = dp

    with pytest.raises(AssertionError, match="resumed after"):
        check_resume(lambda: Pairs(hr.DataFromList([1, 2, 3, 4], shuffle=False)))
    with pytest.raises(AssertionError, match="resumed after"):
        check_resume(lambda: hr.MapData(Unsaved(), str))
    with pytest.raises(AssertionError, match=r"item 1 is \(2, 0\), but was \(2, 1\) when undisturbed"):
        check_resume(lambda: hr.ConcatData([Late([1, 2])]))


class Unsaved(hr.DataFlow):
    def run(self, source, state):
        yield from range(3)


class Late(hr.ProxyDataFlow):
    """Keeps its state true after the yield: too late."""

    def __init__(self, rows):
        super().__init__(hr.DataFromList(rows, shuffle=False))

    def run(self, source, state):
        for dp in source:
            yield dp, state.get("count", 0)
            state["count"] = state.get("count", 0) + 1


def test_finds_a_flow_that_differs_from_run_to_run():
    counter = iter(range(1000))
    with pytest.raises(AssertionError, match="with a state taken before each datapoint"):
        check_resume(lambda: hr.MapData([1, 2], lambda x: next(counter)))


def test_finds_an_end_that_is_not_saved():
    class Tail(hr.ProxyDataFlow):
        def run(self, source, state):
            yield from source
            yield "end"

    with pytest.raises(AssertionError, match="item 3 is 1, but was the end of a pass"):
        check_resume(lambda: Tail(hr.DataFromList([1, 2], shuffle=False)))


def test_leaves_the_seed_as_it_was():
    hr.seed(4)
    check_resume(lambda: hr.DataFromList([1, 2, 3, 4]))
    first = list(hr.DataFromList(list(range(20))))
    hr.seed(4)
    assert list(hr.DataFromList(list(range(20)))) == first


def test_endless_and_empty_flows():
    check_resume(lambda: hr.RepeatedData([1, 2, 3], -1), limit=10)
    check_resume(lambda: hr.DataFromList([]))


def test_same():
    nan = float("nan")
    pair = collections.namedtuple("pair", "a b")
    assert same([np.array([1.0, nan]), {"x": (1, nan)}], [np.array([1.0, nan]), {"x": (1, nan)}])
    assert same(np.array([{}, 1], object), np.array([{}, 1], object))
    assert same(np.array(["a"]), np.array(["a"]))
    for a, b in [(1, 1.0), ([1], (1,)), (pair(1, 2), (1, 2)), (np.zeros(2, "f4"), np.zeros(2)), ({"a": 1}, {"a": 2})]:
        assert not same(a, b)
    assert not same(np.zeros((2, 1)), np.zeros((1, 2)))
