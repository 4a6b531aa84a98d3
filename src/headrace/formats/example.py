"""``tf.train.Example``: a dict whose values are lists of bytes, floats or integers.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .protobuf import BYTES, VARINT, field, fields, signed, varint, varints

__all__ = ["decode", "encode"]

_BYTES_LIST, _FLOAT_LIST, _INT_LIST = 1, 2, 3


def encode(datapoint: Any) -> bytes:
    """A dict as an example.

    Raises:
        TypeError: it is no dict, or a component is neither bytes, str, a number nor a list of one of these.
    """
    if not isinstance(datapoint, dict) or not all(isinstance(name, str) for name in datapoint):
        raise TypeError(f"a tf.train.Example is made of a dict with names, got {type(datapoint).__name__}")
    features = (
        field(1, field(1, name.encode()) + field(2, _feature(name, value))) for name, value in datapoint.items()
    )
    return field(1, b"".join(features))


def _feature(name: str, value: Any) -> bytes:
    if isinstance(value, (bytes, str)):
        value = [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, (bytes, str)) for v in value):
        return field(_BYTES_LIST, b"".join(field(1, v.encode() if isinstance(v, str) else v) for v in value))
    array = np.asarray(value)
    if array.ndim > 1:
        raise TypeError(f"component {name!r} has shape {array.shape}: a tf.train.Example holds flat lists only")
    if _is_too_large(value, array):
        raise TypeError(f"component {name!r} has integers of 2**63 or more, which a tf.train.Example cannot hold")
    if array.dtype.kind in "biu":
        return field(_INT_LIST, field(1, b"".join(map(varint, array.ravel().tolist()))))
    if array.dtype.kind == "f":
        return field(_FLOAT_LIST, field(1, array.ravel().astype("<f4").tobytes()))
    raise TypeError(f"component {name!r} is a {type(value).__name__}, which a tf.train.Example cannot hold")


def _is_too_large(value: Any, array: np.ndarray[Any, Any]) -> bool:
    """Whether there are integers beyond those with a sign; among others numpy makes floats of them."""
    if array.dtype.kind == "f" and isinstance(value, (list, tuple)) and value:
        return all(isinstance(v, (int, np.integer)) for v in value)
    return bool(array.dtype == np.uint64 and array.size and array.max() >= 2**63)


def decode(data: bytes) -> dict[str, Any]:
    """An example as a dict of lists of bytes, arrays of int64 and arrays of float32.

    Raises:
        ValueError: it is none.
    """
    result: dict[str, Any] = {}
    for number, kind, features in fields(data):
        if number == 1 and kind == BYTES:
            for _, entry_kind, entry in fields(_message(features)):
                if entry_kind != BYTES:
                    raise ValueError("it is no tf.train.Example")
                parts = {n: content for n, _, content in fields(_message(entry))}
                name = str(_message(parts.get(1, memoryview(b""))), "utf-8")
                result[name] = _values(_message(parts.get(2, memoryview(b""))))
    return result


def _message(content: int | memoryview) -> memoryview:
    if isinstance(content, int):
        raise ValueError("it is no tf.train.Example")
    return content


def _values(feature: memoryview) -> Any:
    for number, _, values in fields(feature):
        if number == _BYTES_LIST:
            return [bytes(_message(v)) for _, _, v in fields(_message(values))]
        if number == _FLOAT_LIST:
            raw = b"".join(_message(v) for _, _, v in fields(_message(values)))
            return np.frombuffer(bytearray(raw), "<f4")
        if number == _INT_LIST:
            numbers: list[int] = []
            for _, kind, v in fields(_message(values)):
                numbers.extend([signed(int(v))] if kind == VARINT else varints(_message(v)))
            return np.array(numbers, np.int64)
    return []
