"""Tables for the terminal. They need rich, which takes a while to import: so this is imported when one is shown."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .units import bytes_text, percent, rate_text, seconds_text

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

    from .explain import Verdict
    from .stats import FlowStats, Stats
    from .tune import TuneResult

__all__ = ["as_text", "stats_table", "tune_view", "verdict_view"]

_NAME = 12
"""A name is not folded into less than so many characters for the sake of figures that can be left out."""


def as_text(table: RenderableType) -> str:
    """A table as plain text."""
    file = io.StringIO()
    Console(file=file, width=130).print(table, crop=False)
    return file.getvalue().rstrip("\n")


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """A table that leaves columns out where the screen is too narrow: figures that are cut off say nothing.

    Attributes:
        heads: of the columns. The first one has names, which may be folded; the others have figures, or, where the head
            is empty, a bar.
        rows: the cells; missing ones are empty.
        spare: columns that may be left out, in this order.
        title: above the table; empty: none.
        caption: below it; empty: none.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    spare: Sequence[str] = ()
    title: str = ""
    caption: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        shown = list(range(len(self.heads)))
        for head in self.spare:
            if self._needs(shown) <= options.max_width:
                break
            shown.remove(self.heads.index(head))
        yield self._table(shown)

    def _needs(self, shown: Sequence[int]) -> int:
        widths = [self._width(n) for n in shown[1:]]
        return min(self._width(0), _NAME) + sum(widths) + 2 * len(shown) + 1  # with two spaces between, and the edges

    def _width(self, number: int) -> int:
        cells = [*self.heads[number].split("\n"), *(row[number] for row in self.rows if number < len(row))]
        return max(map(len, cells))

    def _table(self, shown: Sequence[int]) -> Table:
        table = Table(title=self.title or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(self.heads[0], overflow="fold")
        for n in shown[1:]:
            table.add_column(self.heads[n], justify="right" if self.heads[n] else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(row[n] if n < len(row) else "" for n in shown))
        table.caption = self.caption or None
        table.caption_justify = "left"
        return table


def stats_table(stats: Stats) -> RenderableType:
    """One line for each flow, the consumer's end first."""
    unseen = any(flow.here and flow.seconds is None and flow.pool is None for flow in stats.flows)
    return _Fitted(
        ("flow", "datapoints", "rate", "own\ntime", "workers", "busy", "waited\nfor", "in\nflight", "memory"),
        [_line(stats, flow) for flow in reversed(stats.flows)],
        ("in\nflight", "own\ntime", "memory", "waited\nfor", "datapoints", "workers"),
        f"in {seconds_text(stats.seconds)}",
        "flows without workers are measured only by explain and watch" if unseen else "",
    )


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
    rows = []
    for part in verdict.parts:
        what = f"wait for the workers of {part.name}" if part.kind == "wait" else f"{part.name}: {part.kind}"
        rows.append([what, percent(part.fraction), "█" * round(20 * min(part.fraction, 1.0))])
    parts = _Fitted(("what it does", "time", ""), rows, ("",), "the consumer's thread")
    sentence = Text(verdict.text, style="bold")
    note = [Text(f"({verdict.note})")] if verdict.note else []
    return Group(sentence, *note, Text(), parts, Text(), stats_table(verdict.stats))


def tune_view(result: TuneResult) -> RenderableType:
    """The line to copy, in one piece, and one line for each way that was tried, the fastest first."""
    rows = []
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
        mark = "→ " if row is result.best else "  "
        rows.append([mark + row.pattern, str(row.workers or ""), buffer, *figures])
    heads = ("  pattern", "workers", "buffer", "datapoints/s", "CPU for\none", "memory", "first")
    notes = dict.fromkeys(f"{row.pattern}: {row.note}" for row in result.rows if row.note)
    line = Text(f"take: {result.code}", style="bold", no_wrap=True, overflow="ignore")
    return Group(line, _Fitted(heads, rows, ("buffer", "first", "memory", "CPU for\none")), *map(Text, notes))
