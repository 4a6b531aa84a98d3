"""How datapoints travel between processes: pickle protocol 5, with large arrays beside it in the arena.

* Each datapoint is pickled by itself, at once: a function may use its output buffer again, and two datapoints that hold
  the same object arrive as two.
* Data is pickled plainly. Objects that plain pickle refuses, and objects of ``__main__`` (which workers do not
  import), go by cloudpickle, which sends classes by value and gives them their identity back at home.
* Arrays from `LARGE_BYTES` on are written straight into an arena block, in whatever layout they have.
* Large bytes objects that are components of a datapoint (files read from disk, values of a database) go the same way.
* Whatever the sender's array was, the receiver's is writable and its own; dtype, shape, byte order and C or Fortran
  order are kept (other layouts arrive in C order).
"""

from __future__ import annotations

import contextlib
import copyreg
import gc
import io
import pickle
import time
from collections import ChainMap
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

import cloudpickle
import numpy as np
import numpy.typing as npt

from .arena import LARGE_BYTES

__all__ = ["Block", "BlockReader", "BlockWriter", "Decoder", "Encoded", "Encoder", "collection_paused"]

Block = tuple[int, int, int]
"""Number, offset and length in bytes of an arena block."""

Array = npt.NDArray[Any]


class Encoded(NamedTuple):
    """Datapoints on their way.

    Attributes:
        data: pickles, one after the other.
        blocks: arena blocks of large arrays, in the order in which the pickles need them.
        layout: for each pickle, how many datapoints it is a list of (0: it is one datapoint itself), and its length.
    """

    data: bytes
    blocks: list[Block]
    layout: list[tuple[int, int]]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return len(self.data) + sum(length for _, _, length in self.blocks)


class BlockWriter(Protocol):
    """Where large arrays are put: an arena, or what stands for one."""

    @property
    def used_bytes(self) -> int:
        """The size of all shared memory that was needed so far."""

    def allocate(self, nbytes: int) -> tuple[int, int, Array] | None:
        """A block: its number, its offset, and its memory; None if there is none to be had."""

    def take_back(self, block: int) -> None:
        """Free a block that was never sent."""

    def trim(self) -> None:
        """Give unused memory back to the system."""


class BlockReader(Protocol):
    """Where they are taken from."""

    def take(self, block: int, offset: int, nbytes: int) -> Array:
        """The memory of a block, writable, and the taker's for as long as it is referred to."""

    def drop(self, block: int) -> None:
        """Return a block that nobody will look at."""


_ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None)))
"""What can neither change nor hold anything else."""


class Encoder:
    """Turns objects into bytes and arena blocks.

    Args:
        arena: where large arrays go; None: into the bytes as well.
        main_by_value: whether the receiver lacks this process's ``__main__``.
    """

    def __init__(self, arena: BlockWriter | None, *, main_by_value: bool):
        self._arena = arena
        self._main_by_value = main_by_value
        self._blocks: list[Block] = []
        self._placed = False
        self._prepared: dict[int, Block] = {}  # address of an array made by `empty` -> its block
        self._file = io.BytesIO()
        self._pickler: pickle.Pickler | None = None
        self._layout: list[tuple[int, int]] = []
        self.plain: list[Any] = []
        """Datapoints of simple types that were added and are not pickled yet; may be appended to."""
        self.encode_s = 0.0
        """Seconds spent on those that were pickled by themselves."""
        self._heavy = False  # whether datapoints seem to hold large bytes objects
        self._table: dict[type, Callable[[Any], Any]] = {np.ndarray: self._reduce_array, _Blob: self._reduce_blob}

    def encode(self, datapoints: list[Any]) -> Encoded:
        """The bytes and blocks from which `Decoder.decode` makes ``datapoints``.

        Raises:
            Exception: whatever pickling them raises; no block stays lent.
        """
        try:
            if _ATOMS.issuperset(map(type, datapoints)) and not self._heavy:
                self.plain += datapoints
            else:
                for datapoint in datapoints:
                    self.add(datapoint)
            encoded = self.finish()
            if self._main_by_value and b"__main__" in encoded.data:
                self._take_back(set(encoded.blocks))
                for datapoint in datapoints:
                    self._add_alone(datapoint, by_value=True)
                encoded = self.finish()
            return encoded
        except BaseException:
            self.cancel()
            raise

    def add(self, datapoint: Any) -> None:
        """Encode one more datapoint now: what becomes of it later makes no difference; it shares nothing with others.

        Raises:
            Exception: whatever pickling it raises; then it is not there, but those before it are.
        """
        kind = type(datapoint)
        if kind in _ATOMS:
            if kind is not bytes or len(datapoint) < LARGE_BYTES:
                self.plain.append(datapoint)
                return
        elif self._heavy:
            datapoint = _without_blobs(datapoint)
        # Small flat containers are most of what is small. A copy of them is as good as their pickle, and much cheaper.
        if kind is list or kind is tuple:
            if _ATOMS.issuperset(map(type, datapoint)):
                self.plain.append(datapoint[:])
                return
        elif (
            kind is dict
            and _ATOMS.issuperset(map(type, datapoint))
            and _ATOMS.issuperset(map(type, datapoint.values()))
        ):
            self.plain.append(datapoint.copy())
            return
        self._add_alone(_Blob(datapoint) if kind is bytes else datapoint, by_value=False)

    @property
    def added(self) -> int:
        """How many datapoints were added since the last `finish`."""
        return sum(max(1, count) for count, _ in self._layout) + len(self.plain)

    def finish(self) -> Encoded:
        """All that was added since the last time."""
        self._flush()
        count = self.added
        data = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        layout, self._layout = self._layout, []
        blocks = self._take_blocks()
        self._heavy = len(data) + sum(length for _, _, length in blocks) > LARGE_BYTES * max(1, count)
        return Encoded(data, blocks, layout)

    def cancel(self) -> None:
        """Forget what was added since the last `finish`."""
        self.plain.clear()
        self._take_back(set(self.finish().blocks))

    def _flush(self) -> None:
        """Plain datapoints are pickled together: there is nothing in them that could be shared or changed."""
        if self.plain:
            self._layout.append((len(self.plain), self._file.write(pickle.dumps(self.plain, 5))))
            self.plain.clear()

    def _add_alone(self, datapoint: Any, *, by_value: bool) -> None:
        began = time.perf_counter()
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
        self._layout.append((0, self._file.tell() - where))
        self.encode_s += time.perf_counter() - began

    def _rewind(self, where: int, placed: int) -> None:
        self._pickler = None  # it may be in the middle of something
        self._file.seek(where)
        self._file.truncate()
        self._placed = False
        blocks, self._blocks = self._blocks[placed:], self._blocks[:placed]
        self._take_back(set(blocks).difference(self._prepared.values()))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array to be filled and then encoded, which costs no copy if that happens in the next `encode`."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        place = None
        if self._arena is not None and nbytes >= LARGE_BYTES and not dtype.hasobject:
            place = self._arena.allocate(nbytes)
        if place is None:
            return np.empty(shape, dtype)
        block, offset, memory = place
        array = memory.view(dtype).reshape(shape)
        self._prepared[array.ctypes.data] = (block, offset, nbytes)
        return array

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
        pickler = self._pickler
        if pickler is None:
            pickler = self._pickler = pickle.Pickler(self._file, protocol=5, buffer_callback=self._keep_in_band)
            pickler.dispatch_table = self._table
        pickler.dump(obj)
        pickler.clear_memo()

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
        short = _SHORT.get(id(dtype)) or _short(dtype)
        return _on_block, (buffer, short, array.shape, "F") if array.flags.fnc else (buffer, short, array.shape)

    def _reduce_blob(self, blob: _Blob) -> Any:
        memory = self._place(np.frombuffer(blob.data, np.uint8))
        if memory is None:
            return _same, (blob.data,)
        self._placed = True
        return _bytes_of, (pickle.PickleBuffer(memory),)  # type: ignore[arg-type]

    def _place(self, array: Array) -> Array | None:
        """Copy an array into a block; None if there is none to be had."""
        prepared = self._prepared.get(array.ctypes.data) if self._prepared else None
        if (
            prepared is not None
            and array.flags.c_contiguous
            and array.nbytes == prepared[2]
            and prepared not in self._blocks  # a second datapoint with the same array gets one of its own
        ):
            self._blocks.append(prepared)
            return array.reshape(-1).view(np.uint8)
        place = self._arena.allocate(array.nbytes) if self._arena is not None else None
        if place is None:
            return None
        block, offset, memory = place
        self._blocks.append((block, offset, array.nbytes))
        shaped = memory.view(array.dtype).reshape(array.shape, order=_order(array))
        np.copyto(shaped, array)
        return memory

    def _take_blocks(self) -> list[Block]:
        """The blocks of a body that is complete; prepared arrays that are not in it are given up."""
        blocks, self._blocks = self._blocks, []
        if self._prepared:
            self._take_back(set(self._prepared.values()).difference(blocks))
            self._prepared.clear()
        return blocks

    def _take_back(self, blocks: set[Block]) -> None:
        for block, _, _ in blocks:
            assert self._arena is not None
            self._arena.take_back(block)


class Decoder:
    """Turns bytes and arena blocks into objects.

    Args:
        arena: reads what the encoder's wrote; None if it has none.
    """

    def __init__(self, arena: BlockReader | None):
        self._arena = arena

    def decode(self, encoded: Encoded) -> list[Any]:
        """The datapoints. Their arrays on blocks hold them until they die; after an error nothing is held."""
        arena = self._arena
        buffers = [arena.take(*block) for block in encoded.blocks] if arena is not None else []
        with collection_paused():
            memories = iter(buffers)  # each pickle takes its own from it
            del buffers
            view = memoryview(encoded.data)
            datapoints: list[Any] = []
            start = 0
            for count, length in encoded.layout:
                datapoint = pickle.loads(view[start : start + length], buffers=memories)
                if count:
                    datapoints += datapoint
                else:
                    datapoints.append(datapoint)
                start += length
            return datapoints

    def drop(self, blocks: list[Block]) -> None:
        """Return the blocks of a message that nobody will decode."""
        for block, _, _ in blocks:
            assert self._arena is not None
            self._arena.drop(block)


def _order(array: Array) -> Literal["C", "F"]:
    return "F" if array.flags.fnc else "C"


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection in the midst of making many objects that all stay alive: it would find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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


def _bytes_of(memory: Any) -> bytes:
    """A bytes object again: copied, so the block is free at once."""
    return bytes(memory)


def _same(data: bytes) -> bytes:
    return data


def _short(dtype: np.dtype[Any]) -> str | np.dtype[Any]:
    """A dtype as what is quickest to send: to pickle one takes longer than to pickle a small array."""
    plain = dtype.isbuiltin == 1 or (dtype.names is None and dtype.kind in "biufcSUmM" and dtype.metadata is None)
    return dtype.str if plain and dtype.subdtype is None else dtype


_SHORT = {id(dtype): dtype.str for dtype in map(np.dtype, "?bBhHiIlLqQefdgFDG")}  # they exist once, and for ever
_PLAIN: dict[Any, np.dtype[Any]] = {short: np.dtype(short) for short in _SHORT.values()}


def _on_block(memory: Any, dtype: str | np.dtype[Any], shape: tuple[int, ...], order: Any = "C") -> Array:
    """An array on a block (or on any other memory)."""
    return np.ndarray(shape, _PLAIN.get(dtype, dtype), memory, 0, None, order)


# Names of functions are looked up anew for each pickle, except for these: numbers from the range for private use.
for _code, _function in enumerate((_on_block, _bytes_of), 0xF0):
    copyreg.add_extension(_function.__module__, _function.__name__, _code)
