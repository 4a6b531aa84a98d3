"""Values come back as they were; nothing else than values comes out; damage is always an error."""

from __future__ import annotations

import pickle
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.plain_codec import MAGIC, decode, encode
from headrace.testing import same

VALUES: list[Any] = [
    None, True, 0, -(2**63), 2**63, -(2**200), 1.5, float("nan"), -0.0, 2j + 1, "", "é\ud800\0", b"", b"\xff",
    [], [1, [2, ()]], (1,), {}, {1: 2, (1, "a"): [b""]},
    np.arange(6).reshape(2, 3).T, np.zeros((0, 3), ">i4"), np.array(5), np.float32(3), np.bool_(True),
    np.array(["ab", "c"]), np.array([b"x"]), np.datetime64("2020-01-01"), np.array([1, 2], "M8[ns]"),
    np.zeros(3, [("a", "i4"), ("b", "f8", (2,))]), np.zeros(1, [("x", [("y", "i2")])]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "i8")], align=True)), np.zeros(2, np.float16),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!r:.12}")
def test_values_come_back(value: Any) -> None:
    assert same(decode(encode(value)), value)
    assert same(decode(memoryview(encode([value, value]))), [value, value])


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@settings(max_examples=25, deadline=None)
@given(json_like)
def test_any_nesting_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


@settings(max_examples=25, deadline=None)
@given(st.binary())
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    record = MAGIC + b"\x01" + zlib.crc32(body).to_bytes(4, "little") + body
    try:
        decode(record)
    except ValueError:
        pass


def test_arrays_are_new_and_writable() -> None:
    record = encode(np.zeros(3))
    decode(record)[:] = 1
    assert not decode(record).any()


def test_every_truncation_and_every_flipped_byte_is_an_error() -> None:
    record = encode([1, "two", {"three": np.arange(3)}])
    for at in range(len(record)):
        with pytest.raises(ValueError, match="record"):
            decode(record[:at])
        damaged = bytearray(record)
        damaged[at] ^= 1
        with pytest.raises(ValueError, match="record"):
            decode(bytes(damaged))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1}, "it is a set"),
        ([0, {"a": object()}], r"\[0\]|\[1\]\['a'\] is a object"),
        (np.array([None]), "it is a ndarray of dtype object"),
        ({(1, frozenset()): 1}, r" key \(1, frozenset\(\)\)\[1\] is a frozenset"),
    ],
)
def test_what_is_no_data_is_refused_by_its_path(value: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        encode(value)


def test_deep_nesting_is_refused_both_ways() -> None:
    deep: Any = []
    for _ in range(80):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 64"):
        encode(deep)
    body = (b"l" + (1).to_bytes(8, "little")) * 80 + b"N"
    with pytest.raises(ValueError, match="nested more than 64"):
        decode(MAGIC + b"\x01" + zlib.crc32(body).to_bytes(4, "little") + body)


def test_a_length_that_is_not_there_allocates_nothing() -> None:
    body = b"b" + (2**60).to_bytes(8, "little")
    with pytest.raises(ValueError, match="announced, 0 left"):
        decode(MAGIC + b"\x01" + zlib.crc32(body).to_bytes(4, "little") + body)


def test_a_pickle_is_no_record() -> None:
    with pytest.raises(ValueError, match="does not begin as a record of headrace"):
        decode(pickle.dumps([1]))
    with pytest.raises(ValueError, match="version 9, this headrace reads version 1"):
        decode(MAGIC + b"\x09" + bytes(9))
