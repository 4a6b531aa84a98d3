"""``headrace top``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

from ..observe.watch import watch
from .arguments import check_writable, number, write_json
from .explain import environment
from .targets import INTERRUPTED, Refusal, Run, blaming_user, load_flow

__all__ = ["top"]


def top(parser: argparse.ArgumentParser) -> Run:
    """Run a pipeline and show what it does, live, until it ends or you press Ctrl-C.

    A table on a terminal, drawn twice a second; a line every five seconds elsewhere. At the end, the figures of all of
    it. In your own program: `with headrace.watch(flow):` around your loop.

    Example:
      $ headrace top pipeline:make_flow
      $ headrace top pipeline:make_flow --seconds 30 --consumer-ms 20 --json stats.json
    """
    parser.add_argument("target", metavar="module:flow", help="what to run, for example package.module:make_flow")
    parser.add_argument(
        "--seconds", metavar="S", type=number(float, 0, above=True), help="how long (default: one pass)"
    )
    parser.add_argument(
        "--consumer-ms",
        metavar="MS",
        type=number(float, 0, above=True),
        default=0.0,
        help="simulate a consumer that takes so long for each datapoint",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file as well")
    return _top


def _top(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)
    flow = load_flow(args.target)
    interrupted = False
    count = 0
    with blaming_user(f"{args.target} failed while it was iterated"), flow, watch(flow) as watching:
        until = None if args.seconds is None else time.monotonic() + args.seconds
        try:
            for _ in flow:
                count += 1
                if args.consumer_ms:
                    time.sleep(args.consumer_ms / 1000)
                if until is not None and time.monotonic() >= until:
                    break
        except KeyboardInterrupt:
            interrupted = True
        stats = watching.stats
    if not count:
        if interrupted:
            raise KeyboardInterrupt
        raise Refusal("nothing to show: the flow is empty")
    Console().print(stats)
    if args.json is not None:
        write_json(
            args.json,
            {**environment(args.target), "interrupted": interrupted, "datapoints": count, **stats.to_dict()},
        )
    return INTERRUPTED if interrupted else 0
