import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_concatenates_components_and_stops_with_the_shortest():
    flow = hr.JoinData([L([1, 2], [3, 4], [5, 6]), L([9], [8])])
    assert list(flow) == list(flow) == [[1, 2, 9], [3, 4, 8]]
    assert len(flow) == 2


def test_merges_dicts():
    assert list(hr.JoinData([L({"a": 1, "c": 0}), L({"b": 2, "c": 3})])) == [{"a": 1, "c": 3, "b": 2}]


def test_tuples_and_bare_objects_are_components():
    array = np.zeros(3)
    ((a, b, c, d),) = hr.JoinData([L((1, 2)), L(array), L("text")])
    assert (a, b, d) == (1, 2, "text")
    assert c is array


def test_dicts_do_not_go_with_others():
    with pytest.raises(TypeError, match=r"JoinData.*list, dict"):
        list(hr.JoinData([L([1]), L({"a": 1})]))


def test_the_same_flow_twice():
    ds = L([1], [2])
    assert list(hr.JoinData([ds, ds])) == [[1, 1], [2, 2]]


def test_flows_of_equal_length_all_see_their_end():
    caches = [hr.CacheData(L(1, 2)), hr.CacheData(L(3, 4))]
    flow = hr.JoinData(caches)
    assert list(flow) == list(flow) == [[1, 3], [2, 4]]


def test_bad_input():
    with pytest.raises(ValueError, match="at least one flow"):
        hr.JoinData([])


def test_resumes():
    check_resume(lambda: hr.JoinData([hr.DataFromList([1, 2, 3]), hr.DataFromList([[4, 5], [6, 7]])]))

    def shared():
        ds = hr.DataFromList([1, 2, 3])
        return hr.JoinData([ds, ds])

    check_resume(shared)
