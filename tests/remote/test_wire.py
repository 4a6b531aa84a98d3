"""Messages: what goes in comes out, and a message that is damaged or lies about itself is found out."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.plain_codec import MalformedError
from headrace.remote.packing import Packer
from headrace.remote.wire import EMPTY_BYTES, LIMITS, Kind, Values, VersionError, size, to_send, unpack
from headrace.testing import same

STREAM = b"s" * 16


def opened(frame: Any) -> Values:
    message = unpack(memoryview(bytearray(frame.buffer)))
    assert (message.kind, message.stream, message.number) == (Kind.DATA, STREAM, 7)
    return Values(message, allow_pickle=True)


def add(packer: Packer, value: Any) -> None:
    described = to_send(value, allow_pickle=True)
    packer.add(described, size(described))


def test_all_values_of_a_message_come_out_in_order() -> None:
    values: list[Any] = [[np.arange(5, dtype=np.uint8), n, "x" * n * 100] for n in range(20)] + [None, {"a": b"b"}]
    packer = Packer()
    for value in values:
        add(packer, value)
    announced = packer.nbytes

    frame = packer.seal(Kind.DATA, STREAM, 7)

    assert announced - 1 == len(frame) == EMPTY_BYTES + sum(size(to_send(v)) for v in values) - 1
    came = opened(frame)
    assert same([came.next() for _ in values], values)
    assert came.left == 0
    assert packer.count == 0


def test_arrays_arrive_writable_and_aligned_whatever_is_before_them() -> None:
    packer = Packer()
    for n in range(5):
        add(packer, [b"x" * n, np.full(3, n, np.float64), np.zeros(n, np.uint8)])
    values = opened(packer.seal(Kind.DATA, STREAM, 7))
    for n in range(5):
        array = values.next()[1]
        assert array.flags.aligned
        assert array.flags.writeable
        assert (array == n).all()


def test_the_senders_array_may_be_written_to_at_once() -> None:
    array = np.zeros(100_000, np.uint8)
    packer = Packer()
    add(packer, array)
    array[:] = 1

    assert opened(packer.seal(Kind.DATA, STREAM, 7)).next().sum() == 0


def test_no_memory_of_the_sender_travels_that_was_not_sent() -> None:
    packer = Packer()
    packer.pack(Kind.DATA, STREAM, 7, b"secret" * 1000)
    frame = packer.pack(Kind.DATA, STREAM, 7, [b"a", np.zeros(0)], b"b")
    assert b"secret" not in frame.bytes


class Unreadable:
    """An object that pickles, and does not unpickle."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_an_object_that_cannot_be_read_costs_only_its_own_value() -> None:
    packer = Packer()
    for value in ([np.arange(3), 1], [b"xy", Unreadable(), np.arange(9)], [np.arange(4), 2]):
        add(packer, value)
    values = opened(packer.seal(Kind.DATA, STREAM, 7))

    assert same(values.next(), [np.arange(3), 1])
    with pytest.raises(hr.SerializationError, match="cannot be read here"):
        values.next()
    assert same(values.next(), [np.arange(4), 2])


def test_what_cannot_be_sent_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(hr.SerializationError, match=r"\['a'\] is a set, .*allow_pickle=True on both sides"):
        to_send({"a": {1}})
    with pytest.raises(hr.SerializationError, match="turn long lists of numbers into arrays"):
        to_send(["x" * 200] * 50_000)
    with pytest.raises(hr.SerializationError, match="at most 1024"):
        to_send({n: n for n in range(2000)})
    with pytest.raises(hr.SerializationError, match="cannot be pickled"):
        to_send([lambda: 0], allow_pickle=True)


def test_the_longest_description_that_is_sent_is_read() -> None:
    fill = LIMITS.description_bytes - 2 - len('["l"' + ',""' * 50_000 + "]")
    text = ["x" * 200] * (fill // 200) + ["x" * (fill % 200)]
    values = text + [""] * (50_000 - len(text))
    described = to_send(values)
    assert len(described.text) == LIMITS.description_bytes - 2
    packer = Packer()
    packer.add(described, size(described))
    assert opened(packer.seal(Kind.DATA, STREAM, 7)).next() == values


def framed(**changes: Any) -> bytes:
    """A message, with the checksum put right after changes to its header."""
    frame = bytearray(Packer().pack(Kind.DATA, STREAM, 7, [np.arange(4), "ab"]).buffer)
    layout = struct.Struct("!4sHBx16sQIQI")
    names = ("magic", "version", "kind", "stream", "number", "entries", "total", "length")
    header = layout.pack(*{**dict(zip(names, layout.unpack_from(frame), strict=True)), **changes}.values())
    frame[: layout.size] = header
    length = layout.unpack(header)[-1]
    struct.pack_into("!I", frame, layout.size, zlib.crc32(frame[max(0, len(frame) - length) :], zlib.crc32(header)))
    return bytes(frame)


def test_the_layout_that_these_tests_assume_is_the_real_one() -> None:
    assert same(unpack(memoryview(framed())).value(), [np.arange(4), "ab"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"magic": b"HTTP"}, "not of this protocol"),
        ({"kind": 200}, "unknown kind"),
        ({"total": 1 << 40}, "not of the length"),
        ({"length": 1 << 31}, "longer than allowed"),
        ({"length": 1000}, "longer than allowed"),
    ],
)
def test_a_header_that_lies_is_found_out(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(MalformedError, match=text):
        unpack(memoryview(framed(**changes)))


def test_another_version_is_told_from_damage() -> None:
    with pytest.raises(VersionError) as caught:
        unpack(memoryview(framed(version=9)))
    assert caught.value.version == 9


@given(st.data())
@settings(max_examples=100)
def test_a_damaged_or_truncated_message_never_arrives_as_another_one(data: st.DataObject) -> None:
    whole = framed()
    cut = data.draw(st.integers(0, len(whole)))
    broken = bytearray(whole[:cut])
    if cut == len(whole):
        at = data.draw(st.integers(0, 51) | st.integers(len(whole) - 30, len(whole) - 1))
        broken[at] ^= data.draw(st.integers(1, 255))

    try:
        value = unpack(memoryview(broken)).value()
    except MalformedError:
        return
    assert same(value, [np.arange(4), "ab"]), "only a byte that means nothing (padding) may change unnoticed"


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_random_bytes_are_no_message(noise: bytes) -> None:
    with pytest.raises(MalformedError):
        unpack(memoryview(noise)).value()
