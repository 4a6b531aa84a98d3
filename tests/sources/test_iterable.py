import itertools
import json

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


@pytest.mark.parametrize("left_at", [1, 3], ids=["failed", "read to its last"])
def test_what_is_left_of_a_generator_may_not_be_silently_empty(left_at):
    def numbers():
        yield from range(left_at)
        if left_at == 1:
            raise OSError("disk")

    flow = hr.DataFromGenerator(numbers())
    if left_at == 1:
        with pytest.raises(OSError, match="disk"):
            list(flow)
    else:
        assert list(itertools.islice(flow, 3)) == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(hr.ExhaustedSourceError, match="used up"):
            list(flow)


def test_an_empty_generator_is_an_empty_flow():
    assert list(hr.DataFromGenerator(iter(()))) == []


def test_a_generator_goes_on_where_it_was_left():
    flow = hr.DataFromGenerator(i for i in range(6))
    assert list(itertools.islice(flow, 2)) == [0, 1]
    left = flow.state_dict()
    flow.load_state_dict(left)
    running = iter(flow)
    assert [next(running), next(running)] == [2, 3]
    state = flow.state_dict()
    running.close()
    flow.load_state_dict(left)
    with pytest.raises(hr.StateError, match="cannot go on at datapoint 2: its generator can be read only once, and 4"):
        list(flow)
    again = hr.DataFromGenerator(i for i in range(6))
    again.load_state_dict(state)
    assert list(again) == [4, 5]


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
    with pytest.raises(
        TypeError, match=r"DataFromGenerator: test_bad_input.<lambda> must return an iterable, got None"
    ):
        list(hr.DataFromGenerator(lambda: None))
    with pytest.raises(TypeError, match="expected an iterable, got type: <class 'list'>"):
        hr.DataFromIterable(list)
    with pytest.raises(TypeError, match="expected a DataFlow or another iterable, got type: FakeData"):
        hr.MapData(hr.FakeData, str)


def test_what_is_under_way_is_saved_as_numbers_where_there_is_a_sequence():
    flow = hr.MultiThreadMapData(hr.DataFromIterable(["x" * 1000] * 500), 2, str.upper)
    running = iter(flow)
    assert [next(running) for _ in range(3)] == ["X" * 1000] * 3
    state = flow.state_dict()
    running.close()
    assert len(json.dumps(state)) < 10_000
    flow.load_state_dict(state)
    assert list(flow) == ["X" * 1000] * 497
