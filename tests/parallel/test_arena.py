"""The arena: blocks that live never overlap, and dead ones are used again."""

from __future__ import annotations

import gc
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import run_script
from hypothesis import given
from hypothesis import strategies as st

from headrace.parallel.arena import ArenaReader, ArenaWriter, create_arena


def make() -> tuple[ArenaWriter, ArenaReader]:
    fd = create_arena()
    try:
        return ArenaWriter(fd), ArenaReader(fd)
    finally:
        os.close(fd)


sizes = st.one_of(st.integers(64, 100_000), st.sampled_from([4095, 4096, 4097, 8192, 10_000, 1 << 20, (1 << 20) + 1]))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("send"), sizes),
        st.tuples(st.just("drop"), st.integers(0, 50)),
        st.tuples(st.just("view"), st.integers(0, 50)),
        st.tuples(st.just("unsent"), sizes),
        st.tuples(st.just("undecoded"), sizes),
        st.tuples(st.just("trim"), st.sampled_from([0, 1 << 16, 64 << 20])),
    ),
    max_size=60,
)


@given(operations)
def test_live_blocks_keep_their_contents(operations: list[tuple[str, int]]) -> None:
    writer, reader = make()
    numbers = itertools.cycle(range(1, 251))
    live: list[tuple[int, int, Any]] = []  # value, bytes, array (or a view of one)
    for what, argument in operations:
        if what in ("send", "unsent", "undecoded"):
            place = writer.allocate(argument)
            assert place is not None
            block, offset, memory = place
            assert len(memory) == argument
            value = next(numbers)
            memory[:] = value
            if what == "send":
                live.append((value, argument, reader.take(block, offset, argument)))
            elif what == "unsent":
                writer.take_back(block)
            else:
                reader.drop(block)
            del memory, place
        elif what == "trim":
            writer.trim(argument)
        elif live:
            index = argument % len(live)
            value, _, array = live.pop(index)
            if what == "view":
                live.append((value, 1, array[len(array) // 2 :][:1]))
            del array
        for value, _, array in live:
            assert array[0] == array[-1] == value
            assert np.asarray(array).min() == np.asarray(array).max() == value


def test_a_block_is_used_again_when_its_last_view_is_dead() -> None:
    writer, reader = make()
    block, offset, _ = writer.allocate(10_000)
    array = reader.take(block, offset, 10_000)
    view = array[100:].reshape(2, -1).T
    assert writer.allocate(10_000)[0] != block
    del array
    assert writer.allocate(10_000)[0] != block
    del view
    assert block in {writer.allocate(10_000)[0] for _ in range(3)}


def test_the_block_freed_last_is_used_first() -> None:
    writer, _ = make()
    blocks = [writer.allocate(10_000)[0] for _ in range(3)]
    for block in blocks:
        writer.take_back(block)
    assert len({writer.allocate(10_000)[0] for _ in range(3)} & set(blocks)) == 3


def test_memory_is_touched_only_where_it_is_used() -> None:
    writer, _ = make()
    assert writer.allocate(1 << 30) is not None  # sparse: costs nothing until it is written


def test_a_full_arena_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.parallel.arena._address_space", lambda: 1 << 20)
    writer, reader = make()
    places = [writer.allocate(200_000) for _ in range(10)]
    full = [p for p in places if p is None]
    assert full
    block, offset, _ = places[0]
    reader.drop(block)
    assert writer.allocate(200_000)[:2] == (block, offset)


def test_the_readers_arrays_outlive_both_ends() -> None:
    writer, reader = make()
    block, offset, memory = writer.allocate(10_000)
    memory[:] = 7
    array = reader.take(block, offset, 10_000)
    del writer, reader, memory
    gc.collect()
    assert (array == 7).all()


def test_nothing_of_an_arena_has_a_name() -> None:
    before = set(os.listdir("/dev/shm"))
    both = make()
    assert set(os.listdir("/dev/shm")) <= before
    del both


def test_a_limit_on_address_space_is_room_enough(tmp_path: Path) -> None:
    """As ``ulimit -v`` sets it on clusters. What finds no room in the arena goes another way."""
    text = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import numpy as np
import headrace as hr
with hr.MultiProcessMapData(range(8), 2, lambda n: np.full(30 << 20, n, np.uint8), buffer_size=4) as flow:
    print([int(array[-1]) for array in flow])
"""
    done = run_script(tmp_path, text)
    assert (done.out, done.err) == ("[0, 1, 2, 3, 4, 5, 6, 7]\n", "")
