"""Start something on datapoints before it is their turn, such as a copy to a device."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, Protocol

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["Mover", "ReadAhead"]


class Mover(Protocol):
    """What is done to each datapoint, in two halves."""

    def start(self, dp: Any) -> Any:
        """Begin; must not wait."""

    def finish(self, started: Any) -> Any:
        """The datapoint for the consumer, from what `start` returned."""

    def close(self) -> None:
        """The pass ends here, perhaps early: wait for what was begun and still needs its datapoint."""


class ReadAhead(ProxyDataFlow):
    """A stage that has started on ``depth`` datapoints beyond the one that the consumer has.

    The state holds the datapoints that were read ahead, as they came; after resuming they are started on again.
    """

    elementwise = True

    def __init__(self, ds: Any, depth: int):
        super().__init__(ds)
        self.depth = check_count("depth", depth, least=0)

    def mover(self) -> Mover:
        """A new mover, for one pass in this process."""
        raise NotImplementedError("each framework has its own")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        mover = self.mover()
        try:
            held: list[Any] = state.setdefault("held", [])
            started = deque(mover.start(dp) for dp in held)
            for dp in () if state.get("ended") else source:
                held.append(dp)
                started.append(mover.start(dp))
                if len(held) > self.depth:
                    del held[0]
                    yield mover.finish(started.popleft())
            state["ended"] = True
            while held:
                del held[0]
                yield mover.finish(started.popleft())
        finally:
            mover.close()

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: neither the device nor the depth decides the data."""
        return f"{type(self).__name__}()"
