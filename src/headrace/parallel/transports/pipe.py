"""Messages between processes over a pair of connected sockets for each worker, as ``multiprocessing``'s pipes are.

Each frame goes behind its length. The parent never blocks on sending: what a full socket does not take
waits in a buffer until `receive`. So the two ends cannot wait for each other, however large the messages are.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

from ..codec import Encoded
from ..decoder import Unread
from ..messages import Message
from .base import Event
from .coded import IDLE_MS, ArenaFds, CodedChannel, Coder, Fault

__all__ = ["PipeTransport"]

_LENGTH = struct.Struct("<Q")
_READ_BYTES = 1 << 20


class PipeAddress:
    """See `Address`."""

    def __init__(self, worker: int, end: socket.socket, arenas: ArenaFds, main_by_value: bool):
        self._worker = worker
        self._end = end.fileno()
        self._arenas = arenas
        self._main_by_value = main_by_value

    def fds(self) -> list[int]:
        """See `Address`."""
        return [self._end, *self._arenas]

    def connect(self, fds: list[int]) -> PipeChannel:
        """See `Address`."""
        arenas = ArenaFds(*fds[1:])
        fault = Fault.of_environment("worker", self._worker)
        coder = Coder(arenas.results, arenas.tasks, main_by_value=self._main_by_value, fault=fault)
        return PipeChannel(socket.socket(fileno=fds[0]), coder)


class PipeChannel(CodedChannel):
    """The worker's end: plain blocking calls."""

    def __init__(self, end: socket.socket, coder: Coder):
        super().__init__(coder)
        self._socket = end
        self._socket.setblocking(True)

    def send(self, message: Message) -> None:
        """See `Channel`."""
        for frame in self._coder.pack_added(message):
            try:
                self._socket.sendall(_LENGTH.pack(len(frame)) + frame)
            except ConnectionError:
                raise EOFError("the parent is gone") from None

    def receive(self) -> tuple[Message, Any]:
        """See `Channel`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            while not poll.poll(IDLE_MS):
                self._coder.idle()
            (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
            message = self._coder.unpack(self._read(size))
            if message is not None:
                return message

    def _read(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = self._socket.recv_into(view)
            except ConnectionError:
                count = 0
            if count == 0:
                raise EOFError("the parent is gone")
            view = view[count:]
        return bytes(data)


class _Line:
    """The parent's end of one worker's pair."""

    def __init__(self, coder: Coder, arenas: ArenaFds):
        self.mine, self.theirs = socket.socketpair()
        self.mine.setblocking(False)
        self.coder = coder
        self.arenas: ArenaFds | None = arenas
        self.incoming = bytearray()
        self.outgoing = bytearray()

    def flush(self) -> None:
        """Send what the socket takes."""
        try:
            while self.outgoing:
                del self.outgoing[: self.mine.send(self.outgoing[:_READ_BYTES])]
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass  # full, or the worker is dead: its sentinel says so

    def fill(self) -> None:
        """Read what is there."""
        try:
            while chunk := self.mine.recv(_READ_BYTES):
                self.incoming += chunk
        except (BlockingIOError, ConnectionResetError):
            pass

    def parse(self) -> list[tuple[Message, Encoded | None]]:
        """The messages that are complete."""
        messages = []
        position = 0
        while len(self.incoming) >= position + _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self.incoming, position)
            begin = position + _LENGTH.size
            if len(self.incoming) < begin + size:
                break
            message = self.coder.unpack(bytes(self.incoming[begin : begin + size]))
            if message is not None:
                messages.append(message)
            position = begin + size
        del self.incoming[:position]
        return messages

    def release(self) -> None:
        """Close what only the worker needs."""
        self.theirs.close()
        if self.arenas is not None:
            self.arenas.close()
            self.arenas = None


class PipeTransport:
    """The parent's end.

    Args:
        main_by_value: whether workers lack this process's ``__main__``, see `Encoder`.
    """

    def __init__(self, *, main_by_value: bool):
        self._main_by_value = main_by_value
        self._lines: dict[int, _Line] = {}
        self._sentinels: dict[int, int] = {}  # descriptor -> worker

    def add(self, worker: int) -> PipeAddress:
        """See `Transport`."""
        fault = Fault.of_environment("parent", worker)
        arenas = ArenaFds.create()
        coder = Coder(arenas.tasks, arenas.results, main_by_value=self._main_by_value, fault=fault)
        line = self._lines[worker] = _Line(coder, arenas)
        return PipeAddress(worker, line.theirs, arenas, self._main_by_value)

    def watch(self, worker: int, sentinel: int) -> None:
        """See `Transport`. The worker has its end by now, so it is closed here."""
        self._sentinels[sentinel] = worker
        self._lines[worker].release()

    def remove(self, worker: int) -> None:
        """See `Transport`."""
        line = self._lines.pop(worker)
        line.release()
        line.coder.close()
        line.mine.close()
        for sentinel in [s for s, w in self._sentinels.items() if w == worker]:
            del self._sentinels[sentinel]

    def send(self, worker: int, message: Message, body: Any = None) -> None:
        """See `Transport`."""
        line = self._lines[worker]
        for frame in line.coder.pack(message, body):
            line.outgoing += _LENGTH.pack(len(frame)) + frame
        line.flush()

    def receive(self, timeout_s: float | None) -> list[Event]:
        """See `Transport`."""
        poll = select.poll()
        lines = {line.mine.fileno(): worker for worker, line in self._lines.items()}
        for fd, worker in lines.items():
            poll.register(fd, select.POLLIN | (select.POLLOUT if self._lines[worker].outgoing else 0))
        for fd in self._sentinels:
            poll.register(fd, select.POLLIN)
        events: list[Event] = []
        deaths: list[Event] = []
        for fd, _ in poll.poll(None if timeout_s is None else timeout_s * 1000):
            if fd in lines:
                line = self._lines[lines[fd]]
                line.flush()
                line.fill()
                events += [Event(lines[fd], *message) for message in line.parse()]
            else:
                deaths.append(Event(self._sentinels[fd], None))
        for death in deaths:  # the last words of a worker come before its death
            line = self._lines[death.worker]
            line.fill()
            events += [Event(death.worker, *message) for message in line.parse()]
        return events + deaths

    def open(self, worker: int, body: Encoded | None) -> Unread | list[Any]:
        """See `Transport`."""
        return self._lines[worker].coder.open(body)

    def drop(self, worker: int, body: Encoded | None) -> None:
        """See `Transport`."""
        self._lines[worker].coder.drop(body)

    def close(self) -> None:
        """See `Transport`."""
        for worker in list(self._lines):
            self.remove(worker)
