"""What every worker does, in a thread or a process: take a task, run the program on it, send the results.

A worker owns nothing: what it was given and has not answered is in the parent's ledger. It answers each `Work` by one
`Done`, in order, whatever happens; if it cannot even do that, it dies, and the parent sees it.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cloudpickle

from .. import result_memory
from ..observe.counters import WorkerClock
from .decoder import MANY, collection_paused
from .messages import Begin, Broken, Done, Failure, Ping, Pong, Ready, Stop, Work
from .programs import Program

if TYPE_CHECKING:
    from .executors.base import Signal
    from .transports.base import Channel

__all__ = ["pack", "unpack", "work"]

_TEXT_BYTES = 64 << 10


def work(channel: Channel, load: Callable[[], Program], signal: Signal, *, alone: bool) -> None:
    """Be a worker until told to stop.

    Args:
        channel: the way to the parent.
        load: makes the program; may fail.
        signal: the number of the current stream; tasks of others are skipped.
        alone: whether it has an interpreter of its own.
    """
    try:
        program = load()
    except Exception as error:
        channel.send(Ready(pack(error)))
        while not isinstance(channel.receive()[0], Stop):
            pass
        return
    channel.send(Ready())
    if alone:
        result_memory.source = channel.empty
    clock = WorkerClock(channel, time.process_time if alone else time.thread_time)
    broken: Failure | None = None
    try:
        while True:
            message, body = channel.receive()
            if isinstance(message, Work):
                if message.stream != signal.get():
                    channel.drop(body)
                    channel.send(Done(message.stream, message.start, skipped=True))
                elif broken is not None:
                    channel.send(Done(message.stream, message.start, failures=(broken,)))
                elif alone and message.size >= MANY:  # they are quick, and all their results live on
                    with collection_paused():
                        _perform(channel, program, message, body, clock)
                else:
                    _perform(channel, program, message, body, clock)
            elif isinstance(message, Begin):
                try:
                    broken = None
                    program.begin(message)
                except Exception as error:
                    broken = pack(error)
            elif isinstance(message, Ping):
                channel.send(Pong())
            elif isinstance(message, Broken):
                channel.send(message)  # the parent ends us
            elif isinstance(message, Stop):
                return
            del message, body  # hold nothing while waiting
    except EOFError:
        return  # the parent is gone
    finally:
        program.close()


def _perform(channel: Channel, program: Program, task: Work, body: Any, clock: WorkerClock) -> None:
    received_s = time.perf_counter()
    try:
        items = channel.decode(body)
    except Exception as error:
        failure = pack(error, note=f"while unpickling the input of datapoint {task.start} in a worker")
        channel.send(Done(task.stream, task.start, failures=(failure,)))
        return
    began_s = time.perf_counter()
    outcome = program.run(task, items, channel)
    ended_s = time.perf_counter()
    done = Done(
        task.stream,
        task.start,
        began_s=received_s,
        busy_s=ended_s - received_s,
        input_bytes=getattr(body, "nbytes", 0),
        failures=tuple(outcome.failures),
        discards=outcome.discards,
        ended=outcome.ended,
        state=outcome.state,
        loose=outcome.loose,
        answered=outcome.answered,
        produced=outcome.produced,
        digests=outcome.digests,
        spent=clock.done(received_s, began_s, ended_s),
    )
    channel.send(done)
    clock.sent_s = time.perf_counter()


def pack(error: BaseException, offset: int | None = None, note: str | None = None) -> Failure:
    """An exception for the journey home.

    It is pickled, and unpickled as a test: there are exceptions that survive the first and not the second. What does
    not survive goes as text.
    """
    if note is not None:
        error.add_note(note)
    tb = error.__traceback__.tb_next if error.__traceback__ is not None else None  # without our own frame
    text = "".join(traceback.format_exception(type(error), error, tb or error.__traceback__))
    if len(text) > _TEXT_BYTES:
        half = _TEXT_BYTES // 2
        text = f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return Failure(_pickled(error), name, text, offset)


def _pickled(error: BaseException) -> bytes | None:
    if not isinstance(error, Exception):
        return None  # KeyboardInterrupt and the like mean something else at home
    for dumps in (pickle.dumps, cloudpickle.dumps):  # plainly first: in a fork, classes of __main__ are those of home
        try:
            data = dumps(error)
            if len(data) > _TEXT_BYTES * 16:
                return None
            if type(pickle.loads(data)) is type(error):
                return bytes(data)
        except Exception:
            continue
    return None


def unpack(failure: Failure) -> Exception | None:
    """The exception as it was, or None if it cannot be rebuilt here."""
    if failure.pickled is None:
        return None
    try:
        error = pickle.loads(failure.pickled)
    except Exception:
        return None
    return error if isinstance(error, Exception) else None
