"""`send_dataflow_zmq`: give what a flow gives to a receiver elsewhere."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from .._checks import check_count, known_length
from .._progress import progress_bar
from ..flow import DataFlow, as_flow
from .link import Link, Options, Patience, check_heartbeat, check_timeout, keep_freed_memory
from .replay import Replay, StateFile, check_repeatable
from .security import Gatekeeper, PathLike, check_keys, load_keys, parse_address
from .sending import Sending, SendResult

__all__ = ["SendResult", "send_dataflow_zmq"]

BUFFER_BYTES = 64 << 20
_MAX_REPLY_BYTES = 1 << 16
HEARTBEAT_S = 5.0
_LINGER_S = 1.0


def send_dataflow_zmq(
    df: Any,
    addr: str,
    hwm: int = 50,
    format: str | None = None,
    bind: bool = False,
    *,
    passes: int | None = None,
    ack: bool = False,
    name: str | None = None,
    state_file: PathLike | None = None,
    key: PathLike | None = None,
    peers: PathLike | Sequence[PathLike] | None = None,
    allow_pickle: bool = False,
    timeout_s: float | None = None,
    buffer_bytes: int = BUFFER_BYTES,
    heartbeat_s: float = HEARTBEAT_S,
    progress: bool | None = None,
) -> SendResult:
    """Iterate a flow and send its datapoints to a `RemoteDataZMQ`, which may run on another machine.

    It blocks, for ever unless ``passes`` is given. The receiver may start earlier or later, go away and come back.

    Datapoints travel as data: numbers, str, bytes, list, tuple, dict and numpy arrays, of any nesting (up to 64
        levels).

    Args:
        df: the flow.
        addr: ``tcp://HOST:PORT`` or ``ipc://PATH``. Beyond this machine only with keys.
        hwm: the most datapoints that are sent and not yet taken by the consumer.
        format: None. (Tensorpack's ``zmq_ops`` spoke to a TensorFlow operator that no longer exists.)
        bind: whether to bind to the address; by default the receiver does, and senders connect. A sender that binds
            feeds one receiver.
        passes: how many passes to send, at least 1; it returns when the consumer has taken the last datapoint. None:
            the flow is repeated for ever.
        ack: deliver each datapoint exactly once, also if this sender is killed and started again with its
            ``state_file``, or the receiver from its state. The flow must be one whose state is exact, random numbers
            come from its seed, and the order is the same each time: several copies of a runner, ``ordered=False`` and
            a `RemoteDataZMQ` in it are refused. The receiver needs ``ack=True`` as well.
        name: of this sender in counts, logs and errors; its host and process number by default.
        state_file: where the flow's state is written once a second, and read at the start. JSON. Only with ``ack``.
        key: the file of the own secret key, ``NAME.key_secret`` (see ``headrace keygen``).
        peers: files (or folders) of the public keys of the other side, ``NAME.key``.
        allow_pickle: send other Python objects, too, by pickle. The receiver must allow it as well, and thereby lets
            this sender run any code there. On ``tcp://127.0.0.1`` every user of the machine can be a sender: use
            ``ipc://`` or keys where there are others.
        timeout_s: how long there may be no receiver; None: for ever.
        buffer_bytes: the same limit as ``hwm``, in bytes (but one datapoint is always sent).
        heartbeat_s: how often a silent connection is tested; after three times without an answer it is broken.
        progress: show a bar; by default where stderr is a terminal.

    Returns:
        A `SendResult`, if ``passes`` is given.

    Order and integrity: in the order of the flow. Without ``ack``, at most ``hwm`` datapoints are lost when the
        receiver ends in mid-stream; `SendResult.lost` and the log count them. When only the connection breaks, none is.
        Datapoints that the flow makes quickly travel together; none waits for others longer than 5 ms.

    Raises:
        TypeError, ValueError: at once, for arguments of a wrong type or value.
        AddressError: the address is in use, or its host unknown.
        SecurityError: keys are missing, unreadable or not accepted.
        ProtocolError: the receiver has another version of headrace, or other arguments; it says which.
        PeerLost: there was no receiver for ``timeout_s``.
        SerializationError: a datapoint is no data (and ``allow_pickle`` is false), or too large.
        Exception: what the flow raises. The receiver is told.
        KeyboardInterrupt: after Ctrl-C, with the `SendResult` so far as its argument. The receiver waits for this
            sender to come back.

    Example:
        >>> import tempfile, threading
        >>> import headrace as hr
        >>> address = f"ipc://{tempfile.mkdtemp()}/socket"
        >>> ds = hr.DataFromList([[1, "a"], [2, "b"]], shuffle=False)
        >>> sender = threading.Thread(target=hr.send_dataflow_zmq, args=(ds, address), kwargs={"passes": 1})
        >>> sender.start()
        >>> with hr.RemoteDataZMQ(address, passes=1, num_senders=1) as remote:
        ...     list(remote)
        [[1, 'a'], [2, 'b']]
        >>> sender.join()
    """
    if format is not None:
        raise ValueError(f"format must be None, got {format!r}: zmq_ops is not supported; receive with RemoteDataZMQ")
    key_file, peer_files = check_keys(key, peers)
    address = parse_address("addr", addr, keys=key is not None, bind=bind)
    hwm = check_count("hwm", hwm)
    buffer_bytes = check_count("buffer_bytes", buffer_bytes)
    options = Options(check_heartbeat(heartbeat_s), _MAX_REPLY_BYTES, 1000)
    if passes is not None:
        passes = check_count("passes", passes)
    patience = Patience(check_timeout(timeout_s))
    if state_file is not None:
        check_state_file(state_file, ack)
    flow = as_flow(df)
    if ack:
        check_repeatable(flow)
    keys = load_keys(key_file, peer_files, bind=bind)
    name = check_name(name) if name is not None else f"{socket.gethostname()}-{os.getpid()}"
    hello = {
        "name": name,
        "ack": bool(ack),
        "pickle": bool(allow_pickle),
        "hwm": hwm,
        "buffer_bytes": buffer_bytes,
    }
    with contextlib.ExitStack() as stack:
        context: zmq.Context[Any] = stack.enter_context(zmq.Context())
        if keys is not None and bind:
            stack.callback(Gatekeeper(context, keys.peers).close)
        link = Link(context, address, bind, keys, options)
        stack.callback(link.close, _LINGER_S)
        file = StateFile(Path(state_file)) if state_file is not None else None
        if file is not None:
            stack.callback(file.close)
        keep_freed_memory()
        replay = Replay(flow, passes, file, keep=ack)
        stack.callback(replay.close)
        stream = file.stream if file is not None else os.urandom(16)
        sender = Sending(link, replay, stream, hello, patience)
        return sender.run(_bar(flow, name, progress))


def check_name(value: Any) -> str:
    """A name that can be shown anywhere.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"name must be a str, got {type(value).__name__}")
    if not 0 < len(value) <= 100 or not value.isprintable():
        raise ValueError(f"name must have 1 to 100 printable characters, got {value!r:.120}")
    return value


def check_state_file(value: Any, ack: bool) -> None:
    """``state_file``, if it can be one.

    Raises:
        TypeError, ValueError: it cannot.
    """
    if not ack:
        raise ValueError("state_file is only used with ack=True")
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"state_file must be the name of a file, got {type(value).__name__}")
    path = Path(value)
    if path.is_dir():
        raise ValueError(f"state_file must be the name of a file, and {path} is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"state_file: there is no folder {path.parent}")


def _bar(flow: DataFlow, name: str, progress: bool | None) -> Any:
    shown = sys.stderr is not None and sys.stderr.isatty() if progress is None else progress
    return progress_bar(total=known_length(flow), desc=name, unit="dp", disable=not shown, leave=True)
