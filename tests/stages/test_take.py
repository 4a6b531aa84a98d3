import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_takes_the_first_of_each_pass():
    flow = hr.Take(L(1, 2, 3), 2)
    assert list(flow) == list(flow) == [1, 2]
    assert list(hr.Take(L(1, 2), 5)) == [1, 2]
    assert list(hr.Take(L(1, 2), 0)) == []


def test_length():
    assert [len(hr.Take(L(1, 2, 3), n)) for n in (0, 2, 3, 9)] == [0, 2, 3, 3]
    assert len(hr.Take(hr.DataFromGenerator(lambda: iter(int, 1)), 4)) == 4


def test_reads_nothing_beyond():
    read = []

    def numbers():
        for n in range(9):
            read.append(n)
            yield n

    assert list(hr.Take(hr.DataFromGenerator(numbers), 2)) == [0, 1]
    assert read == [0, 1]


def test_the_input_may_have_one_iterator_only():
    flow = hr.RepeatedData(hr.Take(hr.FixedSizeData(L(1, 2, 3), 3), 2), 2)
    assert list(flow) == [1, 2, 3, 1]


def test_over_workers_that_are_ahead():
    with hr.Take(hr.MultiThreadMapData(L(*range(100)), 2, lambda n: n + 1), 3) as flow:
        assert list(flow) == list(flow) == [1, 2, 3]


def test_bad_input():
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        hr.Take(L(1), -1)
    with pytest.raises(TypeError, match="count must be an integer"):
        hr.Take(L(1), 1.0)


@pytest.mark.parametrize("count", [0, 2, 4, 9])
def test_resumes(count):
    check_resume(lambda: hr.Take(hr.DataFromList([1, 2, 3, 4]), count))
    check_resume(lambda: hr.RepeatedData(hr.Take(hr.DataFromList([1, 2, 3, 4]), count), 3))
