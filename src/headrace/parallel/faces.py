"""What all parallel flows share: checked arguments, and a pool that lives as long as the flow."""

from __future__ import annotations

import errno
import os
import resource
import weakref
from typing import Any

from ..flow import DataFlow
from .executors.ctrl_c import ctrl_c_deferred
from .executors.process import START_METHODS, ProcessExecutor, default_start_method
from .executors.thread import ThreadExecutor
from .pool import Pool
from .programs import Program
from .transports.base import Transport
from .transports.memory import MemoryTransport
from .transports.pipe import PipeTransport
from .transports.zmq import ZmqTransport

__all__ = [
    "Default",
    "ParallelFlow",
    "check_choice",
    "check_seconds",
    "check_start_method",
    "process_pool",
    "thread_pool",
]


_DESCRIPTORS_EACH = 6
"""Of a worker: its two arenas, its process, its stack, its connection, and one for while it starts."""
_DESCRIPTORS = 20
"""Of the transport, and what is open for a moment."""


class Default(int):
    """A number that nobody has chosen: the engine may go beyond it for tiny datapoints."""


class ParallelFlow(DataFlow):
    """A flow with workers.

    They start with the first pass, are kept over the passes, and end with ``close()``, ``with``, the flow's garbage
    collection or the interpreter's exit. One iterator at a time.
    """

    reentrant = False
    leaves_traces = True

    def _pool(self) -> Pool:
        """The workers; started now if they are not there."""
        runtime = self._runtime
        if runtime.pool is None or runtime.pool.closed:
            self._connect()
            with ctrl_c_deferred():  # until somebody knows the workers, who can end them
                runtime.pool = self._make_pool()
                runtime.pool.flow_name = type(self).__name__
                if runtime.counters is None:
                    runtime.counters = runtime.pool.counters
                runtime.pool.counters = runtime.counters
                weakref.finalize(self, runtime.pool.close)
        return runtime.pool

    def _connect(self) -> None:
        """What comes before the workers, and may take so long that Ctrl-C has to end it."""

    def _make_pool(self) -> Pool:
        raise NotImplementedError("each face makes its own pool")

    def close(self) -> None:
        """End the workers now, and those of all flows below. A new pass starts new ones."""
        if self._runtime.pool is not None:
            self._runtime.pool.close()
        super().close()


def thread_pool(program: Program, num_thread: int) -> Pool:
    """Workers that are threads."""
    return Pool(ThreadExecutor(), MemoryTransport(), program, num_thread)


def process_pool(program: Program, num_proc: int, start_method: str | None, *, zmq: bool = True) -> Pool:
    """Workers that are processes.

    Args:
        program: what they run.
        num_proc: how many.
        start_method: see `check_start_method`.
        zmq: whether messages travel by ZeroMQ (else by pipes).

    Raises:
        OSError: (EMFILE) this process may not have so many descriptors.
    """
    _check_descriptors(num_proc)
    method = start_method or default_start_method()
    executor = ProcessExecutor(method)
    main_by_value = method != "fork"
    try:
        transport: Transport = (ZmqTransport if zmq else PipeTransport)(main_by_value=main_by_value)
    except BaseException:
        executor.close()
        raise
    return Pool(executor, transport, program, num_proc)


def _check_descriptors(num_proc: int) -> None:
    """Now, because later is too late: ZeroMQ ends the whole process where it finds none for a connection."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + num_proc * _DESCRIPTORS_EACH + _DESCRIPTORS
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise OSError(
            errno.EMFILE,
            f"{num_proc} worker processes need {_DESCRIPTORS_EACH} file descriptors each, {needed} with those that are "
            f"open, and this process may have {limit}; raise that (ulimit -n {needed}), or take fewer workers",
        )


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """``value``, if it is one of the choices.

    Raises:
        ValueError: it is not.
    """
    if not any(value is c or (isinstance(c, str) and value == c) for c in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_seconds(name: str, value: Any) -> float:
    """``value`` as a positive number of seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not positive.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, got {type(value).__name__}: {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return float(value)


def check_start_method(value: str | None) -> str | None:
    """A start method, or None for the default one: what ``multiprocessing`` was set to, else ``forkserver``."""
    return check_choice("start_method", value, (*START_METHODS, None))  # type: ignore[no-any-return]
