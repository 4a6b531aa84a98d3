"""Memory of batches that is used again."""

import gc
import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import headrace as hr
from headrace.recycling import Recycler

FLOATS = np.dtype(np.float32)


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_the_last_view_is_gone():
    recycler = Recycler()
    first = recycler.empty((1000, 1000), FLOATS)
    where, view = address(first), first[3:, ::2].T
    del first
    assert address(recycler.empty((1000, 1000), FLOATS)) != where

    del view
    assert address(recycler.empty((999, 1001), FLOATS)) == where


@given(st.lists(st.tuples(st.integers(1, 2_000_000), st.booleans()), max_size=20))
def test_living_arrays_never_share_memory(wishes):
    recycler = Recycler()
    kept = []
    for number, (size, keep) in enumerate(wishes):
        array = recycler.empty((size,), np.dtype(np.uint8))
        array[:] = number % 256
        if keep:
            kept.append((number, array))
    for number, array in kept:
        assert (array == number % 256).all()


def test_batches_that_are_kept_never_change():
    rows = hr.DataFromList([[np.full(20_000, i, np.int64)] for i in range(60)], shuffle=False)
    batches = [batch[0] for batch in hr.BatchData(rows, 4)]
    assert [sorted(set(batch[:, 0])) for batch in batches] == [[4 * k + i for i in range(4)] for k in range(15)]
    assert all(batch.flags.writeable for batch in batches)


def test_batches_that_are_dropped_in_turn_use_two_blocks():
    rows = hr.DataFromList([[np.full(20_000, i, np.int64)] for i in range(400)], shuffle=False)
    assert len({address(batch[0]) for batch in hr.BatchData(rows, 4)}) <= 2


def test_what_a_forked_child_writes_stays_in_the_child():
    array = Recycler().empty((1_000_000,), np.dtype(np.uint8))
    array[:] = 1
    pid = os.fork()
    if pid == 0:
        array[:] = 2
        os._exit(0)
    os.waitpid(pid, 0)
    assert (array == 1).all()
    del array
    gc.collect()
