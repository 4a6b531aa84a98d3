"""Checks of arguments that several constructors share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .flow import DataFlow, as_flow

__all__ = ["check_components", "check_count", "check_flows", "component_of", "known_length"]


def check_count(name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int, if it is one of at least ``least``.

    Raises:
        TypeError: it is no integer.
        ValueError: it is too small.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}: {value!r:.60}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def check_flows(df_lists: Any) -> list[DataFlow]:
    """The flows of a stage with several inputs, as a list.

    Raises:
        TypeError: it is no iterable of iterables.
        ValueError: it is empty.
    """
    if isinstance(df_lists, (DataFlow, str, bytes, dict)) or not isinstance(df_lists, Iterable):
        raise TypeError(f"df_lists must be a list of flows, got {type(df_lists).__name__}: {df_lists!r:.60}")
    flows = [as_flow(df) for df in df_lists]
    if not flows:
        raise ValueError("df_lists must hold at least one flow, got none")
    return flows


def known_length(ds: DataFlow) -> int | None:
    """``len(ds)``, or None for a flow that has none."""
    try:
        return len(ds)
    except (TypeError, NotImplementedError):
        return None


def check_components(dp: Any, stage: str) -> None:
    """Refuse a datapoint that has no components.

    Raises:
        TypeError: it is no list, tuple or dict.
    """
    if not isinstance(dp, (list, tuple, dict)):
        raise TypeError(f"{stage} needs list, tuple or dict datapoints, got {type(dp).__name__}")


def component_of(dp: Any, index: Any, stage: str) -> Any:
    """A component of a datapoint.

    Raises:
        TypeError: the datapoint has no components, or ``index`` is of the wrong type for it.
        IndexError, KeyError: it has others.
    """
    check_components(dp, stage)
    try:
        return dp[index]
    except (IndexError, KeyError, TypeError) as error:
        there = f"the keys {list(dp)!r:.200}" if isinstance(dp, dict) else f"{len(dp)} components"
        kind = next(kind for kind in (IndexError, KeyError, TypeError) if isinstance(error, kind))
        raise kind(f"{stage}: there is no component {index!r}, the datapoint has {there}") from None
