r"""Datapoints as data: a description in JSON, and the bytes of arrays and strings. No code can travel in it.

Files and messages between machines use it. Whoever made the bytes, only values of these types come out, every length
is checked before memory is asked for, nesting is bounded, and what does not fit is a `MalformedError`.

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
p      length                                   pickle: the next bytes; only where both sides allow it
=====  =======================================  ==================================================================

The bytes follow each other in the order of the description, each from a multiple of eight, so that arrays can be used
where they lie. A *record*, in a file, is ::

    magic "\x93HR"  version (1 byte)  CRC-32 of the rest (4 bytes)  length of the bytes (8 bytes)  bytes  description

with numbers in little-endian order. `remote.wire` has the layout of a message.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .errors import SerializationError

__all__ = ["MAGIC", "Described", "Limits", "MalformedError", "Reader", "decode", "describe", "encode", "padded"]

MAGIC = b"\x93HR"
VERSION = 2
MAX_DEPTH = 64

_HEAD = struct.Struct("<3sBI")
_LENGTH = struct.Struct("<Q")
_START = _HEAD.size + _LENGTH.size

_LONG_TEXT = 256
_INT64 = range(-(1 << 63), 1 << 63)
_DTYPE = re.compile(r"[<>|][biufcSUmMV][1-9][0-9]{0,9}(\[[0-9a-zA-Zμ]{1,16}(/[0-9]{1,9})?\])?")

_EMPTY = {"<U0": np.str_, "|S0": np.bytes_}
"""Scalars without bytes. (Arrays of such a dtype do not exist: numpy makes their items one character long.)"""

Blob = bytes | bytearray | np.ndarray[Any, Any]
Dtype = np.dtype[Any]


class MalformedError(ValueError):
    """Bytes that headrace did not write, or that were damaged since."""


class Limits(NamedTuple):
    """What is too much to be read from a stranger.

    Attributes:
        description_bytes: of the JSON text. Objects made of it take up to 20 times as much memory.
        odd_keys: keys of dicts that are not ``str``, in one datapoint: whoever sends them can choose their hashes.
    """

    description_bytes: int
    odd_keys: int


def padded(nbytes: int) -> int:
    """The next multiple of eight."""
    return (nbytes + 7) & ~7


# -- records


def encode(value: Any) -> bytes:
    """The record of a value.

    Raises:
        TypeError: something in it is of another type; the message says where.
        ValueError: it is nested more than 64 levels deep.

    Example:
        >>> decode(encode([b"jpeg", {"label": 3, "box": (0.5, None)}]))
        [b'jpeg', {'label': 3, 'box': (0.5, None)}]
        >>> encode([1, {"size": {1, 2}}])
        Traceback (most recent call last):
            ...
        TypeError: [1]['size'] is a set, which only pickle can store
    """
    described = describe(value)
    end = _START + described.nbytes
    record = np.empty(end + len(described.text), np.uint8)
    _LENGTH.pack_into(record.data, _HEAD.size, described.nbytes)
    described.write(record[_START:end])
    record.data[end:] = described.text
    _HEAD.pack_into(record.data, 0, MAGIC, VERSION, zlib.crc32(record.data[_HEAD.size :]))
    return record.tobytes()


def decode(record: bytes | memoryview) -> Any:
    """The value of a record. Arrays are new, writable ones; those of one record share a piece of memory.

    Raises:
        MalformedError: it is no record, of another version, or damaged.
    """
    if len(record) < _START or bytes(record[:3]) != MAGIC:
        raise MalformedError(f"it does not begin as a record of headrace, but with {bytes(record[:8])!r}")
    _, version, crc = _HEAD.unpack_from(record)
    if version != VERSION:
        raise MalformedError(f"the record has version {version}, this headrace reads version {VERSION}")
    view = memoryview(record)
    if zlib.crc32(view[_HEAD.size :]) != crc:
        raise MalformedError("the checksum of the record does not match: it is damaged")
    end = _START + _LENGTH.unpack_from(view, _HEAD.size)[0]
    if end > len(view):
        raise MalformedError(f"the record is malformed: {end} bytes announced, {len(view)} there")
    reader = Reader(view[end:], memoryview(bytearray(view[_START:end])))
    try:
        value = reader.read(reader.plain)
        reader.finish()
    except MalformedError as error:
        raise MalformedError(f"the record is malformed: {error}") from error
    return value


# -- writing


class Described:
    """A value, ready to be written.

    Attributes:
        text: the description.
        nbytes: of what goes with it.
    """

    __slots__ = ("_blobs", "nbytes", "text")

    def __init__(self, text: bytes, blobs: list[Blob]):
        self.text = text
        self.nbytes = 0
        for blob in blobs:
            self.nbytes += padded(blob.nbytes if isinstance(blob, np.ndarray) else len(blob))
        self._blobs = blobs

    def write(self, memory: np.ndarray[Any, Any]) -> None:
        """Write the bytes into ``memory``, ``nbytes`` of uint8."""
        at = 0
        for blob in self._blobs:
            if isinstance(blob, np.ndarray):
                length = blob.nbytes
                if length:
                    order: Any = "F" if blob.flags.fnc else "C"
                    np.copyto(np.ndarray(blob.shape, blob.dtype, memory, at, order=order), blob)
            else:
                length = len(blob)
                memory.data[at : at + length] = blob
            end = at + padded(length)
            if at + length < end:
                memory[at + length : end] = 0
            at = end


_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def describe(value: Any, *, allow_pickle: bool = False, limits: Limits | None = None) -> Described:
    """Describe a value. Its arrays must stay as they are until they are written.

    Raises:
        TypeError: a part of it is no data and pickle is not allowed; the message says which.
        ValueError: it is nested too deep, or exceeds ``limits``.

    Example:
        >>> describe([1, (None, b"xy")]).text
        b'["l",1,["t",null,["b",2]]]'
    """
    walk = _Describer(allow_pickle)
    try:
        text = _dumps(walk.plain(value, 0)).encode()
    except _NotPlain as error:
        where = _path(value, error.culprit, 0) or "it"
        raise TypeError(f"{where} is a {_kind(error.culprit)}, which only pickle can store") from error.__cause__
    if limits is not None:
        _check(limits, len(text), walk.odd_keys)
    return Described(text, walk.blobs)


def _check(limits: Limits, length: int, odd_keys: int) -> None:
    if length > limits.description_bytes:
        raise ValueError(
            f"it has {length:,} bytes of structure and small values, at most {limits.description_bytes:,} are "
            "possible; turn long lists of numbers into arrays"
        )
    if odd_keys > limits.odd_keys:
        raise ValueError(f"it has {odd_keys} dict keys that are not str, at most {limits.odd_keys} are possible")


class _NotPlain(Exception):
    def __init__(self, culprit: Any):
        self.culprit = culprit


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{name} of dtype {value.dtype}" if isinstance(value, (np.ndarray, np.generic)) else name


def _path(value: Any, culprit: Any, depth: int) -> str | None:
    """How to get from a value to a part of it."""
    if value is culprit:
        return ""
    if depth > MAX_DEPTH:
        return None
    parts: list[tuple[str, Any]] = []
    if type(value) in (list, tuple):
        parts = [(f"[{at}]", part) for at, part in enumerate(value)]
    elif type(value) is dict:
        parts = [(f" key {key!r:.40}", key) for key in value] + [(f"[{k!r:.40}]", part) for k, part in value.items()]
    for step, part in parts:
        rest = _path(part, culprit, depth + 1)
        if rest is not None:
            return ("it" if step[0] == " " and depth == 0 else "") + step + rest
    return None


class _Describer:
    def __init__(self, allow_pickle: bool):
        self.blobs: list[Blob] = []
        self.odd_keys = 0
        self._allow_pickle = allow_pickle

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < _LONG_TEXT else self._blob("u", value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return value if value in _INT64 else ["i", hex(value)]
        if value is None or kind is float or kind is bool:
            return value
        if depth == MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
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
            if kind in _EMPTY.values() and value.dtype.itemsize == 0:
                return ["s", value.dtype.str]
        elif kind is complex:
            return ["c", value.real, value.imag]
        return self._object(value)

    def _dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        flat: list[Any] = ["d"]
        for key, component in value.items():
            if type(key) is not str:
                self.odd_keys += 1
            flat.append(self.plain(key, depth + 1))
            flat.append(self.plain(component, depth + 1))
        return flat

    def _blob(self, tag: str, data: bytes | bytearray) -> list[Any]:
        self.blobs.append(data)
        return [tag, len(data)]

    def _object(self, value: Any) -> list[Any]:
        if not self._allow_pickle:
            raise _NotPlain(value)
        try:
            return self._blob("p", pickle.dumps(value, 5))
        except Exception as error:
            raise SerializationError(f"a {_kind(value)} in it cannot be pickled: {error}") from error


def _name(dtype: Dtype) -> Any:
    """A dtype as JSON; None if it is more than data. Its metadata are not kept, as `numpy.save` does not keep them."""
    if dtype.hasobject or dtype.itemsize == 0:
        return None
    if dtype.isbuiltin == 1:
        return dtype.str
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


# -- reading


class Reader:
    """Makes values of what was described.

    Arrays are views of ``body``, writable if it is; what else there is, is copied.

    Args:
        text: the description, of one value or of several in a list.
        body: the bytes of all of them.
        allow_pickle: whether pickles are read. Reading one runs whatever its sender wants.
        limits: None: what is read is not from a stranger.

    Attributes:
        plain: the description, for `read`.

    Raises:
        MalformedError: the description is no JSON, or too long.
    """

    def __init__(self, text: memoryview, body: memoryview, *, allow_pickle: bool = False, limits: Limits | None = None):
        if limits is not None and len(text) > limits.description_bytes:
            raise MalformedError("a description too long")
        try:
            self.plain = json.loads(bytes(text))
        except (ValueError, RecursionError, MemoryError) as error:
            raise MalformedError(f"a description that makes no sense ({type(error).__name__})") from error
        self._position = 0
        self._body = body
        self._allow_pickle = allow_pickle
        self._most_odd_keys = limits.odd_keys if limits is not None else None
        self._odd_keys = 0
        self._unreadable: SerializationError | None = None

    def read(self, plain: Any) -> Any:
        """The next value.

        Args:
            plain: its description.

        Raises:
            MalformedError: that is no description, or not one of the next bytes.
            SerializationError: a pickle in it cannot be read here. The values behind it can.
        """
        self._odd_keys, self._unreadable = 0, None
        try:
            value = self._value(plain, 0)
        except MalformedError:
            raise
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, MemoryError) as error:
            raise MalformedError(f"a description that makes no sense ({type(error).__name__})") from error
        if self._unreadable is not None:
            raise self._unreadable
        return value

    def finish(self) -> None:
        """There are no more values.

        Raises:
            MalformedError: but there are more bytes.
        """
        if self._position != len(self._body):
            raise MalformedError("bytes that nothing describes")

    def _value(self, plain: Any, depth: int) -> Any:
        kind = type(plain)
        if kind is not list:
            if kind is dict:
                raise MalformedError("a JSON object")
            return plain
        if depth == MAX_DEPTH:
            raise MalformedError(f"nested more than {MAX_DEPTH} levels deep")
        return _READERS[plain[0]](self, plain, depth + 1)

    def _take(self, plain: list[Any]) -> memoryview:
        _, length = plain
        return self._bytes(length)

    def _bytes(self, length: int) -> memoryview:
        if type(length) is not int or length < 0 or padded(length) > len(self._body) - self._position:
            raise MalformedError("a length beyond the bytes that are there")
        start = self._position
        self._position += padded(length)
        return self._body[start : start + length]

    def _list(self, plain: list[Any], depth: int) -> list[Any]:
        return [self._value(v, depth) for v in plain[1:]]

    def _tuple(self, plain: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self._list(plain, depth))

    def _dict(self, plain: list[Any], depth: int) -> dict[Any, Any]:
        if len(plain) % 2 == 0:
            raise MalformedError("a key without value")
        found: dict[Any, Any] = {}
        for at in range(1, len(plain), 2):
            key = self._value(plain[at], depth)
            if type(key) is not str:
                self._odd_keys += 1
                if self._most_odd_keys is not None and self._odd_keys > self._most_odd_keys:
                    raise MalformedError("too many keys that are not str")
            found[key] = self._value(plain[at + 1], depth)
        return found

    def _bytes_copied(self, plain: list[Any], depth: int) -> bytes:
        return bytes(self._take(plain))

    def _bytearray(self, plain: list[Any], depth: int) -> bytearray:
        return bytearray(self._take(plain))

    def _text(self, plain: list[Any], depth: int) -> str:
        return str(self._take(plain), "utf-8", "surrogatepass")

    def _any_array(self, plain: list[Any], depth: int) -> np.ndarray[Any, Any]:
        return self._array(_dtype(plain[1], 0), plain[2], tuple(plain[3:]))

    def _scalar(self, plain: list[Any], depth: int) -> Any:
        _, dtype = plain
        if type(dtype) is str and dtype in _EMPTY:
            return _EMPTY[dtype]()
        return self._array(_dtype(dtype, 0), "C", ()).copy()[()]

    def _array(self, dtype: Dtype, order: Any, shape: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        if order not in ("C", "F") or any(type(n) is not int or n < 0 for n in shape) or dtype.subdtype is not None:
            raise MalformedError("a bad array")
        nbytes = math.prod(shape) * dtype.itemsize
        memory = self._bytes(nbytes)
        if nbytes == 0:
            return np.empty(shape, dtype, order)
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, buffer=memory, order=order)
        if dtype.kind == "U" and array.size and _highest_character(memory, dtype) > 0x10FFFF:
            raise MalformedError("no characters")
        return array if array.flags.aligned else array.copy(order)

    def _long_int(self, plain: list[Any], depth: int) -> int:
        _, digits = plain
        return int(digits, 16)

    def _complex(self, plain: list[Any], depth: int) -> complex:
        _, real, imaginary = plain
        if type(real) is not float or type(imaginary) is not float:
            raise MalformedError("a bad complex number")
        return complex(real, imaginary)

    def _pickled(self, plain: list[Any], depth: int) -> Any:
        if not self._allow_pickle:
            raise MalformedError("a pickle, which is not allowed here (allow_pickle)")
        data = self._take(plain)
        try:
            return pickle.loads(data)
        except Exception as error:
            self._unreadable = SerializationError(
                f"a pickled object cannot be read here ({type(error).__name__}: {error}); both sides need the same "
                "modules"
            )
            self._unreadable.__cause__ = error
            return None


_READERS: dict[str, Callable[[Reader, list[Any], int], Any]] = {
    "l": Reader._list,
    "t": Reader._tuple,
    "d": Reader._dict,
    "b": Reader._bytes_copied,
    "y": Reader._bytearray,
    "u": Reader._text,
    "a": Reader._any_array,
    "s": Reader._scalar,
    "i": Reader._long_int,
    "c": Reader._complex,
    "p": Reader._pickled,
}


def _highest_character(memory: memoryview, dtype: Dtype) -> int:
    return int(np.frombuffer(memory, f"{dtype.byteorder}u4".replace("=", "<").replace("|", "<")).max())


def _dtype(name: Any, depth: int) -> Dtype:
    if type(name) is str:
        if not _DTYPE.fullmatch(name):
            raise MalformedError("no dtype of data")
        return np.dtype(name)
    if depth == MAX_DEPTH:
        raise MalformedError("nested too deep")
    if name[0] == "A":
        _, base, *shape = name
        if not all(type(n) is int and n > 0 for n in shape) or math.prod(shape) > 1 << 40:
            raise MalformedError("a bad subarray")
        subarray: Dtype = np.dtype((_dtype(base, depth + 1), tuple(shape)))
        return subarray
    tag, itemsize, *fields = name
    if tag != "S" or type(itemsize) is not int or not 0 < itemsize < 1 << 40:
        raise MalformedError("no dtype of data")
    names, formats, offsets = zip(*fields, strict=True)
    described = {
        "names": list(names),
        "formats": [_dtype(f, depth + 1) for f in formats],
        "offsets": list(offsets),
        "itemsize": itemsize,
    }
    structured: Dtype = np.dtype(described)  # type: ignore[call-overload]
    return structured
