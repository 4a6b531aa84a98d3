"""Databases that Caffe wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..parallel.policy import OnErrorChoice
from .lmdb import DecodedLMDB, LMDBData
from .protobuf import fields, signed
from .writing import PathLike

__all__ = ["CaffeLMDB"]


def CaffeLMDB(  # noqa: N802 - upstream's name
    lmdb_path: PathLike,
    shuffle: bool = True,
    keys: str | Sequence[str | bytes] | None = None,
    on_error: OnErrorChoice = "raise",
    max_errors: int | float | None = None,
) -> LMDBData:
    """A database of Caffe, whose values are ``caffe.Datum`` messages with raw pixels.

    Args:
        lmdb_path: see `LMDBData`.
        shuffle: see `LMDBData`.
        keys: see `LMDBData`.
        on_error: see `LMDBData`.
        max_errors: see `LMDBData`.

    Returns:
        A flow of ``[image, label]``: a uint8 array of height, width and channels, and an int.

    Raises:
        FormatError: while it is iterated, a value is no such message, or holds a compressed image (then use
            `LMDBDataDecoder`).

    Example:
        >>> import headrace as hr
        >>> ds = hr.CaffeLMDB("train_lmdb", keys="{:0>8d}")  # doctest: +SKIP
    """
    return DecodedLMDB(_decode_datum, lmdb_path, shuffle, keys, on_error, max_errors)


def _decode_datum(value: bytes) -> list[Any]:
    # https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto, message Datum
    shape = {1: 0, 2: 0, 3: 0}  # channels, height, width
    data, label = b"", 0
    for number, _, content in fields(value):
        if isinstance(content, int):
            if number in shape:
                shape[number] = content
            elif number == 5:
                label = signed(content)
            elif number == 7 and content:
                raise ValueError("the caffe.Datum holds a compressed image: decode it with LMDBDataDecoder")
        elif number == 4:
            data = bytes(content)
    channels, height, width = shape.values()
    if len(data) != channels * height * width:
        raise ValueError(f"the caffe.Datum has {len(data)} bytes of pixels for shape {tuple(shape.values())}")
    image = np.frombuffer(bytearray(data), np.uint8).reshape(channels, height, width)
    return [image.transpose(1, 2, 0), label]
