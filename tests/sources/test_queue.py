import itertools
import queue

import pytest

import headrace as hr


def test_takes_from_the_queue_for_ever():
    q = queue.Queue()
    for i in range(4):
        q.put([i])
    flow = hr.DataFromQueue(q)
    assert list(itertools.islice(flow, 2)) == [[0], [1]]
    state = flow.state_dict()
    again = hr.DataFromQueue(q)
    again.load_state_dict(state)
    assert list(itertools.islice(again, 2)) == [[2], [3]]
    with pytest.raises(hr.NoLengthError):
        len(flow)


@pytest.mark.parametrize("bad", [None, [1], {"get": 1}])
def test_bad_input(bad):
    with pytest.raises(TypeError, match="expected a queue"):
        hr.DataFromQueue(bad)
