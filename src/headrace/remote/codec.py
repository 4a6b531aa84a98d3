"""Datapoints as data: a description in JSON, then the bytes of arrays, strings and byte strings. No code can run.

A message from another machine is read by this module and by nothing else, so it trusts nothing: every length is checked
before memory is asked for, nesting is bounded, and whatever does not fit is a `WireError`.

In the description, ``None``, ``bool``, ``float``, ``int`` and short ``str`` stand for themselves. All else is a JSON
list that begins with a tag:

=====  =======================================  ==================================================================
tag    then                                     what it is
=====  =======================================  ==================================================================
l t    values                                   list, tuple
d      key, value, key, value ...               dict
b y u  length                                   bytes, bytearray, long str (UTF-8): the next ``length`` bytes
a      dtype, order ("C" or "F"), dimensions    array: the next bytes
s      dtype                                    numpy scalar: the next bytes
i      hexadecimal digits                       int beyond 64 bits
c      real, imaginary                          complex
p      length                                   pickle: the next bytes; only if both sides allow it
=====  =======================================  ==================================================================

The bytes follow each other in the order of the description, each from a multiple of eight, so that arrays can be used
where they lie.
"""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import SerializationError

__all__ = ["Blob", "Described", "WireError", "decode", "describe", "padded"]

MAX_DEPTH = 64
MAX_DESCRIPTION_BYTES = 8 << 20
"""Of the JSON text. Objects made of it take up to 20 times as much memory."""
MAX_ODD_KEYS = 1024
"""Keys of dicts that are not ``str``, in one datapoint: their hashes can be chosen by whoever sends them."""

_LONG_TEXT = 256
_INT64 = range(-(1 << 63), 1 << 63)
_DTYPE = re.compile(r"[<>|][biufcSUmMV][1-9][0-9]{0,9}(\[[0-9a-zA-Zμ]{1,16}(/[0-9]{1,9})?\])?")

Blob = bytes | bytearray | np.ndarray[Any, Any]
Dtype = np.dtype[Any]


class WireError(ValueError):
    """Bytes that are no message of this protocol."""


def padded(nbytes: int) -> int:
    """The next multiple of eight."""
    return (nbytes + 7) & ~7


class Described:
    """A value, ready to be written.

    Attributes:
        text: the description.
        blobs: what follows it.
        nbytes: the size of all blobs, padded.
    """

    __slots__ = ("blobs", "nbytes", "text")

    def __init__(self, text: bytes, blobs: list[Blob]):
        self.text = text
        self.blobs = blobs
        self.nbytes = sum(padded(b.nbytes if isinstance(b, np.ndarray) else len(b)) for b in blobs)


_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def describe(value: Any, *, allow_pickle: bool = False) -> Described:
    """Describe a value, to be sent.

    Arrays are not copied: they must stay as they are until they are written.

    Raises:
        SerializationError: a part of it is no data and pickle is not allowed, or it exceeds a limit of this module.

    Example:
        >>> described = describe([1, (None, b"xy")])
        >>> described.text, described.blobs
        (b'["l",1,["t",null,["b",2]]]', [b'xy'])
    """
    walk = _Describer(allow_pickle)
    text = _dumps(walk.plain(value, 0)).encode()
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise SerializationError(
            f"the datapoint has {len(text):,} bytes of structure and small values; at most {MAX_DESCRIPTION_BYTES:,} "
            "can be sent. Turn long lists of numbers into arrays"
        )
    return Described(text, walk.blobs)


class _Describer:
    def __init__(self, allow_pickle: bool):
        self.blobs: list[Blob] = []
        self._allow_pickle = allow_pickle
        self._odd_keys = 0

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < _LONG_TEXT else self._blob("u", value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return value if value in _INT64 else ["i", hex(value)]
        if value is None or kind is float or kind is bool:
            return value
        if depth == MAX_DEPTH:
            raise SerializationError(f"the datapoint is nested deeper than {MAX_DEPTH} levels; that cannot be sent")
        if kind is np.ndarray:
            dtype = _name(value.dtype)
            if dtype is not None:
                self.blobs.append(value)
                return ["a", dtype, "F" if value.flags.fnc else "C", *value.shape]
        elif kind is list:
            return ["l", *[self.plain(v, depth + 1) for v in value]]
        elif kind is tuple:
            return ["t", *[self.plain(v, depth + 1) for v in value]]
        elif kind is dict:
            return self._dict(value, depth)
        elif kind is bytes:
            return self._blob("b", value)
        elif kind is bytearray:
            return self._blob("y", value)
        elif isinstance(value, np.generic):
            dtype = _name(value.dtype)
            if dtype is not None and kind is value.dtype.type:
                self.blobs.append(np.asarray(value))
                return ["s", dtype]
        elif kind is complex:
            return ["c", value.real, value.imag]
        return self._object(value)

    def _dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        flat: list[Any] = ["d"]
        for key, component in value.items():
            if type(key) is not str:
                self._odd_keys += 1
            flat.append(self.plain(key, depth + 1))
            flat.append(self.plain(component, depth + 1))
        if self._odd_keys > MAX_ODD_KEYS:
            raise SerializationError(f"a datapoint can have {MAX_ODD_KEYS} dict keys that are not str; it has more")
        return flat

    def _blob(self, tag: str, data: bytes | bytearray) -> list[Any]:
        self.blobs.append(data)
        return [tag, len(data)]

    def _object(self, value: Any) -> list[Any]:
        what = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, (np.ndarray, np.generic)):
            what += f" of dtype {value.dtype}"
        if not self._allow_pickle:
            raise SerializationError(
                f"the datapoint holds an object of type {what}, which cannot be sent as data; turn it into numbers, "
                "str, bytes, lists, tuples, dicts or numpy arrays, or use allow_pickle=True on both sides"
            )
        try:
            return self._blob("p", pickle.dumps(value, 5))
        except Exception as error:
            raise SerializationError(
                f"the datapoint holds an object of type {what}, which cannot be pickled"
            ) from error


def _name(dtype: Dtype) -> Any:
    """A dtype as JSON; None if it is more than data."""
    if dtype.isbuiltin == 1:
        return None if dtype.hasobject or dtype.itemsize == 0 else dtype.str
    if dtype.hasobject or dtype.metadata or dtype.itemsize == 0:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        name = _name(base)
        return None if name is None else ["A", name, *shape]
    if dtype.names is not None:
        return _fields(dtype, dtype.names)
    return dtype.str if dtype.kind in "biufcSUmMV" and np.dtype(dtype.str) == dtype else None


def _fields(dtype: Dtype, names: tuple[str, ...]) -> Any:
    described: list[Any] = ["S", dtype.itemsize]
    fields: Any = dtype.fields
    for name in names:
        field, offset, *title = fields[name]
        inner = _name(field)
        if inner is None or title:
            return None
        described.append([name, inner, offset])
    return described


def decode(text: bytes | memoryview, body: memoryview, *, allow_pickle: bool = False) -> Any:
    """The value that `describe` described.

    Arrays are views of ``body``, writable if it is; what else there is, is copied.

    Args:
        text: the description.
        body: what follows it.
        allow_pickle: whether pickles are read. Reading one runs whatever its sender wants.

    Raises:
        WireError: it does not describe a value, or not one with just these bytes.
        SerializationError: a pickle that cannot be read here.
    """
    try:
        if len(text) > MAX_DESCRIPTION_BYTES:
            raise WireError("a description too long")
        walk = _Reader(body, allow_pickle)
        value = walk.value(json.loads(bytes(text)), 0)
        if walk.position != len(body):
            raise WireError("bytes that nothing describes")
    except (SerializationError, WireError):
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        raise WireError(f"a description that makes no sense ({type(error).__name__})") from error
    return value


class _Reader:
    def __init__(self, body: memoryview, allow_pickle: bool):
        self.position = 0
        self._body = body
        self._allow_pickle = allow_pickle
        self._odd_keys = 0

    def value(self, plain: Any, depth: int) -> Any:
        kind = type(plain)
        if kind is dict:
            raise WireError("a JSON object")
        if kind is not list:
            return plain
        if depth == MAX_DEPTH:
            raise WireError("nested too deep")
        return _READERS[plain[0]](self, plain, depth + 1)

    def _take(self, plain: list[Any]) -> memoryview:
        _, length = plain
        return self._bytes(length)

    def _bytes(self, length: int) -> memoryview:
        if type(length) is not int or length < 0 or padded(length) > len(self._body) - self.position:
            raise WireError("a length beyond the message")
        start = self.position
        self.position += padded(length)
        return self._body[start : start + length]

    def list_(self, plain: list[Any], depth: int) -> list[Any]:
        return [self.value(v, depth) for v in plain[1:]]

    def tuple_(self, plain: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self.list_(plain, depth))

    def dict_(self, plain: list[Any], depth: int) -> dict[Any, Any]:
        if len(plain) % 2 == 0:
            raise WireError("a key without value")
        found: dict[Any, Any] = {}
        for at in range(1, len(plain), 2):
            key = self.value(plain[at], depth)
            if type(key) is not str:
                self._odd_keys += 1
                if self._odd_keys > MAX_ODD_KEYS:
                    raise WireError("too many keys that are not str")
            found[key] = self.value(plain[at + 1], depth)
        return found

    def bytes_(self, plain: list[Any], depth: int) -> bytes:
        return bytes(self._take(plain))

    def bytearray_(self, plain: list[Any], depth: int) -> bytearray:
        return bytearray(self._take(plain))

    def text(self, plain: list[Any], depth: int) -> str:
        return str(self._take(plain), "utf-8", "surrogatepass")

    def array(self, plain: list[Any], depth: int) -> np.ndarray[Any, Any]:
        return self._array(_dtype(plain[1], 0), plain[2], tuple(plain[3:]))

    def scalar(self, plain: list[Any], depth: int) -> Any:
        _, dtype = plain
        return self._array(_dtype(dtype, 0), "C", ()).copy()[()]

    def _array(self, dtype: Dtype, order: Any, shape: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        if order not in ("C", "F") or any(type(n) is not int or n < 0 for n in shape) or dtype.subdtype is not None:
            raise WireError("a bad array")
        nbytes = math.prod(shape) * dtype.itemsize
        memory = self._bytes(nbytes)
        if nbytes == 0:
            return np.empty(shape, dtype, order)
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, buffer=memory, order=order)
        if dtype.kind == "U" and array.size and _highest_character(memory, dtype) > 0x10FFFF:
            raise WireError("no characters")
        return array if array.flags.aligned else array.copy(order)

    def long_int(self, plain: list[Any], depth: int) -> int:
        _, digits = plain
        return int(digits, 16)

    def complex_(self, plain: list[Any], depth: int) -> complex:
        _, real, imaginary = plain
        if type(real) is not float or type(imaginary) is not float:
            raise WireError("a bad complex number")
        return complex(real, imaginary)

    def pickled(self, plain: list[Any], depth: int) -> Any:
        if not self._allow_pickle:
            raise WireError("a pickle, which is not allowed here (allow_pickle)")
        data = self._take(plain)
        try:
            return pickle.loads(data)
        except Exception as error:
            raise SerializationError(
                f"a pickled object cannot be read here ({type(error).__name__}: {error}); both sides need the same "
                "modules"
            ) from error


_READERS: dict[str, Callable[[_Reader, list[Any], int], Any]] = {
    "l": _Reader.list_,
    "t": _Reader.tuple_,
    "d": _Reader.dict_,
    "b": _Reader.bytes_,
    "y": _Reader.bytearray_,
    "u": _Reader.text,
    "a": _Reader.array,
    "s": _Reader.scalar,
    "i": _Reader.long_int,
    "c": _Reader.complex_,
    "p": _Reader.pickled,
}


def _highest_character(memory: memoryview, dtype: Dtype) -> int:
    return int(np.frombuffer(memory, f"{dtype.byteorder}u4".replace("=", "<").replace("|", "<")).max())


def _dtype(name: Any, depth: int) -> Dtype:
    if type(name) is str:
        if not _DTYPE.fullmatch(name):
            raise WireError("no dtype of data")
        return np.dtype(name)
    if depth == MAX_DEPTH:
        raise WireError("nested too deep")
    if name[0] == "A":
        _, base, *shape = name
        if not all(type(n) is int and n > 0 for n in shape) or math.prod(shape) > 1 << 40:
            raise WireError("a bad subarray")
        subarray: Dtype = np.dtype((_dtype(base, depth + 1), tuple(shape)))
        return subarray
    tag, itemsize, *fields = name
    if tag != "S" or type(itemsize) is not int or not 0 < itemsize < 1 << 40:
        raise WireError("no dtype of data")
    names, formats, offsets = zip(*fields, strict=True)
    described = {
        "names": list(names),
        "formats": [_dtype(f, depth + 1) for f in formats],
        "offsets": list(offsets),
        "itemsize": itemsize,
    }
    structured: Dtype = np.dtype(described)  # type: ignore[call-overload]
    return structured
