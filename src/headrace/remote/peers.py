"""Who is connected to a receiver, who is no longer listened to, and why."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from ..plain_codec import MalformedError
from .link import Link
from .packing import Packer
from .streams import Stream, Streams
from .wire import Kind

__all__ = ["Connection", "Peers", "read_hello"]

logger = logging.getLogger("headrace")

_MAX_BANNED = 10_000
_KNOWN_S = 0.5
"""So long after the news that a connection has ended a ROUTER may not know it: the two come on different ways."""

Connection = tuple[int, bytes]
"""Number of a link, and routing id of the peer there."""


def read_hello(value: Any) -> dict[str, Any]:
    """What a sender says of itself.

    Raises:
        MalformedError: that is not what a sender says.
    """
    kinds = {"name": str, "ack": bool, "pickle": bool, "hwm": int, "buffer_bytes": int}
    if type(value) is not dict or any(type(value.get(k)) is not t for k, t in kinds.items()):
        raise MalformedError("a bad HELLO")
    if value["hwm"] < 1 or value["buffer_bytes"] < 1:
        raise MalformedError("a bad HELLO")
    if not 0 < len(value["name"]) <= 100 or not value["name"].isprintable():
        raise MalformedError("a bad name")
    return value


class Peers:
    """All who are connected.

    Args:
        table: of the senders.
        rejected: where faults are counted.

    Attributes:
        links: the sockets.
        here: all that have spoken; None: no sender (yet).
        unexplained: connections that ended, and nobody of those that have spoken was found missing.
        suspicion: whether to look soon who is missing.
    """

    def __init__(self, table: Streams, rejected: Counter[str]):
        self.links: list[Link] = []
        self.here: dict[Connection, Stream | None] = {}
        self.unexplained = 0
        self.suspicion = False
        self._unexplained_since = 0.0
        self._table = table
        self._rejected = rejected
        self._banned: dict[Connection, None] = {}
        self._packer = Packer()

    @property
    def senders(self) -> int:
        """How many senders are connected."""
        return sum(1 for stream in self.here.values() if stream is not None)

    def listens_to(self, connection: Connection) -> bool:
        """Whether what comes from there is read. It has spoken, in any case."""
        if connection in self._banned:
            return False
        self.here.setdefault(connection, None)
        return True

    def send(self, connection: Connection, kind: Kind, stream: bytes, number: int = 0, *values: Any) -> bool:
        """Send a message, without waiting. Whether the peer is there."""
        index, peer = connection
        there = self.links[index].send(peer, self._packer.pack(kind, stream, number, *values))
        if not there:
            self.suspicion = True  # it is lost when its last words have been read
        return there

    def admit(self, connection: Connection, identity: bytes, name: str) -> Stream:
        """A sender is here. A connection that it had before is no longer listened to: it broke, and only the sender has
        noticed yet, or somebody else has a copy of the sender's state file, and is told.
        """
        stream = self._table.by_id.get(identity)
        if stream is None:
            stream = self._add(identity, name, connection[0])
        elif stream.replaced:
            stream.name = self._unique(stream.name)
        elif stream.connection is not None and stream.connection != connection:
            self._part(stream.connection, "its stream was taken over by another connection")
        logger.info("sender %s is here, at %s", stream.name, self.links[connection[0]].address.text)
        self.here[connection] = stream
        stream.connect(connection, connection[0])
        return stream

    def _add(self, identity: bytes, name: str, address: int) -> Stream:
        for other in self._table:
            if other.name == name and other.connection is None and not other.ended:
                if other.replaced:
                    self._table.remove(other)
                    continue
                logger.warning(
                    "sender %s began anew, without its state; of what it sent before, %d datapoints were delivered",
                    name, other.datapoints,
                )  # fmt: skip
                other.replace()
        return self._table.add(identity, self._unique(name), address)

    def _unique(self, name: str) -> str:
        taken = {s.name for s in self._table if not s.replaced}
        return next(n for n in (name, *(f"{name}#{i}" for i in range(2, len(taken) + 3))) if n not in taken)

    def find_missing(self) -> list[Connection]:
        """Who is no longer there? A ROUTER knows, when it is asked to send. Their last words can still be heard then,
        and nothing comes behind these.
        """
        missing = [
            connection
            for connection, stream in list(self.here.items())
            if self.links[connection[0]].bind
            and not self.send(connection, Kind.PING, stream.id if stream is not None else bytes(16))
        ]
        self.suspicion = False
        return missing

    def lose_missing(self, missing: list[Connection]) -> None:
        """These connections have ended, and what they said was heard. Is one that ended still unexplained?"""
        for connection in missing:
            self.unexplained -= 1
            self.lose(connection)
        if self.unexplained <= 0:
            self._unexplained_since = 0.0
            return
        now = time.monotonic()
        self._unexplained_since = self._unexplained_since or now
        if now - self._unexplained_since < _KNOWN_S:
            self.suspicion = True  # look again
            return
        self.reject("a connection that ended before a whole message had come", self.unexplained)
        self.unexplained, self._unexplained_since = 0, 0.0

    def lose(self, connection: Connection) -> None:
        """A connection has ended."""
        self._banned.pop(connection, None)
        stream = self.here.pop(connection, None)
        if stream is None or stream.connection != connection:
            return
        stream.leave()
        if not (stream.ended and not stream.waiting):
            logger.warning("sender %s is gone, after %d datapoints", stream.name, stream.datapoints)

    def expel(self, stream: Stream, why: str) -> None:
        """Listen no more to a sender whose messages cannot be read. It may have gone already."""
        if stream.connection is not None:
            self.ban(stream.connection, why)
        else:
            self.reject(why, 1)

    def ban(self, connection: Connection, why: str) -> None:
        """Listen no more to a connection that says what nobody should say. Its sender, if it is one, is told.

        A stream of which nothing has come is forgotten: no pass shall wait for it.
        """
        stream = self.here.get(connection)
        self.reject(why, 1)
        self._part(connection, why)
        if stream is not None and not stream.taken and not stream.waiting:
            self._table.remove(stream)

    def _part(self, connection: Connection, why: str) -> None:
        """Listen no more to a connection. Its sender, if it is one and still there, is told."""
        stream = self.here.get(connection)
        identity = stream.id if stream is not None else bytes(16)
        if stream is not None:
            logger.warning("sender %s is refused, after %d datapoints: %s", stream.name, stream.datapoints, why)
            stream.leave()
            self.here[connection] = None
        self._banned[connection] = None
        if len(self._banned) > _MAX_BANNED:
            del self._banned[next(iter(self._banned))]
        self.send(connection, Kind.REFUSED, identity, 0, why)

    def reject(self, why: str, count: int) -> None:
        """Count a fault."""
        if why not in self._rejected:
            logger.warning("rejected: %s (further ones are counted only)", why)
        self._rejected[why] += count
