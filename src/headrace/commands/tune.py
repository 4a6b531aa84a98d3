"""``headrace tune``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from ..flow import DataFlow
from ..observe.tune import Tuner, take_apart
from .arguments import check_writable, number, write_json
from .explain import environment
from .targets import INTERRUPTED, Refusal, Run, blaming_user, called, load_object

__all__ = ["tune"]

_SECONDS = 40.0


def tune(parser: argparse.ArgumentParser) -> Run:
    """Find the best pattern for a map function: inline, threads, processes, how many.

    Tries them, prints a table and the line to copy. The target, module:attribute, is a flow that maps (MapData or a
    parallel mapper, perhaps with BatchData around it), or a function without arguments that gives one, or that gives
    the input, the function and perhaps a batch size.

    Example:
      # pipeline.py
      import time
      import headrace as hr
      def fetch(n):
          time.sleep(0.01)
          return n
      def make_flow():
          return hr.MapData(hr.DataFromList(range(10_000)), fetch)
      def parts():
          return hr.DataFromList(range(10_000)), fetch, 64

      $ headrace tune pipeline:make_flow
      $ headrace tune pipeline:parts --seconds 20 --json tuned.json
    """
    parser.add_argument("target", metavar="module:flow", help="what to tune, for example package.module:make_flow")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=number(float, 0, above=True),
        default=_SECONDS,
        help="about how long to search (default: %(default)g)",
    )
    parser.add_argument("--max-workers", metavar="N", type=number(int, 1), help="the most workers to try")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file as well")
    return _tune


def _tune(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)
    ds, func, batch_size = _parts(args.target)
    interrupted = False
    try:
        tuner = Tuner(ds, func, batch_size, seconds=args.seconds, max_workers=args.max_workers)
        with blaming_user(f"{args.target} failed while it was iterated"):
            try:
                tuner.run()
            except KeyboardInterrupt:
                interrupted = True
            except ValueError as error:
                if not str(error).startswith(("nothing to measure", "tune reads")):
                    raise  # the user's own
                raise Refusal(str(error)) from None
        result = tuner.result()
    except TypeError as error:
        raise Refusal(f"{args.target}: {error}") from None
    except ValueError:
        raise KeyboardInterrupt from None  # before anything was measured
    Console().print(result, crop=False)  # the line to copy may be longer than the screen is wide
    if interrupted:
        print("interrupted: the table has what was tried until then", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, {**environment(args.target), "interrupted": interrupted, **result.to_dict()})
    return INTERRUPTED if interrupted else 0


def _parts(target: str) -> tuple[Any, Callable[..., Any], int | None]:
    found = load_object(target)
    if not isinstance(found, (DataFlow, tuple)) and callable(found):
        found = called(found, target)
    parts = take_apart(found) if isinstance(found, DataFlow) else None
    if parts is not None:
        return parts
    if isinstance(found, tuple) and len(found) in (2, 3) and callable(found[1]):
        return found[0], found[1], found[2] if len(found) == 3 else None
    raise Refusal(
        f"{target} is neither a flow that maps (MapData or a parallel mapper, perhaps below BatchData) nor a tuple "
        f"(ds, map_func[, batch_size]), nor a function that gives one of them, but an object of type "
        f"{type(found).__name__}"
    )
