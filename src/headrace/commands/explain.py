"""``headrace explain``."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console

from .._version import __version__
from ..observe.explain import verdict_of
from ..observe.observation import Observation
from .arguments import check_writable, number, write_json
from .targets import INTERRUPTED, Refusal, Run, blaming_user, load_flow

__all__ = ["declare_observation", "environment", "explain", "observe"]

_SECONDS = 10.0


def explain(parser: argparse.ArgumentParser) -> Run:
    """Say what limits a pipeline, and what to change.

    Runs it for a while, measures the source, each stage, each pool of workers, the transport and the consumer, and ends
    in one sentence with numbers. The pipeline is named as module:attribute, where the attribute is a flow, or a
    function without arguments that makes one.

    Example:
      # pipeline.py
      import time
      import headrace as hr
      def decode(n):
          time.sleep(0.01)
          return n
      def make_flow():
          return hr.MultiProcessMapData(hr.DataFromList(range(10_000)), 2, decode)

      $ headrace explain pipeline:make_flow
      $ headrace explain pipeline:make_flow --consumer-ms 20 --seconds 20 --json verdict.json
    """
    declare_observation(parser)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file as well")
    return _explain


def declare_observation(parser: argparse.ArgumentParser) -> None:
    """The arguments of all commands that run a pipeline and watch it."""
    parser.add_argument("target", metavar="module:flow", help="what to run, for example package.module:make_flow")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=number(float, 0, above=True),
        default=_SECONDS,
        help="how long to run it, with the warm-up (default: %(default)g)",
    )
    parser.add_argument(
        "--consumer-ms",
        metavar="MS",
        type=number(float, 0, above=True),
        help="simulate a consumer that takes so long for each datapoint, as a training step does",
    )


def observe(args: argparse.Namespace, *, trace: bool = False) -> Observation:
    """Run the pipeline that the arguments name, until the time is over or somebody presses Ctrl-C.

    Raises:
        Refusal: the target is no flow, or failed, or gave too little.
    """
    flow = load_flow(args.target)
    consumer_s = None if args.consumer_ms is None else args.consumer_ms / 1000
    observation = Observation(flow, args.seconds, consumer_s=consumer_s, trace=trace)
    with blaming_user(f"{args.target} failed while it was iterated"), flow:
        try:
            observation.run()
        except KeyboardInterrupt:
            pass  # what was measured until then is shown
    try:
        _ = observation.last
    except ValueError as error:
        if observation.interrupted:
            raise KeyboardInterrupt(str(error)) from None
        raise Refusal(str(error)) from None
    return observation


def environment(target: str) -> dict[str, Any]:
    """What figures depend on, for reports."""
    return {
        "target": target,
        "headrace": __version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }


def _explain(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)
    observation = observe(args)
    verdict = verdict_of(observation)
    Console().print(verdict)
    if args.json is not None:
        write_json(
            args.json,
            {**environment(args.target), "interrupted": observation.interrupted, **verdict.to_dict()},
        )
    return INTERRUPTED if observation.interrupted else 0
