"""Messages between processes over ZeroMQ: one ROUTER in the parent, one DEALER in each worker.

ZeroMQ is only a pipe here. High-water marks are off, because the engine's credits bound what is under way and nothing
may be dropped; linger is 0, because a worker leaves only when the parent has told it to, and then all its words have
been received. No Python thread is made at either end (ZeroMQ's own I/O thread is not one).

Who may speak: the socket is in the abstract namespace, under a random name, and the kernel lets only processes of this
user connect. A worker's identity is 16 random bytes it was given at its start; whatever comes from another identity
is dropped unread, so nothing from a stranger, or from a worker that was replaced, is ever unpickled.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

import zmq

from ..codec import Encoded
from ..decoder import Unread
from ..messages import Message
from .base import Event
from .coded import IDLE_MS, ArenaFds, CodedChannel, Coder, Fault

__all__ = ["ZmqTransport"]

_READABLE, _MORE = int(zmq.POLLIN), int(zmq.SNDMORE)  # as enums they are slow

_LOOK_S = 0.1
"""So often the dead are looked for while there are messages: they are in no hurry, and each look is a system call."""


class ZmqAddress:
    """See `Address`."""

    def __init__(self, worker: int, endpoint: str, identity: bytes, arenas: ArenaFds, main_by_value: bool):
        self._worker = worker
        self._endpoint = endpoint
        self._identity = identity
        self._arenas = arenas
        self._main_by_value = main_by_value

    def fds(self) -> list[int]:
        """See `Address`."""
        return list(self._arenas)

    def connect(self, fds: list[int]) -> ZmqChannel:
        """See `Address`."""
        arenas = ArenaFds(*fds)
        fault = Fault.of_environment("worker", self._worker)
        coder = Coder(arenas.results, arenas.tasks, main_by_value=self._main_by_value, fault=fault)
        return ZmqChannel(self._endpoint, self._identity, coder)


class ZmqChannel(CodedChannel):
    """The worker's end."""

    def __init__(self, endpoint: str, identity: bytes, coder: Coder):
        super().__init__(coder)
        self._context = zmq.Context()
        self._socket = _socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, identity)
        self._socket.setsockopt(zmq.RCVTIMEO, IDLE_MS)
        self._socket.connect(endpoint)

    def send(self, message: Message) -> None:
        """See `Channel`."""
        for frame in self._coder.pack_added(message):
            self._socket.send(frame)

    def receive(self) -> tuple[Message, Any]:
        """See `Channel`."""
        while True:
            try:
                message = self._coder.unpack(self._socket.recv())
            except zmq.Again:
                self._coder.idle()
            else:
                if message is not None:
                    return message


class ZmqTransport:
    """The parent's end.

    Args:
        main_by_value: whether workers lack this process's ``__main__``, see `Encoder`.
    """

    def __init__(self, *, main_by_value: bool):
        self._main_by_value = main_by_value
        self._context = zmq.Context()
        self._socket = _socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())
        self._endpoint = f"ipc://@headrace-{secrets.token_hex(16)}"
        self._socket.bind(self._endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._identities: dict[int, bytes] = {}
        self._workers: dict[bytes, int] = {}
        self._sentinels: dict[int, int] = {}  # descriptor -> worker
        self._looked_at = 0.0
        self._coders: dict[int, Coder] = {}
        self._arenas: dict[int, ArenaFds] = {}

    def add(self, worker: int) -> ZmqAddress:
        """See `Transport`."""
        fault = Fault.of_environment("parent", worker)
        identity = b"w" + secrets.token_bytes(15)  # a leading zero byte is ZeroMQ's own
        arenas = ArenaFds.create()
        self._identities[worker], self._workers[identity] = identity, worker
        self._arenas[worker] = arenas
        self._coders[worker] = Coder(arenas.tasks, arenas.results, main_by_value=self._main_by_value, fault=fault)
        return ZmqAddress(worker, self._endpoint, identity, arenas, self._main_by_value)

    def watch(self, worker: int, sentinel: int) -> None:
        """See `Transport`. The worker has its arenas by now, so their descriptors are closed here."""
        self._sentinels[sentinel] = worker
        self._poller.register(sentinel, zmq.POLLIN)
        self._arenas.pop(worker).close()

    def remove(self, worker: int) -> None:
        """See `Transport`. Of a worker that was only half added (Ctrl-C), what there is."""
        self._workers.pop(self._identities.pop(worker, b""), None)
        for held in (self._coders, self._arenas):
            if worker in held:
                held.pop(worker).close()
        for sentinel in [s for s, w in self._sentinels.items() if w == worker]:
            del self._sentinels[sentinel]
            self._poller.unregister(sentinel)

    def send(self, worker: int, message: Message, body: Any = None) -> None:
        """See `Transport`."""
        packed = self._coders[worker].pack(message, body)
        try:
            for frame in packed:
                self._socket.send(self._identities[worker], _MORE)
                self._socket.send(frame)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            # The worker has just died: its sentinel says so in the next receive(), and the ledger has the task. Or it
            # is still starting, and was pinged.
            self._coders[worker].not_sent()

    def receive(self, timeout_s: float | None) -> list[Event]:
        """See `Transport`."""
        events = self._drain()
        now = time.monotonic()
        if (events or timeout_s == 0) and now - self._looked_at < _LOOK_S:
            return events
        self._looked_at = now
        patience_ms = None if timeout_s is None else round(timeout_s * 1000)
        fired = self._poller.poll(0 if events else patience_ms)
        events += self._drain()  # the last words of a worker come before its death
        return events + [Event(self._sentinels[fd], None) for fd, _ in fired if isinstance(fd, int)]

    def _drain(self) -> list[Event]:
        events = []
        while int(self._socket.getsockopt(zmq.EVENTS)) & _READABLE:  # (an exception would say it ten times slower)
            worker = self._workers.get(self._socket.recv())
            frame = self._socket.recv()  # the parts of a message are there, or none is
            if worker is None:
                while self._socket.getsockopt(zmq.RCVMORE):  # a stranger may send any number of them
                    self._socket.recv()
            elif message := self._coders[worker].unpack(frame):
                events.append(Event(worker, *message))
        return events

    def open(self, worker: int, body: Encoded | None) -> Unread | list[Any]:
        """See `Transport`."""
        return self._coders[worker].open(body)

    def drop(self, worker: int, body: Encoded | None) -> None:
        """See `Transport`."""
        self._coders[worker].drop(body)

    def close(self) -> None:
        """See `Transport`."""
        for worker in {*self._identities, *self._coders, *self._arenas}:
            self.remove(worker)
        self._context.destroy(linger=0)


def _socket(context: zmq.Context[Any], kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    return socket
