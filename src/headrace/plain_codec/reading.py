"""Descriptions and bytes become values again, see `plain_codec`. Nothing is believed before it is checked."""

from __future__ import annotations

import functools
import json
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import SerializationError
from . import EMPTY, MAX_DEPTH, Dtype, Limits, MalformedError, padded

__all__ = ["Reader"]

_MOST_DIMENSIONS = 64
"""As numpy has it."""

_DTYPE = re.compile(r"[<>|][biufcSUmMV][1-9][0-9]{0,9}(\[[0-9a-zA-Zμ]{1,16}(/[0-9]{1,9})?\])?")


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
        return self._array(_known_layout(*plain[1:]) if type(plain[1]) is str else _layout(*plain[1:]))

    def _scalar(self, plain: list[Any], depth: int) -> Any:
        _, dtype = plain
        if type(dtype) is str and dtype in EMPTY:
            return EMPTY[dtype]()
        return self._array(_layout(dtype, "C")).copy()[()]

    def _array(self, layout: _Layout) -> np.ndarray[Any, Any]:
        dtype, order, shape, nbytes, room = layout
        start, end = self._position, self._position + room
        if end > len(self._body):
            raise MalformedError("an array beyond the bytes that are there")
        self._position = end
        if nbytes == 0:
            return np.empty(shape, dtype, order)
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, self._body, start, order=order)
        if dtype.kind == "U" and _highest_character(self._body[start : start + nbytes], dtype) > 0x10FFFF:
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


class _Layout(NamedTuple):
    dtype: Dtype
    order: Any
    shape: tuple[int, ...]
    nbytes: int
    room: int  # with what comes before the next bytes


def _layout(name: Any, order: Any, *shape: Any) -> _Layout:
    """How an array lies in its bytes."""
    dtype = _dtype(name, 0)
    if len(shape) > _MOST_DIMENSIONS:  # known layouts are kept, so they must be small
        raise MalformedError("an array of too many dimensions")
    if order not in ("C", "F") or any(type(n) is not int or n < 0 for n in shape) or dtype.subdtype is not None:
        raise MalformedError("a bad array")
    nbytes = math.prod(shape) * dtype.itemsize
    return _Layout(dtype, order, shape, nbytes, padded(nbytes))


_known_layout = functools.lru_cache(256, typed=True)(_layout)
"""Most arrays of a stream have one layout, and to check it takes longer than all the rest. (Not of dtypes with fields:
their names are lists, which have no hash. ``typed``, since 1, 1.0 and true are different things here.)"""


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
