"""The codec: any object through bytes and blocks, and every block accounted for."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import payloads
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.parallel.arena import LARGE_BYTES, ArenaReader, ArenaWriter, create_arena
from headrace.parallel.decoder import Decoder
from headrace.parallel.encoder import Encoder

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")


def make(main_by_value: bool = True, spills: bool = False) -> tuple[Encoder, Decoder, ArenaWriter]:
    fd = create_arena()
    try:
        writer = ArenaWriter(fd)
        return Encoder(writer, main_by_value=main_by_value, spills=spills), Decoder(ArenaReader(fd)), writer
    finally:
        os.close(fd)


def lent(writer: ArenaWriter) -> int:
    """How many blocks are out."""
    return int((writer._flags[: len(writer._sizes)] == 1).sum())


@pytest.mark.parametrize("main_by_value", [True, False])
def test_all_kinds_in_one_body(main_by_value: bool) -> None:
    encoder, decoder, writer = make(main_by_value)
    body = list(payloads.make().values())
    encoded = encoder.encode(body)
    assert lent(writer) == len(encoded.blocks) > 20
    got = decoder.decode(encoded)
    del encoded
    assert payloads.form(got) == payloads.form(body)
    assert all(a.flags.writeable for a in payloads.arrays_in(got))
    del got
    assert lent(writer) == 0


def test_a_range_travels_as_its_ends() -> None:
    encoder, decoder, _ = make()
    numbers = range(3, 10**9, 7)
    encoded = encoder.encode(numbers)
    assert encoded.nbytes < 100
    assert decoder.decode(encoded) == numbers
    assert decoder.decode(encoder.encode([1, 2])) == [1, 2]


@settings(max_examples=150)
@given(
    st.lists(
        hnp.arrays(
            dtype=st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(allow_subarrays=False)),
            shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=30),
        ),
        max_size=3,
    ),
    st.sampled_from(["C", "F", "reversed", "transposed", "strided", "read-only"]),
)
def test_any_array_in_any_layout(arrays: list[Any], layout: str) -> None:
    def laid_out(a: Any) -> Any:
        if layout == "F":
            return np.asfortranarray(a)
        if layout == "reversed" and a.ndim:
            return a[::-1]
        if layout == "transposed":
            return a.T
        if layout == "strided" and a.ndim:
            return np.repeat(a, 2, axis=0)[::2]
        if layout == "read-only":
            a = a.copy()
            a.flags.writeable = False
        return a

    encoder, decoder, writer = make()
    body = [laid_out(a) for a in arrays]
    got = decoder.decode(encoder.encode(body))
    assert [payloads.form(g) for g in got] == [payloads.form(b) for b in body]
    assert all(g.flags.writeable for g in got)
    del got
    assert lent(writer) == 0


@pytest.mark.parametrize("bad", [threading.Lock(), (i for i in range(3))])
def test_after_a_failed_encode_no_block_is_lent(bad: Any) -> None:
    encoder, decoder, writer = make()
    for _ in range(3):
        with pytest.raises(TypeError):
            encoder.encode([np.zeros(LARGE_BYTES), [np.ones(LARGE_BYTES), bad]])
        assert lent(writer) == 0
    assert decoder.decode(encoder.encode([np.full(LARGE_BYTES, 5)]))[0][0] == 5


def test_after_a_failed_decode_no_block_is_lent() -> None:
    from functions import FailsToLoad

    encoder, decoder, writer = make()
    encoded = encoder.encode([np.zeros(LARGE_BYTES), FailsToLoad(), np.ones(LARGE_BYTES)])
    assert lent(writer) == 2
    with pytest.raises(LookupError) as caught:
        decoder.decode(encoded)
    del caught
    assert lent(writer) == 0


def test_dropped_bodies_give_their_blocks_back() -> None:
    encoder, decoder, writer = make()
    blocks = encoder.encode([np.zeros(LARGE_BYTES), np.zeros(3)]).blocks
    assert len(blocks) == 1
    decoder.drop(blocks)
    assert lent(writer) == 0


def test_arrays_made_in_the_arena_are_not_copied() -> None:
    encoder, decoder, writer = make()
    array = encoder.empty((100, 200), np.dtype(np.float32))
    array[:] = 3
    place = array.ctypes.data - writer._flags.ctypes.data
    assert encoder.add([array, array])
    del array
    encoder.settle()
    encoded = encoder.finish()
    assert lent(writer) == len(encoded.blocks) == 1
    assert encoded.blocks[0][1] == place
    assert len(encoded.data) < 1000
    ((got, again),) = decoder.decode(encoded)
    assert got is again
    assert (got == 3).all()


def test_arrays_made_in_the_arena_that_live_are_copied() -> None:
    encoder, decoder, writer = make()
    array = encoder.empty((100, 200), np.dtype(np.float32))
    array[:] = 3
    (got,) = decoder.decode(encoder.encode([array]))
    array[:] = 4
    assert (got == 3).all()
    assert lent(writer) == 2
    del array
    assert lent(writer) == 1


def test_arrays_made_in_the_arena_and_not_sent_are_given_up() -> None:
    encoder, _, writer = make()
    for _ in range(20):
        encoder.empty((100, 200), np.dtype(np.float32))
        encoder.encode([1])
    assert lent(writer) == 0
    assert len(writer._sizes) <= 2


def test_views_of_arrays_made_in_the_arena_are_right() -> None:
    encoder, decoder, _ = make()
    array = encoder.empty((100, 200), np.dtype(np.float32))
    array[:] = np.arange(20_000).reshape(100, 200)
    expected = array.copy()
    views = [array[:50], array[50:], array.T, array.view(np.int32), array[:, ::2], array.reshape(-1)]
    got = decoder.decode(encoder.encode(views))
    for g, e in zip(
        got,
        [expected[:50], expected[50:], expected.T, expected.view(np.int32), expected[:, ::2], expected.reshape(-1)],
        strict=True,
    ):
        assert g.dtype == e.dtype
        assert np.array_equal(g, e)


def test_a_full_arena_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.parallel.arena._address_space", lambda: 1 << 16)
    encoder, decoder, _ = make()
    body = [np.full(20_000, n) for n in range(5)]
    got = decoder.decode(encoder.encode(body))
    assert payloads.form(got) == payloads.form(body)
    assert all(a.flags.writeable for a in got)


def test_without_an_arena_all_is_in_the_bytes() -> None:
    encoder, decoder = Encoder(None, main_by_value=False), Decoder(None)
    body = [np.full(20_000, 1), np.asfortranarray(np.ones((300, 300))), "text"]
    encoded = encoder.encode(body)
    assert encoded.blocks == []
    assert payloads.form(decoder.decode(encoded)) == payloads.form(body)


def test_the_same_prepared_array_in_two_datapoints_arrives_twice() -> None:
    encoder, decoder, writer = make()
    array = encoder.empty((100, 200), np.dtype(np.float32))
    array[:] = 3
    first, second = decoder.decode(encoder.encode([array, array]))
    del array
    assert lent(writer) == 2
    del first
    assert lent(writer) == 1
    assert (second == 3).all()


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([0, 1.5, True, "text", None, b"bytes", [1, 2], (3,), {"k": "v"}, [[4]], {"a": [5]}, 1j]))
)
def test_simple_and_other_datapoints_in_any_order(body: list[Any]) -> None:
    encoder, decoder, _ = make()
    for datapoint in body:
        encoder.add(datapoint)
    assert encoder.added == len(body)
    got = decoder.decode(encoder.finish())
    assert payloads.form(got) == payloads.form(body)
    assert encoder.added == 0


def test_what_happens_to_a_datapoint_after_it_was_added_makes_no_difference() -> None:
    encoder, decoder, _ = make()
    flat, nested, array, large = [1], [[1]], np.ones(3), np.ones(LARGE_BYTES)
    for _ in range(3):
        for datapoint in (flat, nested, array, large):
            encoder.add(datapoint)
        flat[0] += 1
        nested[0][0] += 1
        array += 1
        large += 1
    got = decoder.decode(encoder.finish())
    assert [got[i][0] for i in (0, 4, 8)] == [1, 2, 3]
    assert [got[i][0][0] for i in (1, 5, 9)] == [1, 2, 3]
    assert [got[i][0] for i in (2, 6, 10)] == [1, 2, 3]
    assert [got[i][0] for i in (3, 7, 11)] == [1, 2, 3]


def test_many_pickles_go_through_the_arena_and_their_block_comes_back() -> None:
    encoder, decoder, writer = make(spills=True)
    body = [{"n": n, "inside": [n] * 100, "array": np.full(3000, n)} for n in range(200)]
    for _ in range(2):  # the second time in the same memory
        encoded = encoder.encode(body)
        assert (encoded.spilled, len(encoded.data)) == (True, 0)
        assert lent(writer) == len(encoded.blocks) == len(body) + 1
        got = decoder.open(encoded)
        del encoded
        assert len(got) == len(body)
        for datapoint, expected in zip(got, body, strict=True):
            assert datapoint["inside"] == expected["inside"]
            assert np.array_equal(datapoint["array"], expected["array"])
        del got, datapoint
        assert lent(writer) == 0


def test_an_arena_that_is_full_leaves_the_pickles_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, decoder, writer = make(spills=True)
    monkeypatch.setattr(writer, "allocate", lambda nbytes: None)
    body = [[n, [n] * 50] for n in range(500)]
    encoded = encoder.encode(body)
    assert (encoded.spilled, encoded.blocks) == (False, [])
    assert decoder.decode(encoded) == body


_ANY = st.one_of(
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.just(()),
    st.lists(st.integers(), max_size=2),
    st.just(np.float64(2)),
)


@settings(max_examples=150)
@given(st.lists(st.one_of(st.lists(st.integers(), min_size=1), st.lists(_ANY, min_size=1)), max_size=6))
def test_bodies_of_numbers_and_others_in_turn_keep_values_and_types(bodies: list[list[Any]]) -> None:
    encoder, decoder, _ = make()
    for body in bodies:
        got = decoder.decode(encoder.encode(body))
        assert got == body
        assert list(map(type, got)) == list(map(type, body))


def test_one_object_as_several_datapoints_arrives_as_several_also_after_numbers() -> None:
    encoder, decoder, _ = make()
    twice = [1]
    for body in ([1, 2.5, None], [twice, twice, 3]):
        got = decoder.decode(encoder.encode(body))
        assert got == body
    assert got[0] is not got[1]
