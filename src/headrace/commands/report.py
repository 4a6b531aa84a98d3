"""``headrace report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from ..observe.explain import verdict_of
from .arguments import check_writable, write_file, write_json
from .explain import declare_observation, environment, observe
from .targets import INTERRUPTED, Run

__all__ = ["report"]


def report(parser: argparse.ArgumentParser) -> Run:
    """Write a page about a pipeline: the verdict, a graph, and plots over time.

    One HTML file that needs no network: to be looked at in a browser or on a phone, and shown to colleagues.

    Example:
      $ headrace report pipeline:make_flow -o report.html
      $ headrace report pipeline:make_flow -o report.html --consumer-ms 20 --json verdict.json
    """
    declare_observation(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the page")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the verdict's figures to a file as well")
    return _report


def _report(args: argparse.Namespace) -> int:
    from ..observe.report import page

    check_writable(args.output, "--output")
    if args.json is not None:
        check_writable(args.json)
    observation = observe(args)
    write_file(args.output, page(observation, args.target), "--output")
    verdict = verdict_of(observation)
    if args.json is not None:
        write_json(args.json, {**environment(args.target), "interrupted": observation.interrupted, **verdict.to_dict()})
    Console().print(str(verdict))
    Console().print(f"the page is in {args.output}")
    return INTERRUPTED if observation.interrupted else 0
