"""The codec: what goes in comes out, and nothing that comes in can do harm."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import headrace as hr
from headrace.remote import codec
from headrace.remote.codec import WireError, decode, describe
from headrace.remote.wire import Kind, Packer, VersionError, unpack
from headrace.testing import same

STREAM = b"s" * 16


def through(value: Any, **options: Any) -> Any:
    frame = Packer().pack(Kind.DATA, STREAM, 7, value, **options)
    message = unpack(memoryview(bytearray(frame.buffer)))
    assert (message.kind, message.stream, message.number) == (Kind.DATA, STREAM, 7)
    return message.value(**options)


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
    back = through([array])[0]

    assert same(back, array)
    assert back.flags.writeable
    assert back.flags.aligned
    assert back.flags.f_contiguous if array.flags.fnc else back.flags.c_contiguous


@pytest.mark.parametrize("scalar", [np.float32(2.5), np.int8(-1), np.bool_(True), np.str_("hé"), np.bytes_(b"x"),
                                    np.datetime64("2020-01-01"), np.complex128(1j)], ids=repr)  # fmt: skip
def test_numpy_scalars_keep_their_type(scalar: Any) -> None:
    back = through((scalar,))[0]

    assert type(back) is type(scalar)
    assert back == scalar


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=30,
)


@given(values)
@example("\ud800")
@example("x" * 300 + "\udfff")
@example(-(2**63) - 1)
@example(10**5000)
@example([float("inf"), -0.0, b"", bytearray(b"y" * 9)])
@settings(max_examples=60, deadline=None)
def test_any_nesting_of_plain_values_arrives_as_it_was(value: Any) -> None:
    assert same(through(value), value)


@given(hnp.arrays(hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes(),
                  hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_array_arrives_as_it_was(array: np.ndarray[Any, Any]) -> None:
    if array.dtype.itemsize == 0:
        return
    back = through(array)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_the_senders_array_may_be_written_to_at_once() -> None:
    array = np.zeros(100_000, np.uint8)
    frame = Packer().pack(Kind.DATA, STREAM, 0, array)
    array[:] = 1

    assert unpack(frame.buffer).value().sum() == 0


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
def test_objects_are_refused_and_travel_by_pickle_where_that_is_allowed(value: Any) -> None:
    with pytest.raises(hr.SerializationError, match=r"of type .*allow_pickle=True on both sides"):
        describe([value])

    if type(value) is not object:
        assert type(through([value], allow_pickle=True)[0]) is type(value)


def test_a_pickle_is_not_read_unless_that_is_allowed() -> None:
    described = describe(Point(1, 2), allow_pickle=True)
    body = memoryview(bytes(described.blobs[0]).ljust(described.nbytes, b"\0"))

    with pytest.raises(WireError, match="pickle"):
        decode(described.text, body)
    assert decode(described.text, body, allow_pickle=True) == Point(1, 2)


def test_what_is_too_much_is_refused_by_the_sender() -> None:
    deep: Any = []
    for _ in range(codec.MAX_DEPTH):
        deep = [deep]

    with pytest.raises(hr.SerializationError, match="nested deeper than 64"):
        describe(deep)
    with pytest.raises(hr.SerializationError, match="Turn long lists of numbers into arrays"):
        describe(["x" * 200] * 50_000)
    with pytest.raises(hr.SerializationError, match="1024 dict keys"):
        describe({n: n for n in range(2000)})


# -- what a stranger could send

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
    with pytest.raises(WireError):
        decode(text.encode("latin-1"), memoryview(b"\xff" * 8))


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
@settings(max_examples=60, deadline=None)
def test_no_description_breaks_the_decoder(scrap: Any, body: bytes) -> None:
    tracemalloc.start()
    try:
        decode(json.dumps(scrap).encode(), memoryview(body))
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 << 20


def framed(**changes: Any) -> bytes:
    """A message, with the checksum put right after changes to its header."""
    frame = bytearray(Packer().pack(Kind.DATA, STREAM, 7, [np.arange(4), "ab"]).buffer)
    layout = struct.Struct("!4sHBx16sQQI")
    names = ("magic", "version", "kind", "stream", "number", "total", "length")
    header = layout.pack(*{**dict(zip(names, layout.unpack_from(frame), strict=True)), **changes}.values())
    frame[: layout.size] = header
    length = layout.unpack(header)[-1]
    struct.pack_into("!I", frame, layout.size, zlib.crc32(frame[48 : 48 + length], zlib.crc32(header)))
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
    with pytest.raises(WireError, match=text):
        unpack(memoryview(framed(**changes)))


def test_another_version_is_told_from_damage() -> None:
    with pytest.raises(VersionError) as caught:
        unpack(memoryview(framed(version=9)))
    assert caught.value.version == 9


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_or_truncated_message_never_arrives_as_another_one(data: st.DataObject) -> None:
    whole = framed()
    cut = data.draw(st.integers(0, len(whole)))
    broken = bytearray(whole[:cut])
    if cut == len(whole):
        at = data.draw(st.integers(0, 48 + 20))
        broken[at] ^= data.draw(st.integers(1, 255))

    try:
        value = unpack(memoryview(broken)).value()
    except WireError:
        return
    assert same(value, [np.arange(4), "ab"]), "only a byte that means nothing (padding) may change unnoticed"


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_random_bytes_are_no_message(noise: bytes) -> None:
    with pytest.raises(WireError):
        unpack(memoryview(noise)).value()
