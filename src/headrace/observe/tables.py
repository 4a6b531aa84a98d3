"""Tables for the terminal. They need rich, which takes a while to import: so this is imported when one is shown."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .units import bytes_text, percent, rate_text, seconds_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .explain import Verdict
    from .stats import FlowStats, Stats
    from .tune import TuneResult

__all__ = ["as_text", "stats_table", "tune_view", "verdict_view"]


def as_text(table: RenderableType) -> str:
    """A table as plain text."""
    file = io.StringIO()
    Console(file=file, width=130).print(table, crop=False)
    return file.getvalue().rstrip("\n")


def stats_table(stats: Stats) -> Table:
    """One line for each flow, the consumer's end first."""
    table = Table(
        title=f"in {seconds_text(stats.seconds)}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("flow", overflow="fold")
    for name in ("datapoints", "rate", "own\ntime", "workers", "busy", "waited\nfor", "in\nflight", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for flow in reversed(stats.flows):
        table.add_row(*_line(stats, flow))
    if any(flow.here and flow.seconds is None and flow.pool is None for flow in stats.flows):
        table.caption = "flows without workers are measured only by explain and watch"
        table.caption_justify = "left"
    return table


def _line(stats: Stats, flow: FlowStats) -> list[str]:
    pool, own_s = flow.pool, stats.own_s(flow)
    count = flow.datapoints if flow.datapoints is not None else (pool.delivered if pool is not None else None)
    line = [
        flow.name if flow.here else f"{flow.name} (in copies)",
        "-" if count is None else f"{count:,}",
        "-" if count is None or not stats.seconds else rate_text(count / stats.seconds),
        "-" if own_s is None else percent(own_s / max(stats.seconds, 1e-9)),
    ]
    if pool is None:
        return line
    return [
        *line,
        str(pool.workers),
        percent(pool.busy),
        percent(pool.waiting),
        f"{pool.in_flight:,}",
        bytes_text(pool.memory_bytes + pool.arena_bytes),
    ]


def verdict_view(verdict: Verdict) -> RenderableType:
    """The sentence, where the thread's time went, and the table of all flows."""
    parts = Table(title="the consumer's thread", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    parts.add_column("what it does", overflow="fold")
    parts.add_column("time", justify="right", no_wrap=True)
    parts.add_column("", no_wrap=True)
    for part in verdict.parts:
        what = f"wait for the workers of {part.name}" if part.kind == "wait" else f"{part.name}: {part.kind}"
        parts.add_row(what, percent(part.fraction), "█" * round(20 * min(part.fraction, 1.0)))
    sentence = Text(verdict.text, style="bold")
    note = [Text(f"({verdict.note})")] if verdict.note else []
    return Group(sentence, *note, Text(), parts, Text(), stats_table(verdict.stats))


def tune_view(result: TuneResult) -> RenderableType:
    """The line to copy, in one piece, and one line for each way that was tried, the fastest first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("pattern", no_wrap=True)
    for name in ("workers", "buffer", "datapoints/s", "CPU for\none", "memory", "first"):
        table.add_column(name, justify="right", no_wrap=True)
    notes = dict.fromkeys(f"{row.pattern}: {row.note}" for row in result.rows if row.note)
    for row in result.rows:
        figures = ["-"] * 4
        if row.ran:
            figures = [
                rate_text(row.datapoints_per_s).removesuffix("/s"),
                seconds_text(row.cpu_s),
                bytes_text(row.memory_bytes),
                seconds_text(row.first_s),
            ]
        buffer = str(row.arguments.get("buffer_size", ""))
        mark = "→" if row is result.best else ""
        table.add_row(mark, row.pattern, str(row.workers or ""), buffer, *figures)
    line = Text(f"take: {result.code}", style="bold", no_wrap=True, overflow="ignore")
    return Group(line, table, *map(Text, notes))
