"""Datapoints as nested lists, tuples and dicts with leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["map_leaves"]


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """``value`` with each leaf (what is no list, tuple or dict) replaced by ``function(leaf)``.

    Example:
        >>> map_leaves(str, [1, (2, {"a": 3})])
        ['1', ('2', {'a': '3'})]
    """
    if isinstance(value, dict):
        return {key: map_leaves(function, part) for key, part in value.items()}
    if isinstance(value, list):
        return [map_leaves(function, part) for part in value]
    if isinstance(value, tuple):
        parts = [map_leaves(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return function(value)
