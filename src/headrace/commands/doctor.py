"""``headrace doctor``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .arguments import check_writable, write_json
from .explain import environment
from .targets import Refusal, Run

__all__ = ["doctor"]


def doctor(parser: argparse.ArgumentParser) -> Run:
    """Look at the machine, its limits and the libraries, and say what to change.

    Cores and affinity, cgroup limits of processor time and memory, shared memory, descriptors, the start method, and
    libraries whose threads fight with workers.

    Example:
      $ headrace doctor
      $ headrace doctor --json machine.json
    """
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the findings to a file as well")
    return _doctor


def _doctor(args: argparse.Namespace) -> int:
    from ..observe.doctor import examine

    if args.json is not None:
        check_writable(args.json)
    try:
        findings = examine()
    except ValueError as error:
        raise Refusal(str(error)) from None
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_header=False)
    for finding in findings:
        mark = {"ok": "ok", "note": "[yellow]note[/]", "problem": "[bold red]problem[/]"}[finding.level]
        table.add_row(mark, finding.name, finding.value + (f"\n→ {finding.remedy}" if finding.remedy else ""))
    Console().print(table)
    if args.json is not None:
        write_json(args.json, {**environment(""), "findings": [finding.to_dict() for finding in findings]})
    return 0
