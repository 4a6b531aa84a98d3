"""The pipeline that a command is given as ``module:attribute``, and what can be wrong with it."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataFlowError, RemoteTraceback
from ..flow import DataFlow

__all__ = ["INTERRUPTED", "Refusal", "Run", "blaming_user", "called", "load_flow", "load_object"]

Run = Callable[[argparse.Namespace], int]
"""Does what a command is for; its exit code."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


class Refusal(Exception):
    """The user's fault; the text says how."""


def load_flow(target: str) -> DataFlow:
    """The flow that ``module:attribute`` names.

    Raises:
        Refusal: there is none; what went wrong in user code has been printed.
    """
    found = load_object(target)
    if isinstance(found, DataFlow):
        return found
    if not callable(found):
        raise Refusal(f"{target} is neither a flow nor a function that makes one, but {_a(found)}")
    flow = called(found, target)
    if not isinstance(flow, DataFlow):
        hint = "; wrap it: hr.DataFromIterable(...)" if hasattr(flow, "__iter__") else ""
        raise Refusal(f"{target}() did not return a flow, but {_a(flow)}{hint}")
    return flow


def load_object(target: str) -> Any:
    """What ``module:attribute`` names.

    Raises:
        Refusal: there is nothing; what went wrong in user code has been printed.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise Refusal(f"{target!r} does not name a flow; write module:attribute, for example pipeline:make_flow")
    if module_name.endswith(".py") or os.sep in module_name:
        folder, name = os.path.split(module_name.removesuffix(".py"))
        place = f", in the folder {folder}" if os.path.normpath(folder) != "." else ""
        raise Refusal(f"{module_name!r} is the path of a file; name its module: {name}:{path}{place}")
    sys.path.insert(0, os.getcwd())
    found = _import(module_name)
    for name in path.split("."):
        found = _attribute(found, name, module_name)
    return found


def called(make: Callable[..., Any], target: str) -> Any:
    """What a function of the user gives.

    Raises:
        Refusal: it takes arguments, or fails; what went wrong in it has been printed.
    """
    _check_takes_nothing(make, target)
    with blaming_user(f"{target}() failed"):
        return make()


def _import(name: str) -> Any:
    with blaming_user(f"module {name!r} cannot be imported"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # The module itself, or one that it imports? Only the latter is worth a traceback.
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise
    raise Refusal(f"there is no module {name!r}, neither in {os.getcwd()} nor among the installed ones")


def _attribute(owner: Any, name: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        names = [n for n in dir(owner) if not n.startswith("_")]
        close = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise Refusal(f"there is no {name!r} in {getattr(owner, '__name__', module_name)}{hint}") from None


def _check_takes_nothing(make: Callable[..., Any], target: str) -> None:
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # some builtins have none
    try:
        signature.bind()
    except TypeError as error:
        raise Refusal(f"{target}{signature} cannot be called without arguments ({error}); give one that can") from None


def _a(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


@contextlib.contextmanager
def blaming_user(what: str) -> Iterator[None]:
    """Print what user code raises as the user would see it without this command, and refuse."""
    try:
        yield
    except Refusal:
        raise
    except (Exception, SystemExit) as error:  # a module that calls sys.exit() must not end this command in silence
        print("".join(_users_traceback(error)), file=sys.stderr, end="")
        raise Refusal(what) from None


def _users_traceback(error: BaseException) -> Iterator[str]:
    """The traceback without frames of headrace and of the import system."""
    ours = str(Path(__file__).resolve().parent.parent) + os.sep
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
