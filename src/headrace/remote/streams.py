"""What a receiver knows of its senders: the table of streams.

A *stream* is what one sender sends: numbered entries, each a datapoint or the end of a pass. It outlives connections,
the sender (if that has a state file) and the receiver (if its state is saved). The table counts; it knows no sockets.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..parallel.arena import ArenaReader
from ..plain_codec import MalformedError
from .wire import Kind, Message, Values, unpack

__all__ = ["Stream", "Streams"]


@dataclasses.dataclass
class Stream:
    """One stream.

    Attributes:
        id: 16 bytes, made by the sender when it first began.
        name: the sender's.
        address: 0 or 1: which of the receiver's addresses it comes from.
        taken: how many entries the consumer has been given (or were passed over); the number of the next one.
        datapoints: how many of them were datapoints and given to the consumer.
        nbytes: their size.
        lost: entries that never came.
        to_go: passes that still belong to the pass of the receiver.
        skip: passes to be passed over, because the consumer left their pass early.
        begun: whether the consumer got any of it in this pass.
        ended: whether it is over.
        past: whether it was over before this pass of the receiver began.
        replaced: whether its sender seems to have begun anew, as another stream. Nothing waits for it then, until it
            comes back: two senders may have the same name.
        connection: where it comes from now; None: its sender is gone.
        memory: where it lends messages, over this connection.
        shared: whether it lends, or lent, messages.
        received: the number of the next entry to come.
        waiting: messages that have come, with entries that were not taken.
        waiting_bytes: their size.
        waiting_entries: how many were not taken.
        repeated: how many entries of the first message were taken already, over another connection.
        values: what is left of the first message, if it was begun.
        wishes: how many entries and bytes its sender wants under way, at most.
        granted: how many entries and bytes may be under way: the highest limits said over this connection.
        owed: entries and bytes that were taken and not acknowledged.
        failure: what its flow raised.
    """

    id: bytes
    name: str
    address: int
    to_go: int | None = None
    taken: int = 0
    datapoints: int = 0
    nbytes: int = 0
    lost: int = 0
    skip: int = 0
    begun: bool = False
    ended: bool = False
    past: bool = False
    replaced: bool = False
    connection: Any = None
    memory: ArenaReader | None = None
    shared: bool = False
    received: int | None = None
    waiting: deque[Message] = dataclasses.field(default_factory=deque)
    waiting_bytes: int = 0
    waiting_entries: int = 0
    repeated: int = 0
    values: Values | None = None
    wishes: tuple[int, int] = (1, 1)
    granted: tuple[int, int] = (0, 0)
    owed: tuple[int, int] = (0, 0)
    failure: str | None = None

    @property
    def missing(self) -> bool:
        """Whether the pass of the receiver still waits for it."""
        return not (self.ended or self.replaced) and (self.to_go is None or self.to_go > 0 or self.skip > 0)

    @property
    def ready(self) -> bool:
        """Whether an entry can be taken now."""
        return bool(self.waiting) and self.missing

    def borrow(self, message: Message, most_bytes: int) -> Message:
        """The message that lies where another one says.

        Raises:
            MalformedError: there is none.
        """
        place = message.value()
        if type(place) is not tuple or len(place) != 3 or any(type(n) is not int for n in place):
            raise MalformedError("a bad place in memory")
        if self.memory is None or place[2] > most_bytes or not self.memory.has(*place):
            raise MalformedError("a place in memory that is not shared, or larger than allowed")
        lent = unpack(self.memory.take(*place).data)
        if (lent.kind, lent.stream, lent.number) != (Kind.DATA, message.stream, message.number):
            raise MalformedError("another message in memory than was said")
        return lent

    def put(self, message: Message) -> str | None:
        """Take in an entry that came.

        Returns:
            What is wrong with it; None: nothing.
        """
        if self.received is None:
            return "an entry before the start of the stream"
        if message.number != self.received:
            return f"entry {message.number} {'again' if message.number < self.received else 'out of order'}"
        if message.entries == 0 or (message.kind is not Kind.DATA and message.entries != 1):
            return "a message with a wrong number of entries"
        items, nbytes = self.granted
        entries = self.waiting_entries + message.entries
        if self.waiting and (entries > items or self.waiting_bytes + message.nbytes > nbytes):
            return "more entries than were asked for"
        if message.entries > max(items, self.wishes[0]):
            return "more entries than were asked for"
        self.received += message.entries
        self.repeated += max(0, min(message.entries, self.expected - message.number))
        self.waiting_entries += max(0, self.received - self.expected)
        self.waiting.append(message)
        self.waiting_bytes += message.nbytes
        return None

    def take(self) -> None:
        """The next entry counts as taken from now on. (The values of its message are read by whoever takes it.)"""
        message = self.waiting[0]
        if self.repeated:
            self.repeated -= 1
        else:
            self.waiting_entries -= 1
            self.taken += 1
            self.owed = self.owed[0] + 1, self.owed[1]
            self.begun = True
        if self.values is None or not self.values.left:
            self.waiting.popleft()
            self.waiting_bytes -= message.nbytes
            self.nbytes += message.nbytes
            self.owed = self.owed[0], self.owed[1] + message.nbytes
            self.values = None
        if message.kind is not Kind.DATA:
            self._end_pass()
            self.ended = message.kind is Kind.END

    def _end_pass(self) -> None:
        if self.skip:
            self.skip -= 1
        elif self.to_go is not None:
            self.to_go -= 1

    @property
    def expected(self) -> int:
        """The number of the first entry that has not come."""
        return self.taken + self.waiting_entries

    def start(self, number: int, lost: int) -> str | None:
        """The sender begins here, in this connection.

        Args:
            number: of the first entry that will come.
            lost: how many entries the sender knows to be lost.

        Returns:
            What is wrong with it; None: nothing.
        """
        back = self.expected - number  # a sender begins with a whole message, of which some may have been taken
        if back > self.wishes[0] or (back and self.waiting):
            return f"a start at entry {number}, when {self.expected} was to come"
        if back < 0:
            self.taken = number  # what lies between went with a connection that is no more
        self.lost = max(self.lost, lost)
        self.received = number
        return None

    def connect(self, connection: Any, address: int) -> None:
        """The sender is here, and will say where it begins.

        What has come and was not taken is asked for again: the sender holds it still, or makes it again. If it were
        kept, so much more could be under way now than what was granted.
        """
        self.leave()
        self.forget_waiting()
        self.connection, self.address, self.failure = connection, address, None
        self.replaced = False

    def leave(self) -> None:
        """The sender is gone. What has come from it stays."""
        self.connection = self.memory = self.received = None
        self.granted = self.owed = (0, 0)

    def replace(self) -> None:
        """Its sender seems to have begun anew. Should it come back after all, it goes on behind what was taken."""
        self.forget_waiting()
        self.replaced = True

    def forget_waiting(self) -> None:
        """Give up what has come and was not taken."""
        self.waiting.clear()
        self.waiting_bytes = self.waiting_entries = self.repeated = 0
        self.values = None

    def allow(self, items: int, nbytes: int) -> None:
        """So much may be under way."""
        self.granted = max(self.granted[0], items), max(self.granted[1], nbytes)

    def snapshot(self) -> list[Any]:
        """What is saved."""
        saved = [self.id.hex(), self.name, self.address, self.to_go, self.taken, self.datapoints, self.nbytes]
        return [*saved, self.lost, self.skip, self.begun, self.ended, self.past, self.replaced]


class Streams:
    """All streams of a receiver.

    Args:
        passes: how many passes of each sender make one of the receiver; None: it never ends.
        saved: what `snapshot` gave, or None.
    """

    def __init__(self, passes: int | None, saved: list[Any] | None = None):
        self.passes = passes
        self.by_id: dict[bytes, Stream] = {}
        for identity, *rest in saved or ():
            stream = Stream(bytes.fromhex(identity), *rest)
            self.by_id[stream.id] = stream
        self._turns: deque[Stream] = deque(self.by_id.values())
        self._removed = [0, 0]  # datapoints of streams that are forgotten

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self.by_id.values()))  # another thread may look while a sender comes

    @property
    def known(self) -> int:
        """How many senders have been there."""
        return sum(not s.replaced for s in self)

    def add(self, identity: bytes, name: str, address: int) -> Stream:
        """A stream that is new."""
        stream = self.by_id[identity] = Stream(identity, name, address, self.passes)
        self._turns.append(stream)
        return stream

    def remove(self, stream: Stream) -> None:
        """Forget a stream."""
        del self.by_id[stream.id]
        self._turns.remove(stream)
        self._removed[stream.address] += stream.datapoints

    @property
    def counts(self) -> list[int]:
        """How many datapoints came in by each address."""
        return [n + sum(s.datapoints for s in self if s.address == i) for i, n in enumerate(self._removed)]

    def begin_pass(self) -> None:
        """The consumer begins a pass. What is left of an earlier one is passed over, unless it had not been touched."""
        for stream in self:
            stream.past = stream.ended
            if self.passes is not None and not stream.ended:
                if stream.begun and stream.to_go:
                    stream.skip += stream.to_go
                stream.to_go = self.passes
                stream.begun = False

    def next_ready(self) -> Stream | None:
        """A stream with an entry to take, in turn: none is taken from twice while another one waits."""
        for _ in range(len(self._turns)):
            stream = self._turns[0]
            self._turns.rotate(-1)
            if stream.ready:
                return stream
        return None

    def pass_is_over(self, least: int) -> bool:
        """Whether all of at least ``least`` senders have said that their passes end here."""
        if self.passes is None or self.known < least:
            return False
        current = [s for s in self if not (s.past or s.replaced)]
        return bool(current) and not any(s.missing for s in current)

    def snapshot(self) -> list[Any]:
        """What is saved."""
        return [s.snapshot() for s in self]
