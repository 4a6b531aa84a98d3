"""The checksum of TFRecord files: CRC-32C (Castagnoli, RFC 3720 appendix B.4), and its masked form.

The package google-crc32c computes it at the speed of memory, and is used where it is installed. Else it is done with
numpy, at about 100 MB a second: a CRC is linear, so pieces of 64 bytes are summed up side by side, and their sums
joined in pairs.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["crc32c", "masked"]

_POLYNOMIAL = 0x82F63B78  # reflected
_PIECE = 64

Words = npt.NDArray[np.uint32]


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _make_table()
_TABLE_WORDS = np.array(_TABLE, np.uint32)


def masked(data: bytes) -> int:
    """The checksum as it stands in the file (https://www.tensorflow.org/tutorials/load_data/tfrecord).

    Example:
        >>> hex(masked(b"123456789"))
        '0xc78ab0e5'
    """
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The plain checksum.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    return int(_implementation()(data))


@functools.cache
def _implementation() -> Any:
    try:
        import google_crc32c
    except ImportError:
        return by_numpy
    return google_crc32c.value


def by_numpy(data: bytes) -> int:
    """The same, without another package."""
    if len(data) < 2 * _PIECE:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    padding = -len(data) % _PIECE  # in front, where zeros do not count
    padded = np.zeros(padding + len(data), np.uint8)
    padded[padding:] = np.frombuffer(data, np.uint8)
    padded[padding : padding + 4] ^= 0xFF  # the same as beginning with 0xFFFFFFFF
    columns = np.ascontiguousarray(padded.reshape(-1, _PIECE).T).astype(np.uint32)
    sums = np.zeros(columns.shape[1], np.uint32)
    for column in columns:
        sums = _TABLE_WORDS[(sums ^ column) & 0xFF] ^ (sums >> np.uint32(8))
    doublings = 0
    while len(sums) > 1:
        if len(sums) % 2:
            sums = np.concatenate([np.zeros(1, np.uint32), sums])
        sums = _apply(_zeros(doublings), sums[::2]) ^ sums[1::2]
        doublings += 1
    return int(sums[0]) ^ 0xFFFFFFFF


def _apply(tables: Words, sums: Words) -> Words:
    result: Words = tables[0][sums & 0xFF]
    for k in range(1, 4):
        result = result ^ tables[k][(sums >> np.uint32(8 * k)) & 0xFF]
    return result


@functools.cache
def _zeros(doublings: int) -> Words:
    """What 64 * 2**doublings zero bytes do to a sum: a linear map, as one table for each of its four bytes."""
    if doublings == 0:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        for _ in range(_PIECE):
            bits = _TABLE_WORDS[bits & 0xFF] ^ (bits >> np.uint32(8))
    else:
        half = _zeros(doublings - 1)
        bits = _apply(half, np.array([half[k][1 << b] for k in range(4) for b in range(8)], np.uint32))
    tables = np.zeros((4, 256), np.uint32)
    for k in range(4):
        for b in range(8):
            has_bit = (np.arange(256) >> b) & 1 == 1
            tables[k][has_bit] ^= bits[8 * k + b]
    return tables
