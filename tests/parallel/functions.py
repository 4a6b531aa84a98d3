"""Functions, flows and exceptions for workers, which import this module: so it imports little."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import headrace as hr


def square(n: int) -> int:
    return n * n


def triple(n: int) -> int:
    return 3 * n


def boxed(value: Any) -> list[Any]:
    return [value]


def same(value: Any) -> Any:
    return value


def pair(a: Any, b: Any) -> Any:
    return [b, a]


def named(*, x: int = 0) -> int:
    return x


def area(width: int, height: int) -> int:
    return width * height


def draw(dp: Any, *, rng: np.random.Generator) -> Any:
    return [dp, rng.random(), rng.integers(1 << 60).item(), rng.standard_normal(3).tolist()]


def draw_two(a: Any, b: Any, *, rng: np.random.Generator) -> Any:
    return [a, b, rng.random()]


def odd_only(n: int) -> int | None:
    return n if n % 2 else None


class Scale:
    def __init__(self, factor: int):
        self.factor = factor

    def method(self, n: int) -> int:
        return self.factor * n

    def __call__(self, n: int) -> int:
        return self.factor * n

    @staticmethod
    def static(n: int) -> int:
        return 3 * n

    @classmethod
    def of_class(cls, n: int) -> int:
        return cls(3).method(n)


# -- exceptions


class TwoArguments(Exception):
    def __init__(self, path: str, line: int):
        super().__init__(f"{path}:{line}")
        self.path, self.line = path, line

    def __reduce__(self) -> Any:
        return TwoArguments, (self.path, self.line)


class TwoArgumentsPlain(Exception):
    """Pickles, but does not unpickle: args has one element, __init__ wants two."""

    def __init__(self, path: str, line: int):
        super().__init__(f"{path}:{line}")
        self.path, self.line = path, line


class HoldsLock(Exception):
    def __init__(self, text: str):
        super().__init__(text)
        self.lock = threading.Lock()


class WithAttributes(ValueError):
    extra: Any = None


def raise_at(number: int, make: Any) -> Any:
    """A map function that raises what ``make(n)`` gives when it comes to ``number``."""

    def f(n: int) -> int:
        if n == number:
            raise make(n)
        return n

    return f


def _with_attributes(n: int) -> Exception:
    error = WithAttributes("text", n)
    error.extra = {"n": [n, "x"]}
    error.add_note("my own note")
    return error


def _local(n: int) -> Exception:
    class Local(Exception):
        pass

    return Local("local", n)


def _chained(n: int) -> Exception:
    try:
        raise KeyError("inner")
    except KeyError as inner:
        error = ValueError("outer")
        error.__cause__ = inner
        return error


ERRORS: dict[str, tuple[Any, type[BaseException], str]] = {
    # what is raised, the type that arrives, a text that is in it
    "ValueError": (lambda n: ValueError("bad", n), ValueError, "bad"),
    "KeyError": (lambda n: KeyError("missing key"), KeyError, "missing key"),
    "UnicodeDecodeError": (lambda n: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"), UnicodeDecodeError, "why"),
    "OSError": (lambda n: FileNotFoundError(2, "No such file", "a.jpg"), FileNotFoundError, "a.jpg"),
    "TwoArguments": (lambda n: TwoArguments("a.txt", n), TwoArguments, "a.txt:5"),
    "TwoArgumentsPlain": (lambda n: TwoArgumentsPlain("a.txt", n), hr.WorkerError, "a.txt:5"),
    "HoldsLock": (lambda n: HoldsLock("cannot be pickled"), hr.WorkerError, "cannot be pickled"),
    "WithAttributes": (_with_attributes, WithAttributes, "text"),
    "Local": (_local, Exception, "local"),
    "Chained": (_chained, ValueError, "outer"),
    "ExceptionGroup": (lambda n: ExceptionGroup("many", [ValueError(1), KeyError(2)]), ExceptionGroup, "many"),
    "StopIteration": (lambda n: StopIteration("over"), RuntimeError, "StopIteration"),
    "GeneratorExit": (lambda n: GeneratorExit("over"), hr.WorkerError, "GeneratorExit"),
    "KeyboardInterrupt": (lambda n: KeyboardInterrupt("not at the keyboard"), hr.WorkerError, "KeyboardInterrupt"),
    "DataFlowTerminated": (lambda n: hr.DataFlowTerminated("by user"), hr.WorkerError, "DataFlowTerminated"),
    "Huge": (lambda n: ValueError("x" * 20_000_000), (ValueError, hr.WorkerError), "xxx"),  # type: ignore[dict-item]
}


class FailsToLoad:
    """Pickles, and raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return _fail_to_load, ()


def _fail_to_load() -> Any:
    raise LookupError("cannot be unpickled")


class FailsAtHome:
    """Pickles, and raises when it is unpickled in the process it does not come from."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __reduce__(self) -> Any:
        return _fail_elsewhere, (self.pid,)


def _fail_elsewhere(pid: int) -> Any:
    if os.getpid() != pid:
        raise LookupError("cannot be unpickled elsewhere")
    return FailsAtHome()


arrived: list[int] = []
"""The numbers of those `Announced` that were unpickled in this process."""


class Announced:
    """Tells where it is unpickled."""

    def __init__(self, number: int):
        self.number = number

    def __reduce__(self) -> Any:
        return _announce, (self.number,)


def _announce(number: int) -> Announced:
    arrived.append(number)
    return Announced(number)


class ExitsOnArrival:
    def __reduce__(self) -> Any:
        return os._exit, (7,)


# -- deaths


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    ctypes.string_at(0)


def _closed_by_exit() -> None:
    sys.exit(4)


DEATHS: dict[str, Any] = {
    "SIGKILL": _kill,
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(3)": lambda: os._exit(3),
    "sys.exit": _closed_by_exit,
    "sys.exit()": lambda: sys.exit(),
    "segfault": _segfault,
    "abort": lambda: os.abort(),
}


def die_at(number: int, how: Any, folder: Path | None) -> Any:
    """A map function that ends its worker at ``number``: once (there is a folder to note it in), or always."""

    def f(n: int) -> int:
        if n == number:
            marker = folder / "died" if folder is not None else None
            if marker is None or not marker.exists():
                if marker is not None:
                    marker.touch()
                how()
        return n * n

    return f


class DiesWhilePickled:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        if not self.marker.exists():
            self.marker.touch()
            os._exit(1)
        return int, (7,)


# -- flows


class Counting(hr.DataFlow):
    """0, 1, ..., without a length; counts what it has given."""

    def __init__(self, count: int | None):
        self.count = count
        self.given = 0

    def __iter__(self) -> Iterator[int]:
        n = 0
        while self.count is None or n < self.count:
            self.given += 1
            yield n
            n += 1


class Resizable(hr.DataFlow):
    """A source whose length the test changes between passes."""

    def __init__(self) -> None:
        self.count = 0

    def __iter__(self) -> Iterator[int]:
        yield from range(self.count)

    def __len__(self) -> int:
        return self.count


class Noise(hr.RNGDataFlow):
    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[float]:
        for _ in range(self.count):
            yield float(self.rng.rand())

    def __len__(self) -> int:
        return self.count


class Globals(hr.DataFlow):
    """Draws from the global generators, as much user code does."""

    def __iter__(self) -> Iterator[Any]:
        import random

        for _ in range(20):
            yield [random.random(), float(np.random.rand())]


class Failing(hr.DataFlow):
    """Good datapoints, then an exception."""

    def __init__(self, good: int, error: Any = ValueError):
        self.good, self.error = good, error

    def __iter__(self) -> Iterator[int]:
        yield from range(self.good)
        raise self.error("the source has failed")

    def __len__(self) -> int:
        return 1000


class FailsToReset(hr.DataFlow):
    def reset_state(self) -> None:
        super().reset_state()
        raise OSError("cannot be opened")

    def __iter__(self) -> Iterator[int]:
        yield 1

    def __len__(self) -> int:
        return 1


class WhoAmI(hr.DataFlow):
    """Says which copy it is."""

    def __iter__(self) -> Iterator[Any]:
        info = hr.worker_info()
        for _ in range(10):
            yield None if info is None else (info.index, info.count, info.seed, info.pass_index)

    def __len__(self) -> int:
        return 10


class OwnShare(hr.DataFlow):
    """Takes its share by itself."""

    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[int]:
        info = hr.worker_info()
        assert info is not None
        yield from range(info.index, self.count, info.count)

    def __len__(self) -> int:
        return self.count


class Slows:
    """Gives what it is given; from some number on it takes its time, and notes each call by a byte in a file."""

    def __init__(self, number: int, notes: Path):
        self.number, self.notes = number, notes

    def __call__(self, n: int) -> int:
        if n >= self.number:
            time.sleep(0.002)
            with open(self.notes, "ab") as file:
                file.write(b".")
        return n
