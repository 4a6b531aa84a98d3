"""Saying what cannot be pickled, down to the attribute."""

from __future__ import annotations

import functools
import io
import sys
import types
from collections import ChainMap
from collections.abc import Iterator
from multiprocessing import context
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, ClassVar

import cloudpickle

from ..errors import SerializationError

if TYPE_CHECKING:
    from .programs import Program

__all__ = ["PassedFd", "dumps_program", "explain", "number_classes"]


class PassedFd:
    """A descriptor inside a pickled program, as ``multiprocessing.reduction.DupFd`` is: a number in a table."""

    table: ClassVar[list[int]] = []
    """In a worker: the descriptors that came with its program."""

    def __init__(self, number: int):
        self._number = number

    def detach(self) -> int:
        """The descriptor here."""
        return self.table[self._number]


class _Passage:
    """Stands where multiprocessing expects its Popen: its queues, pipes and values may travel with a program."""

    DupFd = PassedFd

    def __init__(self) -> None:
        self.fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        self.fds.append(fd)
        return len(self.fds) - 1


class _ProgramPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """By themselves, connections and shared memory of multiprocessing pickle as the numbers of descriptors here."""

    dispatch_table = ChainMap(ForkingPickler._extra_reducers, cloudpickle.Pickler.dispatch_table)  # type: ignore[attr-defined]


def dumps_program(program: Program, otherwise: str = 'use start_method="fork", or threads') -> tuple[bytes, list[int]]:
    """Pickle what a worker shall run: lambdas, closures and classes of ``__main__`` included.

    Args:
        program: it.
        otherwise: what to do if it cannot be pickled, besides making it in the worker.

    Returns:
        The bytes, and the descriptors to be passed to the worker for `PassedFd`.

    Raises:
        SerializationError: it cannot be pickled; the message names the part at fault.
    """
    passage = _Passage()
    context.set_spawning_popen(passage)  # type: ignore[arg-type]  # it has the two members that pickling asks for
    try:
        file = io.BytesIO()
        _ProgramPickler(file, protocol=5).dump(program)
        return file.getvalue(), passage.fds
    except Exception as error:
        context.set_spawning_popen(None)
        where = explain(program.subject, program.subject_name) or f"{program.subject_name}: {error}"
        raise SerializationError(
            f"{where}, so it cannot be sent to a worker process. Create it in the worker (in reset_state(), or on "
            f"first use inside the function), or {otherwise}."
        ) from error
    finally:
        context.set_spawning_popen(None)


def number_classes() -> None:
    """Let classes that cannot be imported be the same ones in a process that is about to be forked.

    They are pickled by value, and known again by a number that cloudpickle gives to each when it first pickles it. A
    fork that has been made by then would give another one.
    """
    seen: set[type] = set()
    found: list[type] = [object]
    while found:
        cls = found.pop()
        if cls not in seen:
            seen.add(cls)
            found += type.__subclasses__(cls)
            if "<locals>" in cls.__qualname__ or cls.__module__ not in sys.modules:
                cloudpickle.cloudpickle._get_or_create_tracker_id(cls)


def explain(obj: Any, path: str) -> str | None:
    """Where in ``obj`` the part is that cannot be pickled.

    Returns:
        A sentence such as ``f, closure variable 'lock', attribute '_l' is a _thread.lock, which cannot be pickled``;
        None if all of it can be pickled.
    """
    return _explain(obj, path, set())


def _explain(obj: Any, path: str, seen: set[int]) -> str | None:
    if id(obj) in seen or _picklable(obj):
        return None
    seen.add(id(obj))
    for part, name in _parts(obj):
        found = _explain(part, f"{path}, {name}", seen)
        if found is not None:
            return found
    return f"{path} is a {type(obj).__module__}.{type(obj).__qualname__}, which cannot be pickled"


def _picklable(obj: Any) -> bool:
    try:
        cloudpickle.dumps(obj)
    except Exception:
        return False
    return True


def _parts(obj: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(obj, types.MethodType):
        yield obj.__self__, f"object of method {obj.__name__!r}"
    elif isinstance(obj, types.FunctionType):
        names = obj.__code__.co_freevars
        for name, cell in zip(names, obj.__closure__ or (), strict=True):
            try:
                yield cell.cell_contents, f"closure variable {name!r}"
            except ValueError:  # not filled yet
                continue
        for name in obj.__code__.co_names:
            if name in obj.__globals__ and not isinstance(obj.__globals__[name], types.ModuleType):
                yield obj.__globals__[name], f"global variable {name!r}"
        for value in obj.__defaults__ or ():
            yield value, "default argument"
    elif isinstance(obj, functools.partial):
        yield obj.func, "function of partial"
        for index, value in enumerate(obj.args):
            yield value, f"argument {index} of partial"
        for name, value in obj.keywords.items():
            yield value, f"argument {name!r} of partial"
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield value, f"key {key!r}"
    elif isinstance(obj, (list, tuple, set, frozenset)):
        for index, value in enumerate(obj):
            yield value, f"element {index}"
    elif hasattr(obj, "__dict__") and not isinstance(obj, type):
        for name, value in vars(obj).items():
            yield value, f"attribute {name!r}"
