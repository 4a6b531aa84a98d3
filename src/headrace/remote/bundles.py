"""What a sender has made and is not rid of: entries put together into messages, and the window of those messages.

A message costs as much as hundreds of function calls, on both sides. So entries that the flow makes quickly travel
together: as many as it makes in a few milliseconds, if they fit into a message (see `Best`). Slow ones travel alone, at
once. An entry is held only while it could be sent; an `Alarm` sends what is held when the flow pauses.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import zmq

from ..parallel.arena import ArenaWriter
from ..plain_codec.describing import Described
from .packing import Best, LendingPacker, Lent, Packer

__all__ = ["HOLD_S", "Alarm", "Bundle", "Bundler", "Grant", "Room", "Window"]

HOLD_S = 0.005
"""So long an entry waits for others, at most."""
_PACE_S = 0.004
"""So long it should take to make the entries of a message."""


class Bundle(NamedTuple):
    """A message with entries.

    Attributes:
        number: of the first one.
        entries: how many.
        frame: what is sent: the message, or where it is.
        lent: the message, if it is not in the frame.
        exposed: whether a receiver had it in memory, and may have written to the datapoints that it took.
    """

    number: int
    entries: int
    frame: zmq.Frame
    lent: Lent | None = None
    exposed: bool = False

    @property
    def end(self) -> int:
        """The number of the first entry behind it."""
        return self.number + self.entries

    @property
    def nbytes(self) -> int:
        """Its size."""
        return len(self.lent.memory) if self.lent is not None else len(self.frame)

    def copied(self) -> Bundle:
        """The same, all in the frame."""
        return self if self.lent is None else self._replace(frame=self.lent.copy(), lent=None)

    def sent(self) -> Bundle:
        """The same, now that it has gone out."""
        return self if self.lent is None else self._replace(exposed=True)


class Grant(NamedTuple):
    """How much may be under way.

    Attributes:
        items: entries.
        nbytes: bytes.
        most_bytes: the largest message that the receiver takes.
    """

    items: int
    nbytes: int
    most_bytes: int


class Room(NamedTuple):
    """How large a message may be. It may always bring one entry.

    Attributes:
        items: entries.
        nbytes: bytes, if there are several entries.
    """

    items: int
    nbytes: int


class Bundler:
    """Puts datapoints together, as long as that costs no time.

    Args:
        stream: whose they are.
    """

    def __init__(self, stream: bytes):
        self._stream = stream
        self._packer = Packer()
        self._number = 0
        self._paced = 1  # so many entries take the right time
        self._most = self._most_bytes = 0
        self._began_s = 0.0
        self.opened_at = 0.0

    @property
    def count(self) -> int:
        """How many entries it holds."""
        return self._packer.count

    def fits(self, nbytes: int) -> bool:
        """Whether an entry of this `size` may go into the message that is open."""
        return self._packer.count == 0 or self._packer.nbytes + nbytes <= self._most_bytes

    @property
    def best(self) -> Best:
        """How large a message should be."""
        return self._packer.best

    def open(self, number: int, nbytes: int, room: Room) -> None:
        """Begin a message.

        Args:
            number: of its first entry.
            nbytes: the `size` of that.
            room: for one message.
        """
        self._number = number
        self._most = min(self._paced, room.items)
        self._most_bytes = room.nbytes
        self._packer.expect(min(self._most * nbytes, room.nbytes))
        self.opened_at = time.monotonic()

    def add(self, described: Described, nbytes: int) -> bool:
        """Take an entry in.

        Args:
            described: its datapoint.
            nbytes: its `size`.

        Returns:
            Whether the message shall go now: that was enough, or there is no room for another one like it.
        """
        packer = self._packer
        packer.add(described, nbytes)
        return packer.count >= self._most or packer.nbytes + nbytes > self._most_bytes

    def seal(self) -> Bundle:
        """The message. Its entries say how many there shall be in the next one, at most double."""
        count, began_s = self._packer.count, self._began_s
        self.resume()
        paced = count * _PACE_S / max(self._began_s - began_s, 1e-9)
        self._paced = int(max(1, min(2 * self._paced, paced)))
        return Bundle(self._number, count, *self._packer.seal_entries(self._stream, self._number))

    def resume(self) -> None:
        """From now on the flow makes the entries of the next message."""
        self._began_s = time.perf_counter()

    def write_into(self, arena: ArenaWriter | None) -> None:
        """From now on messages lie in this arena; None: they are what is sent."""
        packer = LendingPacker(arena) if arena is not None else Packer()
        packer.take_over(self._packer)
        self._packer = packer

    def trim(self) -> None:
        """See `Packer.trim`."""
        self._packer.trim()

    def recycle(self, bundle: Bundle) -> None:
        """A message arrived, and is not needed again."""
        if bundle.lent is not None:
            bundle.lent.let_go()
        else:
            self._packer.recycle(bundle.frame)


class Window:
    """Messages that are not acknowledged: first those that were sent over this connection, then the others.

    Args:
        recycle: what is done with messages that have arrived.

    Attributes:
        grant: how much may be under way.
        resent: entries that were sent again.
    """

    def __init__(self, recycle: Callable[[Bundle], None]) -> None:
        self._recycle = recycle
        self._recyclable = 0  # messages before this entry went over a connection that may still hold them
        self.grant = Grant(0, 0, 0)
        self.resent = 0
        self._bundles: deque[Bundle] = deque()
        self._sent = 0
        self._sent_items = self._sent_bytes = 0
        self._taken = 0  # as far as it was acknowledged
        self._highest = 0  # all entries before this one were sent once

    def __bool__(self) -> bool:
        return bool(self._bundles)

    def first(self, otherwise: int) -> int:
        """The number of the first entry."""
        return self._bundles[0].number if self._bundles else otherwise

    def covers(self, number: int) -> bool:
        """Whether an entry is in it."""
        return bool(self._bundles) and self._bundles[0].number <= number < self._bundles[-1].end

    @property
    def exposed(self) -> bool:
        """Whether a receiver may have written to something in it."""
        return any(bundle.exposed for bundle in self._bundles)

    @property
    def unsent(self) -> bool:
        """Whether there are messages that were not sent."""
        return self._sent < len(self._bundles)

    def room(self, best: Best) -> Room:
        """For the next message."""
        items, nbytes, most_bytes = self.grant
        left_items, left_bytes = items - self._sent_items, nbytes - self._sent_bytes
        return Room(
            min(math.ceil(items / best.parts), left_items),
            min(nbytes // best.parts, most_bytes, best.nbytes, left_bytes),
        )

    def append(self, bundle: Bundle) -> None:
        """A message that was made."""
        self._bundles.append(bundle)

    def next_to_send(self) -> Bundle | None:
        """The next message that may be sent now; it counts as sent."""
        if not self.unsent:
            return None
        bundle = self._bundles[self._sent]
        items, nbytes = self._sent_items + bundle.entries, self._sent_bytes + bundle.nbytes
        if self._sent and (items > self.grant.items or nbytes > self.grant.nbytes):  # one may always be under way
            return None
        self._bundles[self._sent] = bundle.sent()
        self._sent += 1
        self._sent_items, self._sent_bytes = items, nbytes
        self.resent += max(0, min(self._highest, bundle.end) - bundle.number)
        self._highest = max(self._highest, bundle.end)
        return bundle

    def taken(self, number: int) -> None:
        """All entries before this one are delivered."""
        self._taken = number
        while self._bundles and self._bundles[0].end <= number:
            bundle = self._forget_first()
            if bundle.number >= self._recyclable:  # it has arrived, so ZeroMQ has read its memory for the last time
                self._recycle(bundle)

    def give_up_sent(self, before: int) -> int:
        """What was sent, or exposed, went to a receiver that is no more. How many entries it had not acknowledged.

        Args:
            before: only entries before this one are given up.
        """
        lost = 0
        while self._bundles and (bundle := self._bundles[0]).end <= before and (self._sent or bundle.exposed):
            lost += bundle.end - max(bundle.number, min(self._taken, bundle.end))
            self._forget_first()
        return lost

    def reconnected(self) -> None:
        """There is a new connection, and nothing was sent over it, nor is what was lent to the old one lent to it."""
        self._bundles = deque(bundle.copied() for bundle in self._bundles)
        self._recyclable = self._highest
        self._sent = self._sent_items = self._sent_bytes = 0

    def clear(self) -> None:
        """Forget all."""
        self._bundles.clear()
        self.reconnected()

    def _forget_first(self) -> Bundle:
        bundle = self._bundles.popleft()
        if self._sent:
            self._sent -= 1
            self._sent_items -= bundle.entries
            self._sent_bytes -= bundle.nbytes
        return bundle


class Alarm:
    """Calls back a while after it was armed, from a thread of its own.

    Args:
        after_s: how long after.
        call: what to call; it says whether to call again after the same time.
    """

    def __init__(self, after_s: float, call: Callable[[], bool]):
        self._after_s = after_s
        self._call = call
        self._armed = threading.Event()
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        """Call back, if that is not coming anyway.

        Raises:
            BaseException: what was raised by the last call.
        """
        if self._error is not None:
            raise self._error
        if not self._armed.is_set():
            self._armed.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="headrace-sender", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._armed.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            while self._armed.wait() and not self._closing.wait(self._after_s):
                self._armed.clear()
                if self._closing.is_set():  # perhaps that was the arming by which `close` wakes this thread
                    return
                if self._call():
                    self._armed.set()
        except BaseException as error:
            self._error = error
