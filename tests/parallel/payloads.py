"""Datapoints of all kinds, and what makes two of them the same bit for bit. Workers import this module."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import pathlib
import uuid
import warnings
from typing import Any, NamedTuple

import numpy as np

from headrace.parallel.arena import LARGE_BYTES


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass
class Sample:
    name: str
    image: Any
    extra: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: Any


class Tagged(np.ndarray):
    """An array subclass with an attribute that its pickle does not carry."""


class PlainObject:
    def __init__(self, **values: Any):
        self.__dict__.update(values)


def _matrix(array: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(array)


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def make() -> dict[str, Any]:
    """The payloads. Large ones travel through the arena, small ones within the message."""
    rng = np.random.default_rng(7)
    big = rng.integers(0, 255, (60, 70, 3)).astype(np.uint8)
    floats = rng.standard_normal((50, 40))
    structured = np.zeros(900, dtype=[("id", ">i4"), ("box", "<f8", (2, 2)), ("name", "U5"), ("flag", "?")])
    structured["id"] = np.arange(900)
    structured["name"] = "ab\u00e4"
    objects = np.array([None, 1, "a", [1], {"k": (1,)}], dtype=object)
    threshold = {
        f"bytes around the threshold {delta:+d}": np.arange(LARGE_BYTES + delta, dtype=np.uint8) for delta in (-1, 0, 1)
    }
    arrays: dict[str, Any] = {
        "empty array": np.empty((0,)),
        "empty 3d array": np.empty((4, 0, 3), np.int16),
        "0-d array": np.array(3.5),
        "0-d big-endian": np.array(3, ">i8"),
        "uint8 image": big,
        "float64": floats,
        "float32 small": floats[:3].astype(np.float32),
        "float16": floats.astype(np.float16),
        "longdouble": floats.astype(np.longdouble),
        "complex64": (floats + 1j * floats).astype(np.complex64),
        "complex128": floats + 1j * floats,
        "bool": floats > 0,
        "bool small": np.array([True, False]),
        "int8 to uint64": np.arange(3000, dtype=np.uint64) * (1 << 50),
        "fortran": np.asfortranarray(floats),
        "fortran small": np.asfortranarray(floats[:2, :2]),
        "fortran 3d": np.asfortranarray(big),
        "transposed": floats.T,
        "permuted axes": big.transpose(2, 0, 1),
        "sliced": big[::2, 1::3],
        "negative strides": floats[::-1, ::-1],
        "negative strides small": np.arange(5)[::-1],
        "zero strides": np.broadcast_to(np.float64(3), (60, 60)),
        "zero strides partly": np.broadcast_to(np.arange(70.0), (60, 70)),
        "window": np.lib.stride_tricks.sliding_window_view(np.arange(2000), 8),
        "big-endian": floats.astype(">f8"),
        "big-endian small": np.arange(4, dtype=">i2"),
        "big-endian fortran": np.asfortranarray(floats.astype(">f4")),
        "structured": structured,
        "structured small": structured[:2],
        "structured aligned": np.zeros(800, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "structured with offsets": np.ones(
            700, np.dtype({"names": ["a", "b"], "formats": ["i2", "f4"], "offsets": [3, 9], "itemsize": 17})
        ),
        "one field of many": structured["box"],
        "datetime64": np.array(["2020-01-01", "NaT"] * 900, "datetime64[ns]"),
        "timedelta64": np.arange(2000).astype("timedelta64[ms]"),
        "strings": np.array(["a" * 20, "\u20ac"] * 300),
        "bytes array": np.array([b"abc", b""] * 2000),
        "void": np.zeros(2000, "V7"),
        "masked": np.ma.masked_array(floats, mask=floats > 1, fill_value=-5.0),
        "masked small": np.ma.masked_array([1, 2], mask=[True, False]),
        "matrix": _matrix(floats),
        "recarray": structured.view(np.recarray),
        "subclass": big.view(Tagged),
        "object array": objects,
        "object array 2d": np.array([[object, None], [1, 2.5]], dtype=object),
        "read-only": _read_only(floats.copy()),
        "read-only small": _read_only(np.arange(3)),
        "read-only fortran": _read_only(np.asfortranarray(floats)),
        "frombuffer": np.frombuffer(bytes(range(256)) * 40, np.uint8),
        "nan payloads": np.frombuffer(rng.bytes(16_000), np.float64),
        "minus zero": np.array([-0.0, 0.0, np.inf, -np.inf, np.nan]),
        "1 MB": rng.integers(0, 255, 1 << 20).astype(np.uint8),
        "many dimensions": np.arange(2**13).reshape((2,) * 13),
        "scalar int8": np.int8(-3),
        "scalar float16": np.float16(0.1),
        "scalar datetime": np.datetime64("2020-02-03T04:05"),
        "scalar str": np.str_("\u00e4"),
        "scalar bool": np.True_,
        "scalar void": structured[3],
        "dtype": np.dtype(">f4"),
        "random state": np.random.RandomState(3),
        **threshold,
    }
    others: dict[str, Any] = {
        "none inside": [None],
        "int": 5,
        "negative big int": -(3**200),
        "float nan": float("nan"),
        "float inf": float("-inf"),
        "float minus zero": -0.0,
        "complex": 1 - 0.5j,
        "bool": False,
        "empty str": "",
        "str": "\u00e4\u20ac\U0001f600\0x",
        "lone surrogate": "\udc80",
        "long str": "ab\u20ac" * 200_000,
        "empty bytes": b"",
        "bytes": bytes(range(256)),
        "1 MB of bytes": bytes(range(256)) * 4096,
        "bytearray": bytearray(b"abc"),
        "large bytearray": bytearray(b"x") * 100_000,
        "tuple": (1, (2, ()), []),
        "dict": {"a": 1, 2: "b", (1, 2): None, None: 0},
        "set": {1, 2, 3},
        "frozenset": frozenset({"a"}),
        "deque": collections.deque([1, 2], maxlen=5),
        "ordered dict": collections.OrderedDict([("b", 1), ("a", 2)]),
        "counter": collections.Counter("hello"),
        "default dict": collections.defaultdict(list, {"a": [1]}),
        "named tuple": Point(1, np.arange(3)),
        "enum": Color.BLUE,
        "flag": Flags.A | Flags.B,
        "dataclass": Sample("n", np.ones((50, 50)), {"k": [1, None]}),
        "frozen dataclass": Frozen(1, ("x",)),
        "object": PlainObject(a=1, b=np.arange(3000)),
        "range": range(3, 30, 4),
        "slice": slice(1, None, 2),
        "ellipsis": ...,
        "date": datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
        "timedelta": datetime.timedelta(days=1, microseconds=3),
        "decimal": decimal.Decimal("1.10"),
        "fraction": fractions.Fraction(1, 3),
        "path": pathlib.PurePosixPath("/a/b"),
        "uuid": uuid.UUID(int=5),
        "function": len,
        "type": Color,
        "lambda": None,  # replaced where it can be compared
        "exception": ValueError("a", 1),
        "deep": _deep(150),
        "many arrays": [np.full(3000, i) for i in range(40)],
        "mixed": {"image": big, "boxes": floats[:5], "label": 3, "meta": {"path": "a.jpg", "size": (3, 4)}},
    }
    del others["lambda"]
    return {**{f"array: {k}": v for k, v in arrays.items()}, **{f"object: {k}": v for k, v in others.items()}}


def _deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def form(value: Any) -> Any:
    """What has to stay the same: types, dtypes with byte order, shapes, contents bit for bit."""
    if isinstance(value, np.ma.MaskedArray):
        return ("masked", form(value.filled(0)), form(np.ma.getmaskarray(value)), repr(value.fill_value))
    if isinstance(value, np.ndarray):
        plain = np.asarray(value)
        if value.dtype.hasobject:
            content: Any = [form(v) for v in plain.ravel().tolist()]
        else:
            content = hashlib.sha256(_contents(plain)).hexdigest()
        order = "F" if value.flags.fnc else "C"
        return (type(value).__qualname__, _dtype(value.dtype), value.shape, order, content)
    if isinstance(value, np.generic):
        return (type(value).__qualname__, _dtype(value.dtype), value.tobytes())
    if isinstance(value, np.random.RandomState):
        return form(value.get_state())
    if isinstance(value, float):
        return ("float", np.float64(value).tobytes())
    if isinstance(value, dict):
        return (type(value).__qualname__, [(form(k), form(v)) for k, v in value.items()])
    if isinstance(value, (list, tuple, collections.deque)):
        return (type(value).__qualname__, [form(v) for v in value])
    if isinstance(value, (set, frozenset)):
        return (type(value).__qualname__, sorted(map(repr, value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value).__qualname__, [form(getattr(value, f.name)) for f in dataclasses.fields(value)])
    if isinstance(value, PlainObject):
        return ("PlainObject", form(value.__dict__))
    if isinstance(value, BaseException):
        return (type(value).__qualname__, form(value.args))
    return (type(value).__qualname__, repr(value))


def _contents(array: Any) -> bytes:
    """The bytes of the values, without those of padding."""
    if array.dtype == np.longdouble:
        return repr(array.astype("U60").tolist()).encode()  # 16 bytes, of which 6 are nothing
    if array.dtype.names is None:
        return bytes(array.tobytes())
    return b"".join(_contents(np.asarray(array[name])) for name in array.dtype.names)


def _dtype(dtype: Any) -> Any:
    return (str(dtype), dtype.byteorder, dtype.itemsize, dtype.isalignedstruct, repr(dtype.fields))


def arrays_in(value: Any) -> list[Any]:
    """All numpy arrays in a datapoint."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        return [a for v in value.values() for a in arrays_in(v)]
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays_in(v)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return arrays_in([getattr(value, f.name) for f in dataclasses.fields(value)])
    return []


_MADE: dict[str, Any] = {}


def by_name(name: str) -> Any:
    """A payload, made where it is asked for."""
    if not _MADE:
        _MADE.update(make())
    return _MADE[name]


def as_list(name: str) -> Any:
    return [name, by_name(name)]


def as_dict(name: str) -> Any:
    return {"name": name, "x": by_name(name)}


def form_of_input(dp: Any) -> Any:
    """What arrived in the worker, and whether its arrays can be written to."""
    return [form(dp), all(a.flags.writeable for a in arrays_in(dp))]
