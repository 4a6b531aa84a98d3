"""Arguments that are numbers, and files that are written whole or not at all."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .targets import Refusal

__all__ = ["check_writable", "number", "write_file", "write_json"]


def check_writable(path: Path, option: str = "--json") -> None:
    """Refuse a path that cannot be written, now rather than after the work."""
    folder = path.parent
    if path.is_dir():
        raise Refusal(f"{option}: {path} is a folder")
    if not folder.is_dir():
        raise Refusal(f"{option}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refusal(f"{option}: the folder {folder} is not writable")


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write all of it, or nothing."""
    write_file(path, json.dumps(report, indent=2) + "\n")


def write_file(path: Path, text: str, option: str = "--json") -> None:
    """Write all of it, or nothing: under a new name first, then renamed."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with open(new, "x") as file:
                file.write(text)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refusal(f"{option}: {path} cannot be written: {error.strerror}") from error


def number(kind: Callable[[str], float], least: float, *, above: bool = False) -> Callable[[str], float]:
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
