"""Timing each flow of a pipeline while somebody looks at it.

The channels of parallel flows are always counted (`observe.counters`): that costs something for a task, not for a
datapoint. What flows in this process take is different, two looks at the clock for each datapoint of each flow, so it
is measured only when asked for: `explain`, `watch` and the like attach a `Meter` to each flow, which counts from the
flow's next pass on.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from ..flow import DataFlow
from ..state import Running
from ..tree import read_here
from .counters import Slice, Slices

__all__ = ["Meter", "attach", "detach"]

_VISIBLE_S = 2e-5
"""Shorter slices are not worth a place in a trace."""


class Meter:
    """What a flow has given, and how long it took.

    Attributes:
        datapoints: how many it has given.
        seconds: spent in it and in the flows below.
        name: of the flow.
        slices: None, or what a trace is made of.
        looking: how many look at it.
    """

    def __init__(self, name: str) -> None:
        self.looking = 0
        self.datapoints = 0
        self.seconds = 0.0
        self.name = name
        self.slices: Slices | None = None

    def measured(self, running: Running) -> Generator[Any, None, None]:
        """The same pass, measured."""
        now = time.perf_counter
        began = now()
        try:
            for datapoint in running:
                took_s = now() - began
                self.seconds += took_s
                self.datapoints += 1
                if self.slices is not None and took_s > _VISIBLE_S:
                    self.slices.add(Slice(-1, self.name, began, took_s, self.datapoints - 1, 1))
                yield datapoint
                del datapoint  # its memory may serve for the next one
                began = now()
            self.seconds += now() - began
        finally:
            running.close()


def attach(flow: DataFlow) -> None:
    """Measure each flow of a pipeline that this process reads, from its next pass on."""
    for below in read_here(flow):
        if below._runtime.meter is None:
            below._runtime.meter = Meter(type(below).__name__)
        below._runtime.meter.looking += 1


def detach(flow: DataFlow) -> None:
    """Look no more. If nobody else does, nothing is measured from the next pass on, and what was is forgotten."""
    for below in read_here(flow):
        meter = below._runtime.meter
        if meter is not None:
            meter.looking -= 1
            if not meter.looking:
                below._runtime.meter = None
