"""What the parent and a worker say to each other. Each message may carry a *body*: a list of datapoints.

::

    parent -> worker   Begin      a pass begins: its number and seeds; comes before any Work of that pass
                       Work       a task: datapoints to map (body), or how many a copy shall produce
                       Ping       are we still together? sent when nothing has happened for a while
                       Stop       leave
    worker -> parent   Ready      I have started (or, with a failure: I could not)
                       Done       a task's results (body), one message for each Work, in the order of the Works
                       Pong       the answer to a Ping
    either, to itself  Broken     a message was lost or damaged on the way here (the transport has seen it)

Messages are numbered and checksummed by the transports between processes. A lost one is noticed with the next one,
and a Ping makes sure that there is a next one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..observe.counters import Spent
from ..seeding import Place

__all__ = ["KINDS", "Begin", "Broken", "Done", "Failure", "Message", "Ping", "Pong", "Ready", "Stop", "Work"]


class Begin(NamedTuple):
    """A pass begins.

    Attributes:
        stream: number of the conversation; Works of any other are skipped.
        place: of the flow.
        pass_index: number of the pass.
        worker: number of the worker this is said to.
        copy: which copy of a runner this worker is from now on, and of how many.
        resume: where that copy goes on, as `flow_node` gave it; None: at its beginning.
        skip: how many datapoints after that are not wanted.
    """

    stream: int
    place: Place
    pass_index: int
    worker: int
    copy: tuple[int, int] = (0, 1)
    resume: Any = None
    skip: int = 0


class Work(NamedTuple):
    """A task.

    Attributes:
        stream: the conversation it belongs to.
        start: number of its first datapoint there.
        size: how many datapoints it has (a runner: at most how many to produce).
        pass_index: the pass of the input that the datapoints are from.
        first: number of the first one in that pass.
    """

    stream: int
    start: int
    size: int
    pass_index: int = 0
    first: int = 0


class Ping(NamedTuple):
    """Anything lost on the way to you shows now, by the number of this message."""


class Pong(NamedTuple):
    """Anything lost on the way from you shows now, by the number of this message."""


class Broken(NamedTuple):
    """The conversation with a worker cannot go on; it is replaced, and its tasks are done again.

    Attributes:
        reason: for people.
    """

    reason: str


class Stop(NamedTuple):
    """Leave, and close what is open."""


class Failure(NamedTuple):
    """An exception, packed so that it can always be unpacked.

    Attributes:
        pickled: the exception; None when it does not survive a round trip.
        type_name: its qualified name.
        text: the traceback, as text, at most 64 KiB.
        offset: which datapoint of the task it is about; None: the whole task.
    """

    pickled: bytes | None
    type_name: str
    text: str
    offset: int | None = None


class Ready(NamedTuple):
    """The worker has started; with a failure: it could not, and only waits for `Stop`."""

    failure: Failure | None = None


class Done(NamedTuple):
    """The results of a task; the body is a list of values.

    Attributes:
        stream: of the Work.
        start: of the Work.
        began_s: when it was begun, by `time.perf_counter`.
        busy_s: seconds spent on it: unpickling, user code, and pickling of what is pickled by itself.
        input_bytes: size of the datapoints that came with the Work.
        failures: datapoints that failed; their values are None, and not discards.
        discards: how many values are None because the function said so.
        skipped: the pass was given up before the task's turn; there are no values.
        ended: the copy of a runner has come to its end.
        state: where that copy stands after these values.
        loose: map-and-batch: the values are single results, not batches.
        answered: mapping: it is about so many datapoints, the first ones of the Work; the others were not begun.
        produced: how many datapoints the copy of a runner has given since its Begin, with these.
        digests: of the first datapoints of a runner's copy, as far as it has come; until there are enough.
        spent: the worker's books, now and then.
    """

    stream: int
    start: int
    began_s: float = 0.0
    busy_s: float = 0.0
    input_bytes: int = 0
    failures: tuple[Failure, ...] = ()
    discards: int = 0
    skipped: bool = False
    ended: bool = False
    state: Any = None
    loose: bool = False
    answered: int | None = None
    produced: int = 0
    digests: bytes | None = None
    spent: Spent | None = None


Message = Begin | Work | Ping | Stop | Ready | Done | Pong | Broken

KINDS: tuple[type[Message], ...] = (Begin, Work, Ping, Stop, Ready, Done, Pong, Broken)
"""Between processes, a message is sent as its number here and a plain tuple: a quarter of the time."""
