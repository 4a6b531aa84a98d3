"""New interpreters like this one: the zygote, and workers that are spawned."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from ..threads import limited
from .ctrl_c import ctrl_c_held_back

__all__ = ["start_interpreter", "working_directory"]


def start_interpreter(command: str, fds: Sequence[int]) -> subprocess.Popen[bytes]:
    """Run a command in a new interpreter that finds the same modules, without the main script.

    Args:
        command: Python code.
        fds: descriptors that it inherits, under the same numbers.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    with ctrl_c_held_back():
        return subprocess.Popen(
            [sys.executable, *flags, "-c", f"import sys; sys.path[:] = {sys.path!r}; {command}"],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            env=limited(os.environ),
            cwd=working_directory() or os.sep,  # Python 3.13.0 cannot start in a directory that was deleted
        )


def working_directory() -> str | None:
    """Where this process is; None if that was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None
