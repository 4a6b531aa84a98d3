"""Medians with their spread, ratios round by round, as a table for people and JSON for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Comparison, Plan
from benchmarks.model import CLOSE, CPU, FIRST, MEMORY, RATE, Figure, Measurement, Workload

REFERENCE = "headrace"
CAPTION = "x: how many times better headrace is, round by round; below 1 the other is better"


@dataclass(frozen=True)
class Spread:
    """The median of some runs, and how far they went to either side."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Table:
    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


def succeeded(runs: list[Measurement]) -> list[Measurement]:
    return [run for run in runs if not run.failure]


def spread(runs: list[Measurement], figure: Figure) -> Spread | None:
    values = [getattr(run, figure.key) for run in succeeded(runs)]
    return Spread.of(values) if values else None


def advantage(ours: list[Measurement], theirs: list[Measurement], figure: Figure) -> Spread | None:
    """How many times better headrace is, round by round; below 1 the peer is better."""
    by_round = {run.round: getattr(run, figure.key) for run in succeeded(theirs)}
    ratios = []
    for run in succeeded(ours):
        mine, other = getattr(run, figure.key), by_round.get(run.round)
        if other and mine:
            ratios.append(mine / other if figure.more_is_better else other / mine)
    return Spread.of(ratios) if ratios else None


def table(comparison: Comparison) -> Table:
    """One row for each system, the fastest first."""
    workload, runs = comparison.workload, comparison.runs
    first, *_ = workload.compared
    order = sorted(runs, key=lambda name: _rank(runs[name], first))
    figures = (FIRST, CLOSE, MEMORY) if workload.leaves_early else (RATE, CPU, MEMORY, FIRST, CLOSE)
    columns = ["system", *(figure.title for figure in figures)]
    columns += [f"{figure.title} x" for figure in workload.compared]
    rows = [_row(name, comparison, figures) for name in order]
    return Table(workload.title, columns, rows, list(_notes(comparison)))


def _rank(runs: list[Measurement], figure: Figure) -> float:
    found = spread(runs, figure)
    if found is None:
        return float("inf")
    return -found.middle if figure.more_is_better else found.middle


def _row(name: str, comparison: Comparison, figures: tuple[Figure, ...]) -> list[str]:
    runs, workload = comparison.runs[name], comparison.workload
    cells = [name, *(_cell(spread(runs, figure), figure, workload) for figure in figures)]
    for figure in workload.compared:
        found = advantage(comparison.runs.get(REFERENCE, []), runs, figure)
        cells.append("" if found is None or name == REFERENCE else _ratio(found))
    return cells


def _ratio(found: Spread) -> str:
    return _spread_out(found, lambda value: f"{value:.2f}", "x")


def _cell(found: Spread | None, figure: Figure, workload: Workload) -> str:
    if found is None:
        return "failed"
    if figure is RATE:
        text = _spread_out(found, lambda value: f"{value:,.0f}", f" {workload.unit}/s")
        return text + _meaning(found.middle, workload)
    if figure is CPU:
        return _spread_out(found, lambda value: f"{value:,.2f}" if value < 10 else f"{value:,.0f}", " us")
    if figure is MEMORY:
        return _spread_out(found, lambda value: f"{value:,.0f}", " MB")
    return _spread_out(found, lambda value: f"{value:.3f}", " s")


def _spread_out(found: Spread, write: Callable[[float], str], unit: str) -> str:
    middle, low, high = map(write, (found.middle, found.low, found.high))
    return f"{middle}{unit}" if low == high else f"{middle}{unit} ({low}..{high})"


def _meaning(rate: float, workload: Workload) -> str:
    if workload.ideal_rate:
        return f", {rate / workload.ideal_rate:.1%} of ideal"
    if workload.bytes_per_unit:
        return f", {rate * workload.bytes_per_unit / 1e9:.2f} GB/s"
    return ""


def _notes(comparison: Comparison) -> Iterator[str]:
    for name, reason in comparison.absent.items():
        yield f"{name}: {reason}"
    for name, runs in comparison.runs.items():
        for run in runs:
            if run.failure:
                yield f"{name}, round {run.round}: {run.failure}"
            if run.left_behind:
                yield f"{name}, round {run.round}: left {run.left_behind} processes behind after its exit"


def header(comparisons: list[Comparison], plan: Plan, load_before: tuple[float, float, float]) -> list[str]:
    """What a reader needs to judge the figures."""
    versions: dict[str, set[str]] = {}
    for run in (run for comparison in comparisons for runs in comparison.runs.values() for run in runs):
        for name, version in run.versions.items():
            versions.setdefault(name, set()).add(version)
    listed = ", ".join(f"{name} {'/'.join(sorted(found))}" for name, found in sorted(versions.items()))
    how = "one short run of each (--quick): shows that it works, not how fast it is"
    if not plan.quick:
        how = f"medians of {plan.rounds} interleaved rounds of about {plan.seconds:g} s (lowest to highest)"
    busy = f", every run beside {plan.busy} busy-looping processes" if plan.busy else ""
    return [
        f"Machine: {len(os.sched_getaffinity(0))} cores ({_cpu_model()}), Linux {platform.release()}, "
        f"load when it began {load_before[0]:.2f}" + busy,
        f"Versions: {listed}",
        f"Figures: {how}; every run in a fresh process and checked for correct delivery",
        f"Columns with {CAPTION}",
    ]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def markdown(lines: list[str], tables: list[Table]) -> str:
    parts = ["# Results", "\n".join(f"* {line}" for line in lines)]
    for each in tables:
        parts.append(f"## {each.title}")
        rule = "|".join(["---"] * len(each.columns))
        rows = [each.columns, *each.rows]
        body = ["| " + " | ".join(row) + " |" for row in rows]
        parts.append("\n".join([body[0], f"|{rule}|", *body[1:]]))
        if each.notes:
            parts.append("\n".join(f"* {note}" for note in each.notes))
    return "\n\n".join(parts) + "\n"


def as_json(comparisons: list[Comparison], lines: list[str], installed: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "header": lines,
        "installed": installed,
        "workloads": [
            {
                "name": comparison.workload.name,
                "title": comparison.workload.title,
                "absent": comparison.absent,
                "runs": [asdict(run) for runs in comparison.runs.values() for run in runs],
            }
            for comparison in comparisons
        ],
    }
