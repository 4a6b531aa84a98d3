"""A terminal, as small as it can be: what a program leaves on the screen."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TOKEN = re.compile(
    r"\x1b\[(?P<number>[\d;?]*)(?P<verb>[A-Za-z])|\x1b(?P<escape>[D78])|(?P<control>[\r\n])|(?P<text>.)"
)


def shown(written: str) -> list[str]:
    """The lines of a terminal of endless height after all that was written to it."""
    lines: list[list[str]] = [[]]
    row = column = 0
    saved = (0, 0)
    for token in _TOKEN.finditer(written):
        number, verb, escape, control, text = token.group("number", "verb", "escape", "control", "text")
        if text is not None:
            line = lines[row]
            line += [" "] * (column + 1 - len(line))
            line[column] = text
            column += 1
        elif control == "\r":
            column = 0
        elif control == "\n" or escape == "D":
            row += 1
            lines += [[] for _ in range(row + 1 - len(lines))]
        elif escape == "7":
            saved = row, column
        elif escape == "8":
            row, column = saved
        elif verb == "A":
            row -= int(number or 1)
            assert row >= 0, "above the first line"
        elif verb == "J":
            assert number in ("", "0")
            del lines[row][column:], lines[row + 1 :]
        else:
            assert verb == "m", f"{token[0]!r}: this terminal does not know it"
    return ["".join(line).rstrip() for line in lines]


def run(command: Sequence[str], folder: Path, **environment: str) -> str:
    """What a command writes to a terminal of 80 columns, if it ends well."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40", **environment}
    written = b""
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while True:
            try:
                chunk = os.read(ours, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
            if not chunk:
                break
            written += chunk
        os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()
