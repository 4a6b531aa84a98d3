"""How datapoints travel between processes: pickle protocol 5, with large arrays beside it in the arena.

* Data is pickled plainly. Objects that plain pickle refuses, and objects of ``__main__`` (which workers do not
  import), go by cloudpickle, which sends classes by value and gives them their identity back at home.
* Arrays from `LARGE_BYTES` on are written straight into an arena block, in whatever layout they have.
* Large bytes objects that are components of a datapoint (files read from disk, values of a database) go the same way.
* Whatever the sender's array was, the receiver's is writable and its own; dtype, shape, byte order and C or Fortran
  order are kept (other layouts arrive in C order).
"""

from __future__ import annotations

import contextlib
import gc
import io
import pickle
from collections import ChainMap
from collections.abc import Callable, Iterator
from typing import Any, Literal

import cloudpickle
import numpy as np
import numpy.typing as npt

from .arena import LARGE_BYTES, ArenaReader, ArenaWriter

__all__ = ["Block", "Decoder", "Encoder", "collection_paused"]

Block = tuple[int, int, int]
"""Number, offset and length in bytes of an arena block."""

Array = npt.NDArray[Any]


class Encoder:
    """Turns objects into bytes and arena blocks.

    Args:
        arena: where large arrays go; None: into the bytes as well.
        main_by_value: whether the receiver lacks this process's ``__main__``.
    """

    def __init__(self, arena: ArenaWriter | None, *, main_by_value: bool):
        self._arena = arena
        self._main_by_value = main_by_value
        self._blocks: list[Block] = []
        self._placed = False
        self._prepared: dict[int, Block] = {}  # address of an array made by `empty` -> its block
        self._heavy = False  # whether datapoints seem to hold large bytes objects
        self._table: dict[type, Callable[[Any], Any]] = {np.ndarray: self._reduce_array, _Blob: self._reduce_blob}

    def encode(self, datapoints: list[Any]) -> tuple[bytes, list[Block]]:
        """The bytes and blocks from which `Decoder.decode` makes ``datapoints``.

        Raises:
            Exception: whatever pickling them raises; no block stays lent.
        """
        # Pickle has no way of its own to leave bytes objects out. Looking for them costs more than tiny datapoints do,
        # so it is done where the last ones were large.
        obj = [_without_blobs(dp) for dp in datapoints] if self._heavy else datapoints
        data, blocks = self._encode(obj)
        self._heavy = len(data) + sum(length for _, _, length in blocks) > LARGE_BYTES * max(1, len(datapoints))
        return data, blocks

    def _encode(self, obj: Any) -> tuple[bytes, list[Block]]:
        try:
            data = self._dump(obj, pickle.Pickler, self._table)
            if not (self._main_by_value and b"__main__" in data):
                return data, self._take_blocks()
        except (pickle.PicklingError, AttributeError, TypeError):
            pass  # perhaps a lambda or a local class: cloudpickle knows, or says what is wrong
        except BaseException:
            self._abort()
            raise
        self._abort()
        try:
            table = ChainMap(self._table, cloudpickle.Pickler.dispatch_table)
            return self._dump(obj, cloudpickle.Pickler, table), self._take_blocks()
        except BaseException:
            self._abort()
            raise

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

    def trim(self) -> None:
        """Give unused memory of the arena back to the system."""
        if self._arena is not None:
            self._arena.trim()

    def close(self) -> None:
        """Break the reference cycle through the table, so that the arena is given back now, not by the collector."""
        self._table.clear()

    def _dump(self, obj: Any, make: Callable[..., Any], table: Any) -> bytes:
        file = io.BytesIO()
        pickler = make(file, protocol=5, buffer_callback=self._keep_in_band)
        pickler.dispatch_table = table
        pickler.dump(obj)
        return file.getvalue()

    def _keep_in_band(self, buffer: pickle.PickleBuffer) -> bool:
        """Pickle asks for each buffer. Those of `_reduce_array` lie in the arena already."""
        if self._placed:
            self._placed = False
            return False
        raw = buffer.raw()
        return raw.readonly or raw.nbytes < LARGE_BYTES or self._place(np.frombuffer(raw, np.uint8)) is None

    def _reduce_array(self, array: Array) -> Any:
        if array.nbytes >= LARGE_BYTES and not array.dtype.hasobject:
            memory = self._place(array)
            if memory is not None:
                self._placed = True
                buffer = pickle.PickleBuffer(memory)  # type: ignore[arg-type]
                return _on_block, (buffer, array.dtype, array.shape, _order(array))
        if array.dtype.hasobject:
            return array.__reduce_ex__(5)
        # In the bytes. (numpy's own way takes twice as long, and keeps read-only arrays read-only.)
        return _on_block, (bytearray(array.tobytes(_order(array))), array.dtype, array.shape, _order(array))

    def _reduce_blob(self, blob: _Blob) -> Any:
        memory = self._place(np.frombuffer(blob.data, np.uint8))
        if memory is None:
            return _same, (blob.data,)
        self._placed = True
        return _bytes_of, (pickle.PickleBuffer(memory),)  # type: ignore[arg-type]

    def _place(self, array: Array) -> Array | None:
        """Copy an array into a block; None if there is none to be had."""
        prepared = self._prepared.get(array.ctypes.data) if self._prepared else None
        if prepared is not None and array.flags.c_contiguous and array.nbytes == prepared[2]:
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

    def _abort(self) -> None:
        """Forget what was encoded so far; prepared arrays stay, for another try."""
        blocks, self._blocks, self._placed = self._blocks, [], False
        self._take_back(set(blocks).difference(self._prepared.values()))

    def _take_back(self, blocks: set[Block]) -> None:
        for block, _, _ in blocks:
            assert self._arena is not None
            self._arena.take_back(block)


class Decoder:
    """Turns bytes and arena blocks into objects.

    Args:
        arena: the reader of the arena that the encoder writes; None if it has none.
    """

    def __init__(self, arena: ArenaReader | None):
        self._arena = arena

    def decode(self, data: bytes, blocks: list[Block]) -> Any:
        """The object. Its arrays on blocks hold them until they die; after an error nothing is held."""
        buffers = [self._arena.take(*block) for block in blocks] if self._arena is not None else []
        with collection_paused():
            return pickle.loads(data, buffers=buffers)

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


def _on_block(memory: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Array:
    """An array on a block (or on any other memory)."""
    return np.ndarray(shape, dtype, buffer=memory, order=order)
