"""The sender's end of the codec: objects become bytes and arena blocks. See `codec`."""

from __future__ import annotations

import io
import math
import pickle
import time
from collections import ChainMap
from collections.abc import Callable
from typing import Any, Literal

import cloudpickle
import numpy as np

from .arena import LARGE_BYTES
from .codec import CLOCKED_EACH, SHORT, Array, Block, BlockWriter, Encoded, bytes_of, datapoints_in, on_block, same
from .lending import Lender, Loan

__all__ = ["Encoder"]

_ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None)))
"""What can neither change nor hold anything else."""

_NUMBERS = frozenset((int, float, bool, type(None)))
"""Of these, what pickle writes without keeping it in mind for later references."""

_SPILL_BYTES = 1 << 15
"""From so many bytes of pickles on, writing them to the arena costs less than sending them."""

_KEEP_BYTES = 1 << 22
"""A buffer that has grown larger is not kept for the next message."""


class Encoder:
    """Turns objects into bytes and arena blocks.

    Args:
        arena: where large arrays go; None: into the bytes as well.
        main_by_value: whether the receiver lacks this process's ``__main__``.
        spills: whether many pickles go to the arena, too.
    """

    def __init__(self, arena: BlockWriter | None, *, main_by_value: bool, spills: bool = False):
        self._arena = arena
        self._main_by_value = main_by_value
        self._spills = spills
        self._blocks: list[Block] = []
        self._placed = False
        self._lender = Lender(arena) if arena is not None else None
        self._claims: list[tuple[int, Loan]] = []  # place among the blocks -> whose array was claimed for it
        self._file = io.BytesIO()
        self._pickler: pickle.Pickler | None = None
        self._layout: list[tuple[int, int, int]] = []
        self.plain: list[Any] = []
        """Datapoints of simple types that were added and are not pickled yet; may be appended to."""
        self._messages = 0
        self._clocking = True  # this message
        self._clocked_s = self._earlier_s = self._each_s = 0.0
        self._heavy = False  # whether datapoints seem to hold large bytes objects
        self._numbers = False  # whether they seem to be numbers only
        self._table: dict[type, Callable[[Any], Any]] = {np.ndarray: self._reduce_array, _Blob: self._reduce_blob}

    def encode(self, datapoints: list[Any] | range) -> Encoded:
        """The bytes and blocks from which `Decoder.decode` makes ``datapoints``.

        Raises:
            Exception: whatever pickling them raises; no block stays lent.
        """
        try:
            if isinstance(datapoints, range):
                self._dump(datapoints)
                self._layout.append((len(datapoints), self._file.tell(), 0))
            elif not (self._numbers and self._add_numbers(datapoints)):
                self._add_all(datapoints)
                if self._main_by_value and b"__main__" in bytes(self._written()):
                    self.cancel()
                    for datapoint in datapoints:
                        self._add_alone(datapoint, by_value=True)
            return self.finish()
        except BaseException:
            self.cancel()
            raise

    def _add_numbers(self, datapoints: list[Any]) -> bool:
        """Pickle datapoints as one list, if they are numbers: then pickle has kept nothing but the list in mind.

        To find this out afterwards takes no time; to look at the type of each takes longer than to pickle it.
        """
        where, placed = self._file.tell(), len(self._blocks)
        try:
            pickler = self._made_pickler()
            pickler.dump(datapoints)
            alone = len(pickler.memo.copy()) == 1 and len(self._blocks) == placed
            pickler.clear_memo()
        except Exception:
            alone = False
        self._numbers = alone
        if alone:
            self._layout.append((len(datapoints), self._file.tell() - where, 0))
        else:
            self._rewind(where, placed)
        return alone

    def _add_all(self, datapoints: list[Any]) -> None:
        kinds = set(map(type, datapoints))
        self._numbers = _NUMBERS.issuperset(kinds)
        if _ATOMS.issuperset(kinds) and not self._heavy:
            self.plain += datapoints
        else:
            for datapoint in datapoints:
                self.add(datapoint)
        self._flush()

    def add(self, datapoint: Any) -> bool:
        """Encode one more datapoint now: what becomes of it later makes no difference; it shares nothing with others.

        Returns:
            Whether the caller should let go of it now, and call `settle` before anybody can change it.

        Raises:
            Exception: whatever pickling it raises; then it is not there, but those before it are.
        """
        kind = type(datapoint)
        if kind in _ATOMS:
            if kind is not bytes or len(datapoint) < LARGE_BYTES:
                self.plain.append(datapoint)
                return False
        elif self._heavy:
            datapoint = _without_blobs(datapoint)
        # Small flat containers are most of what is small. A copy of them is as good as their pickle, and much cheaper.
        if kind is list or kind is tuple:
            if _ATOMS.issuperset(map(type, datapoint)):
                self.plain.append(datapoint[:])
                return False
        elif (
            kind is dict
            and _ATOMS.issuperset(map(type, datapoint))
            and _ATOMS.issuperset(map(type, datapoint.values()))
        ):
            self.plain.append(datapoint.copy())
            return False
        if kind is bytes:
            datapoint = _Blob(datapoint)
        if self._clocking:
            began_s = time.perf_counter()
            self._add_alone(datapoint, by_value=False)
            self._clocked_s += time.perf_counter() - began_s
        else:
            self._add_alone(datapoint, by_value=False)
        return bool(self._claims)

    def settle(self) -> None:
        """Arrays made by `empty` that nobody holds any more need no copy; the others are copied now."""
        claims, self._claims = self._claims, []
        for place, loan in claims:
            assert self._lender is not None
            self._blocks[place] = self._lender.settle(loan)

    @property
    def added(self) -> int:
        """How many datapoints were added since the last `finish`."""
        return datapoints_in(self._layout) + len(self.plain) if self._layout else len(self.plain)

    @property
    def encode_s(self) -> float:
        """Seconds spent on datapoints that were pickled by themselves, judged by the messages that were clocked."""
        return self._earlier_s + (self._clocked_s if self._clocking else self._each_s * len(self._layout))

    def finish(self) -> Encoded:
        """All that was added since the last time."""
        self._flush()
        self._count_message()
        layout, self._layout = self._layout, []
        blocks = self._take_blocks()
        nbytes = self._file.tell()
        total = nbytes + sum(length for _, _, length in blocks) if blocks else nbytes
        self._heavy = total > LARGE_BYTES and total > LARGE_BYTES * datapoints_in(layout)
        with self._written() as written:
            spilled = self._spills and nbytes >= _SPILL_BYTES and self._spill(written, blocks)
            data = b"" if spilled else bytes(written)
        self._clear()
        return Encoded(data, blocks, layout, spilled)

    def _count_message(self) -> None:
        self._earlier_s = self.encode_s
        if self._clocking and self._layout:
            self._each_s = self._clocked_s / len(self._layout)
        self._messages += 1
        self._clocking, self._clocked_s = self._messages % CLOCKED_EACH == 0, 0.0

    def cancel(self) -> None:
        """Forget what was added since the last `finish`."""
        self.plain.clear()
        self._layout = []
        self._take_back(self._take_blocks())
        self._clear()

    def _written(self) -> memoryview:
        """The pickles so far; let go of it before anything else is written."""
        return self._file.getbuffer()[: self._file.tell()]

    def _clear(self) -> None:
        """Begin again, in the same memory: fresh memory is slow."""
        large = self._file.tell() > _KEEP_BYTES
        self._file.seek(0)
        if large:
            self._file.truncate()

    def _spill(self, written: memoryview, blocks: list[Block]) -> bool:
        """Copy the pickles into a block of their own; False if there is none to be had."""
        place = self._arena.allocate(len(written)) if self._arena is not None else None
        if place is None:
            return False
        block, offset, memory = place
        memory[:] = np.frombuffer(written, np.uint8)
        blocks.append((block, offset, len(written)))
        return True

    def _flush(self) -> None:
        """Plain datapoints are pickled together: there is nothing in them that could be shared or changed."""
        if self.plain:
            where = self._file.tell()
            self._dump(self.plain)
            self._layout.append((len(self.plain), self._file.tell() - where, 0))
            self.plain.clear()

    def _add_alone(self, datapoint: Any, *, by_value: bool) -> None:
        self._flush()
        where, placed = self._file.tell(), len(self._blocks)
        try:
            if by_value:
                raise pickle.PicklingError("this process's __main__ does not exist where this goes")
            self._dump(datapoint)
        except (pickle.PicklingError, AttributeError, TypeError):
            # Perhaps a lambda, or a class of __main__: cloudpickle knows, or says what is wrong.
            self._rewind(where, placed)
            try:
                pickler = cloudpickle.Pickler(self._file, protocol=5, buffer_callback=self._keep_in_band)
                pickler.dispatch_table = ChainMap(self._table, cloudpickle.Pickler.dispatch_table)
                pickler.dump(datapoint)
            except BaseException:
                self._rewind(where, placed)
                raise
        except BaseException:
            self._rewind(where, placed)
            raise
        self._layout.append((0, self._file.tell() - where, len(self._blocks) - placed))

    def _rewind(self, where: int, placed: int) -> None:
        self._pickler = None  # it may be in the middle of something
        self._file.seek(where)
        self._placed = False
        self.settle()
        blocks, self._blocks = self._blocks[placed:], self._blocks[:placed]
        self._take_back(blocks)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array to be filled and added, which costs no copy if nobody holds it when that is settled."""
        nbytes = math.prod(shape) * dtype.itemsize
        memory = None
        if self._lender is not None and nbytes >= LARGE_BYTES and not dtype.hasobject:
            memory = self._lender.empty(nbytes)
        return np.empty(shape, dtype) if memory is None else memory.view(dtype).reshape(shape)

    @property
    def arena_bytes(self) -> int:
        """Shared memory that has been needed so far."""
        return self._arena.used_bytes if self._arena is not None else 0

    def trim(self) -> None:
        """Give unused memory of the arena back to the system."""
        if self._arena is not None:
            self._arena.trim()

    def close(self) -> None:
        """Break the reference cycle through the table, so that the arena is given back now, not by the collector."""
        self._table.clear()
        self._pickler = None

    def _dump(self, obj: Any) -> None:
        pickler = self._pickler or self._made_pickler()
        pickler.dump(obj)
        pickler.clear_memo()

    def _made_pickler(self) -> pickle.Pickler:
        if self._pickler is None:
            self._pickler = pickle.Pickler(self._file, protocol=5, buffer_callback=self._keep_in_band)
            self._pickler.dispatch_table = self._table
        return self._pickler

    def _keep_in_band(self, buffer: pickle.PickleBuffer) -> bool:
        """Pickle asks for each buffer. Those of `_reduce_array` lie in the arena already."""
        if self._placed:
            self._placed = False
            return False
        raw = buffer.raw()
        return raw.readonly or raw.nbytes < LARGE_BYTES or self._place(np.frombuffer(raw, np.uint8)) is None

    def _reduce_array(self, array: Array) -> Any:
        dtype = array.dtype
        if dtype.hasobject:
            return array.__reduce_ex__(5)
        memory = self._place(array) if array.nbytes >= LARGE_BYTES else None
        if memory is not None:
            self._placed = True
            buffer: Any = pickle.PickleBuffer(memory)  # type: ignore[arg-type]
        else:  # In the bytes. (numpy's own way takes twice as long, and keeps read-only arrays read-only.)
            buffer = bytearray(array.tobytes("A"))
        short = SHORT.get(id(dtype)) or _short(dtype)
        return on_block, (buffer, short, array.shape, "F") if array.flags.fnc else (buffer, short, array.shape)

    def _reduce_blob(self, blob: _Blob) -> Any:
        memory = self._place(np.frombuffer(blob.data, np.uint8))
        if memory is None:
            return same, (blob.data,)
        self._placed = True
        return bytes_of, (pickle.PickleBuffer(memory),)  # type: ignore[arg-type]

    def _place(self, array: Array) -> Array | None:
        """Copy an array into a block, if it does not lie in one; None if there is none to be had."""
        loan = self._lender.claim(array) if self._lender is not None else None
        if loan is not None:
            self._claims.append((len(self._blocks), loan))
            self._blocks.append(loan.block)
            return _ELSEWHERE
        place = self._arena.allocate(array.nbytes) if self._arena is not None else None
        if place is None:
            return None
        block, offset, memory = place
        self._blocks.append((block, offset, array.nbytes))
        shaped = memory.view(array.dtype).reshape(array.shape, order=_order(array))
        np.copyto(shaped, array)
        return memory

    def _take_blocks(self) -> list[Block]:
        """The blocks of a body that is complete."""
        self.settle()
        blocks, self._blocks = self._blocks, []
        return blocks

    def _take_back(self, blocks: list[Block]) -> None:
        for block, _, _ in blocks:
            assert self._arena is not None
            self._arena.take_back(block)


_ELSEWHERE = np.zeros(1, np.uint8)
"""What pickle is shown for an array that it need not look at, and shall not keep alive."""


def _order(array: Array) -> Literal["C", "F"]:
    return "F" if array.flags.fnc else "C"


def _short(dtype: np.dtype[Any]) -> str | np.dtype[Any]:
    """A dtype as what is quickest to send: to pickle one takes longer than to pickle a small array."""
    plain = dtype.isbuiltin == 1 or (dtype.names is None and dtype.kind in "biufcSUmM" and dtype.metadata is None)
    return dtype.str if plain and dtype.subdtype is None else dtype


class _Blob:
    """A large bytes object, so that pickle asks us how to reduce it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes):
        self.data = data


def _without_blobs(datapoint: Any) -> Any:
    """A datapoint with `_Blob` for large bytes objects among its components; itself, if there are none."""
    if type(datapoint) is bytes:
        return _Blob(datapoint) if len(datapoint) >= LARGE_BYTES else datapoint
    if type(datapoint) is dict:
        if any(type(v) is bytes and len(v) >= LARGE_BYTES for v in datapoint.values()):
            return {k: _without_blobs(v) if type(v) is bytes else v for k, v in datapoint.items()}
    elif type(datapoint) in (list, tuple) and any(type(v) is bytes and len(v) >= LARGE_BYTES for v in datapoint):
        return type(datapoint)(_without_blobs(v) if type(v) is bytes else v for v in datapoint)
    return datapoint
