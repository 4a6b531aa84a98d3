"""`RemoteDataZMQ`: a flow of what senders elsewhere send."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, NoReturn

import zmq

from .._checks import check_count
from ..errors import DataFlowTerminated, PeerLost, ProtocolError, SenderFailed, SerializationError
from ..flow import DataFlow
from ..state import State
from .codec import WireError
from .link import Link, Options, Patience, check_heartbeat, check_timeout
from .security import Gatekeeper, PathLike, check_keys, load_keys, parse_address
from .streams import Stream, Streams
from .wire import VERSION, Kind, Message, Packer, VersionError, unpack

__all__ = ["RemoteDataZMQ", "SenderInfo"]

logger = logging.getLogger("headrace")

_TICK_MS = 1000
_LOOK_S = 0.02
"""So often the receiver looks for messages while it has datapoints to give, and so long it goes on at most."""
_PAUSE_MS = 2
"""So long a receiver without datapoints waits before it acknowledges less than a quarter of what may be under way."""
_LINGER_S = 1.0
_MAX_STREAMS = 100_000
_MAX_BANNED = 10_000
_CONTROL_MESSAGES = 100
"""How many messages of one peer may wait beside its entries."""

_PASS_OVER = object()


class _Unreadable:
    """In place of a datapoint with an object that cannot be unpickled here."""

    def __init__(self, error: Exception):
        self.error = error


_Connection = tuple[int, bytes]
"""Number of a link, and routing id of the peer there."""


@dataclasses.dataclass(frozen=True)
class SenderInfo:
    """What is known of one sender.

    Attributes:
        name: as it calls itself.
        address: where it comes in: 1 or 2, as ``addr1`` and ``addr2``.
        datapoints: how many the consumer was given.
        nbytes: their size on the wire.
        connected: whether it is there.
        ended: whether it has sent its last pass.
        lost: how many entries it could not deliver, as far as is known.
    """

    name: str
    address: int
    datapoints: int
    nbytes: int
    connected: bool
    ended: bool
    lost: int


class RemoteDataZMQ(DataFlow):
    """Receive what `send_dataflow_zmq` sends, from any number of senders.

    Senders and receiver may start in any order, go away and come back. Datapoints are taken from senders in turn.

    Args:
        addr1: ``tcp://HOST:PORT`` or ``ipc://PATH``. Beyond this machine only with keys.
        addr2: a second one, for example for senders on this machine.
        hwm: the most datapoints of each sender that are under way.
        bind: whether to bind to the addresses; senders connect then. If not, each address is that of one sender that
            binds.
        passes: how many passes of each sender make a pass of this flow, at least 1. None: the flow never ends.
        num_senders: with ``passes``: a pass does not end before so many senders have been there. None: it ends when
            those have finished that happen to be there, at least one.
        ack: each datapoint is delivered exactly once, also if this process is killed and starts again from a saved
            state (``state_dict``), or a sender from its own; the senders go back as far as it takes. They need
            ``ack=True`` too.
        key: see `send_dataflow_zmq`.
        peers: see `send_dataflow_zmq`. Nobody else can connect.
        allow_pickle: read Python objects that senders pickle. **Whoever can connect can then run any code here.** On
            ``tcp://127.0.0.1`` that is every user of the machine.
        buffer_bytes: the most bytes under way, shared by all senders (but each may send one datapoint).
        max_item_bytes: the largest datapoint to take. Whoever sends a larger message is disconnected.
        timeout_s: how long all senders that are waited for may be gone. None: for ever. A sender that is there and slow
            is never given up.
        heartbeat_s: see `send_dataflow_zmq`.

    Attributes:
        cnt1, cnt2: how many datapoints came in by ``addr1`` and ``addr2``.
        senders: a `SenderInfo` for each sender.
        rejected: how often each fault was found in what strangers (or broken senders) sent. They are dropped and logged
            once; the stream goes on.

    Order and integrity: the datapoints of one sender come in its order, each once. Arrays are writable and the
        consumer's
    own; those of one datapoint share a piece of memory. Connections are kept from one pass to the next, and until
    ``close()``. With ``passes``, a pass that was left early is passed over when the next one begins. The state has one
    line for each sender, with its position. Without ``ack``, resuming gives what the senders send now.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        SecurityError: an address beyond this machine without keys (at construction); keys that cannot be read.
        AddressError: the address is in use, or cannot be bound.
        PeerLost: after ``timeout_s``; it names the senders.
        SenderFailed: the flow of a sender has raised, and no other sender is left.
        SerializationError: an object cannot be unpickled here. Iterated again, the flow goes on behind it.

    Example:
        See `send_dataflow_zmq` for both sides at work.

        >>> import headrace as hr
        >>> hr.RemoteDataZMQ("tcp://*:5555")
        Traceback (most recent call last):
            ...
        headrace.errors.SecurityError: addr1: 'tcp://*:5555' reaches beyond this machine, where anyone could connect;
        ...
    """

    keeps = True

    def __init__(
        self,
        addr1: str,
        addr2: str | None = None,
        hwm: int = 50,
        bind: bool = True,
        *,
        passes: int | None = None,
        num_senders: int | None = None,
        ack: bool = False,
        key: PathLike | None = None,
        peers: PathLike | Sequence[PathLike] | None = None,
        allow_pickle: bool = False,
        buffer_bytes: int = 256 << 20,
        max_item_bytes: int = 1 << 30,
        timeout_s: float | None = None,
        heartbeat_s: float = 5.0,
    ):
        self.key, self.peers = check_keys(key, peers)
        self.bind = bool(bind)
        self.addr1, self.addr2 = addr1, addr2
        given = [("addr1", addr1)] + ([("addr2", addr2)] if addr2 is not None else [])
        self._addresses = [parse_address(n, a, keys=key is not None, bind=self.bind) for n, a in given]
        self.hwm = check_count("hwm", hwm)
        self.passes = None if passes is None else check_count("passes", passes)
        self.num_senders = None if num_senders is None else check_count("num_senders", num_senders)
        if num_senders is not None and passes is None:
            raise ValueError("num_senders says when a pass may end; without passes there is no end")
        self.ack = bool(ack)
        self.allow_pickle = bool(allow_pickle)
        self.buffer_bytes = check_count("buffer_bytes", buffer_bytes)
        self.max_item_bytes = check_count("max_item_bytes", max_item_bytes, 1024)
        self.timeout_s = check_timeout(timeout_s)
        self.heartbeat_s = check_heartbeat(heartbeat_s)
        self.rejected: Counter[str] = Counter()

    @property
    def cnt1(self) -> int:
        """How many datapoints came in by ``addr1``."""
        return self._table().counts[0]

    @property
    def cnt2(self) -> int:
        """How many datapoints came in by ``addr2``."""
        return self._table().counts[1]

    @property
    def senders(self) -> list[SenderInfo]:
        """What is known of each sender, in the order in which they first came."""
        return [
            SenderInfo(s.name, s.address + 1, s.datapoints, s.nbytes, s.connection is not None, s.ended, s.lost)
            for s in self._table()
        ]

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        table = self._table()
        if not state.restored:
            table.begin_pass()
        runtime = self._runtime
        if runtime.stream is None:
            runtime.stream = _Conversation(self, table).run()
        for datapoint in runtime.stream:
            if datapoint is _PASS_OVER:
                return
            if type(datapoint) is _Unreadable:
                raise datapoint.error
            yield datapoint
        raise DataFlowTerminated("the RemoteDataZMQ was closed while it was iterated")

    def close(self) -> None:
        """Close the sockets. The flow can be iterated again; the senders will come back."""
        super().close()
        stream, self._runtime.stream = self._runtime.stream, None
        if stream is not None:
            stream.close()

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: another address makes no difference."""
        return f"RemoteDataZMQ(passes={self.passes}, ack={self.ack})"

    def _table(self) -> Streams:
        kept = self._runtime.kept
        table = kept.get("streams")
        if not isinstance(table, Streams):
            table = kept["streams"] = Streams(self.passes, table)
        return table


class _Conversation:
    """The receiver's side of all connections, from opening to closing."""

    def __init__(self, flow: RemoteDataZMQ, table: Streams):
        # Not the flow itself: it must be possible to drop it, which closes all this.
        self._addresses = flow._addresses
        self._bind = flow.bind
        self._key, self._peers = flow.key, flow.peers
        self._options = Options(flow.heartbeat_s, flow.max_item_bytes, flow.hwm + _CONTROL_MESSAGES)
        self._hwm, self._buffer_bytes = flow.hwm, flow.buffer_bytes
        self._ack, self._allow_pickle = flow.ack, flow.allow_pickle
        self._least = flow.num_senders or 1
        self._rejected = flow.rejected
        self._table = table
        self._run_id = os.urandom(16)  # tells the senders whether this is the receiver they knew
        self._packer = Packer()
        self._patience = Patience(flow.timeout_s)
        self._here: dict[_Connection, Stream | None] = {}  # all that have spoken; None: no sender (yet)
        self._banned: dict[_Connection, None] = {}
        self._unexplained = 0  # connections that ended, and nobody of those that have spoken was found missing
        self._suspicion = False  # whether somebody was found missing whose last words may still be there
        self._links: list[Link] = []
        self._looked_at = 0.0

    def run(self) -> Generator[Any, None, None]:
        """Datapoints, and `_PASS_OVER` where a pass ends; for ever."""
        pid = os.getpid()
        context: zmq.Context[Any] = zmq.Context()
        gate = None
        try:
            keys = load_keys(self._key, self._peers, bind=self._bind)
            if keys is not None and self._bind:
                gate = Gatekeeper(context, keys.peers)
            for address in self._addresses:
                self._links.append(Link(context, address, self._bind, keys, self._options))
            self._register()
            yield from self._datapoints()
        finally:
            if os.getpid() == pid:  # in a forked child nothing of this is the child's
                self._settle()
                for link in self._links:
                    link.close(_LINGER_S)
                if gate is not None:
                    gate.close()
                context.term()
            for stream in self._table:
                stream.leave()

    def _datapoints(self) -> Generator[Any, None, None]:
        while True:
            if time.monotonic() - self._looked_at > _LOOK_S:
                self._look()
            stream = self._table.next_ready()
            if stream is not None:
                yield from self._take(stream)
                continue
            if self._table.pass_is_over(self._least):
                self._settle()
                yield _PASS_OVER
            elif self._poller.poll(_PAUSE_MS):
                self._look()
            else:
                self._settle()
                self._wait()

    def _take(self, stream: Stream) -> Generator[Any, None, None]:
        message = stream.waiting[0]
        wanted = message.kind is Kind.DATA and not stream.skip
        try:
            datapoint = message.value(allow_pickle=self._allow_pickle) if wanted else None
        except WireError as error:
            stream.forget_waiting()
            self._ban(stream.connection, str(error))
            return
        except SerializationError as error:
            datapoint = _Unreadable(error)
        stream.take()
        self._acknowledge(stream)
        if wanted:
            stream.datapoints += 1
            stream.nbytes += message.nbytes
            del message  # the consumer's arrays alone shall hold its memory
            yield datapoint

    # -- acknowledgements

    def _grant(self, stream: Stream) -> tuple[int, int]:
        """How many entries and bytes a sender may have under way, by its own limits and ours."""
        connected = sum(1 for s in self._here.values() if s is not None)
        items, nbytes = stream.wishes
        return min(self._hwm, items), min(max(1, self._buffer_bytes // max(1, connected)), nbytes)

    def _acknowledge(self, stream: Stream, *, all_of_it: bool = False) -> None:
        if stream.connection is None or stream.received is None:
            return
        owed, owed_bytes = stream.owed
        items, nbytes = stream.granted
        if owed and (all_of_it or owed >= max(1, items // 4) or owed_bytes >= nbytes // 4):
            stream.owed = (0, 0)
            grant = self._grant(stream)
            stream.allow(*grant)
            self._send(stream.connection, Kind.ACK, stream.id, stream.taken, grant)

    def _settle(self) -> None:
        """Acknowledge all that was taken, and ends of passes that follow it: a sender waits for that before it ends."""
        for stream in self._table:
            while stream.ready and stream.waiting[0].kind is not Kind.DATA:
                stream.take()
            self._acknowledge(stream, all_of_it=True)

    # -- waiting

    def _register(self) -> None:
        self._poller = zmq.Poller()
        for link in self._links:
            link.register(self._poller)

    def _wait(self) -> None:
        """Wait for something to happen, and see to it.

        Raises:
            SenderFailed, PeerLost: there is nobody to wait for.
        """
        awaited = [s for s in self._table if s.missing]
        if any(s.connection is not None for s in awaited):
            self._patience.restart()
        else:
            self._check_failed(awaited)
            if self._patience.spent():
                self._give_up(awaited)
        if not self._poller.poll(self._patience.wait_ms(_TICK_MS)):
            self._find_missing()
        self._look()

    def _check_failed(self, awaited: list[Stream]) -> None:
        failed = [s for s in awaited if s.failure is not None]
        if failed:
            texts = "; ".join(f"sender {s.name} failed after {s.datapoints} datapoints: {s.failure}" for s in failed)
            for stream in failed:
                stream.failure = None  # iterated again, the flow waits for it to come back
            raise SenderFailed(texts)

    def _give_up(self, awaited: list[Stream]) -> NoReturn:
        where = " and ".join(link.address.text for link in self._links)
        patience = f"{self._patience.timeout_s:g} s"
        if not awaited:
            raise PeerLost(f"no sender has come to {where} for {patience}; start one, or check address, port and keys")
        names = ", ".join(f"{s.name} (after {s.datapoints} datapoints)" for s in awaited)
        again = " with its state_file" if self._ack else ""
        raise PeerLost(f"gone for {patience} from {where}: {names}; start it again{again}")

    def _find_missing(self) -> None:
        """Who is no longer there? A ROUTER knows, when it is asked to send."""
        self._suspicion = False
        for connection, stream in list(self._here.items()):
            identity = stream.id if stream is not None else bytes(16)
            if self._links[connection[0]].bind and not self._send(connection, Kind.PING, identity):
                self._unexplained -= 1
                self._lose(connection)
        if self._unexplained > 0:
            self._reject("a connection that ended before a whole message had come", self._unexplained)
        self._unexplained = min(self._unexplained, 0)
        self._suspicion = False

    # -- what comes

    def _look(self) -> None:
        """Take what came, without waiting, and not for long: the consumer waits."""
        begun = time.monotonic()
        for index, link in enumerate(self._links):
            news = link.news()
            if news.rejected and link.bind:
                self._reject(f"a handshake at {link.address.text} failed: another key, or none", news.rejected)
            last_words = news.down or self._suspicion
            while (came := link.receive()) is not None:
                self._handle((index, came[0]), came[1])
                if not last_words and time.monotonic() - begun > _LOOK_S:
                    break
            if link.bind:
                self._unexplained += news.down - news.rejected
                if last_words:
                    self._find_missing()
            elif news.down:
                self._lose((index, b""))
                link.reopen()
                self._register()
            elif news.up:
                self._send((index, b""), Kind.JOIN, bytes(16))
        self._looked_at = time.monotonic()

    def _handle(self, connection: _Connection, data: memoryview | None) -> None:
        if connection in self._banned:
            return
        self._here.setdefault(connection, None)
        try:
            if data is None:
                raise WireError("several frames")
            message = unpack(data)
            self._understand(connection, message)
        except VersionError as error:
            why = (
                f"another version of the protocol ({error.version}, here {VERSION}); install the same release of "
                f"headrace"
            )
            self._ban(connection, why)
        except WireError as error:
            self._ban(connection, str(error))

    def _understand(self, connection: _Connection, message: Message) -> None:
        if message.kind is Kind.PING:
            return
        if message.kind is Kind.HELLO:
            self._welcome(connection, message)
            return
        if message.kind is Kind.REFUSED and not self._bind:
            raise ProtocolError(f"the sender at {self._links[connection[0]].address.text} refused: {message.value()}")
        stream = self._here[connection]
        if stream is None or message.stream != stream.id:
            raise WireError("a message without HELLO, or of another stream")
        if message.kind in (Kind.DATA, Kind.PASS_END, Kind.END):
            wrong = stream.put(message)
        elif message.kind is Kind.START:
            wrong = self._start(stream, message)
        elif message.kind is Kind.FAILED:
            stream.failure = str(message.value())
            wrong = None
        else:
            wrong = "a message that is not for a receiver"
        if wrong is not None:
            raise WireError(wrong)

    def _welcome(self, connection: _Connection, message: Message) -> None:
        name, mismatch = self._read_hello(message.value())
        if mismatch:
            self._ban(connection, mismatch)
            return
        stream = self._table.by_id.get(message.stream)
        number = stream.expected if stream is not None else 0 if self._ack else None
        if stream is None:
            stream = self._add(message.stream, name, connection[0])
        elif stream.connection is not None and stream.connection != connection:
            self._ban(stream.connection, "its stream was taken over by another connection")
        logger.info("sender %s is here, at %s", stream.name, self._links[connection[0]].address.text)
        self._here[connection] = stream
        stream.connect(connection, connection[0])
        stream.wishes = message.value()["hwm"], message.value()["buffer_bytes"]
        grant = self._grant(stream)
        stream.allow(*grant)
        wanted = (number, self._run_id, *grant, self._options.max_item_bytes)
        self._send(connection, Kind.WELCOME, stream.id, 0, wanted)

    def _read_hello(self, value: Any) -> tuple[str, str]:
        """The name of a sender, and why it does not fit (empty: it does).

        Raises:
            WireError: it is no HELLO.
        """
        wanted = {"name": str, "ack": bool, "pickle": bool, "hwm": int, "buffer_bytes": int}
        if type(value) is not dict or any(type(value.get(k)) is not kind for k, kind in wanted.items()):
            raise WireError("a bad HELLO")
        if value["hwm"] < 1 or value["buffer_bytes"] < 1:
            raise WireError("a bad HELLO")
        name = value["name"]
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise WireError("a bad name")
        if value["ack"] != self._ack:
            return name, f"the receiver has ack={self._ack}, the sender ack={value['ack']}; give both the same"
        if value["pickle"] and not self._allow_pickle:
            return name, "the sender has allow_pickle=True, the receiver has not; give both the same"
        if len(self._table.by_id) >= _MAX_STREAMS:
            return name, f"there are {_MAX_STREAMS} senders already"
        return name, ""

    def _add(self, identity: bytes, name: str, address: int) -> Stream:
        for other in list(self._table):
            if other.name == name and other.connection is None and not other.ended:
                logger.warning(
                    "sender %s began anew, without its state; of what it sent before, %d datapoints were delivered",
                    name, other.datapoints,
                )  # fmt: skip
                self._table.remove(other)
        taken = {s.name for s in self._table}
        unique = next(n for n in (name, *(f"{name}#{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        return self._table.add(identity, unique, address)

    def _start(self, stream: Stream, message: Message) -> str | None:
        lost = message.value()
        if type(lost) is not int or lost < 0:
            return "a bad START"
        before = stream.lost
        wrong = stream.start(message.number, lost)
        if stream.lost > before:
            logger.warning("sender %s: %d datapoints were lost", stream.name, stream.lost - before)
        return wrong

    # -- who goes

    def _send(self, connection: _Connection, kind: Kind, stream: bytes, number: int = 0, value: Any = None) -> bool:
        index, peer = connection
        there = self._links[index].send(peer, self._packer.pack(kind, stream, number, value))
        if not there:
            self._suspicion = True  # it is lost when its last words have been read, see _look
        return there

    def _lose(self, connection: _Connection) -> None:
        self._banned.pop(connection, None)
        stream = self._here.pop(connection, None)
        if stream is None or stream.connection != connection:
            return
        stream.leave()
        if not (stream.ended and not stream.waiting):
            logger.warning("sender %s is gone, after %d datapoints", stream.name, stream.datapoints)

    def _ban(self, connection: _Connection, why: str) -> None:
        """Listen no more to a connection that says what nobody should say. Its sender, if it is one, is told."""
        self._reject(why, 1)
        stream = self._here.get(connection)
        identity = stream.id if stream is not None else bytes(16)
        if stream is not None:
            logger.warning("sender %s is refused, after %d datapoints: %s", stream.name, stream.datapoints, why)
            stream.leave()
            self._here[connection] = None
        self._banned[connection] = None
        if len(self._banned) > _MAX_BANNED:
            del self._banned[next(iter(self._banned))]
        self._send(connection, Kind.REFUSED, identity, 0, why)

    def _reject(self, why: str, count: int) -> None:
        if why not in self._rejected:
            logger.warning("rejected: %s (further ones are counted only)", why)
        self._rejected[why] += count
