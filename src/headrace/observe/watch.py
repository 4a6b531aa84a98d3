"""A live view of a pipeline while the program's own loop reads it."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from ..flow import DataFlow
from . import metering
from .observation import check_flow, check_length_s
from .stats import Stats, take
from .units import rate_text

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["Watch", "watch"]

_LINE_EVERY_S = 5.0


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
        self._terminal = self._file is not None and self._file.isatty()
        self._every_s = every_s if every_s is not None else 0.5 if self._terminal else _LINE_EVERY_S
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None
        self._first = self._last = take(flow)
        self._all: Stats | None = None

    def __enter__(self) -> Self:
        self._all = None
        metering.attach(self._flow)
        self._first = self._last = take(self._flow)
        self._stop.clear()
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            # What the program prints goes above the table, if both are on the same screen; else it is left alone.
            self._live = Live(
                self._last,
                console=Console(file=self._file),
                auto_refresh=False,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=True,
            )
            self._live.start()
        self._thread = threading.Thread(target=self._run, name="headrace-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._live is not None:
            self._live.stop()
            self._live = None
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
        if self._live is not None:
            from rich.constrain import Constrain

            # What a terminal echoes for Ctrl-C stays on the last line: one more line would not be wiped out.
            self._live.update(Constrain(between, self._live.console.width - len("^C")), refresh=True)
        elif self._file is not None:
            print(_line(between), file=self._file, flush=True)


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
    prints stays readable above it. Elsewhere it is one line every five seconds. Flows without workers are measured in
    the passes that begin within the block.

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
