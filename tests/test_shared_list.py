"""A list that workers read and do not copy."""

import gc
import os
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace as hr

ELEMENTS = [None, 1, "two", b"3" * 1000, [4.0, {"five": (6,)}], np.arange(7), ""]


def test_elements_are_read_as_they_were():
    shared = hr.SharedList(ELEMENTS)
    assert isinstance(shared, Sequence)
    assert repr(list(shared)) == repr(ELEMENTS)
    assert repr(shared[-3:]) == repr(ELEMENTS[-3:])
    assert "two" in shared
    assert len(hr.SharedList([])) == 0


class Name(str):
    __slots__ = ()


@given(st.lists(st.text() | st.sampled_from(["", "\x80", "\udc80/a", "ä", Name("n"), 7, b"\x80", None])))
def test_strings_of_any_kind_keep_their_type_and_their_characters(elements):
    shared = list(hr.SharedList(elements))
    assert shared == elements
    assert list(map(type, shared)) == list(map(type, elements))


def test_among_many_strings_a_few_other_things():
    elements = [str(n) if n % 5000 else n for n in range(20_000)]
    assert list(hr.SharedList(iter(elements))) == elements


@pytest.mark.parametrize("index", [7, -8])
def test_an_index_out_of_range_is_an_error(index):
    with pytest.raises(IndexError, match="has 7 elements"):
        hr.SharedList(ELEMENTS)[index]


def test_what_is_not_iterable_is_refused():
    with pytest.raises(TypeError):
        hr.SharedList(5)


def test_it_can_be_pickled_by_anyone():
    assert list(pickle.loads(pickle.dumps(hr.SharedList([1, "a"])))) == [1, "a"]


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_workers_get_a_descriptor_not_the_elements(start_method):
    shared = hr.SharedList(range(50_000))

    def read(i):
        return shared[i], sum("memfd:headrace-list" in line for line in open("/proc/self/maps"))

    with hr.MultiProcessMapData(
        hr.DataFromList([0, 49_999], shuffle=False), 2, read, start_method=start_method
    ) as flow:
        assert list(flow) == [(0, 1), (49_999, 1)]


def test_a_long_list_is_shipped_to_a_runner_once():
    paths = [f"photo-{n}" for n in range(20_000)]

    def mapped(path):
        with open("/proc/self/maps") as maps:
            return path, any("memfd:headrace-list" in line for line in maps) if path == paths[0] else True

    flow = hr.MultiProcessRunnerZMQ(hr.MapData(hr.DataFromList(paths), mapped), 2, shard=True)
    with flow:
        got = list(flow)
        assert sorted(path for path, _ in got) == sorted(paths)
        assert all(shared for _, shared in got)
        assert sorted(path for path, _ in flow) == sorted(paths)


def test_descriptors_are_given_back():
    before = len(os.listdir("/proc/self/fd"))
    lists = [hr.SharedList(range(10)) for _ in range(20)]
    assert sum(map(len, lists)) == 200
    del lists
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
