import itertools
from collections import Counter

import pytest

import headrace as hr
from headrace.testing import check_resume


def count(n):
    return hr.DataFromList(list(range(n)), shuffle=False)


def take(flow, n):
    return list(itertools.islice(flow, n))


def test_never_ends_and_has_the_length_of_a_pass():
    flow = hr.LocallyShuffleData(count(10), 6)
    assert len(take(flow, 100)) == 100
    assert len(flow) == 10
    assert len(hr.LocallyShuffleData(count(10), 6, num_reuse=2)) == 20


@pytest.mark.parametrize("reuse", [1, 3])
@pytest.mark.parametrize("buffer", [1, 2, 6, 50])
def test_what_came_out_is_what_came_in_less_the_buffer(buffer, reuse):
    hr.seed(0)
    out = 20 * reuse
    counts = Counter(take(hr.LocallyShuffleData(hr.DataFromGenerator(itertools.count), buffer, reuse), out))
    read = -(-(out + buffer) // reuse)
    assert set(counts) <= set(range(read + 1))
    assert max(counts.values()) <= reuse
    missing = sum(reuse - counts[i] for i in range(read))
    assert missing <= buffer + reuse


def test_order_is_decided_by_the_seed():
    hr.seed(4)
    first = take(hr.LocallyShuffleData(count(30), 12), 60)
    hr.seed(4)
    assert take(hr.LocallyShuffleData(count(30), 12), 60) == first
    assert first[:30] != sorted(first[:30])


def test_a_larger_interval_shuffles_less_often():
    assert take(hr.LocallyShuffleData(count(100), 4, shuffle_interval=1000), 90) == list(range(90))


def test_the_source_is_left_alone():
    rows = list(range(10))
    take(hr.LocallyShuffleData(hr.DataFromList(rows, shuffle=False), 6), 30)
    assert rows == list(range(10))


def test_old_name_of_the_argument():
    with pytest.warns(DeprecationWarning, match="'nr_reuse' is now called 'num_reuse'"):
        flow = hr.LocallyShuffleData(count(5), 3, nr_reuse=2)
    assert flow.num_reuse == 2
    with pytest.raises(TypeError, match="got both"):
        hr.LocallyShuffleData(count(5), 3, nr_reuse=2, num_reuse=2)


def test_bad_input():
    for arguments in [{"buffer_size": 0}, {"num_reuse": 0}, {"shuffle_interval": 0}]:
        with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be at least 1, got 0"):
            hr.LocallyShuffleData(count(5), **{"buffer_size": 3, **arguments})
    with pytest.raises(TypeError, match="buffer_size must be an integer"):
        hr.LocallyShuffleData(count(5), 2.5)
    with pytest.raises(hr.EmptySourceError, match="LocallyShuffleData"):
        next(iter(hr.LocallyShuffleData(count(0), 3)))


@pytest.mark.parametrize(("buffer", "reuse", "interval"), [(1, 1, None), (4, 1, None), (5, 3, 2), (3, 4, 1)])
def test_resumes(buffer, reuse, interval):
    check_resume(lambda: hr.LocallyShuffleData(hr.DataFromList(list(range(5))), buffer, reuse, interval), limit=25)
