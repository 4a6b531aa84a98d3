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
    if path.is_dir():
        raise Refusal(f"{option}: {path} is a folder")
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise Refusal(f"{option}: {path} is not writable")
        return
    folder = _target(path).parent
    if not folder.is_dir():
        raise Refusal(f"{option}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refusal(f"{option}: the folder {folder} is not writable")


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write all of it, or nothing."""
    write_file(path, json.dumps(report, indent=2) + "\n")


def write_file(path: Path, text: str, option: str = "--json") -> None:
    """Write all of it, or nothing. A pipe or a device is written to."""
    try:
        if _is_stream(path):
            path.write_text(text, encoding="utf-8")
        else:
            _replace(_target(path), text)
    except OSError as error:
        raise Refusal(f"{option}: {path} cannot be written: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Under a new name first, then renamed."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(new, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether something is there that is no file, such as /dev/stdout: a new one must not take its place."""
    return path.exists() and not path.is_file()


def _target(path: Path) -> Path:
    """Where a link points to: it stays, and the file there is the one to be replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def number(kind: Callable[[str], float], least: float, *, above: bool = False) -> Callable[[str], float]:
    """An argparse type: a number of at least (or above) ``least``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {_numeral(kind)}, got {text!r}") from None
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"must be finite, got {text}")
        if value < least or (above and value == least):
            raise argparse.ArgumentTypeError(f"must be {'above' if above else 'at least'} {least:g}, got {text}")
        return value

    return parse


def _numeral(kind: Callable[[str], float]) -> str:
    return "an integer" if kind is int else "a number"
