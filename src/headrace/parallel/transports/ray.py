"""Messages to and from Ray actors: each is one call of the actor, and its answer is what the call returns.

Ray carries a message of more than 100 kB through its object store, out of which large arrays are copied once, into
memory that is used again (`Recycler`): so they are writable and yours, and the store is free again at once. What is
smaller travels with the call. Ray says by itself if a message is lost, so none is numbered, and there are no pings.

``message = (pickled (message, layout), encoded body, blocks of large arrays)``
"""

from __future__ import annotations

import collections
import logging
import pickle
import queue
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...recycling import Recycler
from ..codec import Block, Encoded
from ..decoder import Decoder
from ..encoder import Encoder
from ..messages import Begin, Broken, Message, Ping, Work
from .base import Event
from .coded import EncodingChannel

if TYPE_CHECKING:
    from ..executors.ray import Sentinel
    from ..executors.ray_session import RaySession

__all__ = ["RayAddress", "RayChannel", "RayTransport"]

logger = logging.getLogger("headrace")

Frames = tuple[bytes, Any, list[Any]]

_BYTE = np.dtype(np.uint8)

_PLACED_S = 10.0
"""After so long it is said that a worker still waits for a place."""


class Body(NamedTuple):
    """Datapoints that have come, still in Ray's memory."""

    encoded: Encoded
    blocks: list[npt.NDArray[np.uint8]]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return self.encoded.nbytes


class _Outgoing:
    """Stands where local transports have an arena: memory for large arrays, until Ray has copied it."""

    used_bytes = 0  # none of it is shared

    def __init__(self) -> None:
        self._recycler = Recycler()
        self._blocks: dict[int, npt.NDArray[np.uint8]] = {}
        self._next = 0

    def allocate(self, nbytes: int) -> tuple[int, int, npt.NDArray[np.uint8]]:
        """See `BlockWriter`."""
        self._next += 1
        memory = self._blocks[self._next] = self._recycler.empty((nbytes,), _BYTE)
        return self._next, 0, memory

    def take_back(self, block: int) -> None:
        """See `BlockWriter`."""
        del self._blocks[block]

    def trim(self) -> None:
        """See `BlockWriter`. The recycler bounds what it keeps."""

    def take(self, blocks: list[Block]) -> list[npt.NDArray[np.uint8]]:
        """The memory of blocks that are sent now."""
        return [self._blocks.pop(block) for block, _, _ in blocks]


class _Landing:
    """The other side: copies blocks out of Ray's memory."""

    def __init__(self, blocks: list[npt.NDArray[np.uint8]], recycler: Recycler):
        self._blocks = iter(blocks)
        self._recycler = recycler

    def take(self, block: int, offset: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """See `BlockReader`. They are asked for in their order."""
        memory = self._recycler.empty((nbytes,), _BYTE)
        memory[:] = next(self._blocks)
        return memory

    def drop(self, block: int) -> None:
        """See `BlockReader`. They go with the body."""


class Coder:
    """Makes frames of messages, and back."""

    def __init__(self) -> None:
        self._outgoing = _Outgoing()
        self.encoder = Encoder(self._outgoing, main_by_value=True)
        self._recycler = Recycler()

    def pack(self, message: Message, body: Any) -> Frames:
        """What is to be sent. Raises what pickling the body raises."""
        return self._pack(message, self.encoder.encode(body) if body is not None else None)

    def pack_added(self, message: Message) -> Frames:
        """The same for a body of what was added to the encoder."""
        return self._pack(message, self.encoder.finish() if self.encoder.added else None)

    def _pack(self, message: Message, encoded: Encoded | None) -> Frames:
        if encoded is None:
            return pickle.dumps((message, None), 5), b"", []
        text = pickle.dumps((message, (encoded.blocks, encoded.layout)), 5)
        return text, pickle.PickleBuffer(encoded.data), self._outgoing.take(encoded.blocks)

    def unpack(self, frames: Frames) -> tuple[Message, Body | None]:
        """The message, and its body as it came."""
        text, data, blocks = frames
        message, rest = pickle.loads(text)
        # To the decoder, a view of Ray's memory is as good as bytes.
        return message, Body(Encoded(memoryview(data), *rest), blocks) if rest is not None else None

    def decode(self, body: Body | None) -> Any:
        """The datapoints. Raises what unpickling raises."""
        return None if body is None else Decoder(_Landing(body.blocks, self._recycler)).decode(body.encoded)

    def close(self) -> None:
        """Break the encoder's reference cycle."""
        self.encoder.close()


class RayAddress:
    """See `Address`."""

    def fds(self) -> list[int]:
        """See `Address`."""
        return []

    def connect(self, fds: list[int]) -> RayChannel:
        """See `Address`."""
        return RayChannel()


class RayChannel(EncodingChannel):
    """The worker's end. The worker's thread takes from one queue and answers into another; `exchange` joins them."""

    def __init__(self) -> None:
        self.newest = 0
        """The newest stream that a message was of."""
        self._inbox: queue.SimpleQueue[tuple[Message, Body | None]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Frames] = queue.SimpleQueue()
        self._coder = Coder()
        super().__init__(self._coder.encoder)
        self.decode = self._coder.decode

    def exchange(self, frames: Frames | None) -> Frames | None:
        """Hand the worker a message, and wait for its answer, if there is to be one. Called in another thread.

        Args:
            frames: the message; None: the worker's first words are waited for.
        """
        if frames is None:
            return self._outbox.get()
        message, body = self._coder.unpack(frames)
        if isinstance(message, (Begin, Work)):
            self.newest = message.stream
        self._inbox.put((message, body))
        del body  # the worker holds it
        return self._outbox.get() if isinstance(message, Work) else None

    def send(self, message: Message) -> None:
        """See `Channel`."""
        self._outbox.put(self._coder.pack_added(message))

    def receive(self) -> tuple[Message, Any]:
        """See `Channel`."""
        return self._inbox.get()

    def drop(self, body: Any) -> None:
        """See `Channel`. It goes with its last reference."""


class _Line:
    """The parent's end of one worker's calls.

    Attributes:
        coder: of its messages.
        sentinel: see `RayTransport.watch`.
        calls: those whose answers have not come, in the order in which they will.
        placed_by: when to say that it still waits; None: it does not, or it was said.
    """

    def __init__(self) -> None:
        self.coder = Coder()
        self.sentinel: Sentinel | None = None
        self.calls: collections.deque[Any] = collections.deque()
        self.placed_by: float | None = time.monotonic() + _PLACED_S


class RayTransport:
    """The parent's end.

    Args:
        session: the connection to the cluster.
    """

    def __init__(self, session: RaySession):
        self._session = session
        self._lines: dict[int, _Line] = {}

    def add(self, worker: int) -> RayAddress:
        """See `Transport`."""
        self._lines[worker] = _Line()
        return RayAddress()

    def watch(self, worker: int, sentinel: Sentinel) -> None:
        """See `Transport`. The call whose answer is the worker's first words is made now."""
        line = self._lines[worker]
        line.sentinel = sentinel
        line.calls.append(sentinel.tell(None))

    def remove(self, worker: int) -> None:
        """See `Transport`."""
        self._lines.pop(worker).coder.close()

    def send(self, worker: int, message: Message, body: Any = None) -> None:
        """See `Transport`."""
        line = self._lines[worker]
        if isinstance(message, Ping) or not self._session.alive:
            return
        assert line.sentinel is not None
        call = line.sentinel.tell(line.coder.pack(message, body))
        if isinstance(message, Work):
            line.calls.append(call)

    def receive(self, timeout_s: float | None) -> list[Event]:
        """See `Transport`."""
        if not self._session.alive:
            return [Event(worker, None) for worker in self._lines]
        ready = self._ready(0) or (self._ready(timeout_s) if timeout_s != 0 else set())
        events: list[Event] = []
        for worker, line in self._lines.items():
            assert line.sentinel is not None
            events += self._answers(worker, line, ready)
            if line.sentinel.life in ready and not any(e.worker == worker and e.message is None for e in events):
                events.append(Event(worker, None))
        self._mention_the_waiting()
        return events

    def _ready(self, timeout_s: float | None) -> set[Any]:
        """The answers and ends that are there, of those that can come next."""
        refs = [ref for line in self._lines.values() for ref in (*list(line.calls)[:1], line.sentinel.life)]  # type: ignore[union-attr]
        if not refs:
            return set()
        wait = self._session.ray.wait
        if timeout_s != 0:
            wait(refs, num_returns=1, timeout=timeout_s)
        return set(wait(refs, num_returns=len(refs), timeout=0)[0])

    def _answers(self, worker: int, line: _Line, ready: set[Any]) -> list[Event]:
        """What a worker has said. The last words of one that is dead come before its death."""
        ray = self._session.ray
        events: list[Event] = []
        while line.calls:
            call = line.calls[0]
            if call not in ready and not (events and ray.wait([call], timeout=0)[0]):
                break
            line.calls.popleft()
            try:
                events.append(Event(worker, *line.coder.unpack(ray.get(call))))
            except ray.exceptions.RayActorError:
                line.calls.clear()
                return [*events, Event(worker, None)]
            except ray.exceptions.RayError as error:
                reason = f"its answer was lost: {type(error).__name__}: {str(error).strip().splitlines()[0]:.200}"
                return [*events, Event(worker, Broken(reason))]
            line.placed_by = None
        return events

    def _mention_the_waiting(self) -> None:
        """Say once that a worker has no place yet: Ray waits without a word."""
        now = time.monotonic()
        late = [line for line in self._lines.values() if line.placed_by is not None and now > line.placed_by]
        for line in late:
            line.placed_by = None
        if late and late[0].sentinel is not None:
            logger.warning(
                "%d of %d workers have not started after %.0f s. Each asks Ray for %s; the cluster has %s. Those that "
                "have started go on without them",
                len(late),
                len(self._lines),
                _PLACED_S,
                late[0].sentinel.request,
                self._session.room(),
            )

    def open(self, worker: int, body: Body | None) -> list[Any]:
        """See `Transport`. All at once: Ray's memory is not held."""
        return self._lines[worker].coder.decode(body) or []

    def drop(self, worker: int, body: Body | None) -> None:
        """See `Transport`. It goes with its last reference."""

    def close(self) -> None:
        """See `Transport`."""
        for worker in list(self._lines):
            self.remove(worker)
