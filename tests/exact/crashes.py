"""Ways for a worker to die, at a chosen datapoint, and the tools to look at it from outside.

Everything here is importable by workers, and light: no pytest.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

CAUSES = {
    "SIGKILL": "was killed by SIGKILL",
    "exit 0": "left with exit code 0",
    "exit 3": "left with exit code 3",
    "sys.exit": "left with exit code 5",
    "segfault": "was killed by SIGSEGV",
}


def die(cause: str) -> None:
    if cause == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif cause == "exit 0":
        os._exit(0)
    elif cause == "exit 3":
        os._exit(3)
    elif cause == "sys.exit":
        sys.exit(5)
    elif cause == "segfault":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.close(2)  # pytest's faulthandler would speak, after fork
        ctypes.string_at(0)
    raise AssertionError(f"survived {cause}")


def first_time(marker: Path) -> bool:
    """Whether no process has asked before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Deadly:
    """A map function (``n * n``) whose worker dies at datapoint ``at``, the first time only unless ``always``.

    Args:
        moment: "function", "pickling" (the result dies when it is pickled) or "garbage" (when it is collected).
    """

    def __init__(self, cause: str, at: int, folder: Path, *, moment: str = "function", always: bool = False):
        self.cause, self.at, self.moment, self.always = cause, at, moment, always
        self.marker = folder / "died"

    def __call__(self, n: int) -> Any:
        if n == self.at and (self.always or first_time(self.marker)):
            if self.moment == "function":
                die(self.cause)
            elif self.moment == "garbage":
                _in_a_cycle(self.cause)
                gc.collect()
            elif self.moment == "pickling":
                return Bomb(n * n, self.cause)
        return n * n


class Bomb:
    """Arrives as a number, unless it goes off when it is pickled."""

    def __init__(self, value: int, cause: str):
        self.value, self.cause = value, cause

    def __reduce__(self) -> Any:
        die(self.cause)
        return int, (self.value,)


class _DiesInDel:
    def __init__(self, cause: str):
        self.cause = cause
        self.itself = self

    def __del__(self) -> None:
        die(self.cause)


def _in_a_cycle(cause: str) -> None:
    _DiesInDel(cause)


class Egg:
    """A datapoint that arrives in a worker as a number, but kills the first one that unpickles number ``at``."""

    def __init__(self, n: int, cause: str, at: int, folder: Path):
        self.arguments = (n, cause, at, folder / "died")

    def __reduce__(self) -> Any:
        return hatch, self.arguments


def hatch(n: int, cause: str, at: int, marker: Path) -> int:
    if n == at and first_time(marker):
        die(cause)
    return n


class DeadlyToLoad:
    """A map function that kills every worker that receives it."""

    def __reduce__(self) -> Any:
        return die, ("exit 3",)

    def __call__(self, n: int) -> int:
        return n


class SlowToLoad:
    """A map function that takes a while to arrive."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return _load_slowly, (self.seconds,)

    def __call__(self, n: int) -> int:
        return n * n


def _load_slowly(seconds: float) -> SlowToLoad:
    threading.Event().wait(seconds)
    return SlowToLoad(seconds)


def square(n: int) -> int:
    return n * n


def pid_and_square(n: int) -> tuple[int, int]:
    return os.getpid(), n * n


def noise(n: int, *, rng: np.random.Generator) -> list[int]:
    return [n, int(rng.integers(1 << 40))]


def worker_pids(flow: Any) -> list[int]:
    """The processes of a flow, by its pool."""
    pool = flow._runtime.pool
    return [int(re.search(r"\d+", worker.handle.name)[0]) for worker in pool.workers.values()]


def kill(pids: Iterable[int]) -> None:
    """SIGKILL, and wait until they are gone (or wait to be reaped)."""
    fds = []
    for pid in pids:
        try:
            fds.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
        signal.pidfd_send_signal(fds[-1], signal.SIGKILL)
    for fd in fds:
        assert select.select([fd], [], [], 10)[0], "a killed process does not die"
        os.close(fd)


def spans(warning: str) -> list[range]:
    """The datapoints that a WARNING names."""
    held = re.search(r"it held datapoints? ([\d, -]+)", warning)
    pairs = [part.strip().split("-") for part in held[1].split(",")] if held else []
    return [range(int(pair[0]), int(pair[-1]) + 1) for pair in pairs]


class Stuck:
    """A map function that never comes back from datapoint ``at``, the first time only unless ``always``.

    Args:
        how: "waiting" for an event, or "holding the GIL" in a regular expression without end.
    """

    def __init__(self, how: str, at: int, folder: Path, *, always: bool = True):
        self.how, self.at, self.marker, self.always = how, at, folder / "stuck", always

    def __call__(self, n: int) -> int:
        if n == self.at and (self.always or first_time(self.marker)):
            waits_for_ever() if self.how == "waiting" else matches_for_ever()
        return n * n


def waits_for_ever() -> None:
    threading.Event().wait()  # the line that is looked for


def matches_for_ever() -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # the line that is looked for


class Waits:
    """A map function whose datapoint 0 waits until somebody writes to a FIFO."""

    def __init__(self, fifo: Path):
        self.fifo = fifo

    def __call__(self, n: int) -> int:
        if n == 0:
            self.fifo.read_bytes()
        return n * n


class BadSample(Exception):
    """With two arguments, which many libraries lose."""

    def __init__(self, name: str, n: int):
        super().__init__(name, n)
        self.n = n


class HasLock(Exception):
    def __init__(self, n: int):
        super().__init__(n)
        self.lock = threading.Lock()


class Bad:
    """A map function (``n * n``) that fails for multiples of ``every``."""

    def __init__(self, every: int, error: str = "BadSample"):
        self.every, self.error = every, error

    def __call__(self, n: int) -> Any:
        if n % self.every:
            return n * n
        if self.error == "unpicklable error":
            raise HasLock(n)
        if self.error == "unpicklable result":
            return threading.Lock()
        if self.error == "StopIteration":
            raise StopIteration(n)
        raise BadSample("bad", n)
