"""Bar charts of the results: ``python -m benchmarks.plots RESULTS.json DIRECTORY``.

Runs in an environment of its own, for matplotlib's sake; ``make`` starts it there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.environments import NUMPY, ROOT, Environment
from benchmarks.model import CPU, MEMORY, RATE, Figure, Measurement, Workload
from benchmarks.report import REFERENCE, Spread, advantage, spread

ENVIRONMENT = Environment("plots", ("matplotlib==3.11.2", NUMPY))
OURS, THEIRS, NO_WORKERS = "#1f6f8b", "#c4ccd1", "#e6dcc3"
INK, FAINT = "#22303a", "#6b7780"
WIDTH, BAR, FRAME = 9.0, 0.34, 1.9  # inches: the picture's width, one bar's share of its height, and all else
DOTS = 144


def make(results: str, folder: Path) -> None:
    """Draw all charts of ``results`` (the JSON text) into ``folder``."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(results)
        file.flush()
        command = [str(ENVIRONMENT.ensure()), "-m", "benchmarks.plots", file.name, str(folder.resolve())]
        subprocess.run(command, cwd=ROOT, check=True)


def draw_all(results: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = registry.workloads()
    for each in results["workloads"]:
        workload = known[each["name"]]
        runs: dict[str, list[Measurement]] = {}
        for run in each["runs"]:
            runs.setdefault(run["system"], []).append(Measurement(**run))
        for figure in workload.compared:
            draw(workload, figure, runs, results["header"], folder)


def draw(
    workload: Workload, figure: Figure, runs: dict[str, list[Measurement]], header: list[str], folder: Path
) -> None:
    """One bar for each system, the best at the top, with the lowest and highest run as its error bar."""
    import matplotlib

    matplotlib.use("Agg")
    # The same results give the same file, so that a committed picture changes only with its figures.
    matplotlib.rcParams.update({"svg.hashsalt": workload.name, "font.family": "DejaVu Sans", "text.color": INK})
    from matplotlib import pyplot

    measured = {name: found for name, each in runs.items() if (found := spread(each, figure))}
    if not measured:
        return
    order = sorted(measured, key=lambda name: measured[name].middle, reverse=figure.more_is_better)
    picture, axes = pyplot.subplots(figsize=(WIDTH, FRAME + BAR * len(order)), layout="constrained")
    scale, unit = _scale(figure, workload)
    values = [measured[name].middle * scale for name in order]
    below = [(measured[name].middle - measured[name].low) * scale for name in order]
    above = [(measured[name].high - measured[name].middle) * scale for name in order]
    axes.barh(
        order,
        values,
        color=[_colour(name) for name in order],
        xerr=[below, above],
        error_kw={"ecolor": FAINT, "elinewidth": 1, "capsize": 2},
        height=0.72,
    )
    for row, name in enumerate(order):
        label = _label(measured[name], scale, _ratio(name, runs, figure))
        axes.annotate(
            label, (values[row] + above[row], row), (5, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.invert_yaxis()
    axes.margins(x=0.28, y=0.02)  # room for the labels
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e3e7ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=8, colors=FAINT)
    better = "more is better" if figure.more_is_better else "less is better"
    axes.set_xlabel(f"{figure.title}, {unit} ({better}); x: how many times better headrace is", fontsize=8, color=FAINT)
    axes.set_title(workload.title, fontsize=11, loc="left", pad=10)
    small = "\n".join(textwrap.fill(line, 150) for line in (*header[:3], "")).strip()
    picture.supxlabel(small, fontsize=6, color=FAINT, x=0.01, ha="left")
    stem = folder / f"{workload.name}_{figure.key}"
    picture.savefig(stem.with_suffix(".png"), dpi=DOTS, metadata={"Software": None})
    picture.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    pyplot.close(picture)


def _colour(name: str) -> str:
    if name.startswith(REFERENCE):
        return OURS
    return NO_WORKERS if name == "plain-loop" else THEIRS


def _scale(figure: Figure, workload: Workload) -> tuple[float, str]:
    """What to multiply with, and the unit then."""
    if figure is RATE:
        if workload.bytes_per_unit and workload.unit == "items":
            return workload.bytes_per_unit / 1e9, "GB/s"
        return 1.0, f"{workload.unit}/s"
    if figure is CPU:
        return 1.0, f"microseconds for each of the {workload.unit}"
    return 1.0, "MB" if figure is MEMORY else "s"


def _ratio(name: str, runs: dict[str, list[Measurement]], figure: Figure) -> str:
    found = advantage(runs.get(REFERENCE, []), runs[name], figure)
    return "" if found is None or name == REFERENCE else f"   {found.middle:.2f}x"


def _label(found: Spread, scale: float, ratio: str) -> str:
    value = found.middle * scale
    return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + ratio


def main() -> None:
    results, folder = map(Path, sys.argv[1:])
    draw_all(json.loads(results.read_text()), folder)


if __name__ == "__main__":
    main()
