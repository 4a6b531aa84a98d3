"""Datapoints as records of bytes: how they are made, and what is accepted when they are read."""

from __future__ import annotations

import pickle
from typing import Any

from ..parallel.pickling import explain
from ..plain_codec.records import MAGIC, decode, encode

__all__ = ["check_codec", "pack", "unpack"]

_CODECS = ("plain", "pickle")


def check_codec(codec: str) -> str:
    """``codec``, if there is one of that name.

    Raises:
        ValueError: there is not.
    """
    if codec not in _CODECS:
        raise ValueError(f"codec must be one of {', '.join(map(repr, _CODECS))}, got {codec!r}")
    return codec


def pack(datapoint: Any, codec: str) -> bytes:
    """The record of a datapoint.

    Raises:
        TypeError: it holds what the codec cannot store.
    """
    if codec == "plain":
        try:
            return encode(datapoint)
        except TypeError as error:
            raise TypeError(f'{error}: codec="pickle" writes it, and reading it then needs allow_pickle=True') from None
    try:
        return pickle.dumps(datapoint, 5)
    except Exception as error:
        raise TypeError(f"the datapoint cannot be pickled: {explain(datapoint, 'it') or error}") from error


def unpack(record: bytes | memoryview, allow_pickle: bool) -> Any:
    """The datapoint of a record; each one tells by its first bytes how it was made.

    Raises:
        ValueError: it is damaged, it is pickled and that is not allowed, or nobody knows what it is.
    """
    if bytes(record[:3]) == MAGIC:
        return decode(record)
    if bytes(record[:1]) != b"\x80":
        raise ValueError(f"it is no datapoint saved by headrace or tensorpack: it begins {bytes(record[:8])!r}")
    if not allow_pickle:
        raise ValueError(
            "it is pickled, and unpickling may run any code; give allow_pickle=True if you trust who wrote it"
        )
    try:
        return pickle.loads(record)
    except Exception as error:
        raise ValueError(f"it cannot be unpickled: {type(error).__name__}: {error}") from error
