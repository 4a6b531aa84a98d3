"""A pipeline as a tree of flows: walking over it, showing it, and telling it from others."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .flow import DataFlow

__all__ = ["pipeline_fingerprint", "read_here", "short", "spelled", "tree_lines", "walk"]


def walk(flow: DataFlow) -> Iterator[DataFlow]:
    """All flows of a pipeline, inputs before the flows that read them, each once.

    Example:
        >>> import headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([1, 2]), 2)
        >>> [type(f).__name__ for f in hr.walk(flow)]
        ['DataFromList', 'BatchData']
    """
    return _post_order(flow, lambda f: f.children, set())


def read_here(flow: DataFlow) -> Iterator[DataFlow]:
    """The same for the flows that this process reads: without what runs in the copies of a runner."""
    return _post_order(flow, lambda f: f.inputs, set())


def _post_order(flow: DataFlow, below: Callable[[DataFlow], Sequence[DataFlow]], seen: set[int]) -> Iterator[DataFlow]:
    if id(flow) not in seen:
        seen.add(id(flow))
        for child in below(flow):
            yield from _post_order(child, below, seen)
        yield flow


def tree_lines(flow: DataFlow) -> list[str]:
    """A pipeline as ``repr`` shows it, line by line."""
    lines = [f"{type(flow).__name__}({flow.describe()})"]
    children = flow.children
    for number, child in enumerate(children, 1):
        last = number == len(children)
        first, *rest = tree_lines(child)
        lines.append(("└─ " if last else "├─ ") + first)
        lines.extend(("   " if last else "│  ") + line for line in rest)
    return lines


def pipeline_fingerprint(flow: DataFlow) -> list[str]:
    """What decides the data of a whole pipeline, a line for each flow: see `DataFlow.fingerprint`."""
    lines = [flow.fingerprint()]
    for child in flow.children:
        lines.extend("  " + line for line in pipeline_fingerprint(child))
    return lines


_SCALARS = (bool, int, float, str, bytes, type(None))


def short(value: Any) -> str:
    """A value as ``repr`` shows it: scalars in full, functions by name, containers by size."""
    if isinstance(value, (bool, int, float, type(None), np.dtype)):
        return repr(value)
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= 40 else f"{value[:37]!r}..."
    if isinstance(value, functools.partial):
        return f"partial({short(value.func)})"
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__)).replace("<locals>.", "")
    if isinstance(value, (list, tuple, dict, set)):
        plain = len(value) <= 8 and type(value) in (list, tuple) and all(isinstance(v, _SCALARS) for v in value)
        text = repr(value) if plain else ""
        return text if text and len(text) <= 40 else f"<{type(value).__name__} of {len(value)}>"
    return f"<{type(value).__name__}>"


def spelled(func: Callable[..., Any]) -> str:
    """How a function is written in a line to be copied: by its name, if that is all of it, else as ``map_func``."""
    if isinstance(func, (types.FunctionType, types.BuiltinFunctionType, type)) and func.__name__.isidentifier():
        local = "<locals>" in func.__qualname__
        bound = getattr(func, "__self__", None)
        if bound is None or isinstance(bound, types.ModuleType):
            return func.__name__ if local else func.__qualname__
    return "map_func"
