"""A trace of a pipeline, for Perfetto (https://ui.perfetto.dev) and ``chrome://tracing``.

The format is the JSON of "Trace Event Format": complete events (``"ph": "X"``), times in microseconds, a track for each
pool's worker and for each flow of this process. Its size is bounded: of each channel and each flow, at most 20,000
slices are kept, thinned out evenly (see `Slices`).
"""

from __future__ import annotations

import os
from typing import Any

from ..flow import DataFlow
from ..tree import read_here
from .counters import Slice, Slices
from .observation import Observation

__all__ = ["trace_events"]


def trace_events(observation: Observation) -> dict[str, Any]:
    """What was recorded, as an object to be written as JSON.

    Args:
        observation: one that ran with ``trace=True``.
    """
    events: list[dict[str, Any]] = []
    ours = os.getpid()
    _name(events, "process_name", ours, 0, "headrace: this process")
    if observation.slices is not None:
        _track(events, ours, 1, "the consumer", observation.slices.kept, observation)
    for number, flow in enumerate(read_here(observation.flow)):
        name = type(flow).__name__
        channel = observation.channels.get(id(flow))
        metered = observation.metered.get(id(flow))
        if metered is not None:
            _track(events, ours, 10 * number + 10, f"{number} {name}", metered.kept, observation)
        if channel is not None:
            _channel(events, ours, number, flow, channel, observation)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _channel(
    events: list[dict[str, Any]], ours: int, number: int, flow: DataFlow, slices: Slices, observation: Observation
) -> None:
    name = type(flow).__name__
    mine = [one for one in slices.kept if one.track < 0]
    _track(events, ours, 10 * number + 11, f"{number} {name}: channel", mine, observation)
    pool = ours + number + 1  # a group of tracks; not the number of a process
    _name(events, "process_name", pool, 0, f"{number} {name}: workers")
    for slot in sorted({one.track for one in slices.kept if one.track >= 0}):
        work = [one for one in slices.kept if one.track == slot]
        _track(events, pool, slot + 1, f"worker {slot}", work, observation)


def _track(
    events: list[dict[str, Any]], group: int, track: int, name: str, slices: list[Slice], observation: Observation
) -> None:
    _name(events, "thread_name", group, track, name)
    for one in sorted(slices, key=lambda one: one.began_s):
        what: dict[str, Any] = {}
        if one.first >= 0:
            what = {"first datapoint": one.first, "datapoints": one.datapoints}
        events.append(
            {
                "name": one.name,
                "cat": "headrace",
                "ph": "X",
                "ts": round((one.began_s - observation.began_s) * 1e6, 3),
                "dur": round(one.seconds * 1e6, 3),
                "pid": group,
                "tid": track,
                "args": what,
            }
        )


def _name(events: list[dict[str, Any]], kind: str, group: int, track: int, name: str) -> None:
    events.append({"name": kind, "ph": "M", "pid": group, "tid": track, "args": {"name": name}})
