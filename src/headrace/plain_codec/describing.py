"""Values become a description and the bytes that go with it, see `plain_codec`."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np

from ..errors import SerializationError
from . import EMPTY, MAX_DEPTH, Dtype, Limits, padded

__all__ = ["Described", "describe"]

_LONG_TEXT = 256
_INT64 = range(-(1 << 63), 1 << 63)

Blob = bytes | bytearray | np.ndarray[Any, Any]


class Described:
    """A value, ready to be written.

    Attributes:
        text: the description.
        nbytes: of what goes with it.
    """

    __slots__ = ("_blobs", "nbytes", "text")

    def __init__(self, text: bytes, blobs: list[Blob], nbytes: int):
        self.text = text
        self.nbytes = nbytes
        self._blobs = blobs

    def write(self, memory: np.ndarray[Any, Any], at: int = 0) -> None:
        """Write the bytes into ``memory``, of uint8, from ``at`` on."""
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
    return Described(text, walk.blobs, walk.nbytes)


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
        self.nbytes = 0
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
                self.nbytes += padded(value.nbytes)
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
                self.nbytes += padded(value.nbytes)
                return ["s", dtype]
            if kind in EMPTY.values() and value.dtype.itemsize == 0:
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
        self.nbytes += padded(len(data))
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
