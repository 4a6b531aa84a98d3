import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


@pytest.mark.parametrize(("count", "rest"), [(0, [1, 2, 3]), (2, [3]), (3, []), (9, [])])
def test_leaves_out_the_first_of_each_pass(count, rest):
    flow = hr.Skip(L(1, 2, 3), count)
    assert list(flow) == list(flow) == rest
    assert len(flow) == len(rest)


def test_take_and_skip_split_a_pass():
    flow = L(*range(7))
    assert list(hr.ConcatData([hr.Take(flow, 3), hr.Skip(flow, 3)])) == list(range(7))


def test_bad_input():
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        hr.Skip(L(1), -1)


@pytest.mark.parametrize("count", [0, 2, 4, 9])
def test_resumes(count):
    check_resume(lambda: hr.Skip(hr.DataFromList([1, 2, 3, 4]), count))
