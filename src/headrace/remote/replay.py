"""A flow as a numbered stream of entries, which can go back to any of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import EmptySourceError, SerializationError, StateError
from ..flow import DataFlow
from ..parallel.runners import _Runner
from ..tree import walk
from .receiver import RemoteDataZMQ
from .wire import Kind

__all__ = ["Replay", "StateFile", "check_repeatable"]

_KEPT = 32
_RECENT = 8
_INTERVAL_S = 1.0
_COST = 0.02
"""At most this share of the time goes into taking states."""

_OVER = object()


class _Point(NamedTuple):
    """A place in the stream, and the flow's state there."""

    number: int
    passes: int
    state: dict[str, Any]


def check_repeatable(flow: DataFlow) -> None:
    """Refuse a flow that gives its datapoints in another order each time: it cannot go back to the n-th one.

    Raises:
        ValueError: there is such a flow in it.
    """
    for part in walk(flow):
        name = type(part).__name__
        if isinstance(part, _Runner) and part._copies > 1:
            raise ValueError(
                f"ack=True needs a flow that can go back, and {name} merges its {part._copies} copies as they come; "
                "take a mapper (MultiProcessMapData), one copy, or a sender for each copy"
            )
        if getattr(part, "ordered", True) is False:
            raise ValueError(f"ack=True needs a flow that can go back, and {name} has ordered=False; let it be ordered")
        if isinstance(part, RemoteDataZMQ):
            raise ValueError(
                f"ack=True needs a flow that can go back, and {name} gives what its senders send, as it comes; let "
                "them send to the last receiver"
            )


class Replay:
    """The entries of a flow, pass after pass: datapoints, and the end of each pass.

    To go back, it loads the latest state that is early enough, and reads on from there. It keeps the first state, the
    latest ones, and ever fewer in between, so it can go back to any entry at any time.

    Args:
        flow: what is sent. Going back gives the same entries if its state is exact (see `DataFlow.state_dict`).
        passes: how many; None: for ever.
        file: where the states are kept over a restart; None: nowhere.
        keep: whether to take states at all.
    """

    def __init__(self, flow: DataFlow, passes: int | None, file: StateFile | None, *, keep: bool):
        self.number = 0
        """The number of the next entry."""
        self.passes = 0
        """How many passes have ended."""
        self._flow = flow
        self._limit = passes
        self._file = file
        self._keep = keep
        self._running: Iterator[Any] | None = None
        self._points: list[_Point] = []
        self._next_point = 0.0
        if file is not None and file.points:
            self._points = file.points
            self._load(self._points[-1])
        elif keep:
            self._take_point()

    @property
    def over(self) -> bool:
        """Whether the last entry, the end of the last pass, has been made."""
        return self.passes == self._limit

    def next(self) -> tuple[Kind, Any] | None:
        """The next entry: its kind, and the datapoint if it is one. None after the last one.

        Raises:
            EmptySourceError: passes without end, and there is nothing in them.
            Exception: what the flow raises.
        """
        if self.over:
            return None
        self.number += 1
        if self._running is None:
            self._running = iter(self._flow)
        datapoint = next(self._running, _OVER)
        if datapoint is not _OVER:
            if self._keep and time.monotonic() >= self._next_point:
                self._take_point()
            return Kind.DATA, datapoint
        self._running = None
        self.passes += 1
        if self._limit is None and self.number == self.passes:
            raise EmptySourceError("the flow gives no datapoints, and shall be sent for ever")
        return Kind.END if self.over else Kind.PASS_END, None

    def seek(self, number: int) -> None:
        """Make ``number`` the next entry.

        Raises:
            StateError: the flow ended before it this time.
        """
        if number < self.number:
            self._load([p for p in self._points if p.number <= number][-1])
        while self.number < number:
            if self.next() is None:
                raise StateError(
                    f"the receiver wants entry {number} of this flow, but it gave only {self.number} this time; a "
                    f"sender "
                    "that starts again needs its state_file, and the same flow"
                )

    def close(self) -> None:
        """Leave the pass."""
        self._leave()

    def _leave(self) -> None:
        running, self._running = self._running, None
        close = getattr(running, "close", None)
        if close is not None:
            close()

    def _load(self, point: _Point) -> None:
        self._leave()
        self._flow.load_state_dict(point.state)
        self.number, self.passes = point.number, point.passes
        del self._points[self._points.index(point) + 1 :]

    def _take_point(self) -> None:
        begun = time.monotonic()
        self._points.append(_Point(self.number, self.passes, self._flow.state_dict()))
        if len(self._points) > _KEPT:
            del self._points[1:-_RECENT:2]
        if self._file is not None:
            self._file.write(self._points)
        ended = time.monotonic()
        self._next_point = ended + max(_INTERVAL_S, (ended - begun) / _COST)


class StateFile:
    """Where a sender keeps its states, and the name of its stream.

    It is replaced as a whole, never written in place, and locked while the sender lives.

    Args:
        path: of the file.

    Raises:
        StateError: another sender uses it, or it is no such file.
    """

    def __init__(self, path: Path):
        self._path = path
        self.stream = secrets.token_bytes(16)
        self.points: list[_Point] = []
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                self._read()
        except BlockingIOError:
            self.close()
            raise StateError(f"state_file: {path} is in use by another sender; each needs a file of its own") from None
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        try:
            saved = json.loads(self._path.read_text())
            if saved["format"] != "headrace-sender" or saved["version"] != 1:
                raise ValueError
            self.stream = bytes.fromhex(saved["stream"])
            self.points = [_Point(*p) for p in saved["points"]]
        except (ValueError, KeyError, TypeError):
            raise StateError(f"state_file: {self._path} is not the state of a sender, or not of this version") from None

    def write(self, points: list[_Point]) -> None:
        """Replace the file.

        Raises:
            SerializationError: a state holds datapoints that JSON does not know.
        """
        try:
            text = json.dumps(
                {"format": "headrace-sender", "version": 1, "stream": self.stream.hex(), "points": points}
            )
        except TypeError as error:
            raise SerializationError(
                f"state_file: the state of this flow holds datapoints that cannot be written as JSON ({error}); move "
                f"the "
                "stages that hold datapoints (batches, shuffles) behind the receiver, or do without state_file"
            ) from None
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with open(new, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._lock)
