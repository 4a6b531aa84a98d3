import itertools
import pickle

import pytest

import headrace as hr
from headrace.testing import check_resume


class Source(hr.DataFlow):
    """Counts how often it is read, and fails when it is told to."""

    def __init__(self, n, fail_at=None):
        self.n = n
        self.fail_at = fail_at
        self.read = 0

    def __iter__(self):
        for i in range(self.n):
            if i == self.fail_at:
                raise OSError("disk")
            self.read += 1
            yield i


def test_the_source_is_read_once():
    source = Source(5)
    flow = hr.CacheData(source)
    assert [list(flow) for _ in range(3)] == [[0, 1, 2, 3, 4]] * 3
    assert source.read == 5


def test_the_same_shuffle_in_every_pass_unless_it_shuffles_itself():
    hr.seed(1)
    flow = hr.CacheData(hr.DataFromList(list(range(20))))
    first = list(flow)
    assert first != sorted(first)
    assert list(flow) == first
    flow = hr.CacheData(hr.DataFromList(list(range(20)), shuffle=False), shuffle=True)
    first, second, third = list(flow), list(flow), list(flow)
    assert first == sorted(second) == sorted(third)
    assert first != second != third


def test_leaving_the_first_pass_early_loses_nothing():
    source = Source(5)
    flow = hr.CacheData(source)
    assert list(itertools.islice(flow, 3)) == [0, 1, 2]
    assert list(itertools.islice(flow, 1)) == [0]
    assert list(flow) == list(flow) == [0, 1, 2, 3, 4]
    assert source.read == 5


def test_a_source_that_fails_is_read_from_its_beginning():
    source = Source(5, fail_at=3)
    flow = hr.CacheData(source)
    with pytest.raises(OSError, match="disk"):
        list(flow)
    source.fail_at = None
    assert list(flow) == list(flow) == [0, 1, 2, 3, 4]


def test_has_one_iterator():
    flow = hr.CacheData(Source(2))
    running = iter(flow)
    with pytest.raises(RuntimeError, match="not reentrant"):
        iter(flow)
    running.close()
    assert list(flow) == [0, 1]


def test_a_pickled_copy_has_an_empty_cache():
    flow = hr.CacheData(hr.DataFromList([b"x" * 100_000], shuffle=False))
    assert len(list(flow)) == 1
    copy = pickle.loads(pickle.dumps(flow))
    assert list(copy) == list(flow)


def test_an_empty_source():
    assert list(hr.CacheData([])) == []


@pytest.mark.parametrize("shuffle", [True, False])
def test_resumes(shuffle):
    check_resume(lambda: hr.CacheData(hr.DataFromList(list(range(4))), shuffle))
    check_resume(lambda: hr.RepeatedData(hr.CacheData(hr.DataFromList(list(range(3))), shuffle), 4))
    check_resume(lambda: hr.CacheData(Source(4), shuffle))


def test_the_state_does_not_hold_the_cache():
    flow = hr.CacheData(hr.DataFromList([b"x" * 100_000] * 10))
    list(flow)
    assert len(str(flow.state_dict())) < 2000


def test_a_source_that_became_shorter():
    rows = [1, 2, 3]
    flow = hr.CacheData(hr.DataFromGenerator(lambda: rows))
    running = iter(flow)
    assert [next(running), next(running)] == [1, 2]
    state = flow.state_dict()
    del rows[1:]
    again = hr.CacheData(hr.DataFromGenerator(lambda: rows))
    again.load_state_dict(state)
    with pytest.raises(hr.StateError, match="had given 2 datapoints, but its input gave only 1"):
        list(again)
