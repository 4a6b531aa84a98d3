"""Arrays of `hr.empty` are sent without a copy where nobody can tell, and copied where somebody could."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
from contracts import PROCESS_MAPPERS, Face, ints
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr

SIZE = 1 << 17  # bytes


def fresh(number: int) -> Any:
    array = hr.empty(SIZE, np.uint8)
    array[:] = number
    return array


def fresh_and_its_place(number: int) -> Any:
    array = fresh(number)
    return [array, array.ctypes.data]


def copied_and_its_place(number: int) -> Any:
    array = fresh(number)
    return [array[::-1], array.ctypes.data]


class Maker:
    """Makes an array that holds a number, in many ways; and then does what a function should not be able to spoil."""

    def __init__(self) -> None:
        self.buffer: Any = None
        self.kept: list[Any] = []
        self.cache: dict[int, Any] = {}

    def __call__(self, task: tuple[str, int]) -> Any:
        how, number = task
        for array in self.kept:
            array[...] = 255
        del self.kept[:-3]
        return getattr(self, how)(number)

    def fresh(self, number: int) -> Any:
        return fresh(number)

    def in_a_list(self, number: int) -> Any:
        return [fresh(number), {"number": number}]

    def in_fortran_order(self, number: int) -> Any:
        return fresh(number).reshape(256, 2, 256).T

    def of_another_type(self, number: int) -> Any:
        array = hr.empty((2, SIZE // 4), np.uint16)
        array[:] = number
        return array

    def backwards(self, number: int) -> Any:
        return fresh(number)[::-1]

    def part(self, number: int) -> Any:
        return fresh(number)[4096:]

    def twice(self, number: int) -> Any:
        array = fresh(number)
        return [array, array.reshape(2, -1), array[: SIZE // 2]]

    def kept_and_spoilt(self, number: int) -> Any:
        self.kept.append(fresh(number))
        return self.kept[-1]

    def view_kept(self, number: int) -> Any:
        array = fresh(number)
        self.kept.append(array[:1])
        return array

    def same_buffer(self, number: int) -> Any:
        if self.buffer is None:
            self.buffer = fresh(0)
        self.buffer[:] = number
        return self.buffer

    def same_buffer_from_now_on(self, number: int) -> Any:
        self.buffer = fresh(number)
        return self.buffer

    def cached(self, number: int) -> Any:
        return self.cache.setdefault(number, fresh(number))

    def small(self, number: int) -> Any:
        array = hr.empty(10)
        array[:] = number
        return array

    def of_objects(self, number: int) -> Any:
        array = hr.empty(SIZE // 8, object)
        array[:] = number
        return array

    def not_sent(self, number: int) -> Any:
        fresh(255)
        return np.full(SIZE, number, np.uint8)

    def unsendable(self, number: int) -> Any:
        return [fresh(number), threading.Lock()]

    def made_by_a_child(self, number: int) -> Any:
        """What a forked child does with arrays of its own is not seen here."""
        array = fresh(number)
        child = os.fork()
        if child == 0:
            try:
                kept = [fresh(250) for _ in range(4)]
                del array, kept
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        return array


HOW = [name for name in vars(Maker) if not name.startswith("_")]


def arrays_in(result: Any) -> list[Any]:
    return [part for part in result if isinstance(part, np.ndarray)] if isinstance(result, list) else [result]


def holds(array: Any, number: int) -> bool:
    return bool((array == number).all())


@pytest.mark.parametrize("face", PROCESS_MAPPERS.values(), ids=PROCESS_MAPPERS)
@settings(max_examples=6)
@given(st.lists(st.tuples(st.sampled_from(HOW), st.integers(1, 200)), max_size=40), st.integers(0, 6))
def test_what_a_function_does_to_its_results_is_not_seen(face: Face, tasks: list[tuple[str, int]], keep: int) -> None:
    kept: list[tuple[int, Any]] = []
    expected = [(how, number) for how, number in tasks if how != "unsendable"]
    with face(hr.DataFromList(tasks, shuffle=False), 2, Maker(), on_error="skip") as flow:
        for (how, number), result in zip(expected, flow, strict=True):
            arrays = arrays_in(result)
            assert len(arrays) == (3 if how == "twice" else 1)
            kept.extend((number, array) for array in arrays)
            assert [how for number, array in kept if not holds(array, number)] == []
            done = max(0, len(kept) - keep)
            for _, array in kept[:done]:
                array[...] = 0  # ours; whoever else has it would see
            del kept[:done]


def test_results_are_sent_in_the_memory_they_were_made_in(process_mapper: Face) -> None:
    with process_mapper(ints(20), 1, fresh_and_its_place) as flow:
        got = list(flow)
    assert [n for n, (array, _) in enumerate(got) if not holds(array, n)] == []
    assert len({place for _, place in got}) == 20  # a place that was copied from would have been used again


def test_what_is_copied_leaves_its_memory(process_mapper: Face) -> None:
    with process_mapper(ints(60), 1, copied_and_its_place, buffer_size=4) as flow:
        got = list(flow)
    assert [n for n, (array, _) in enumerate(got) if not holds(array, n)] == []
    assert len({place for _, place in got}) < 20


def test_memory_that_the_consumer_let_go_is_used_again(process_mapper: Face) -> None:
    with process_mapper(ints(60), 1, fresh_and_its_place, buffer_size=4) as flow:
        places = [place for _, place in flow]
    assert len(set(places)) < 20  # however late the consumer is: of four in flight, each with room for a copy


class Source(hr.DataFlow):
    """Gives large arrays."""

    def __iter__(self) -> Any:
        return map(fresh, range(20))


def test_a_runner_sends_them_as_they_were(process_runner: Face) -> None:
    with process_runner(Source(), 1) as flow:
        got = [dp for _, dp in zip(range(20), flow, strict=False)]
    assert [n for n, array in enumerate(got) if not holds(array, n)] == []


@pytest.mark.parametrize(("shape", "dtype"), [(5, float), ((2, 3), np.int8), ([4, 0], bool), (np.int64(7), "f4")])
def test_outside_of_workers_they_are_numpys(shape: Any, dtype: Any) -> None:
    array, like = hr.empty(shape, dtype), np.empty(shape, dtype)
    assert (array.shape, array.dtype, array.flags.owndata) == (like.shape, like.dtype, True)


@pytest.mark.parametrize(
    ("shape", "error"), [(-1, ValueError), ((3, -2), ValueError), (2.5, TypeError), (None, TypeError)]
)
def test_impossible_shapes_are_refused(shape: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        hr.empty(shape)
    with pytest.raises(TypeError):
        hr.empty(3, "no such type")


def test_a_full_arena_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.parallel.arena._address_space", lambda: 5 * SIZE)
    with hr.MultiProcessMapData(ints(40), 1, fresh) as flow:
        got = list(flow)
    assert [n for n, array in enumerate(got) if not holds(array, n)] == []
