"""The counters of a pipeline for OpenTelemetry; needs ``pip install 'headrace[opentelemetry]'``.

::

    from headrace.observe import opentelemetry

    opentelemetry.register(flow)     # after metrics.set_meter_provider(...)

Exporters, intervals and resources are those of your `MeterProvider`. Nothing is counted twice: a collection reads what
the channels count anyway (see `headrace.Stats`). The names are those of `headrace.observe.prometheus`, with
``headrace.`` in front.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from .._version import __version__
from ..flow import DataFlow
from .metrics import COUNTERS, GAUGES
from .observation import check_flow
from .stats import take

__all__ = ["register"]

_Flows = dict[str, weakref.ref[DataFlow]]

_registered: weakref.WeakKeyDictionary[Any, _Flows] = weakref.WeakKeyDictionary()
"""By provider. OpenTelemetry has one instrument of a name and keeps its first callback, so all flows share it."""

_lock = threading.Lock()


def register(flow: DataFlow, name: str = "", *, meter_provider: Any = None) -> None:
    """Have the counters of a pipeline collected, for as long as the flow exists.

    Each value has the attributes ``pipeline`` (the name), ``flow`` (its class) and ``number`` (in the pipeline).

    Args:
        flow: the pipeline.
        name: tells it from others of the same provider.
        meter_provider: default: the one that ``opentelemetry.metrics.set_meter_provider`` was given.

    Raises:
        TypeError: it is no flow, or the name is no text.
        ValueError: another flow that exists has that name.
        ImportError: ``opentelemetry`` is not installed; names the extra.
    """
    check_flow(flow)
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {type(name).__name__}: {name!r:.60}")
    provider = _api().get_meter_provider() if meter_provider is None else meter_provider
    with _lock:
        flows = _registered.get(provider)
        if flows is None:
            flows = _registered[provider] = {}
            _make_instruments(provider.get_meter("headrace", __version__), flows)
        known = flows.get(name)
        if known is not None and known() not in (None, flow):
            raise ValueError(f"another flow is registered as {name!r}; give this one another name")
        flows[name] = weakref.ref(flow)


def _make_instruments(meter: Any, flows: _Flows) -> None:
    for kinds, make in ((COUNTERS, meter.create_observable_counter), (GAUGES, meter.create_observable_gauge)):
        for name, (text, field) in kinds.items():
            unit = "s" if name.endswith("_seconds") else "By" if name.endswith("_bytes") else "1"
            make(f"headrace.{name}", [functools.partial(_observed, flows, field)], unit, text)


def _observed(flows: _Flows, field: str, options: Any) -> Iterator[Any]:
    """The values of one instrument as they stand."""
    observation = _api().Observation
    with _lock:
        there = [(name, flow) for name, known in flows.items() if (flow := known()) is not None]
    for name, flow in there:
        for f in take(flow).flows:
            if f.pool is not None:
                attributes = {"pipeline": name, "flow": f.name, "number": f.number}
                yield observation(getattr(f.pool, field), attributes)


def _api() -> Any:
    try:
        from opentelemetry import metrics
    except ImportError as error:
        raise ImportError(
            "headrace.observe.opentelemetry needs opentelemetry: pip install 'headrace[opentelemetry]'"
        ) from error
    return metrics
