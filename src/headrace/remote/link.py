"""One address: a socket, what is said on it, and news about who is there.

The side that binds has a ROUTER, the side that connects a DEALER, whichever of them sends the data. So a socket that is
connected has one peer, and one that is bound has many, told apart by routing ids. ZeroMQ is only a pipe: what may be
under way is counted by the two sides, nothing depends on high-water marks or on linger, and a connection that broke is
not used
again: a new connection to a ROUTER has a new routing id, and a DEALER that lost its connection is replaced.

ZeroMQ's own heartbeats (in its I/O thread, so they go on while Python computes) notice peers that vanish without a
word.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import socket
import stat
import time
from typing import Any, NamedTuple

import numpy as np
import zmq

from ..errors import AddressError, ProtocolError, RemoteError, SecurityError
from .security import Address, Keys

__all__ = ["Link", "News", "Options", "Patience", "check_heartbeat", "check_timeout", "keep_freed_memory"]

_HANDSHAKE_S = 10
_TAUGHT_BYTES = (32 << 20) - (64 << 10)
_CONNECT_S = 5
_TRIES = 5
"""Handshakes in a row that the other side broke off, until it is taken for something else than headrace with our
keys."""
_ECHO_S = 5.0
_PROBE_S = 1.0

_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What all sockets of one end have in common.

    Attributes:
        heartbeat_s: how often a silent peer is asked; three times without an answer, and it is gone.
        max_item_bytes: no message may be larger.
        receive_limit: how many messages of one peer ZeroMQ holds before it stops reading from it.
    """

    heartbeat_s: float
    max_item_bytes: int
    receive_limit: int


def check_heartbeat(value: Any) -> float:
    """``heartbeat_s``, if it is one.

    Raises:
        TypeError, ValueError: it is no number from 0.1 to 2000.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"heartbeat_s must be a number of seconds, got {type(value).__name__}: {value!r:.60}")
    if not 0.1 <= value <= 2000:
        raise ValueError(f"heartbeat_s must be between 0.1 and 2000 seconds, got {value}")
    return float(value)


def check_timeout(value: float | None) -> float | None:
    """``timeout_s``, if it is one. (Infinity is None.)

    Raises:
        TypeError, ValueError: it is neither None nor a number above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout_s must be a number of seconds or None, got {type(value).__name__}: {value!r:.60}")
    if not value > 0:
        raise ValueError(f"timeout_s must be above 0, got {value}")
    return None if math.isinf(value) else float(value)


class News(NamedTuple):
    """What happened to connections since the last look.

    Attributes:
        up: somebody is there now.
        down: how many have gone.
        rejected: handshakes that failed.
    """

    up: bool
    down: int
    rejected: int


class Link:
    """See the module.

    Args:
        context: of the socket.
        address: where.
        bind: whether to bind or to connect.
        keys: None: no encryption.
        options: see `Options`.

    Raises:
        AddressError: it is in use, or not ours to bind, or its host is unknown.
    """

    def __init__(self, context: zmq.Context[Any], address: Address, bind: bool, keys: Keys | None, options: Options):
        self.address = address
        self.bind = bind
        self.connected = False
        """Of a DEALER: whether its peer is there."""
        self._context = context
        self._keys = keys
        self._options = options
        self._broken_off = 0
        self._failed = False  # whether the handshake of the connection that ends next has failed
        self._file: _File | None = None
        self._echoes = 0
        self._echo_at = -math.inf
        address.check_reachable()
        self._open()

    @property
    def private(self) -> bool:
        """Whether only this machine is there, and nobody wants encryption."""
        return self.address.local and self._keys is None

    def reopen(self) -> None:
        """Replace a DEALER whose connection broke: nothing that was meant for the old one goes over the new one."""
        self._close()
        self._open()

    def meet_itself(self) -> bool:
        """What this DEALER said comes back: TCP has connected it to itself.

        That happens where nobody listens at a port from which the system gives ports to those who connect: one of many
        tries is given that very port. It would also keep the other side from binding to it.

        Returns:
            Whether it was. If it happens again at once, something there sends back what it hears.
        """
        now = time.monotonic()
        self._echoes = self._echoes + 1 if now - self._echo_at < _ECHO_S else 1
        self._echo_at = now
        return self._echoes < _TRIES

    def register(self, poller: zmq.Poller) -> None:
        """Wait for messages and for news."""
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)

    def receive(self) -> tuple[bytes, memoryview | None] | None:
        """The next message, without waiting.

        Returns:
            The peer's routing id (empty for a DEALER) and the message, whose memory it keeps; None in its place for one
            that has several frames, as ours never have. None: there is nothing.
        """
        try:
            peer = self.socket.recv(zmq.NOBLOCK) if self.bind else b""
            frame = self.socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        if not frame.more:
            return peer, frame.buffer
        while frame.more:
            frame = self.socket.recv(copy=False)
        return peer, None

    def send(self, peer: bytes, frame: zmq.Frame) -> bool:
        """Send a message, without waiting.

        Returns:
            Whether the peer is there. If it does not read at all, a message that nobody depends on (`Kind.PING`, `ACK`)
            may be dropped: a peer that stands still has no use for it, and the next one says more.
        """
        try:
            if self.bind:
                self.socket.send(peer, zmq.SNDMORE | zmq.NOBLOCK)
            self.socket.send(frame, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def news(self) -> News:
        """What the monitor says.

        Raises:
            SecurityError, ProtocolError: of a DEALER: the other side will not have us, and will not change its mind.
        """
        up, down, rejected = False, 0, 0
        while self._monitor.get(zmq.EVENTS) & zmq.POLLIN:
            from zmq.utils.monitor import parse_monitor_message  # loads asyncio; events are rare

            event = parse_monitor_message(self._monitor.recv_multipart())
            kind, value = event["event"], event["value"]
            if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                up = self.connected = True
                self._broken_off = 0
            elif kind != zmq.EVENT_DISCONNECTED:
                rejected += 1
                self._failed = True
                if not self.bind:
                    self._judge(kind, value)
            elif self.connected or self.bind:
                down, up, self.connected = down + 1, self.bind and up, False
            elif not self._failed:
                raise self._stranger()  # a whole handshake, with a socket that is none of ours
            else:
                self._failed = False
        return News(up, down, rejected)

    def close(self, linger_s: float) -> None:
        """Close; wait so long at most for messages that are still to be sent to peers that are there."""
        self._close(round(linger_s * 1000))

    def _judge(self, kind: int, value: int) -> None:
        """What a failed handshake means. One that was broken off may be a receiver that ends, several are not."""
        where = self.address.text
        if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise SecurityError(
                f"{where}: the other side does not let this key in; add its public file (.key) to the peers= there"
            )
        if kind == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            if value != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                raise self._stranger()
            ours, theirs = ("has keys", "none") if self._keys is not None else ("has no keys", "some")
            raise SecurityError(f"{where}: this side {ours} and the other has {theirs}; give key= and peers= on both")
        self._broken_off += 1
        if self._broken_off == _TRIES and not _says_something(self.address):
            self._broken_off = 0
        if self._broken_off == _TRIES:
            why = "the key in peers= is not the key of what answers there, or that has no keys"
            if self._keys is None:
                why = "it has keys and this side has none, or it is not headrace; give key= and peers="
            raise SecurityError(f"{where}: the other side breaks off the handshake: {why}")

    def _stranger(self) -> ProtocolError:
        return ProtocolError(f"{self.address.text}: what answers there is neither a sender nor a receiver of headrace")

    def _open(self) -> None:
        options = self._options
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER if self.bind else zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 10_000 if self.bind else 0
        self.socket.rcvhwm = options.receive_limit
        self.socket.maxmsgsize = options.max_item_bytes
        self.socket.handshake_ivl = _HANDSHAKE_S * 1000
        self.socket.heartbeat_ivl = round(options.heartbeat_s * 1000)
        self.socket.heartbeat_timeout = self.socket.heartbeat_ttl = round(options.heartbeat_s * 3000)
        self.socket.connect_timeout = _CONNECT_S * 1000
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 100, 1000
        self.socket.ipv6 = self.address.host is not None and ":" in self.address.host
        if self.bind:
            self.socket.router_mandatory = True
        if self._keys is not None:
            self._keys.arm(self.socket, bind=self.bind)
        self._monitor = self.socket.get_monitor_socket(_EVENTS)
        try:
            if self.bind:
                self._bind()
            else:
                self.socket.connect(self.address.text)
        except zmq.ZMQError as error:
            self._close()
            raise _address_error(self.address, error) from None
        except RemoteError:
            self._close()
            raise

    def _bind(self) -> None:
        path = self.address.path
        if path is not None:
            self.socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())
            if not path.startswith("@"):  # libzmq would remove whatever is there
                _check_free(self.address, path)
        self.socket.bind(self.address.text)
        if path is not None and not path.startswith("@"):
            self._file = _File(os.path.abspath(path), os.stat(path).st_ino)

    def _close(self, linger_ms: int = 0) -> None:
        self.connected = False
        if self._file is not None:  # while it is still ours: as soon as nobody answers, somebody else may bind there
            self._file.remove()
            self._file = None
        self.socket.disable_monitor()
        self._monitor.close(linger=0)
        self.socket.close(linger=linger_ms)


class _File(NamedTuple):
    """The file of a socket on disk, which ZeroMQ leaves there.

    Attributes:
        path: where it is.
        inode: which one.
    """

    path: str
    inode: int

    def remove(self) -> None:
        """Remove it, unless something else is there now."""
        with contextlib.suppress(OSError):
            if os.lstat(self.path).st_ino == self.inode:
                os.unlink(self.path)


def _check_free(address: Address, path: str) -> None:
    """Nothing is there, or a socket that nobody listens at any more."""
    if os.path.lexists(path) and not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
        raise AddressError(f"{address.text}: there is something else than a socket; take another path, or remove it")
    if _answers(path):
        raise AddressError(_in_use(address))


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(path)
        return True
    return False


def _connected(address: Address) -> socket.socket:
    if address.path is None:
        return socket.create_connection((address.host, int(address.text.rpartition(":")[2])), _PROBE_S)
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.settimeout(_PROBE_S)
        probe.connect(f"\0{address.path[1:]}" if address.path.startswith("@") else address.path)
    except OSError:
        probe.close()
        raise
    return probe


def _says_something(address: Address) -> bool:
    """Whether a program answers there.

    ZeroMQ greets at once. A tunnel, or a port mapping, with nobody at its other end only lets in, and closes.
    """
    try:
        with _connected(address) as probe:
            return bool(probe.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


def _in_use(address: Address) -> str:
    return (
        f"{address.text} is in use by another program (or another receiver); end that one, or take another port or path"
    )


def _address_error(address: Address, error: zmq.ZMQError) -> AddressError:
    if error.errno == errno.EADDRINUSE:
        return AddressError(_in_use(address))
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return AddressError(f"{address.text}: this machine has no such address, so nothing can be bound to it")
    return AddressError(f"{address.text} cannot be used: {error.strerror or os.strerror(error.errno or 0)}")


class Patience:
    """How long there has been nobody.

    Args:
        timeout_s: how long that may be; None: for ever.
    """

    def __init__(self, timeout_s: float | None):
        self.timeout_s = timeout_s
        self._since: float | None = None

    def restart(self) -> None:
        """Somebody is there."""
        self._since = None

    def spent(self) -> bool:
        """Nobody is there. Whether that has lasted too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return self.timeout_s is not None and now - self._since >= self.timeout_s

    def wait_ms(self, most_ms: int) -> int:
        """How long to wait for something, at most."""
        if self._since is None or self.timeout_s is None:
            return most_ms
        return max(0, min(most_ms, round((self._since + self.timeout_s - time.monotonic()) * 1000) + 1))


def keep_freed_memory() -> None:
    """Let the memory of messages be used again, instead of going back to the system: its page faults cost as much as
    the message.

    glibc learns from what a program frees (mallopt(3), ``M_MMAP_THRESHOLD``): after one block of almost 32 MiB, smaller
    ones are no longer mapped each by itself, and up to twice as much is kept. A program that handles large batches has
    taught it that anyway. Elsewhere this does nothing.
    """
    np.empty(_TAUGHT_BYTES, np.uint8)  # never touched, so it costs no memory
