import pytest

import headrace as hr
from headrace.testing import check_resume


class Counted:
    """A sequence that knows which of its elements were read."""

    def __init__(self, n):
        self.n = n
        self.read = []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.read.append(i)
        return [i]


def test_gives_the_elements():
    assert list(hr.DataFromList([1, 2, 3], shuffle=False)) == [1, 2, 3]
    assert list(hr.DataFromList(range(3), shuffle=False)) == [0, 1, 2]
    assert list(hr.DataFromList([])) == []
    assert len(hr.DataFromList([1, 2])) == 2


def test_shuffles_each_pass_and_not_the_list():
    rows = list(range(30))
    hr.seed(1)
    flow = hr.DataFromList(rows)
    first, second = list(flow), list(flow)
    assert sorted(first) == sorted(second) == rows == list(range(30))
    assert first != second


def test_flows_in_the_list_are_datapoints():
    inner = hr.DataFromList([1])
    assert list(hr.DataFromList([inner], shuffle=False)) == [inner]


def test_resumes_without_reading_again():
    check_resume(lambda: hr.DataFromList(list(range(5))))
    check_resume(lambda: hr.DataFromList([], shuffle=False))
    flow = hr.DataFromList(Counted(100), shuffle=False)
    running = iter(flow)
    for _ in range(90):
        next(running)
    lst = Counted(100)
    again = hr.DataFromList(lst, shuffle=False)
    again.load_state_dict(flow.state_dict())
    assert next(iter(again)) == [90]
    assert lst.read == [90]


@pytest.mark.parametrize("lst", [3, None, {"a": 1}, {1, 2}, iter([])])
def test_bad_input(lst):
    with pytest.raises(TypeError, match="expected a list"):
        hr.DataFromList(lst)
