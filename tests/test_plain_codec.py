"""Values come back as they were; nothing else than values comes out; damage is always an error."""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zlib
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.plain_codec import Limits, MalformedError
from headrace.plain_codec.describing import Described, describe
from headrace.plain_codec.reading import Reader
from headrace.plain_codec.records import MAGIC, decode, encode
from headrace.testing import same

LIMITS = Limits(description_bytes=8 << 20, odd_keys=1024)


def body_of(described: Described) -> memoryview:
    memory = np.full(described.nbytes, 255, np.uint8)
    described.write(memory)
    return memory.data


def read(text: bytes, body: bytes | memoryview, **options: Any) -> Any:
    reader = Reader(memoryview(text), memoryview(body), limits=LIMITS, **options)
    value = reader.read(reader.plain)
    reader.finish()
    return value


def record_of(text: bytes, body: bytes = b"", announced: int | None = None) -> bytes:
    rest = (len(body) if announced is None else announced).to_bytes(8, "little") + body + text
    return MAGIC + b"\x02" + zlib.crc32(rest).to_bytes(4, "little") + rest


VALUES: list[Any] = [
    None, True, 0, -(2**63), 2**63, -(2**200), 1.5, float("nan"), -0.0, 2j + 1, "", "é\ud800\0", b"", b"\xff",
    [], [1, [2, ()]], (1,), {}, {1: 2, (1, "a"): [b""]},
    np.arange(6).reshape(2, 3).T, np.zeros((0, 3), ">i4"), np.array(5), np.float32(3), np.bool_(True),
    np.array(["ab", "c"]), np.array([b"x"]), np.datetime64("2020-01-01"), np.array([1, 2], "M8[ns]"),
    np.zeros(3, [("a", "i4"), ("b", "f8", (2,))]), np.zeros(1, [("x", [("y", "i2")])]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "i8")], align=True)), np.zeros(2, np.float16),
    np.str_(""), np.bytes_(b""), [np.array(["", "a"])[0]],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!r:.12}")
def test_values_come_back(value: Any) -> None:
    assert same(decode(encode(value)), value)
    assert same(decode(memoryview(encode([value, value]))), [value, value])


ARRAYS = [
    np.arange(12).reshape(3, 4),
    np.arange(12).reshape(3, 4).T,
    np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    np.arange(20)[::-3],
    np.broadcast_to(np.float32(2), (3, 2)),
    np.zeros((0, 5)),
    np.array(3.5),
    np.array([1, 2], ">u2"),
    np.array([True, False]),
    np.ones(3, np.longdouble),
    np.ones(3, np.complex64),
    np.array(["a", "bcd", "\u4e2d"]),
    np.array([b"a", b"bc"]),
    np.array(["2020-01-01", "1969-12-31"], "M8[ns]"),
    np.array([5], "m8[25s]"),
    np.zeros(2, "V3"),
    np.zeros(3, [("a", "<i4"), ("b", ">f8", (2,)), ("c", [("d", "U3")])]),
    np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}-{a.shape}")
def test_arrays_arrive_bit_for_bit_writable_and_aligned(array: np.ndarray[Any, Any]) -> None:
    back = decode(encode([array]))[0]

    assert same(back, array)
    assert back.flags.writeable
    assert back.flags.aligned
    assert back.flags.f_contiguous if array.flags.fnc else back.flags.c_contiguous


@pytest.mark.parametrize("scalar", [np.float32(2.5), np.int8(-1), np.bool_(True), np.str_("hé"), np.bytes_(b"x"),
                                    np.datetime64("2020-01-01"), np.complex128(1j)], ids=repr)  # fmt: skip
def test_numpy_scalars_keep_their_type(scalar: Any) -> None:
    back = decode(encode((scalar,)))[0]

    assert type(back) is type(scalar)
    assert back == scalar


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=60)
@given(json_like)
@example("\ud800")
@example("x" * 300 + "\udfff")
@example(-(2**63) - 1)
@example(10**5000)
@example([float("inf"), -0.0, b"", bytearray(b"y" * 9)])
@example({n: n for n in range(5000)})
def test_any_nesting_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


@given(hnp.arrays(hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes(),
                  hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))  # fmt: skip
@settings(max_examples=60)
def test_any_array_comes_back(array: np.ndarray[Any, Any]) -> None:
    if array.dtype.itemsize == 0:
        return
    back = decode(encode(array))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


@settings(max_examples=25)
@given(st.binary())
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    try:
        decode(record_of(body[10:], body[:10]))
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
    with pytest.raises(ValueError, match="nested more than 64"):
        decode(record_of(b'["l",' * 80 + b"0" + b"]" * 80))


def test_a_length_that_is_not_there_allocates_nothing() -> None:
    with pytest.raises(ValueError, match="bytes announced, 17 there"):
        decode(record_of(b"0", announced=2**60))
    with pytest.raises(ValueError, match="a length beyond the bytes that are there"):
        decode(record_of(b'["b",1152921504606846976]'))


def test_a_pickle_is_no_record() -> None:
    with pytest.raises(ValueError, match="does not begin as a record of headrace"):
        decode(pickle.dumps([1]))
    with pytest.raises(ValueError, match="version 9, this headrace reads version 2"):
        decode(MAGIC + b"\x09" + bytes(16))


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Point(1, 2),
        OrderedDict(a=1),
        {1, 2},
        np.array([None]),
        np.ma.masked_array([1]),
        np.array([(1, None)], [("a", "i4"), ("b", "O")]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_objects_are_refused_and_go_by_pickle_where_that_is_allowed(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^\[0\] is a .*, which only pickle can store"):
        encode([value])

    if type(value) is not object:
        described = describe([value], allow_pickle=True)
        with pytest.raises(MalformedError, match="pickle"):
            read(described.text, body_of(described))
        assert type(read(described.text, body_of(described), allow_pickle=True)[0]) is type(value)


# -- what a stranger could have written

CRAFTED = [
    '{"a":1}',
    "[]",
    "[1]",
    '["x"]',
    '[["l"]]',
    '["l"',
    "",
    "\xff",
    '["b",9]',
    '["b",-1]',
    '["b",1e3]',
    '["b",true]',
    '["b","8"]',
    '["b"]',
    '["u",8]',
    '["a","|O","C",1]',
    '["a","O","C",1]',
    '["a","|u1,|u1","C",1]',
    '["a","|u1","K",8]',
    '["a","|u1","C",-8]',
    '["a","|u1","C",99999999999]',
    '["a","|u1","C",4294967296,4294967296]',
    '["a","|u1","C",4611686018427387904,0]',
    '["a","|S0","C",1099511627776]',
    '["a","|V9999999999","C",0]',
    '["a","<U2","C",1]',
    '["a",["A","|u1",99999999,99999999],"C",1]',
    '["a",["A","|u1",8],"C",1]',
    '["a",["S",8,["x","|O",0]],"C",1]',
    '["a",["S",8,["x","<i8",4]],"C",1]',
    '["a",["S",8],"C",1]',
    '["a",["S",8,["x","<i4",0],["x","<i4",4]],"C",1]',
    '["a",' + "[" * 200 + "]" * 200 + ',"C",1]',
    '["a","|u1","C"' + ",0" * 65 + "]",
    '["s","<U2"]',
    '["i","zz"]',
    '["i",5]',
    '["c",1,"2"]',
    '["d",1]',
    '["d",["l"],1]',
    '["d",["a","|u1","C",8],1]',
    '["p",8]',
    "[" * 100_000,
    '["l",' * 70 + "1" + "]" * 70,
    "9" * 5000,
    '["l"]',
    '["d",' + ",".join(f"{n * (2**61 - 1)},1" for n in range(3000)) + "]",
]


@pytest.mark.parametrize("text", CRAFTED, ids=lambda t: t[:40])
def test_descriptions_that_make_no_sense_are_a_wire_error(text: str) -> None:
    with pytest.raises(MalformedError):
        read(text.encode("latin-1"), b"\xff" * 8)


def test_what_made_no_sense_is_not_kept_in_mind() -> None:
    """Layouts of arrays are; a stranger must not fill memory with large ones."""
    tracemalloc.start()
    try:
        for n in range(20):
            with pytest.raises(MalformedError):
                read(b'["a","|u1","C"%b,%d]' % (b",0" * 50_000, n), b"")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 20


scraps = st.recursive(
    st.sampled_from(["l", "t", "d", "b", "y", "u", "a", "s", "i", "c", "p", "A", "S", "C", "F", "|u1", "<U2", "<f8"])
    | st.integers(-1, 2**64)
    | st.floats()
    | st.none()
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@given(scraps, st.binary(max_size=64))
@settings(max_examples=60)
def test_no_description_breaks_the_decoder(scrap: Any, body: bytes) -> None:
    tracemalloc.start()
    try:
        read(json.dumps(scrap).encode(), body)
    except MalformedError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 << 20
