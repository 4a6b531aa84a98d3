import itertools

import pytest

import headrace as hr
from headrace.testing import check_resume


def test_reads_an_iterable_once_per_pass():
    flow = hr.DataFromIterable({"a": 1})
    assert list(flow) == list(flow) == ["a"]
    assert len(flow) == 1
    with pytest.raises(NotImplementedError, match="generator has no length"):
        len(hr.DataFromIterable(i for i in []))


def test_a_function_makes_a_new_generator_for_each_pass():
    flow = hr.DataFromGenerator(lambda: (i for i in range(3)))
    assert list(flow) == list(flow) == [0, 1, 2]
    assert [b.tolist() for b in hr.BatchData(flow, 2)] == [[0, 1]]
    with pytest.raises(TypeError, match="no length"):
        len(flow)


def test_a_generator_can_be_read_once():
    flow = hr.DataFromGenerator(i for i in range(3))
    assert list(flow) == [0, 1, 2]
    with pytest.raises(hr.ExhaustedSourceError, match=r"generator.*used up.*DataFromGenerator\(lambda"):
        list(flow)


def test_other_iterables_become_flows_wherever_one_is_expected():
    assert list(hr.MapData([1, 2], lambda x: -x)) == [-1, -2]
    assert list(itertools.islice(hr.MapData(itertools.count(), lambda x: -x), 2)) == [0, -1]


def test_resumes():
    check_resume(lambda: hr.DataFromIterable([3, 1, 2]))
    check_resume(lambda: hr.DataFromGenerator(lambda: iter("abc")))


def test_a_source_that_became_shorter():
    rows = [1, 2, 3]
    flow = hr.DataFromIterable(rows)
    running = iter(flow)
    list(itertools.islice(running, 3))
    state = flow.state_dict()
    again = hr.DataFromIterable(iter([1]))
    with pytest.raises(hr.StateError, match="another pipeline"):
        again.load_state_dict(state)
    again = hr.DataFromIterable(rows)
    again.load_state_dict(state)
    del rows[1:]
    with pytest.raises(hr.StateError, match=r"3 datapoints had been read .* only 1 now"):
        list(again)


def test_bad_input():
    with pytest.raises(TypeError, match="expected an iterable, got int: 3"):
        hr.DataFromIterable(3)
    with pytest.raises(TypeError, match="expected an iterable, got int: 3"):
        hr.DataFromGenerator(3)
