"""``headrace bench``."""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .._version import __version__
from ..flow import DataFlow
from ..observe.speed import Measurement, SpeedResult
from .arguments import check_writable, number, write_json
from .targets import INTERRUPTED, Run, blaming_user, load_flow

__all__ = ["bench"]

_SECONDS = 5.0
_WARMUP, _WARMUP_S = 500, 2.0


def bench(parser: argparse.ArgumentParser) -> Run:
    """Measure how many datapoints a pipeline gives in a second, and how long each one takes.

    The pipeline is named as module:attribute, where the attribute is a flow, or a function without arguments that makes
    one. Modules are looked for in the current folder first. What is read first is not measured: workers start, chunks
    find their size, buffers fill.

    Example:
      # pipeline.py
      import headrace as hr
      def make_flow():
          files = hr.DataFromList(range(100_000))
          return hr.MultiProcessMapData(files, 2, lambda n: n * n)

      $ headrace bench pipeline:make_flow
      $ headrace bench pipeline:make_flow --seconds 20 --json speed.json
    """
    parser.add_argument("target", metavar="module:flow", help="what to measure, for example package.module:make_flow")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=number(float, 0, above=True),
        help=f"how long to measure, at most (default: {_SECONDS:g}, or no limit with --size)",
    )
    parser.add_argument("--size", metavar="N", type=number(int, 1), help="datapoints to measure, at most")
    parser.add_argument(
        "--warmup",
        metavar="N",
        type=number(int, 0),
        help=f"datapoints to read before (default: {_WARMUP}, at most a tenth of the flow or of --size, or "
        f"{_WARMUP_S:g} seconds)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file as well")
    return _bench


def _bench(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)  # now, rather than after the measurement
    flow = load_flow(args.target)
    measurement = _plan(flow, args, args.warmup)
    interrupted = False
    with blaming_user(f"{args.target} failed while it was iterated"), flow:
        try:
            measurement.run()
            if args.warmup is None and measurement.ended_warming:  # a short flow: that pass was the warm-up
                measurement = _plan(flow, args, warmup=0)
                measurement.run()
        except KeyboardInterrupt:
            interrupted = True
    try:
        result = measurement.result()
    except ValueError as error:
        print(f"headrace bench: {error}" + ("" if interrupted else _remedy(args)), file=sys.stderr)
        return INTERRUPTED if interrupted else 2
    Console().print(_table(args.target, result, measurement.warmup))
    if interrupted:
        print("interrupted: the figures are of what was measured until then", file=sys.stderr)
    elif not result.complete:
        print(f"the flow ended after these {result.count} datapoints", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, _report(args.target, result, measurement.warmup, interrupted))
    return INTERRUPTED if interrupted else 0


def _plan(flow: DataFlow, args: argparse.Namespace, warmup: int | None) -> Measurement:
    limit_s = args.seconds
    if limit_s is None:
        limit_s = _SECONDS if args.size is None else math.inf
    if warmup is not None:
        return Measurement(flow, args.size, warmup, limit_s=limit_s)
    known = [n for n in (args.size, _length(flow)) if n is not None]
    warmup = min([_WARMUP, *(n // 10 for n in known)])
    return Measurement(flow, args.size, warmup, limit_s=limit_s, warmup_limit_s=_WARMUP_S)


def _length(flow: DataFlow) -> int | None:
    # The length of a user's flow is a hint at most, so whatever goes wrong in it, there is none.
    try:
        return len(flow)
    except Exception:
        return None


def _remedy(args: argparse.Namespace) -> str:
    return "; --warmup 0 measures from the first one on" if args.warmup else ""


def _table(target: str, result: SpeedResult, warmup: int) -> Table:
    table = Table(title=target, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in (
        ("datapoints/s", f"{result.datapoints_per_s:,.1f}"),
        ("MB/s", f"{result.megabytes_per_s:,.1f}"),
        ("latency p50", _latency(result.p50_ms)),
        ("latency p90", _latency(result.p90_ms)),
        ("latency p99", _latency(result.p99_ms)),
        ("latency max", _latency(result.max_ms)),
        ("first datapoint", f"{result.first_s:,.3f} s"),
        ("measured", f"{result.count:,} datapoints"),
        ("in", f"{result.seconds:,.3f} s"),
        ("after a warm-up of", f"{warmup:,} datapoints"),
    ):
        table.add_row(name, value)
    return table


def _latency(ms: float) -> str:
    return f"{ms:,.2f} ms" if ms >= 1 else f"{ms * 1e3:,.2f} µs"


def _report(target: str, result: SpeedResult, warmup: int, interrupted: bool) -> dict[str, Any]:
    return {
        "target": target,
        **result.to_dict(),
        "warmup": warmup,
        "interrupted": interrupted,
        "headrace": __version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }
