"""Blocks of the arena that a device reads where they lie: pinned whole, once, and for as long as they are mapped.

There need be no GPU: here it is the kernel that pins, by ``mlock``, and the device is one that reads late.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import re
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import MAPPERS, PROCESS_MAPPERS
from functions import same

import headrace as hr
from headrace.integrations.ahead import ReadAhead
from headrace.integrations.pinned import PinnedReads
from headrace.parallel.arena import ArenaReader, ArenaWriter, create_arena, pin
from headrace.recycling import size_class

libc = ctypes.CDLL(None, use_errno=True)
PLACE = [ctypes.c_void_p, ctypes.c_size_t]
libc.mlock.argtypes = libc.munlock.argtypes = PLACE

MIB = 1 << 20


class Kernel:
    """Pins by ``mlock``, and keeps account of it."""

    def __init__(self) -> None:
        self.registered: list[tuple[int, int]] = []
        self.pinned: dict[int, int] = {}
        self.too_late: list[int] = []

    def register(self, address: int, nbytes: int) -> None:
        if libc.mlock(address, nbytes):
            raise RuntimeError(os.strerror(ctypes.get_errno()))
        assert address not in self.pinned
        self.registered.append((address, nbytes))
        self.pinned[address] = nbytes

    def unregister(self, address: int) -> None:
        if libc.munlock(address, self.pinned.pop(address)):  # ENOMEM: nothing is mapped there
            self.too_late.append(address)


def locked_bytes() -> int:
    return int(re.search(r"VmLck:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10


@pytest.fixture
def kernel() -> Kernel:
    with mmap.mmap(-1, 8 * MIB) as memory:
        address = np.frombuffer(memory, np.uint8).ctypes.data
        if libc.mlock(address, 8 * MIB):
            pytest.skip(f"this process may not lock 8 MiB of memory: {os.strerror(ctypes.get_errno())}")
    return Kernel()


def image(n: int) -> np.ndarray[Any, Any]:
    return np.full((100, 130), n, np.uint8)


def mebibyte(n: int) -> np.ndarray[Any, Any]:
    return np.full(MIB, n + 1, np.uint8)


def numbers(count: int) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


def content(address: int) -> int:
    """A byte that no array holds any more."""
    return ctypes.c_uint8.from_address(address).value


@pytest.mark.parametrize("face", PROCESS_MAPPERS.values(), ids=PROCESS_MAPPERS)
def test_blocks_are_pinned_whole_and_once(face: Any, kernel: Kernel) -> None:
    before = locked_bytes()
    with face(numbers(40), 2, image, buffer_size=8) as flow:
        for _ in range(5):
            for n, array in enumerate(flow):
                assert pin(array, kernel)
                assert (array == n).all()
        del array
        assert len(kernel.registered) < 5 * 40
        for address, nbytes in kernel.registered:
            assert address % mmap.PAGESIZE == 0
            assert nbytes == size_class(100 * 130)
        assert kernel.pinned == dict(kernel.registered)  # each once, and none was given up
        assert locked_bytes() - before == sum(kernel.pinned.values())
    gc.collect()
    assert kernel.pinned == {}
    assert kernel.too_late == []
    assert locked_bytes() == before


def test_views_batches_and_components_lie_on_pinned_blocks(kernel: Kernel) -> None:
    with hr.MultiProcessMapAndBatchData(numbers(16), 1, image, 8) as flow:
        for batch in flow:
            assert pin(batch[3:, ::2].transpose(), kernel)
            assert pin(np.frombuffer(memoryview(batch), np.uint8), kernel)
            assert pin(batch.view(np.matrix) if batch.ndim == 2 else batch.view(np.int8), kernel)
        assert len(kernel.registered) <= 2
        assert {nbytes for _, nbytes in kernel.registered} == {size_class(8 * 100 * 130)}
        del batch
    with hr.MultiProcessMapData([{"a": image(1), "b": (image(2), 3)}], 1, same) as flow:
        (datapoint,) = flow
        assert pin(datapoint["a"], kernel)
        assert pin(datapoint["b"][0], kernel)
        del datapoint


def test_what_is_not_in_an_arena_is_not_pinned(kernel: Kernel) -> None:
    with hr.MultiProcessMapData(numbers(4), 1, image) as flow:
        (batch,) = hr.BatchData(flow, 4)
    assert not pin(batch, kernel)
    with hr.MultiProcessMapData(numbers(2), 1, lambda n: np.full(10, n)) as flow:
        assert not any(pin(small, kernel) for small in flow)
    with MAPPERS["threads"](numbers(2), 1, image) as flow:
        assert not any(pin(array, kernel) for array in flow)
    assert not pin(np.arange(10_000), kernel)
    assert kernel.registered == []


def test_an_array_that_outlives_its_flow_keeps_its_block_pinned(kernel: Kernel) -> None:
    with hr.MultiProcessMapData(numbers(4), 1, image) as flow:
        arrays = list(flow)
        assert all(pin(array, kernel) for array in arrays)
    view = arrays[2][50:]
    del flow, arrays
    gc.collect()
    assert len(kernel.pinned) == 4
    assert (view == 2).all()
    del view
    gc.collect()
    assert (kernel.pinned, kernel.too_late) == ({}, [])


def test_a_pinned_block_keeps_its_memory(kernel: Kernel) -> None:
    fd = create_arena()
    writer, reader = ArenaWriter(fd), ArenaReader(fd)
    os.close(fd)
    arrays = []
    for value in range(1, 7):
        block, offset, memory = writer.allocate(10_000)
        memory[:] = value
        arrays.append(reader.take(block, offset, 10_000))
    addresses = [array.ctypes.data for array in arrays]
    assert all(pin(array, kernel) for array in arrays[::2])
    del arrays
    writer.trim(0)
    assert [content(address) for address in addresses] == [1, 0, 3, 0, 5, 0]
    again = [writer.allocate(10_000) for _ in range(6)]  # also after it was lent and freed unsent
    for block, _, memory in again:
        memory[:] = 9
        writer.take_back(block)
    del again, memory
    writer.trim(0)
    assert [content(address) for address in addresses] == [9, 0, 9, 0, 9, 0]


def test_an_idle_worker_keeps_the_memory_of_pinned_blocks(kernel: Kernel) -> None:
    """It gives back what is free beyond 64 MiB, the blocks freed first."""
    with hr.MultiProcessMapData(numbers(90), 1, mebibyte, buffer_bytes=128 * MIB) as flow:
        arrays = list(flow)
        addresses = [array.ctypes.data for array in arrays]
        for array in arrays[:4]:
            assert pin(array, kernel)
        del array, arrays
        running = iter(flow)  # what is free is found out when it is idle again
        next(running)
        running.close()
        deadline = time.monotonic() + 30
        while all(content(address) for address in addresses) and time.monotonic() < deadline:
            os.sched_yield()
        given_back = [n for n, address in enumerate(addresses) if content(address) == 0]
        assert given_back
        assert set(given_back).isdisjoint(range(4))


def test_a_forked_child_neither_pins_nor_unpins(kernel: Kernel) -> None:
    flow = hr.MultiProcessMapData(numbers(4), 1, image)
    arrays = list(flow)
    for array in arrays[:2]:
        assert pin(array, kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads
        pid = os.fork()
    if pid == 0:
        pins = [pin(array, kernel) for array in arrays]
        flow.close()
        del flow, arrays, array
        gc.collect()
        os._exit(len(kernel.pinned) if not any(pins) else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert pin(arrays[0], kernel)
    assert len(kernel.registered) == 2
    assert [int(array[0, 0]) for array in arrays] == [0, 1, 2, 3]
    flow.close()
    del arrays, array
    gc.collect()
    assert (kernel.pinned, kernel.too_late) == ({}, [])


class LateDevice:
    """Reads memory by its address, as a GPU does: some time after it was told to, and whatever is there then."""

    def __init__(self, late: int):
        self._late = late
        self._waiting: deque[tuple[int, Any, LateEvent]] = deque()

    def copy(self, array: Any) -> Any:
        self._waiting.append((array.ctypes.data, np.zeros_like(array), self.event()))
        return self._waiting[-1][1]

    def event(self) -> LateEvent:
        return LateEvent(self)

    def run(self, until: LateEvent | None = None) -> None:
        while self._waiting and (len(self._waiting) > self._late or until is not None):
            address, target, event = self._waiting.popleft()
            ctypes.memmove(target.ctypes.data, address, target.nbytes)
            event.over = True
            if event is until:
                break


class LateEvent:
    def __init__(self, device: LateDevice):
        self._device = device
        self.over = False

    def query(self) -> bool:
        self._device.run()
        return self.over

    def synchronize(self) -> None:
        self._device.run(self)


class LateMover:
    """What a mover to a GPU does."""

    def __init__(self, pinner: Any, device: LateDevice):
        self._reads = PinnedReads(pinner)
        self._device = device

    def start(self, dp: Any) -> Any:
        if not self._reads.begin(dp):
            return dp.copy()
        moved = self._device.copy(dp)
        self._reads.end(self._device._waiting[-1][2])
        return moved

    def finish(self, started: Any) -> Any:
        return started

    def close(self) -> None:
        self._reads.close()


class LatePrefetch(ReadAhead):
    def __init__(self, ds: Any, depth: int, pinner: Any, late: int):
        super().__init__(ds, depth)
        self._pinner, self._late = pinner, late

    def mover(self) -> LateMover:
        return LateMover(self._pinner, LateDevice(self._late))


@pytest.mark.parametrize("depth", [0, 2])
def test_what_a_device_reads_late_is_right(depth: int, kernel: Kernel) -> None:
    with LatePrefetch(hr.MultiProcessMapData(numbers(200), 2, image, buffer_size=4), depth, kernel, late=7) as flow:
        for _ in range(2):
            moved = list(flow)
            assert [(int(array.min()), int(array.max())) for array in moved] == [(n, n) for n in range(200)]
    assert kernel.registered


def test_what_is_read_when_the_consumer_leaves_is_right(kernel: Kernel) -> None:
    with LatePrefetch(hr.MultiProcessMapData(numbers(200), 2, image, buffer_size=4), 2, kernel, late=50) as flow:
        running = iter(flow)
        moved = [next(running) for _ in range(10)]
        assert not moved[9].any()  # not read yet
        running.close()
        for _ in flow:  # the workers use their blocks again
            pass
        assert [int(array.min()) for array in moved] == list(range(10))
    del running, flow
    gc.collect()
    assert (kernel.pinned, kernel.too_late) == ({}, [])


def test_a_forked_child_does_not_wait_for_the_device(kernel: Kernel) -> None:
    with LatePrefetch(hr.MultiProcessMapData(numbers(20), 1, image), 1, kernel, late=50) as flow:
        running = iter(flow)
        moved = [next(running) for _ in range(3)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            del running, flow
            gc.collect()
            os._exit(int(any(array.any() for array in moved)))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        running.close()
        assert [int(array.min()) for array in moved] == [0, 1, 2]


class Refusing(Kernel):
    def register(self, address: int, nbytes: int) -> None:
        if self.registered:
            raise RuntimeError("no more")
        super().register(address, nbytes)


def test_what_cannot_be_pinned_goes_the_other_way_and_that_is_said_once(kernel: Kernel) -> None:
    refusing = Refusing()
    with LatePrefetch(hr.MultiProcessMapData(numbers(20), 2, image), 1, refusing, late=3) as flow:
        with pytest.warns(RuntimeWarning, match=r"cannot be pinned \(no more\): arrays are copied") as said:
            assert [int(array.max()) for array in flow] == list(range(20))
        assert len(said) == 1
    assert len(refusing.registered) == 1
