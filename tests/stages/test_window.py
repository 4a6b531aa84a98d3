import pytest

import headrace as hr
from headrace.testing import check_resume


def L(n):
    return hr.DataFromList(list(range(n)), shuffle=False)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 4, 10])
def test_gives_each_full_window(count, size, step):
    flow = hr.Window(L(count), size, step)
    expected = [list(range(at, at + size)) for at in range(0, count - size + 1, step)]
    assert list(flow) == expected
    assert len(flow) == len(expected)


def test_a_window_that_is_changed_leaves_the_next_one_alone():
    for window in hr.Window(L(5), 3):
        assert len(window) == 3
        window.clear()


def test_bad_input():
    for arguments in [(0, 1), (2, 0)]:
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            hr.Window(L(3), *arguments)


@pytest.mark.parametrize(("size", "step"), [(1, 1), (3, 1), (3, 2), (2, 4)])
def test_resumes(size, step):
    check_resume(lambda: hr.Window(hr.DataFromList(list(range(7))), size, step))
