"""Ctrl-C, which reaches all processes of a terminal: the parent handles it, workers ignore it, starts are not torn."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["ctrl_c_deferred", "ctrl_c_held_back", "ignore_ctrl_c"]


@contextlib.contextmanager
def ctrl_c_deferred() -> Iterator[None]:
    """Ctrl-C in here is handled afterwards. (Python handles it in the main thread only.)"""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[tuple[Any, ...]] = []
    try:
        signal.signal(signal.SIGINT, lambda *args: late.append(args))
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if late:
            handler(*late[0])


@contextlib.contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """The same. And a process that starts in here ignores it before it can be told of it.

    Blocking the signal is not enough for this process, which may have threads (of numpy's) that take it: Python then
    handles it at once. And no thread may start in here: what the user's code starts in it would never hear of Ctrl-C.
    """
    with ctrl_c_deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_ctrl_c() -> None:
    """Of this process, which was started while Ctrl-C was held back: it is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
