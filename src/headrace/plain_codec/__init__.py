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
where they lie.

`describing` writes it, `reading` reads it. `records` has it in one piece, for files; `remote.wire` has the layout of a
message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["EMPTY", "MAX_DEPTH", "Dtype", "Limits", "MalformedError", "padded"]

MAX_DEPTH = 64

EMPTY = {"<U0": np.str_, "|S0": np.bytes_}
"""Scalars without bytes. (Arrays of such a dtype do not exist: numpy makes their items one character long.)"""

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
