"""``headrace check-imports``."""

from __future__ import annotations

import argparse
import ast
import builtins
import dataclasses
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .arguments import check_writable, write_json
from .targets import Refusal, Run
from .tensorpack_names import MODULES, NAMES, SUBMODULES, UTILS, Name

__all__ = ["Use", "check_imports", "uses_in"]

FOUND_GONE = 1
"""The exit code if a script uses something that headrace does not have."""

_UNKNOWN = Name("gone", "tensorpack.dataflow does not document it; look into headrace's reference")
_ROOTS = ("tensorpack.dataflow", "dataflow.dataflow", "dataflow")


@dataclasses.dataclass(frozen=True, order=True)
class Use:
    """One use of a name of tensorpack, or of an argument, in a script.

    Attributes:
        line: where.
        name: ``BatchData``, ``imgaug.Flip``; or ``MultiProcessMapData(strict=)`` for an argument.
        status: ``"same"``, ``"changed"`` or ``"gone"``.
        note: how it changed, or what to take instead.
    """

    line: int
    name: str
    status: str
    note: str


def check_imports(parser: argparse.ArgumentParser) -> Run:
    """Say which names of tensorpack.dataflow a script uses, and what became of them in headrace.

    The scripts are read, not run. A name is the same, changed (it works, and differs as told), or gone (with what to
    take instead). Arguments are checked where a class is called by its name. The exit code is 1 if something is gone.

    Example:
      $ headrace check-imports train.py data/*.py
      $ headrace check-imports train.py --json report.json
    """
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="a Python script")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the findings to a file as well")
    return _check_imports


def _check_imports(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)
    found: dict[Path, list[Use]] = {}
    unread: list[str] = []
    for path in dict.fromkeys(args.files):
        try:
            found[path] = uses_in(_parse(path))
        except Refusal as refusal:
            unread.append(str(refusal))
    for path, uses in found.items():
        for use in uses:
            print(f"{path}:{use.line}: {use.name}: {use.status}{f': {use.note}' if use.note else ''}")
    counts = {status: _distinct(found.values(), status) for status in ("same", "changed", "gone")}
    if any(counts.values()):
        print(f"{counts['same']} the same, {counts['changed']} changed, {counts['gone']} gone")
    elif found:
        print("nothing of tensorpack.dataflow is used")
    if args.json is not None:
        files = [{"path": str(path), "uses": [dataclasses.asdict(use) for use in uses]} for path, uses in found.items()]
        write_json(args.json, {"counts": counts, "files": files})
    if unread:
        raise Refusal("\n".join(unread))
    return FOUND_GONE if counts["gone"] else 0


def _distinct(found: Any, status: str) -> int:
    return len({use.name for uses in found for use in uses if use.status == status})


def _parse(path: Path) -> ast.Module:
    try:
        with tokenize.open(path) as file:  # as Python reads it: by its encoding line
            return ast.parse(file.read(), str(path))
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else str(path)
        hint = "; is it Python 2? Only Python 3 can be read" if "print" in str(error.msg) else ""
        raise Refusal(f"{where}: {error.msg}{hint}") from None
    except ValueError as error:  # null bytes, or bytes that are not of its encoding
        raise Refusal(f"{path} is no Python script: {error}") from None


def uses_in(script: ast.Module) -> list[Use]:
    """What a script uses of tensorpack.dataflow, by line.

    Args:
        script: the syntax tree.

    Returns:
        One entry for each line and name, and for each argument that is not the same.

    Example:
        >>> [use] = uses_in(ast.parse("from tensorpack.dataflow import BatchData"))
        >>> use.line, use.name, use.status
        (1, 'BatchData', 'changed')
    """
    return sorted(set(_Reader(script).uses()))


class _Reader:
    """Follows the names that imports bind. Scopes are not told apart: a name means the same all over a script."""

    def __init__(self, script: ast.Module):
        self._script = script
        self._bound: dict[str, str] = {}  # a name of the script -> the full name of what it was imported as
        self._stars = False
        self._own = {node.id for node in ast.walk(script) if isinstance(node, ast.Name) and _is_set(node)}
        self._own |= {
            node.name
            for node in ast.walk(script)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }

    def uses(self) -> Iterator[Use]:
        for node in ast.walk(self._script):
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from self._import_from(node)
        inner = set()  # parts of a longer dotted name, which is the one that counts
        for node in ast.walk(self._script):
            if isinstance(node, ast.Attribute):
                inner.add(node.value)
            if isinstance(node, (ast.Name, ast.Attribute)) and node not in inner:
                yield from self._use(self._full_name(node), node.lineno)
            elif isinstance(node, ast.Call):
                yield from self._arguments(node)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self._bound[alias.asname] = alias.name
            else:
                top = alias.name.partition(".")[0]
                self._bound[top] = top

    def _import_from(self, node: ast.ImportFrom) -> Iterator[Use]:
        for alias in node.names:
            if alias.name == "*":
                self._stars |= node.module == "tensorpack" or _inside(f"{node.module}.*") is not None
                continue
            full = f"{node.module}.{alias.name}"
            self._bound[alias.asname or alias.name] = full
            yield from self._use(full, node.lineno)

    def _full_name(self, node: ast.expr) -> str:
        """The dotted name as it would be without aliases; empty if it is none that was imported."""
        if isinstance(node, ast.Call):  # TestDataSpeed(ds).start_test
            return self._full_name(node.func)
        if isinstance(node, ast.Attribute):
            owner = self._full_name(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if not isinstance(node, ast.Name):
            return ""
        if node.id in self._bound:
            return self._bound[node.id]
        by_star = self._stars and node.id not in self._own and not hasattr(builtins, node.id)
        return f"tensorpack.dataflow.{node.id}" if by_star and _is_public(node.id) else ""

    def _use(self, full: str, line: int) -> Iterator[Use]:
        found = _look_up(full)
        if found is not None:
            name, fate = found
            yield Use(line, name, fate.status, fate.note)

    def _arguments(self, call: ast.Call) -> Iterator[Use]:
        found = _look_up(self._full_name(call.func))
        if found is None:
            return
        name, fate = found
        for keyword in call.keywords:
            argument = fate.arguments.get(keyword.arg or "")
            if argument is not None:
                yield Use(keyword.value.lineno, f"{name}({keyword.arg}=)", argument.status, argument.note)
        if fate.positional is not None and len(call.args) > fate.positional:
            extra = call.args[fate.positional]
            note = f"at most {fate.positional} by position, give the others by keyword"
            yield Use(extra.lineno, f"{name}(argument {fate.positional + 1})", "gone", note)


def _look_up(full: str) -> tuple[str, Name] | None:
    """Name and fate of what a full name means; None: it is nothing of tensorpack.dataflow, or a whole module."""
    module, _, last = full.rpartition(".")
    if module in ("tensorpack.utils", "tensorpack.utils.utils", "dataflow.utils", "dataflow.utils.utils"):
        return (f"utils.{last}", UTILS[last]) if last in UTILS else None
    name = _inside(full)
    if not name or name in ("imgaug", "dataset") or name in MODULES:
        return None
    parts = name.split(".")
    if parts[0] == "imgaug" and len(parts) > 2 and f"imgaug.{parts[2]}" in NAMES:
        del parts[1]  # from tensorpack.dataflow.imgaug.geometry import Rotation
    if parts[0] == "dataset" and len(parts) > 2 and f"dataset.{parts[2]}" in NAMES:
        del parts[1]
    for length in range(len(parts), 0, -1):  # a method or an attribute of a class is as its class is
        known = ".".join(parts[:length])
        if known in NAMES:
            return known, NAMES[known]
    if name in UTILS:
        return f"utils.{name}", UTILS[name]
    return (name, _UNKNOWN) if len(parts) == 1 or parts[0] in ("imgaug", "dataset") else None


def _inside(full: str) -> str | None:
    """What follows ``tensorpack.dataflow.`` and its modules; None if it is not in there."""
    for root in _ROOTS:
        if full.startswith(f"{root}."):
            parts = full[len(root) + 1 :].split(".")
            return ".".join(parts[1:] if parts[0] in SUBMODULES else parts)
    short = full.removeprefix("tensorpack.")  # the package exports them as well
    return short if short != full and _is_public(short.partition(".")[0]) else None


def _is_public(name: str) -> bool:
    return name in NAMES or name in ("imgaug", "dataset")


def _is_set(node: ast.Name) -> bool:
    return isinstance(node.ctx, (ast.Store, ast.Del))
