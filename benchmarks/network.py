"""What a datapoint costs over loopback TCP, and over a socket on disk: ``python -m benchmarks.network``.

One sender, one receiver, images of 150 kB or (``--batches``) batches of 64 of them: headrace as it is on one machine
(messages lie in shared memory), headrace whose bytes go through the socket as between machines, headrace with CURVE,
and tensorpack's RemoteDataZMQ, each side in a process of its own, in turn; then headrace and tensorpack over ``ipc://``.
Compared are CPU seconds of both processes together (their ZeroMQ threads included), since wall time on a busy machine
says little. The row "socket" is the floor of TCP: a bare socket that moves the same bytes from one array into another.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

IMAGE = (224, 224, 3)
BATCH = (64, *IMAGE)
WARMUP = {IMAGE: 200, BATCH: 20}
PORT_RANGE = range(28_000, 29_000)


def items(shape: tuple[int, ...], count: int) -> Iterator[list[Any]]:
    """Arrays that are all different objects, as a pipeline gives them."""
    images = [np.full(shape, n, np.uint8) for n in range(8)]
    for n in range(count):
        yield [images[n % 8], n]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def send_headrace(address: str, shape: tuple[int, ...], count: int, keys: str | None) -> None:
    import headrace as hr

    files = {"key": f"{keys}/sender.key_secret", "peers": f"{keys}/receiver.key"} if keys else {}
    hr.send_dataflow_zmq(hr.DataFromGenerator(lambda: items(shape, count)), address, progress=False, passes=1, **files)


def send_headrace_by_socket(address: str, shape: tuple[int, ...], count: int, keys: str | None) -> None:
    """As to another machine: this sender has no memory to share."""
    from headrace.remote import shared_memory

    def none() -> int:
        raise OSError("not in this benchmark")

    shared_memory.create_arena = none
    send_headrace(address, shape, count, keys)


def receive_headrace(address: str, shape: tuple[int, ...], keys: str | None) -> Iterator[Any]:
    import headrace as hr

    files = {"key": f"{keys}/receiver.key_secret", "peers": f"{keys}/sender.key"} if keys else {}
    return iter(hr.RemoteDataZMQ(address, passes=1, num_senders=1, **files))


def send_tensorpack(address: str, shape: tuple[int, ...], count: int, keys: None) -> None:
    from tensorpack.dataflow import DataFlow
    from tensorpack.dataflow.remote import send_dataflow_zmq

    class Items(DataFlow):  # its DataFromGenerator cannot be sent: it asks the function for its length
        def __iter__(self) -> Iterator[list[Any]]:
            return items(shape, count)

    send_dataflow_zmq(Items(), address)


def receive_tensorpack(address: str, shape: tuple[int, ...], keys: None) -> Iterator[Any]:
    from tensorpack.dataflow.remote import RemoteDataZMQ

    flow = RemoteDataZMQ(address)
    flow.reset_state()
    return iter(flow)


def send_socket(address: str, shape: tuple[int, ...], count: int, keys: None) -> None:
    host, port = address.removeprefix("tcp://").split(":")
    while True:
        try:
            connection = socket.create_connection((host, int(port)))
            break
        except OSError:
            time.sleep(0.02)
    with connection:
        for image, _ in items(shape, count):
            connection.sendall(image.data.cast("B"))


def receive_socket(address: str, shape: tuple[int, ...], keys: None) -> Iterator[Any]:
    host, port = address.removeprefix("tcp://").split(":")
    image = np.empty(shape, np.uint8)
    view = image.data.cast("B")
    with socket.create_server((host, int(port))) as server:
        connection, _ = server.accept()
        with connection:
            while True:
                got = 0
                while got < len(view):
                    got += connection.recv_into(view[got:])
                yield [image, 0]


SIDES: dict[str, tuple[Callable[..., Any], Callable[..., Iterator[Any]]]] = {
    "headrace": (send_headrace, receive_headrace),
    "headrace-by-socket": (send_headrace_by_socket, receive_headrace),
    "headrace-curve": (send_headrace, receive_headrace),
    "tensorpack": (send_tensorpack, receive_tensorpack),
    "socket": (send_socket, receive_socket),
    "headrace-ipc": (send_headrace, receive_headrace),
    "tensorpack-ipc": (send_tensorpack, receive_tensorpack),
}


def side(system: str, role: str, address: str, shape: tuple[int, ...], count: int, keys: str) -> None:
    """One process. Both are measured after the warm-up."""
    send, receive = SIDES[system]
    folder = keys if system == "headrace-curve" else None
    if role == "send":
        send(address, shape, count + WARMUP[shape], folder)
        return
    begun_at = cpu_s(), time.perf_counter()
    received = receive(address, shape, folder)
    total = 0
    for n in range(count + WARMUP[shape]):
        image, _ = next(received)
        total += int(image.reshape(-1)[0])
        if n + 1 == WARMUP[shape]:
            begun_at = cpu_s(), time.perf_counter()
            print("warm", flush=True)
    print(json.dumps({"cpu_s": cpu_s() - begun_at[0], "wall_s": time.perf_counter() - begun_at[1]}), flush=True)
    os._exit(0)


def measure(system: str, python: str, batches: bool, count: int, keys: str, address: str) -> tuple[float, float]:
    """CPU and wall seconds of ``count`` items."""
    command = [python, __file__, "--side", system, "--count", str(count), "--keys", keys]
    command += ["--address", address, *(["--batches"] if batches else [])]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--role", "receive"], **pipes) as receiver:
        sender = subprocess.Popen([*command, "--role", "send"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert receiver.stdout is not None
            while (line := receiver.stdout.readline()) != b"warm\n":
                assert line, f"{system} did not start"  # tensorpack says something first
            before = _cpu_of(sender.pid)
            result = json.loads(receiver.stdout.readline())
            after = _cpu_of(sender.pid)
        finally:
            sender.kill()
            sender.wait()
            receiver.kill()
    return result["cpu_s"] + after - before, result["wall_s"]


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="by default 10000 images, or 500 batches")
    parser.add_argument("--batches", action="store_true", help="batches of 64 images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tensorpack", help="a python that has tensorpack; made under .bench by default")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--keys", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.count = args.count or (500 if args.batches else 10_000)
    if args.side:
        side(args.side, args.role, args.address, BATCH if args.batches else IMAGE, args.count, args.keys)
        return
    with tempfile.TemporaryDirectory() as keys:
        compare(args, keys)


def compare(args: argparse.Namespace, keys: str) -> None:
    from headrace.remote.security import write_keys

    write_keys(keys, ["sender", "receiver"])
    tensorpack = args.tensorpack
    if tensorpack is None:
        from .peers.tensorpack import ENVIRONMENT

        tensorpack = str(ENVIRONMENT.ensure())
    python = {system: tensorpack if system.startswith("tensorpack") else sys.executable for system in SIDES}
    runs: dict[str, list[tuple[float, float]]] = {system: [] for system in SIDES}
    ports = iter(PORT_RANGE)
    for _ in range(args.rounds):
        for system in SIDES:
            port = next(ports)
            address = f"ipc://{keys}/{port}" if system.endswith("-ipc") else f"tcp://127.0.0.1:{port}"
            runs[system].append(measure(system, python[system], args.batches, args.count, keys, address))
    print("| system | CPU per item, both sides | items per CPU second | items per second |\n|---|---|---|---|")
    for system, results in runs.items():
        cpu, wall = (statistics.median(column) / args.count for column in zip(*results, strict=True))
        print(f"| {system} | {cpu * 1e6:.0f} µs | {1 / cpu:,.0f} | {1 / wall:,.0f} |")
    print()
    for ours, theirs in (
        ("headrace", "tensorpack"),
        ("headrace-by-socket", "tensorpack"),
        ("headrace-curve", "tensorpack"),
        ("headrace-ipc", "tensorpack-ipc"),
    ):
        ratios = [t[0] / h[0] for t, h in zip(runs[theirs], runs[ours], strict=True)]
        print(f"{ours}: {statistics.median(ratios):.2f}x the items per CPU second of {theirs} "
              f"({min(ratios):.2f} to {max(ratios):.2f} in {args.rounds} rounds)")  # fmt: skip


if __name__ == "__main__":
    main()
