"""``headrace trace``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from ..observe.explain import verdict_of
from .arguments import check_writable, write_file, write_json
from .explain import declare_observation, environment, observe
from .targets import INTERRUPTED, Run

__all__ = ["trace"]


def trace(parser: argparse.ArgumentParser) -> Run:
    """Record what each worker did when, for Perfetto or chrome://tracing.

    Workers are tracks, datapoints (or groups of them) are slices, and so are waits. The size of the file is bounded.

    Example:
      $ headrace trace pipeline:make_flow -o trace.json --seconds 3
      $ headrace trace pipeline:make_flow -o trace.json --consumer-ms 20 --json verdict.json

      Then open trace.json on https://ui.perfetto.dev.
    """
    declare_observation(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the trace")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the verdict's figures to a file as well")
    return _trace


def _trace(args: argparse.Namespace) -> int:
    from ..observe.trace import trace_events

    check_writable(args.output, "--output")
    if args.json is not None:
        check_writable(args.json)
    observation = observe(args, trace=True)
    events = trace_events(observation)
    write_file(args.output, json.dumps(events) + "\n", "--output")
    verdict = verdict_of(observation)
    if args.json is not None:
        write_json(args.json, {**environment(args.target), "interrupted": observation.interrupted, **verdict.to_dict()})
    Console().print(str(verdict))
    Console().print(f"{args.output}: {len(events['traceEvents']):,} events; open it on https://ui.perfetto.dev")
    return INTERRUPTED if observation.interrupted else 0
