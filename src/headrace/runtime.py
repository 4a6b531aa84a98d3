"""All that outlives a pass of a flow, and nothing else.

A flow is a description. What runs hangs on its `Runtime`, which stays behind when the flow is pickled or copied; a
forked child gets a fresh one.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from .seeding import Place
from .state import Input, Node, Running, State

if TYPE_CHECKING:
    from .observe.counters import Counters
    from .observe.metering import Meter
    from .parallel.pool import Pool

__all__ = ["Runtime"]


class Runtime:
    """See the module.

    Attributes:
        passes: how many passes have begun; the number of the next one.
        kept: plain data that a flow with ``keeps = True`` carries from pass to pass.
        inputs: the open inputs of such a flow, or None.
        live: the passes that were begun and may still be running, in that order.
        owner: the root pass under which this flow has its place.
        place: where the random numbers of this flow come from; None before the first pass.
        entropy: the seed where none was set: of the operating system, of a loaded state, or 0 in a training job.
        restored: a loaded state that the next pass begins from.
        left: a pass that was left early: what is saved until the next one begins.
        stream_of_rng: place and pass of the random stream of an `RNGDataFlow`.
        loaded: how many seeds had been set when ``entropy`` was given from outside.
        rooted: seed and path of runner copies, of a flow that was planted in a worker.
        pool: the workers of a parallel flow.
        counters: what is counted at the channel of a parallel flow, over all its pools.
        meter: what is measured of a flow that is being looked at, see `observe.metering`.
        stream: the endless pass of a mapper that is not strict.
        reset_in_pid: the process in which ``reset_state`` was called.
        pid: the process that all this is of.
    """

    def __init__(self) -> None:
        self.passes = 0
        self.kept: dict[str, Any] = {}
        self.inputs: list[Input] | None = None
        self.live: list[weakref.ref[State]] = []
        self.owner: weakref.ref[State] | None = None
        self.place: Place | None = None
        self.entropy: int | None = None
        self.restored: Node | None = None
        self.left: State | None = None
        self.stream_of_rng: tuple[Place, int] | None = None
        self.loaded = 0
        self.rooted: tuple[int, tuple[int, ...], tuple[int, int]] | None = None
        self.pool: Pool | None = None
        self.counters: Counters | None = None
        self.meter: Meter | None = None
        self.stream: Running | None = None
        self.reset_in_pid: int | None = None
        self.pid = os.getpid()

    def __reduce__(self) -> tuple[type[Runtime], tuple[()]]:
        return Runtime, ()
