"""The sender's side of the connection, from the first HELLO to the last acknowledgement."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import zmq

from ..errors import PeerLost, ProtocolError, RemoteError, SerializationError
from ..plain_codec import MalformedError
from .bundles import HOLD_S, Alarm, Bundle, Bundler, Grant, Window
from .link import Link, Patience
from .packing import Packer
from .replay import Replay
from .shared_memory import OwnMemory
from .wire import EMPTY_BYTES, VERSION, Kind, Message, VersionError, size, to_send, unpack

__all__ = ["SendResult", "Sending"]

logger = logging.getLogger("headrace")

_TICK_MS = 1000


@dataclasses.dataclass(frozen=True)
class SendResult:
    """What a sender has done.

    Attributes:
        datapoints: how many were sent, each counted once.
        nbytes: their size on the wire.
        passes: how many passes of the flow have ended.
        resent: entries that went out again after a connection broke or the receiver was restarted.
        lost: entries that a receiver may have taken with it when it ended; 0 with ``ack=True``.
        rejected: messages that no receiver sends, to a sender that binds. They are dropped and logged once.
    """

    datapoints: int
    nbytes: int
    passes: int
    resent: int
    lost: int
    rejected: int = 0


def read_welcome(value: Any) -> tuple[int | None, bytes, bool, Grant]:
    """What a receiver wants: which entry first, its run, whether through memory, and how much may be under way.

    Raises:
        MalformedError: that is not what a receiver says.
    """
    if type(value) is not tuple or len(value) != 6:
        raise MalformedError("a bad WELCOME")
    number, receiver, shared, *grant = value
    if type(receiver) is not bytes or type(shared) is not bool:
        raise MalformedError("a bad WELCOME")
    if not (number is None or (type(number) is int and number >= 0)):
        raise MalformedError("a bad WELCOME")
    return number, receiver, shared, Grant(*read_numbers(tuple(grant), 3))


def read_numbers(value: Any, count: int) -> Sequence[int]:
    """So many numbers from 1.

    Raises:
        MalformedError: they are none.
    """
    if type(value) is not tuple or len(value) != count or any(type(n) is not int or n < 1 for n in value):
        raise MalformedError("a bad grant")
    return value


class Sending:
    """The conversation with a receiver.

    ``_window`` holds what was made and is not acknowledged. When there is a new connection, the receiver says which
    entry it wants first: that is either in the window, or (with ``ack``) the flow goes back to it.

    ``_lock`` belongs to who talks: this thread, or the alarm's while this one waits for the flow. The alarm only sends
    what is held, and only what may be sent.
    """

    def __init__(
        self,
        link: Link,
        replay: Replay,
        stream: bytes,
        hello: dict[str, Any],
        patience: Patience,
    ):
        self._link = link
        self._replay = replay
        self._stream = stream
        self._hello = hello
        self._patience = patience
        self._packer = Packer()
        self._bundler = Bundler(stream)
        self._window = Window(self._bundler.recycle)
        self._lock = threading.Lock()
        self._alarm = Alarm(HOLD_S, self._release)
        self._memory: OwnMemory | None = None  # offered over this connection
        self._peer: bytes | None = None  # routing id of the receiver; empty for a DEALER
        self._welcome = False  # whether it has said what it wants
        self._receiver: bytes | None = None  # the run of the receiver that was last served
        self._counted = replay.number  # entries beyond which datapoints are counted
        self._datapoints = self._nbytes = self._lost = 0
        self._waiting_logged = False
        self._rejected: Counter[str] = Counter()  # what strangers said to a sender that binds
        self._poller = zmq.Poller()
        link.register(self._poller)

    def run(self, bar: Any) -> SendResult:
        """Send everything."""
        name = self._hello["name"]
        logger.info("sender %s: %s %s", name, "waits at" if self._link.bind else "sends to", self._link.address.text)
        try:
            with self._lock:
                while not self._welcome:
                    self._wait()
            while self._step(bar):
                pass
        except RemoteError:
            raise
        except KeyboardInterrupt as error:  # it may come back: the receiver waits for it, as for one that was killed
            logger.info("sender %s: interrupted after %d datapoints, %d bytes", name, self._datapoints, self._nbytes)
            error.args = (self._result(),)
            raise
        except BaseException as error:
            with self._lock:
                self._tell_failure(error)
            raise
        finally:
            self._alarm.close()
            self._withdraw()
            self._window.clear()
            self._bundler.write_into(None)
            bar.close()
        return self._result()

    def _result(self) -> SendResult:
        return SendResult(
            self._datapoints, self._nbytes, self._replay.passes, self._window.resent, self._lost, self._rejected.total()
        )

    def _step(self, bar: Any) -> bool:
        """Send the next entry, or see to it that it will be. Whether there is more to do."""
        number = self._replay.number
        made = self._replay.next()
        with self._lock:
            if made is None:
                if not self._window:
                    return False
                self._wait()  # for the last acknowledgements; a receiver may still want to go back
                return True
            kind, value = made
            if kind is Kind.DATA:
                nbytes = self._add(number, value)
            else:
                self._seal()
                self._bundler.trim()
                self._window.append(Bundle(number, 1, self._packer.pack(kind, self._stream, number, None)))
                self._offer()
            if number >= self._counted:
                self._counted = number + 1
                if kind is Kind.DATA:
                    self._datapoints += 1
                    self._nbytes += nbytes
                    bar.update(1)
        return True

    def _add(self, number: int, value: Any) -> int:
        """Send a datapoint, or hold it. Its size."""
        described = to_send(value, allow_pickle=self._hello["pickle"])
        nbytes = size(described)
        bundler = self._bundler
        if not bundler.fits(nbytes):
            self._seal()
            self._flush()
        if bundler.count == 0:
            most_bytes = self._window.grant.most_bytes
            if nbytes > most_bytes - EMPTY_BYTES:
                raise SerializationError(
                    f"datapoint {number} takes {nbytes + EMPTY_BYTES:,} bytes, and the receiver takes at most "
                    f"{most_bytes:,} (max_item_bytes); raise that, or send smaller ones"
                )
            bundler.open(number, nbytes, self._window.room(bundler.best))
        if bundler.add(described, nbytes):
            self._seal()
            self._offer()
        elif bundler.count == 1:
            self._alarm.arm()
        return nbytes

    def _seal(self) -> None:
        if self._bundler.count:
            self._window.append(self._bundler.seal())

    def _release(self) -> bool:
        """Send what is held, for the flow pauses. There is room for it. Whether to come again."""
        with self._lock:
            held = self._bundler.count > 0
            if held and time.monotonic() - self._bundler.opened_at >= HOLD_S:
                self._seal()
                self._flush()
                held = False
        return held

    def _offer(self) -> None:
        """Send all messages, as soon as there is room; or find that they are not wanted after all.

        Here the receiver may want to go back, so all entries that were made are in the window.
        """
        self._look()
        self._flush()
        while self._window.unsent:
            self._wait()
        self._bundler.resume()

    def _flush(self) -> None:
        while self._welcome and (bundle := self._window.next_to_send()) is not None:
            self._send(bundle.frame)

    def _wait(self) -> None:
        """Wait for something to happen, and see to it.

        Raises:
            PeerLost: nobody has been there for too long.
        """
        if self._peer is not None:
            self._patience.restart()
        elif self._patience.spent():
            raise PeerLost(
                f"there has been no receiver at {self._link.address.text} for {self._patience.timeout_s:g} s; start "
                f"it, or "
                "check address and port"
            )
        elif not self._waiting_logged:
            self._waiting_logged = True
            logger.warning("sender %s: no receiver at %s; waiting", self._hello["name"], self._link.address.text)
        if not self._poller.poll(self._patience.wait_ms(_TICK_MS)):
            self._bundler.trim()
            if self._peer is not None:
                self._send(self._packer.pack(Kind.PING, self._stream))
        self._look()
        self._flush()

    def _look(self) -> None:
        """Take what came, without waiting."""
        news = self._link.news()
        while (came := self._link.receive()) is not None:  # also the last words of a receiver that has gone
            peer, data = came
            try:
                if data is None:
                    raise MalformedError("several frames")
                self._handle(peer, unpack(data))
            except MalformedError as error:
                self._drop(peer, error)
        if self._link.bind:
            if news.down and self._peer is not None:
                self._send(self._packer.pack(Kind.PING, self._stream))  # is it ours that has gone?
        elif news.down:
            self._lose_receiver()
        elif news.up:
            self._greet(b"")

    def _drop(self, peer: bytes, error: MalformedError) -> None:
        """Somebody says what no receiver says.

        Raises:
            ProtocolError: this sender has connected to it, so there is no other one.
        """
        where = self._link.address.text
        why, remedy = str(error), ""
        if isinstance(error, VersionError):
            why = f"speaks version {error.version} of the protocol, this sender version {VERSION}"
            remedy = "; install the same release of headrace on both sides"
        if not self._link.bind:
            if remedy:
                raise ProtocolError(f"the receiver at {where} {why}{remedy}")
            raise ProtocolError(f"{where}: what answers there is no receiver of headrace ({why})")
        if why not in self._rejected:
            logger.warning(
                "sender %s: rejected at %s: %s%s (further ones are counted only)",
                self._hello["name"], where, why, remedy,
            )  # fmt: skip
        self._rejected[why] += 1
        self._link.send(peer, self._packer.pack(Kind.REFUSED, self._stream, 0, why + remedy))
        if peer == self._peer:
            self._lose_receiver()

    def _handle(self, peer: bytes, message: Message) -> None:
        if message.kind is Kind.JOIN and self._link.bind:
            self._join(peer)
            return
        if message.kind is Kind.HELLO:
            if message.stream == self._stream and not self._link.bind and self._link.meet_itself():
                self._peer = None  # there was none
                self._lose_receiver()
                return
            raise MalformedError("this is a sender, and so is the other side")
        if peer != self._peer:
            return
        if message.kind is Kind.REFUSED:
            raise ProtocolError(f"the receiver at {self._link.address.text} refused: {message.value()}")
        if message.stream != self._stream:
            return
        if message.kind is Kind.ACK:
            self._acknowledged(message.number, read_numbers(message.value(), 2))
        elif message.kind is Kind.WELCOME:
            self._start(*read_welcome(message.value()))

    def _join(self, peer: bytes) -> None:
        """A receiver has connected. The one that was there before has gone, or else goes on alone."""
        if self._peer is not None and self._send(self._packer.pack(Kind.PING, self._stream)):
            text = "this sender feeds another receiver already; a sender that binds feeds one"
            self._link.send(peer, self._packer.pack(Kind.REFUSED, self._stream, 0, text))
            return
        self._greet(peer)

    def _greet(self, peer: bytes) -> None:
        self._peer = peer
        self._welcome = False
        self._waiting_logged = False
        self._withdraw()
        if self._link.private:
            with contextlib.suppress(OSError):  # then all goes through the socket
                self._memory = OwnMemory()
        offer = tuple(self._memory.offer) if self._memory is not None else None
        self._send(self._packer.pack(Kind.HELLO, self._stream, self._first, {**self._hello, "memory": offer}))

    def _withdraw(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    @property
    def _first(self) -> int:
        """The first entry that could be sent without going back."""
        return self._window.first(self._replay.number)

    def _start(self, number: int | None, receiver: bytes, shared: bool, grant: Grant) -> None:
        """Go on with the entry that the receiver wants."""
        if shared and self._memory is None:
            raise MalformedError("it takes memory that was not offered")
        if number is None:
            # The end is no datapoint: whoever is there now needs it, to end as well.
            self._lost += self._window.give_up_sent(self._replay.number - self._replay.over)
        elif self._hello["ack"]:
            self._go_to(number, known=receiver == self._receiver)
        else:
            if number > self._first and not self._window.covers(number):
                raise MalformedError("it wants what was not sent")
            self._window.taken(number)
            self._lost += max(0, self._first - number)
        if self._receiver is not None and receiver != self._receiver:
            logger.warning(
                "sender %s: a new receiver at %s, which begins with entry %d; %d were lost so far",
                self._hello["name"], self._link.address.text, self._first, self._lost,
            )  # fmt: skip
        self._receiver = receiver
        self._window.reconnected()
        self._bundler.write_into(self._memory.arena if shared and self._memory is not None else None)
        self._withdraw()
        self._window.grant = grant
        self._welcome = True
        self._send(self._packer.pack(Kind.START, self._stream, self._first, self._lost))

    def _go_to(self, number: int, *, known: bool) -> None:
        """Make ``number`` one of the first message in the window, or the next one to be made.

        What a receiver may have written to is made again for another one (not ``known``).
        """
        if self._window.covers(number) and (known or not self._window.exposed):
            self._window.taken(number)
            return
        self._window.clear()
        if number != self._replay.number:
            logger.warning("sender %s: goes to entry %d, from %d", self._hello["name"], number, self._replay.number)
            self._replay.seek(number)

    def _acknowledged(self, number: int, granted: Sequence[int]) -> None:
        if number > self._replay.number:
            raise MalformedError("it acknowledges what was not sent")
        items, nbytes = granted
        self._window.grant = self._window.grant._replace(items=items, nbytes=nbytes)
        self._window.taken(number)

    def _send(self, frame: zmq.Frame) -> bool:
        if self._peer is None:
            return False
        there = self._link.send(self._peer, frame)
        if not there:
            self._lose_receiver()
        return there

    def _lose_receiver(self) -> None:
        """The connection is gone; what was sent over it may or may not have arrived."""
        done = self._replay.over and not self._window  # then the receiver may go
        if self._peer is not None and not done:
            logger.warning("sender %s: lost the receiver at %s", self._hello["name"], self._link.address.text)
            self._waiting_logged = True
        self._peer = None
        self._welcome = False
        if not self._link.bind:
            self._poller = zmq.Poller()
            self._link.reopen()
            self._link.register(self._poller)

    def _tell_failure(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"[:1000]
        if self._welcome:
            self._seal()
            self._flush()
            self._send(self._packer.pack(Kind.FAILED, self._stream, 0, text))
