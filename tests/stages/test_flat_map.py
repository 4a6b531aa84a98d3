import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_gives_the_elements_of_all_iterables():
    assert list(hr.FlatMap(L(2, 0, 3), range)) == [0, 1, 0, 1, 2]
    assert list(hr.FlatMap(L([1, 2], [3, 4]), lambda a, b: (n for n in (a, b)))) == [1, 2, 3, 4]
    assert list(hr.FlatMap(L(), range)) == []
    assert list(hr.FlatMap(L(1), lambda n: [None, None])) == [None, None]


def test_reads_no_further_than_it_gives():
    read = []

    def numbers():
        for n in range(5):
            read.append(n)
            yield n

    running = iter(hr.FlatMap(hr.DataFromGenerator(numbers), lambda n: [n, n]))
    assert [next(running) for _ in range(3)] == [0, 0, 1]
    assert read == [0, 1]


def test_bad_input():
    with pytest.raises(TypeError, match="must be callable"):
        hr.FlatMap(L(1), [1])
    with pytest.raises(TypeError, match="must return an iterable, got int"):
        list(hr.FlatMap(L(1), lambda n: n))
    with pytest.raises(hr.NoLengthError):
        len(hr.FlatMap(L(1), range))


def test_a_type_error_of_the_function_is_its_own():
    def fails(n):
        yield n
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        list(hr.FlatMap(L(1), fails))


def test_resumes():
    check_resume(lambda: hr.FlatMap(hr.DataFromList([0, 3, 1, 0, 2]), range))
    check_resume(lambda: hr.FlatMap(L(3, 2), lambda n, *, rng: rng.random(n).tolist()))


def test_a_function_that_gives_less_on_resuming():
    elements = [1, 2, 3]
    flow = hr.FlatMap(L(0), lambda n: elements)
    running = iter(flow)
    assert [next(running), next(running)] == [1, 2]
    state = flow.state_dict()
    running.close()
    del elements[1:]
    again = hr.FlatMap(L(0), lambda n: elements)
    again.load_state_dict(state)
    with pytest.raises(hr.StateError, match="gave 2 elements of a datapoint, but now only 1"):
        list(again)
