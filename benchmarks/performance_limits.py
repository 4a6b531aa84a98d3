"""What this machine allows at the best: ``python -m benchmarks.performance_limits``.

A pipeline's figures mean something beside these: an array costs a copy, fresh memory costs page faults, a message
costs a wake-up, an object costs its pickle. Each figure is the median of several measurements, with the range.
"""

from __future__ import annotations

import argparse
import mmap
import multiprocessing
import os
import pickle
import platform
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zmq

from benchmarks.workloads.nested_dicts import make_record

MB = 1_000_000
HOT_BYTES = 150_528  # an image of W2: it stays in the caches
COLD_BYTES = 512 * MB  # more than any cache here
SHARED_BYTES = 64 * MB
ROUND_TRIPS = 2_000
INTS, RECORDS = 100_000, 1_000

clock = time.perf_counter


@dataclass(frozen=True)
class Limit:
    what: str
    unit: str
    values: list[float]

    def cells(self) -> list[str]:
        low, high = min(self.values), max(self.values)
        return [self.what, f"{_number(median(self.values))} {self.unit}", f"{_number(low)}..{_number(high)}"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds(action: Callable[[], object], times: int = 1) -> float:
    """How long one ``action`` takes, on the average of ``times`` in a row."""
    began = clock()
    for _ in range(times):
        action()
    return (clock() - began) / times


def copies(rounds: int) -> Iterator[Limit]:
    for label, nbytes, times in (("hot, 150 kB", HOT_BYTES, 2000), ("cold, 512 MB", COLD_BYTES, 1)):
        # written first, so that no page fault is counted: untouched memory is a figure of its own
        copy = partial(np.copyto, np.ones(nbytes, np.uint8), np.ones(nbytes, np.uint8))
        values = [nbytes / 1e9 / seconds(copy, times) for _ in range(rounds)]
        yield Limit(f"memcpy, {label}", "GB/s", values)


def faults(rounds: int) -> Iterator[Limit]:
    """The same bytes written into shared memory that nobody has touched, touched elsewhere, and touched here."""
    fresh, elsewhere, again = [], [], []
    for _ in range(rounds):
        descriptor = os.memfd_create("limits")
        os.ftruncate(descriptor, SHARED_BYTES)
        first, second = (mmap.mmap(descriptor, SHARED_BYTES) for _ in range(2))
        fresh.append(_fill(first))
        again.append(_fill(first))
        elsewhere.append(_fill(second))  # the pages exist, this mapping does not know them: what a reader pays once
        first.close(), second.close()
        os.close(descriptor)
    yield Limit("write to fresh shared memory", "GB/s", fresh)
    yield Limit("write to it again", "GB/s", again)
    yield Limit("write to it through another mapping, the first time", "GB/s", elsewhere)
    pages = SHARED_BYTES / mmap.PAGESIZE
    costs = [(1 / new - 1 / old) * SHARED_BYTES / 1e9 / pages * 1e6 for new, old in zip(fresh, again, strict=True)]
    yield Limit("page fault, fresh shared memory", "us", costs)


def _fill(memory: mmap.mmap) -> float:
    array = np.frombuffer(memory, np.uint8)
    return SHARED_BYTES / 1e9 / seconds(lambda: array.fill(1))


def wake_ups(rounds: int) -> Iterator[Limit]:
    """A byte to another process and back: two wake-ups and four system calls at the least."""
    ways = (("socketpair", _socket_trip), ("ZeroMQ (ipc, DEALER)", _zmq_trip), ("multiprocessing.Pipe", _pipe_trip))
    for label, trips in ways:
        yield Limit(f"round trip, {label}", "us", [trips() * 1e6 for _ in range(rounds)])


def _socket_trip() -> float:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, _child(_echo_socket, theirs):
        return seconds(lambda: (ours.send(b"x"), ours.recv(1)), ROUND_TRIPS)


def _echo_socket(end: socket.socket) -> None:
    for _ in range(ROUND_TRIPS):
        end.send(end.recv(1))


def _pipe_trip() -> float:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, _child(_echo_pipe, theirs):
        return seconds(lambda: (ours.send_bytes(b"x"), ours.recv_bytes()), ROUND_TRIPS)


def _echo_pipe(end: Connection) -> None:
    for _ in range(ROUND_TRIPS):
        end.send_bytes(end.recv_bytes())


def _zmq_trip() -> float:
    address = f"ipc://@headrace-limits-{os.getpid()}-{time.monotonic_ns()}"
    # The child first: ZeroMQ's contexts do not survive a fork.
    with _child(_echo_zmq, address), zmq.Context() as context, context.socket(zmq.DEALER) as ours:
        ours.bind(address)
        ours.send(b"x"), ours.recv()  # it has connected
        return seconds(lambda: (ours.send(b"x"), ours.recv()), ROUND_TRIPS)


def _echo_zmq(address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as end:
        end.connect(address)
        for _ in range(ROUND_TRIPS + 1):
            end.send(end.recv())


@contextmanager
def _child(function: Callable[[Any], None], argument: Any) -> Iterator[None]:
    process = multiprocessing.get_context("fork").Process(target=function, args=(argument,), daemon=True)
    process.start()
    yield
    process.join()


def pickles(rounds: int) -> Iterator[Limit]:
    for label, items in (("ints in a list", list(range(INTS))), ("W7's nested dicts", _records())):
        dumps = partial(pickle.dumps, items, pickle.HIGHEST_PROTOCOL)
        loads = partial(pickle.loads, dumps())
        dump = [seconds(dumps) / len(items) * 1e6 for _ in range(rounds)]
        load = [seconds(loads) / len(items) * 1e6 for _ in range(rounds)]
        yield Limit(f"pickle, {label}, each of {len(items):,}", "us", dump)
        yield Limit(f"unpickle, {label}", "us", load)
    single = [seconds(lambda: pickle.loads(pickle.dumps(7)), 10_000) * 1e6 for _ in range(rounds)]
    yield Limit("pickle and unpickle, one int by itself", "us", single)


def _records() -> list[Any]:
    return [make_record(number) for number in range(RECORDS)]


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({(models or [platform.machine()])[0]}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, pyzmq {zmq.__version__}, "
        f"load {os.getloadavg()[0]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance_limits", description="the machine's limits")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"Machine: {machine()}; medians of {rounds}\n")
    print("| what | median | lowest..highest |\n|---|---:|---:|")
    for measure in (copies, faults, wake_ups, pickles):
        for limit in measure(rounds):
            print("| " + " | ".join(limit.cells()) + " |")


if __name__ == "__main__":
    main()
