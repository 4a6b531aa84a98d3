"""The command ``headrace``.

Each subcommand is one function in `COMMANDS`, in a module of `headrace.commands`: it declares its arguments on a
parser, and returns what runs it. Its name is the command's name (with hyphens), its docstring the help (the part after
``Example:`` is shown as it stands).

Exit codes: 0, done; 1, done, and what was looked for was found (`check_imports`), or nobody read the output to its
end; 2, the command line or the user's pipeline is at fault, and stderr says how; 130, Ctrl-C.
"""

from __future__ import annotations

import argparse
import codecs
import inspect
import io
import os
import sys
from collections.abc import Sequence

from ._version import __version__
from .commands.bench import bench
from .commands.check_imports import check_imports
from .commands.convert import convert
from .commands.doctor import doctor
from .commands.explain import explain
from .commands.keygen import keygen
from .commands.receive import receive
from .commands.report import report
from .commands.serve import serve
from .commands.targets import INTERRUPTED, Refusal
from .commands.top import top
from .commands.trace import trace
from .commands.tune import tune

__all__ = ["main"]

COMMANDS = (
    bench,
    explain,
    tune,
    report,
    trace,
    top,
    doctor,
    convert,
    serve,
    receive,
    keygen,
    check_imports,
)


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
        name = declare.__name__.replace("_", "-")
        command = commands.add_parser(
            name,
            help=description.partition("\n")[0],
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=declare(command), command=name)
    args = parser.parse_args(argv)
    _print_anything()
    try:
        code = int(args.run(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except Refusal as refusal:
        print(f"headrace {args.command}: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"headrace {args.command}: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough; the interpreter flushes once more, to nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


_PLAIN = {"→": "->", "█": "#", "µ": "u"}


def _print_anything() -> None:
    """What an old terminal's encoding does not have is printed in other words; there is always a result to be seen."""
    codecs.register_error("headrace", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="headrace")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end
