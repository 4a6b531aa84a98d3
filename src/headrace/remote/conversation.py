"""The receiver's side of all connections, from opening to closing."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, NoReturn

import zmq

from ..errors import PeerLost, ProtocolError, SenderFailed, SerializationError
from ..plain_codec import MalformedError
from .link import Link, Options, Patience, keep_freed_memory
from .peers import Connection, Peers, read_hello
from .security import Address, Gatekeeper, load_keys
from .shared_memory import map_offered, read_offer
from .streams import Stream, Streams
from .wire import VERSION, Kind, Message, Values, VersionError, unpack

__all__ = ["PASS_OVER", "Conversation", "Settings", "Unreadable"]

logger = logging.getLogger("headrace")

_TICK_MS = 1000
_LOOK_S = 0.02
"""So often the receiver looks for messages while it has datapoints to give, and so long it goes on at most."""
_PAUSE_MS = 2
"""So long a receiver without datapoints waits before it acknowledges less than a quarter of what may be under way."""
_LINGER_S = 1.0
_LATECOMERS_S = 2.0
"""So long after a sender came for the first time, others may still come: those that were started before the receiver
try again once a second at most, and those that are started together with it take their time."""
_MAX_STREAMS = 100_000
_LAST_WORDS_S = 1.0
"""So long the receiver reads, at most, what was said by those who have gone: somebody may say things without end."""
_CONTROL_MESSAGES = 100
"""How many messages of one peer may wait beside its entries."""

PASS_OVER = object()
_NOTHING = object()


class Unreadable:
    """In place of a datapoint with an object that cannot be unpickled here."""

    def __init__(self, error: Exception):
        self.error = error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of a `RemoteDataZMQ`, checked; see there."""

    addresses: Sequence[Address]
    bind: bool
    key: str | None
    peers: Sequence[str]
    hwm: int
    buffer_bytes: int
    num_senders: int | None
    ack: bool
    allow_pickle: bool
    timeout_s: float | None
    max_item_bytes: int
    heartbeat_s: float


class Conversation:
    """The receiver's side of all connections, from opening to closing.

    Args:
        settings: of the flow. (Not the flow itself: it must be possible to drop it, which closes all this.)
        table: what is known of the senders.
        rejected: where faults are counted.
    """

    def __init__(self, settings: Settings, table: Streams, rejected: Counter[str]):
        self._settings = settings
        self._table = table
        self._run_id = os.urandom(16)  # tells the senders whether this is the receiver they knew
        self._patience = Patience(settings.timeout_s)
        self._peers = Peers(table, rejected)
        self._rejected = rejected
        self._looked_at = 0.0
        self._complete_at = 0.0  # when the senders that came by themselves are taken to be all

    def run(self) -> Generator[Any, None, None]:
        """Datapoints, and `PASS_OVER` where a pass ends; for ever."""
        pid = os.getpid()
        context: zmq.Context[Any] = zmq.Context()
        gate = None
        settings = self._settings
        options = Options(settings.heartbeat_s, settings.max_item_bytes, settings.hwm + _CONTROL_MESSAGES)
        try:
            keys = load_keys(settings.key, settings.peers, bind=settings.bind)
            if keys is not None and settings.bind:
                gate = Gatekeeper(context, keys.peers)
            for address in settings.addresses:
                self._peers.links.append(Link(context, address, settings.bind, keys, options))
            self._register()
            keep_freed_memory()
            yield from self._datapoints()
        finally:
            if os.getpid() == pid:  # in a forked child nothing of this is the child's
                self._settle()
                for link in self._peers.links:
                    link.close(_LINGER_S)
                if gate is not None:
                    gate.close()
                context.term()
            for stream in self._table:
                stream.leave()

    def _datapoints(self) -> Generator[Any, None, None]:
        pid = os.getpid()
        while True:
            if os.getpid() != pid:
                raise RuntimeError(
                    f"this iterator belongs to process {pid}, whose connections are not those of its forked child "
                    f"{os.getpid()}; begin a new one there with iter(flow)"
                )
            if time.monotonic() - self._looked_at > _LOOK_S:
                self._look()
            stream = self._table.next_ready()
            if stream is not None:
                datapoint = self._take(stream)
                if datapoint is not _NOTHING:
                    yield datapoint
                    del datapoint  # the consumer alone shall hold its memory
            elif self._table.pass_is_over(self._settings.num_senders or 1):
                self._settle()
                if not self._wait_for_latecomers():
                    yield PASS_OVER
            elif self._poller.poll(_PAUSE_MS):
                self._look()
            else:
                self._settle()
                self._wait()

    def _take(self, stream: Stream) -> Any:
        """The next datapoint of a sender, or `_NOTHING`: an entry that is none, or not wanted."""
        message = stream.waiting[0]
        datapoint = _NOTHING
        if message.kind is Kind.DATA:
            try:
                if stream.values is None:
                    stream.values = Values(message, allow_pickle=self._settings.allow_pickle)
                datapoint = stream.values.next()
            except MalformedError as error:
                stream.forget_waiting()
                self._peers.expel(stream, str(error))
                return _NOTHING
            except SerializationError as error:
                datapoint = Unreadable(error)
        wanted = datapoint is not _NOTHING and not stream.skip and not stream.repeated
        stream.take()
        if stream.values is None:  # that was a whole message: a sender cannot use less
            self._acknowledge(stream)
        if not wanted:
            return _NOTHING
        stream.datapoints += 1
        return datapoint

    # -- acknowledgements

    def _grant(self, stream: Stream) -> tuple[int, int]:
        """How many entries and bytes a sender may have under way, by its own limits and ours."""
        items, nbytes = stream.wishes
        share = max(1, self._settings.buffer_bytes // max(1, self._peers.senders))
        return min(self._settings.hwm, items), min(share, nbytes)

    def _acknowledge(self, stream: Stream, *, all_of_it: bool = False) -> None:
        if stream.connection is None or stream.received is None:
            return
        owed, owed_bytes = stream.owed
        items, nbytes = stream.granted
        if owed and (all_of_it or owed >= max(1, items // 4) or owed_bytes >= nbytes // 4):
            stream.owed = (0, 0)
            grant = self._grant(stream)
            stream.allow(*grant)
            self._peers.send(stream.connection, Kind.ACK, stream.id, stream.taken, grant)

    def _settle(self) -> None:
        """Acknowledge all that was taken, and ends of passes that follow it: a sender waits for that before it ends."""
        for stream in self._table:
            while stream.ready and stream.waiting[0].kind is not Kind.DATA:
                stream.take()
            self._acknowledge(stream, all_of_it=True)

    # -- waiting

    def _register(self) -> None:
        self._poller = zmq.Poller()
        for link in self._peers.links:
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
            if self._table.known >= (self._settings.num_senders or 0):
                self._check_failed(awaited)
            if self._patience.spent():
                self._check_failed(awaited)
                self._give_up(awaited)
        if not self._poller.poll(self._patience.wait_ms(_TICK_MS)):
            self._find_missing()
        self._look()

    def _wait_for_latecomers(self) -> bool:
        """A pass could end. Wait for more senders, unless it is known how many there are, or that time is over.

        Returns:
            Whether it waited.
        """
        left_s = self._complete_at - time.monotonic()
        if self._settings.num_senders is not None or left_s <= 0:
            return False
        if self._poller.poll(math.ceil(left_s * 1000)):
            self._look()
        return True

    def _check_failed(self, awaited: list[Stream]) -> None:
        failed = [s for s in awaited if s.failure is not None]
        if failed:
            texts = "; ".join(f"sender {s.name} failed after {s.datapoints} datapoints: {s.failure}" for s in failed)
            for stream in failed:
                stream.failure = None  # iterated again, the flow waits for it to come back
            raise SenderFailed(texts)

    def _give_up(self, awaited: list[Stream]) -> NoReturn:
        where = " and ".join(link.address.text for link in self._peers.links)
        patience = f"{self._patience.timeout_s:g} s"
        expected = self._settings.num_senders or 0
        if not awaited and 0 < self._table.known < expected:
            come = f"{self._table.known} of {expected} senders"
            raise PeerLost(f"only {come} have come to {where}, and no other one for {patience}; start the others")
        if not awaited:
            refused = f" (rejected were: {'; '.join(self._rejected)})" if self._rejected else ""
            raise PeerLost(
                f"no sender has come to {where} for {patience}; start one, or check address, port and keys{refused}"
            )
        names = ", ".join(f"{s.name} (after {s.datapoints} datapoints)" for s in awaited)
        again = " with its state_file" if self._settings.ack else ""
        raise PeerLost(f"gone for {patience} from {where}: {names}; start it again{again}")

    # -- what comes

    def _look(self) -> None:
        """Take what came, without waiting, and not for long: the consumer waits."""
        begun = time.monotonic()
        peers = self._peers
        for index, link in enumerate(peers.links):
            news = link.news()
            if news.rejected and link.bind:
                peers.reject(
                    f"a handshake at {link.address.text} failed: another key, or none, or it broke off", news.rejected
                )
            while (came := link.receive()) is not None:
                self._hear((index, came[0]), came[1])
                if not news.down and time.monotonic() - begun > _LOOK_S:
                    break
            if link.bind:
                peers.unexplained += news.down - news.rejected
                peers.suspicion |= news.down > 0
            elif news.down:
                self._reopen((index, b""))
            elif news.up:
                peers.send((index, b""), Kind.JOIN, self._run_id)
        if peers.suspicion:
            self._find_missing()
        self._looked_at = time.monotonic()

    def _find_missing(self) -> None:
        missing = self._peers.find_missing()
        end = time.monotonic() + _LAST_WORDS_S
        for index, link in enumerate(self._peers.links if missing else ()):
            while time.monotonic() < end and (came := link.receive()) is not None:
                self._hear((index, came[0]), came[1])
        self._peers.lose_missing(missing)

    def _reopen(self, connection: Connection) -> None:
        self._peers.lose(connection)
        self._peers.links[connection[0]].reopen()
        self._register()

    def _hear(self, connection: Connection, data: memoryview | None) -> None:
        if not self._peers.listens_to(connection):
            return
        try:
            if data is None:
                raise MalformedError("several frames")
            self._understand(connection, unpack(data))
        except VersionError as error:
            why = (
                f"another version of the protocol ({error.version}, here {VERSION}); install the same release of "
                "headrace"
            )
            if not self._settings.bind:
                where = self._peers.links[connection[0]].address.text
                raise ProtocolError(f"the sender at {where} speaks {why} on both sides") from None
            self._peers.ban(connection, why)
        except MalformedError as error:
            self._peers.ban(connection, str(error))

    def _understand(self, connection: Connection, message: Message) -> None:
        if message.kind is Kind.PING:
            return
        if message.kind is Kind.HELLO:
            if self._peers.here[connection] is not None:
                raise MalformedError("a HELLO again")
            self._welcome(connection, message)
            return
        link = self._peers.links[connection[0]]
        if message.kind is Kind.JOIN and message.stream == self._run_id and not link.bind and link.meet_itself():
            self._reopen(connection)
            return
        if message.kind is Kind.REFUSED and not self._settings.bind:
            raise ProtocolError(f"the sender at {link.address.text} refused: {message.value()}")
        stream = self._peers.here[connection]
        if stream is None or message.stream != stream.id:
            raise MalformedError("a message without HELLO, or of another stream")
        if message.kind is Kind.LENT:
            message = stream.borrow(message, self._settings.max_item_bytes)
        if message.kind in (Kind.DATA, Kind.PASS_END, Kind.END):
            wrong = stream.put(message)
        elif message.kind is Kind.START:
            wrong = self._start(stream, message)
        elif message.kind is Kind.FAILED:
            stream.failure = str(message.value())
            logger.warning("sender %s: its flow has raised", stream.name)
            wrong = None
        else:
            wrong = "a message that is not for a receiver"
        if wrong is not None:
            raise MalformedError(wrong)

    def _welcome(self, connection: Connection, message: Message) -> None:
        hello = read_hello(message.value())
        mismatch = self._mismatch(hello)
        if mismatch:
            self._peers.ban(connection, mismatch)
            return
        known = message.stream in self._table.by_id
        if not known:
            self._complete_at = time.monotonic() + _LATECOMERS_S
        stream = self._peers.admit(connection, message.stream, hello["name"])
        stream.wishes = hello["hwm"], hello["buffer_bytes"]
        if self._peers.links[connection[0]].private:
            stream.memory = map_offered(read_offer(hello.get("memory")))
        grant = self._grant(stream)
        stream.allow(*grant)
        number = stream.taken if known else 0 if self._settings.ack else None
        stream.shared = stream.memory is not None
        wanted = (number, self._run_id, stream.shared, *grant, self._settings.max_item_bytes)
        self._peers.send(connection, Kind.WELCOME, stream.id, 0, wanted)

    def _mismatch(self, hello: dict[str, Any]) -> str:
        """Why a sender does not fit; empty: it does."""
        ack = self._settings.ack
        if hello["ack"] != ack:
            return f"the receiver has ack={ack}, the sender ack={hello['ack']}; give both the same"
        if hello["pickle"] and not self._settings.allow_pickle:
            return "the sender has allow_pickle=True, the receiver has not; give both the same"
        if len(self._table.by_id) >= _MAX_STREAMS:
            return f"there are {_MAX_STREAMS} senders already"
        return ""

    def _start(self, stream: Stream, message: Message) -> str | None:
        lost = message.value()
        if type(lost) is not int or lost < 0:
            return "a bad START"
        before = stream.lost
        wrong = stream.start(message.number, lost)
        if stream.lost > before:
            logger.warning("sender %s: %d datapoints were lost", stream.name, stream.lost - before)
        return wrong
