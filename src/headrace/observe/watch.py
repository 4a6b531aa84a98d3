"""A live view of a pipeline while the program's own loop reads it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from ..flow import DataFlow
from . import metering
from .observation import check_flow, check_length_s
from .stats import Stats, take
from .units import rate_text

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Watch", "watch"]

_LINE_EVERY_S, _DRAW_EVERY_S = 5.0, 0.5


class Watch:
    """What `watch` gives: shows a table twice a second, from a thread of its own, for as long as the block runs.

    Args:
        flow: the pipeline.
        every_s: how often it is shown anew.
        file: where; default: stderr, if there is one.
    """

    def __init__(self, flow: DataFlow, every_s: float | None, file: TextIO | None):
        self._flow = flow
        self._file = file if file is not None else sys.stderr
        self._screen = _Screen(self._file) if self._file is not None and self._file.isatty() else None
        if self._screen is not None and self._screen.dumb:
            self._screen = None
        self._every_s = every_s if every_s is not None else _LINE_EVERY_S if self._screen is None else _DRAW_EVERY_S
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._first = self._last = take(flow)
        self._all: Stats | None = None

    def __enter__(self) -> Self:
        self._all = None
        metering.attach(self._flow)
        self._first = self._last = take(self._flow)
        self._stop.clear()
        if self._screen is not None:
            self._screen.begin()
        self._thread = threading.Thread(target=self._run, name="headrace-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._screen is not None:
            self._screen.end()
        self._all = self.stats
        metering.detach(self._flow)

    @property
    def stats(self) -> Stats:
        """What was counted since the block began; after the block: in all of it."""
        return self._all if self._all is not None else take(self._flow) - self._first

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._show()

    def _show(self) -> None:
        now = take(self._flow)
        between, self._last = now - self._last, now
        if self._screen is not None:
            self._screen.draw(between)
        elif self._file is not None:
            print(_line(between), file=self._file, flush=True)


class _Screen:
    """A terminal, with a table that is drawn anew again and again below what is printed there.

    The cursor stays where the program has left it, above the table. So what anybody prints, worker processes and
    libraries included, comes there and remains: the next table begins below. What this process prints wipes the table
    out first; what others print covers it, until it is drawn anew.
    """

    def __init__(self, file: TextIO):
        from rich.console import Console

        self._file = file
        self._console = Console(file=file)
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._drawn = False
        self._wrapped: dict[str, Any] = {}

    @property
    def dumb(self) -> bool:
        """Whether nothing can be drawn there."""
        return self._console.is_dumb_terminal or not self._console.is_terminal

    def begin(self) -> None:
        """From now on, what this process prints on a terminal wipes the table out first."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._wrapped[name] = stream
                setattr(sys, name, _Wiping(stream, self.wipe))

    def end(self) -> None:
        """The screen as it would be without a table."""
        self.wipe()
        for name, stream in self._wrapped.items():
            setattr(sys, name, stream)
        self._wrapped.clear()

    def draw(self, table: RenderableType) -> None:
        """Draw it below the cursor."""
        with self._lock:
            with self._console.capture() as captured:
                self._console.print(table)
            lines = ["", *captured.get().splitlines()][: self._console.height - 1]
            down, up = "\x1bD" * len(lines), f"\x1b[{len(lines)}A"  # makes room; neither changes the column
            self._write(f"\x1b[J{down}{up}\x1b7" + "".join(f"\r\n{line}" for line in lines) + "\x1b8")
            self._drawn = True

    def wipe(self) -> None:
        """Erase what is below the cursor, if a table is there. A forked child has none, and may find the lock held."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._drawn:
                self._write("\x1b[J")
                self._drawn = False

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


class _Wiping:
    """A stream that does something before anything is written to it."""

    def __init__(self, stream: Any, wipe: Callable[[], None]):
        self._stream = stream
        self._wipe = wipe

    def write(self, text: str) -> int:
        """See `io.TextIOBase.write`."""
        self._wipe()
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _line(stats: Stats) -> str:
    """The same in one line, for logs."""
    top = stats.flows[-1]
    count = top.datapoints if top.datapoints is not None else top.pool.delivered if top.pool is not None else 0
    said = [f"headrace: {top.name} {rate_text(count / max(stats.seconds, 1e-9))}"]
    for flow in stats.flows:
        if flow.pool is not None:
            pool = flow.pool
            said.append(f"{flow.name}: {pool.workers} workers {pool.busy:.0%} busy, waited for {pool.waiting:.0%}")
    return "; ".join(said)


def watch(flow: DataFlow, every_s: float | None = None, *, file: TextIO | None = None) -> Watch:
    """Show what a pipeline does, live, while your own loop reads it.

    On a terminal it is a table on stderr that is drawn anew twice a second and disappears at the end; what the program
    and its workers print stays above it. Elsewhere it is one line every five seconds. Flows without workers are
    measured in the passes that begin within the block.

    Args:
        flow: the pipeline that the block iterates.
        every_s: how often to show, in seconds.
        file: where to show it; default: stderr.

    Returns:
        A context manager; its ``stats`` are what was counted since the block began, and when it is over, in all of it.

    Raises:
        TypeError, ValueError: ``flow`` is no flow, ``every_s`` no positive number.

    Example:
        >>> import io, headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([1, 2, 3, 4]), 2)
        >>> with hr.watch(flow, file=io.StringIO()) as watching:
        ...     _ = list(flow)
        >>> watching.stats.flows[-1].name, watching.stats.flows[-1].datapoints
        ('BatchData', 2)
    """
    check_flow(flow)
    return Watch(flow, None if every_s is None else check_length_s("every_s", every_s), file)
