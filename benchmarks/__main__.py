"""The command: chooses, runs, prints, writes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import load, plots, registry, report
from benchmarks.harness import Comparison, Plan, compare
from benchmarks.model import Peer, Workload


def _names(values: list[str] | None) -> list[str]:
    """``--only a b`` and ``--only a,b`` mean the same."""
    return [name for value in values or () for name in value.split(",") if name]


def _chosen_workloads(wanted: list[str]) -> list[Workload]:
    known = registry.workloads()
    chosen = [known[name] for name in known if not wanted or any(name.startswith(w) for w in wanted)]
    _refuse_unknown(wanted, list(known))
    return chosen


def _chosen_systems(wanted: list[str], with_headrace: bool) -> list[Peer]:
    """Headrace and its peers; a wanted name is a system's, or the beginning of some (``torch``)."""
    known = registry.peers()
    _refuse_unknown(wanted, list(known))
    return [
        peer
        for name, peer in known.items()
        if (peer.environment == "headrace" and with_headrace)
        or (peer.environment != "headrace" and (not wanted or any(name.startswith(w) for w in wanted)))
    ]


def _refuse_unknown(wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if not any(other.startswith(name) for other in known):
            sys.exit(f"no {name!r}; there are: {', '.join(known)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="headrace beside its peers")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="default: all; beginnings of names do")
    parser.add_argument("--against", nargs="+", metavar="SYSTEM", help="default: all; beginnings of names do")
    parser.add_argument("--without-headrace", action="store_true", help="the peers by themselves")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="timed part of one run, about")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds after which a run counts as hung")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="beside N processes that take a core each")
    parser.add_argument("--quick", action="store_true", help="one short run of each: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run, for machines (not to commit)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="bar charts, PNG and SVG, one for each figure")
    parser.add_argument("--list", action="store_true", help="names of workloads and systems")
    return parser.parse_args()


def _print(console: Console, table: report.Table) -> None:
    drawn = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)
    console.print(f"  {report.CAPTION}", markup=False, highlight=False)
    for note in table.notes:
        console.print(f"  {note}", markup=False, highlight=False)


def _prepare(console: Console, chosen: list[Workload], systems: list[Peer]) -> None:
    known = registry.environments()
    for name in dict.fromkeys(peer.environment for peer in systems):
        with console.status(f"environment {name}"):
            known[name].ensure()
    for workload in chosen:
        with console.status(f"files of {workload.name}"):
            workload.prepare()


def _run(console: Console, chosen: list[Workload], systems: list[Peer], plan: Plan) -> list[Comparison]:
    comparisons = []
    for workload in chosen:
        with console.status(workload.name) as status:
            comparisons.append(compare(workload, systems, registry.environments(), plan, status.update))
        _print(console, report.table(comparisons[-1]))
    return comparisons


def main() -> None:
    wanted = _arguments()
    if wanted.list:
        print("workloads:", *registry.workloads(), sep="\n  ")
        print("systems:", *registry.peers(), sep="\n  ")
        return
    console = Console(width=None if sys.stdout.isatty() else 170)
    chosen = _chosen_workloads(_names(wanted.only))
    systems = _chosen_systems(_names(wanted.against), not wanted.without_headrace)
    plan = Plan(wanted.rounds, wanted.seconds, wanted.quick, wanted.timeout, wanted.busy)
    _prepare(console, chosen, systems)
    before = os.getloadavg()
    with load.busy(plan.busy):
        comparisons = _run(console, chosen, systems, plan)
    lines = report.header(comparisons, plan, before)
    console.print(*lines, sep="\n", markup=False, highlight=False)
    if wanted.markdown:
        wanted.markdown.write_text(report.markdown(lines, [report.table(each) for each in comparisons]))
    if wanted.json or wanted.plots:
        used = dict.fromkeys(peer.environment for peer in systems)
        installed = {name: registry.environments()[name].frozen() for name in used}
        results = json.dumps(report.as_json(comparisons, lines, installed), indent=1)
        if wanted.json:
            wanted.json.write_text(results)
        if wanted.plots:
            plots.make(results, wanted.plots)


if __name__ == "__main__":
    main()
