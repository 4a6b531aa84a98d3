import itertools

import pytest

import headrace as hr
from headrace.testing import check_resume


def count(n):
    return hr.DataFromList(list(range(n)), shuffle=False)


def test_a_pass_goes_on_where_the_last_one_stopped():
    flow = hr.FixedSizeData(count(5), 3)
    assert [list(flow) for _ in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]
    assert len(flow) == 3


def test_without_keep_state_each_pass_is_the_same():
    flow = hr.FixedSizeData(count(5), 3, keep_state=False)
    assert [list(flow) for _ in range(2)] == [[0, 1, 2], [0, 1, 2]]
    flow = hr.FixedSizeData(count(5), 6, keep_state=False)
    assert [list(flow) for _ in range(2)] == [[0, 1, 2, 3, 4, 0]] * 2


def test_a_left_pass_counts():
    flow = hr.FixedSizeData(count(5), 3)
    for _ in flow:
        break
    assert list(flow) == [1, 2, 3]


def test_reads_no_datapoint_ahead():
    read = []
    flow = hr.FixedSizeData(hr.MapData(hr.DataFromGenerator(itertools.count), lambda x: read.append(x) or x), 3)
    list(flow)
    assert read == [0, 1, 2]


def test_nothing_to_repeat():
    with pytest.raises(hr.EmptySourceError, match="FixedSizeData repeats DataFromList, which gives no datapoint"):
        list(hr.FixedSizeData(hr.DataFromList([]), 3))
    assert issubclass(hr.EmptySourceError, RuntimeError)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_size(size, error):
    with pytest.raises(error, match="size must be"):
        hr.FixedSizeData(count(3), size)


def test_only_with_keep_state_there_is_one_iterator():
    flow = hr.FixedSizeData(count(3), 3)
    running = iter(flow)
    with pytest.raises(RuntimeError, match="not reentrant"):
        iter(flow)
    running.close()
    assert list(flow) == [0, 1, 2]
    flow = hr.FixedSizeData(count(3), 3, keep_state=False)
    assert list(zip(flow, flow, strict=True)) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_resumes(keep, size):
    check_resume(lambda: hr.FixedSizeData(hr.DataFromList(list(range(3))), size, keep))
    check_resume(lambda: hr.RepeatedData(hr.FixedSizeData(hr.DataFromList(list(range(3))), size, keep), 3))


def test_a_state_between_passes_keeps_the_position():
    flow = hr.FixedSizeData(count(5), 3)
    list(flow)
    again = hr.FixedSizeData(count(5), 3)
    again.load_state_dict(flow.state_dict())
    assert list(again) == [3, 4, 0]
