"""Ctrl-C, which reaches all processes of a terminal: the parent handles it, workers ignore it, starts are not torn."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["ctrl_c_held_back", "ignore_ctrl_c"]


@contextlib.contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Ctrl-C in here is handled afterwards. A process that starts in here ignores it before it can be told of it.

    Blocking the signal is not enough for this process, which may have threads (of numpy's) that take it: Python then
    handles it at once.
    """
    handler = signal.getsignal(signal.SIGINT)
    late: list[tuple[Any, ...]] = []
    defers = callable(handler) and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        if defers:
            signal.signal(signal.SIGINT, lambda *args: late.append(args))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if defers:
            signal.signal(signal.SIGINT, handler)
        if late and callable(handler):
            handler(*late[0])


def ignore_ctrl_c() -> None:
    """Of this process, which was started while Ctrl-C was held back: it is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
