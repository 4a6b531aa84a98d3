"""Senders for the tests: in threads of this process, or as processes that can be killed."""

from __future__ import annotations

import contextlib
import errno
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import headrace as hr

Start = Callable[..., "subprocess.Popen[str]"]


_PORTS = range(20_000, 28_000)
"""Below those that the system gives to whoever connects (32768 and more)."""


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port that is free, and that no other process with tests takes meanwhile.

    To ask the system for a free one is not enough: between that and the receiver's bind, it can give the same one to
    another process, or to somebody who connects to somewhere. A name in the abstract namespace of Unix sockets stands
    for the port here.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket(socket.AF_UNIX) as reservation, socket.socket() as probe:
            try:
                reservation.bind(f"\0headrace-test-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            probe.close()
            yield port
            return
    raise AssertionError(f"none of the ports {_PORTS} is free")


class EchoServer:
    """Sends back what it hears, from so many connections, and then leaves the port.

    To TCP that is like a socket that was connected to itself. Or, with ``deaf``, it closes them at once, as a tunnel
    does that has nobody at its other end.
    """

    def __init__(self, address: str, connections: int, *, deaf: bool = False):
        self._deaf = deaf
        port = int(address.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._work, args=(connections,))
        self._thread.start()

    def _work(self, connections: int) -> None:
        with self._listener:
            for _ in range(connections):
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(ConnectionResetError):
                    while not self._deaf and (said := connection.recv(4096)):
                        connection.sendall(said)

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive(), "nobody left the echo server"


_GREETING_BYTES = 150
"""ZeroMQ's own, and somewhat more than that; a HELLO is longer."""


class Proxy:
    """A way to a receiver that can be cut, and mended: one connection at a time."""

    def __init__(self, address: str, receiver: str):
        self._receiver = ("127.0.0.1", int(receiver.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])))
        self._whole = threading.Event()
        self._spoken = threading.Event()
        self._closing = False
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        self.mend()

    def cut(self) -> None:
        """End the connection; a new one hears nothing until it is mended."""
        self._whole.clear()
        self._spoken.clear()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._whole.set()

    def wait_for_word(self) -> None:
        """Until the sender has said more than ZeroMQ's greeting, and the receiver's ZeroMQ most likely has it."""
        assert self._spoken.wait(20)
        time.sleep(0.05)

    def close(self) -> None:
        self._closing = True
        self.mend()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        with self._listener:
            while self._whole.wait() and not self._closing:
                with contextlib.suppress(OSError):
                    near, _ = self._listener.accept()
                    with near, socket.create_connection(self._receiver) as far:
                        self._ends = [near, far]
                        self._forward(near, far)

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        heard = 0
        while self._whole.is_set():
            for end in select.select([near, far], [], [])[0]:
                said = end.recv(65536)
                if not said:
                    return
                (far if end is near else near).sendall(said)
                heard += len(said) if end is near else 0
                if heard > _GREETING_BYTES:
                    self._spoken.set()


class Threads:
    """Senders in threads; what each returned or raised is in ``done``."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self._threads: list[threading.Thread] = []

    def send(self, *args: Any, timeout_s: float = 20, after: Callable[[], None] | None = None, **options: Any) -> None:
        def work() -> None:
            try:
                if after is not None:
                    after()
                self.done.append(hr.send_dataflow_zmq(*args, timeout_s=timeout_s, **options))
            except Exception as error:
                self.done.append(error)

        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def wait_for(self, kind: type) -> None:
        """Until a sender has ended with an error of this kind."""
        deadline = time.monotonic() + 20
        while not any(isinstance(d, kind) for d in self.done):
            assert time.monotonic() < deadline, self.done
            time.sleep(0.01)

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(25)
            assert not thread.is_alive(), "a sender has not ended"
        return self.done


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Kill a process, if it still runs, and read what it has left to say."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    if process.stdout is None or process.stdout.closed:
        process.wait()
        return "", ""
    return process.communicate()
