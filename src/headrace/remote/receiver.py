"""`RemoteDataZMQ`: a flow of what senders elsewhere send."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

from .._checks import check_count
from ..errors import DataFlowTerminated
from ..flow import DataFlow
from ..state import State
from .conversation import PASS_OVER, Conversation, Settings, Unreadable
from .link import check_heartbeat, check_timeout
from .security import PathLike, check_keys, parse_address
from .streams import Streams

__all__ = ["RemoteDataZMQ", "SenderInfo"]


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
        shared: whether its messages lie in memory of this machine that both have, and not in what the socket brings.
    """

    name: str
    address: int
    datapoints: int
    nbytes: int
    connected: bool
    ended: bool
    lost: int
    shared: bool


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
            all that have come have finished, at least one, and no new one has come for two seconds (or, without
            ``bind``, the one of each address).
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
        consumer's own. Those that came in one message (up to 4 MiB, or one datapoint) share a piece of memory: copy
        what you keep of it for long. (Of a sender on this machine, of the same user and without keys, large messages
        come in memory that both have. It goes back to the sender when the last array on it dies here: a process that is
        forked and keeps an array longer than this one has to copy it.) Connections are kept from one pass to the next,
        and until ``close()``. With ``passes``, a pass that was left early is passed over when the next one begins. The
        state has one line for each sender, with its position. Without ``ack``, resuming gives what the senders send
        now.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        SecurityError: an address beyond this machine without keys (at construction); keys that cannot be read.
        AddressError: the address is in use, or cannot be bound.
        PeerLost: after ``timeout_s``; it names the senders.
        SenderFailed: the flow of a sender has raised, and no other sender is left, or (of ``num_senders``) still to
            come.
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
            SenderInfo(
                s.name, s.address + 1, s.datapoints, s.nbytes, s.connection is not None, s.ended, s.lost, s.shared
            )
            for s in self._table()
            if not s.replaced
        ]

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        table = self._table()
        if not state.restored:
            table.begin_pass()
        runtime = self._runtime
        stream = runtime.stream
        if stream is None:
            stream = runtime.stream = Conversation(self._settings(), table, self.rejected).run()
        while True:
            try:
                datapoint = next(stream)
            except StopIteration:
                raise DataFlowTerminated("the RemoteDataZMQ was closed while it was iterated") from None
            except BaseException:
                runtime.stream = None  # it has ended; the next pass opens the sockets again
                raise
            if datapoint is PASS_OVER:
                return
            if type(datapoint) is Unreadable:
                raise datapoint.error
            yield datapoint

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

    def _settings(self) -> Settings:
        return Settings(
            addresses=self._addresses,
            bind=self.bind,
            key=self.key,
            peers=self.peers,
            hwm=self.hwm,
            buffer_bytes=self.buffer_bytes,
            num_senders=self.num_senders or (None if self.bind else len(self._addresses)),
            ack=self.ack,
            allow_pickle=self.allow_pickle,
            timeout_s=self.timeout_s,
            max_item_bytes=self.max_item_bytes,
            heartbeat_s=self.heartbeat_s,
        )
