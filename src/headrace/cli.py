"""The command ``headrace``.

Each subcommand is one function in `COMMANDS`: it declares its arguments on a parser, and returns what runs it. Its
name is the command's name, its docstring the help (the part after ``Example:`` is shown as it stands).

Exit codes: 0, done; 2, the command line or the user's pipeline is at fault, and stderr says how; 130, Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import inspect
import json
import math
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ._version import __version__
from .errors import DataFlowError, RemoteTraceback
from .flow import DataFlow
from .observe.speed import Measurement, SpeedResult

__all__ = ["main"]

Run = Callable[[argparse.Namespace], int]

_INTERRUPTED = 130  # as shells have it: 128 + SIGINT
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
        type=_number(float, 0, above=True),
        help=f"how long to measure, at most (default: {_SECONDS:g}, or no limit with --size)",
    )
    parser.add_argument("--size", metavar="N", type=_number(int, 1), help="datapoints to measure, at most")
    parser.add_argument(
        "--warmup",
        metavar="N",
        type=_number(int, 0),
        help=f"datapoints to read before (default: {_WARMUP}, at most a tenth of the flow or of --size, or "
        f"{_WARMUP_S:g} seconds)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file as well")
    return _bench


COMMANDS = (bench,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit code, see the module.
    """
    parser = argparse.ArgumentParser(prog="headrace", description="Parallel data pipelines.")
    parser.add_argument("--version", action="version", version=f"headrace {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for declare in COMMANDS:
        description, _, example = (inspect.getdoc(declare) or "").partition("\n\nExample:\n")
        command = commands.add_parser(
            declare.__name__,
            help=description.partition("\n")[0],
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=declare(command), command=declare.__name__)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except _Refusal as refusal:
        print(f"headrace {args.command}: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"headrace {args.command}: interrupted", file=sys.stderr)
        return _INTERRUPTED


class _Refusal(Exception):
    """The user's fault; the text says how."""


def _bench(args: argparse.Namespace) -> int:
    if args.json is not None:
        _check_writable(args.json)  # now, rather than after the measurement
    flow = load_flow(args.target)
    measurement = _plan(flow, args, args.warmup)
    interrupted = False
    with _blaming_user(f"{args.target} failed while it was iterated"), flow:
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
        return _INTERRUPTED if interrupted else 2
    Console().print(_table(args.target, result, measurement.warmup))
    if interrupted:
        print("interrupted: the figures are of what was measured until then", file=sys.stderr)
    elif not result.complete:
        print(f"the flow ended after these {result.count} datapoints", file=sys.stderr)
    if args.json is not None:
        _write_json(args.json, _report(args.target, result, measurement.warmup, interrupted))
    return _INTERRUPTED if interrupted else 0


def _plan(flow: DataFlow, args: argparse.Namespace, warmup: int | None) -> Measurement:
    limit_s = args.seconds
    if limit_s is None:
        limit_s = _SECONDS if args.size is None else math.inf
    if warmup is not None:
        return Measurement(flow, args.size, warmup, limit_s=limit_s, quiet=True)
    known = [n for n in (args.size, _length(flow)) if n is not None]
    warmup = min([_WARMUP, *(n // 10 for n in known)])
    return Measurement(flow, args.size, warmup, limit_s=limit_s, warmup_limit_s=_WARMUP_S, quiet=True)


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


# -- the user's pipeline


def load_flow(target: str) -> DataFlow:
    """The flow that ``module:attribute`` names.

    Raises:
        _Refusal: there is none; what went wrong in user code has been printed.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise _Refusal(f"{target!r} does not name a flow; write module:attribute, for example pipeline:make_flow")
    sys.path.insert(0, os.getcwd())
    found = _import(module_name)
    for name in path.split("."):
        found = _attribute(found, name, module_name)
    if isinstance(found, DataFlow):
        return found
    if not callable(found):
        raise _Refusal(f"{target} is neither a flow nor a function that makes one, but {_a(found)}")
    _check_takes_nothing(found, target)
    with _blaming_user(f"{target}() failed"):
        flow = found()
    if not isinstance(flow, DataFlow):
        hint = "; wrap it: hr.DataFromIterable(...)" if hasattr(flow, "__iter__") else ""
        raise _Refusal(f"{target}() did not return a flow, but {_a(flow)}{hint}")
    return flow


def _import(name: str) -> Any:
    with _blaming_user(f"module {name!r} cannot be imported"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # The module itself, or one that it imports? Only the latter is worth a traceback.
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise
    raise _Refusal(f"there is no module {name!r}, neither in {os.getcwd()} nor among the installed ones")


def _attribute(owner: Any, name: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        names = [n for n in dir(owner) if not n.startswith("_")]
        close = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise _Refusal(f"there is no {name!r} in {getattr(owner, '__name__', module_name)}{hint}") from None


def _check_takes_nothing(make: Callable[..., Any], target: str) -> None:
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # some builtins have none
    try:
        signature.bind()
    except TypeError as error:
        raise _Refusal(f"{target}{signature} cannot be called without arguments ({error}); give one that can") from None


def _a(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


@contextlib.contextmanager
def _blaming_user(what: str) -> Iterator[None]:
    """Print what user code raises as the user would see it without this command, and refuse."""
    try:
        yield
    except _Refusal:
        raise
    except (Exception, SystemExit) as error:  # a module that calls sys.exit() must not end this command in silence
        print("".join(_users_traceback(error)), file=sys.stderr, end="")
        raise _Refusal(what) from None


def _users_traceback(error: BaseException) -> Iterator[str]:
    """The traceback without frames of headrace and of the import system."""
    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    theirs = ("<frozen importlib", importlib.__file__)
    shown = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = shown
    while link is not None:
        users = [f for f in link.stack if not f.filename.startswith((ours, *theirs))]
        if users:
            link.stack = traceback.StackSummary.from_list(users)
        elif issubclass(link.exc_type, (DataFlowError, RemoteTraceback, SyntaxError)) or _from_worker(link):
            link.stack = None  # type: ignore[assignment]  # its text says all; others keep our frames: perhaps our bug
        link = link.__cause__ or link.__context__
    return shown.format()


def _from_worker(shown: traceback.TracebackException) -> bool:
    return shown.__cause__ is not None and issubclass(shown.__cause__.exc_type, RemoteTraceback)


# -- files and arguments


def _check_writable(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise _Refusal(f"--json: {path} is a folder")
    if not folder.is_dir():
        raise _Refusal(f"--json: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _Refusal(f"--json: the folder {folder} is not writable")


def _write_json(path: Path, report: dict[str, Any]) -> None:
    """Write all of it, or nothing: under a new name first, then renamed."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with open(new, "x") as file:
                json.dump(report, file, indent=2)
                file.write("\n")
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _Refusal(f"--json: {path} cannot be written: {error.strerror}") from error


def _number(kind: Callable[[str], float], least: float, *, above: bool = False) -> Callable[[str], float]:
    """An argparse type: a number of at least (or above) ``least``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {_numeral(kind)}, got {text!r}") from None
        if not math.isfinite(value) or value < least or (above and value == least):
            raise argparse.ArgumentTypeError(f"must be {'above' if above else 'at least'} {least:g}, got {text}")
        return value

    return parse


def _numeral(kind: Callable[[str], float]) -> str:
    return "an integer" if kind is int else "a number"
