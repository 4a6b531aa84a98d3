"""Who speaks to a receiver without being a sender."""

from __future__ import annotations

from typing import Any

import zmq

from headrace.remote.packing import Packer
from headrace.remote.wire import Kind

STREAM = b"x" * 16
HELLO = {"name": "stranger", "ack": False, "pickle": False, "hwm": 50, "buffer_bytes": 1 << 20}


class Stranger:
    """Connects to a receiver, and says what it likes."""

    def __init__(self, address: str):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 1000
        self._socket.connect(address)

    def say(self, *frames: Any) -> None:
        self._socket.send_multipart(frames)

    def greet(self, **changes: Any) -> None:
        self.say(Packer().pack(Kind.HELLO, STREAM, 0, {**HELLO, **changes}).bytes)
        self.say(Packer().pack(Kind.START, STREAM, 0, 0).bytes)

    def hear(self) -> bytes:
        assert self._socket.poll(10_000)
        return self._socket.recv()

    def close(self) -> None:
        self._context.destroy()
