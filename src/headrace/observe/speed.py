"""Measure how fast a flow is."""

from __future__ import annotations

import array
import dataclasses
import math
import time
from collections.abc import Generator
from typing import Any

import numpy as np

from .._checks import check_count
from .._progress import progress_bar
from ..flow import DataFlow, ProxyDataFlow
from ..state import State

__all__ = ["Measurement", "SpeedResult", "TestDataSpeed", "count_bytes"]


@dataclasses.dataclass(frozen=True)
class SpeedResult:
    """What `TestDataSpeed` measured; ``print`` it.

    Attributes:
        count: datapoints measured, after the warm-up.
        seconds: how long these took.
        datapoints_per_s: how many came in a second.
        megabytes_per_s: how much data, in millions of bytes: arrays, bytes and text, however deep.
        first_s: seconds from the beginning to the first datapoint, before or in the warm-up.
        p50_ms: half of the datapoints took at most this long, in milliseconds.
        p90_ms: nine of ten took at most this long.
        p99_ms: 99 of 100 took at most this long.
        max_ms: the slowest.
        complete: whether the flow had as many datapoints as were asked for.

    Example:
        >>> import headrace as hr
        >>> result = hr.SpeedResult(1000, 0.5, 2000.0, 300.0, 0.02, 0.4, 0.6, 0.9, 2.0)
        >>> print(result)
        2,000 datapoints/s, 300 MB/s (1,000 in 0.5 s; first after 0.02 s)
        latency in ms: 0.4 median, 0.6 p90, 0.9 p99, 2 max
        >>> result.to_dict()["count"]
        1000
    """

    count: int
    seconds: float
    datapoints_per_s: float
    megabytes_per_s: float
    first_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """All figures, as plain data."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        short = "" if self.complete else "; the flow ended early"
        return (
            f"{self.datapoints_per_s:,.4g} datapoints/s, {self.megabytes_per_s:,.4g} MB/s "
            f"({self.count:,} in {self.seconds:.3g} s; first after {self.first_s:.3g} s{short})\n"
            f"latency in ms: {self.p50_ms:.3g} median, {self.p90_ms:.3g} p90, {self.p99_ms:.3g} p99, "
            f"{self.max_ms:.3g} max"
        ).replace("e+0", "e")


class TestDataSpeed(ProxyDataFlow):
    """Measure how many datapoints a flow gives in a second.

    Args:
        ds: the flow.
        size: how many datapoints are measured. A flow that has fewer is measured to its end.
        warmup: how many are read before, unmeasured.
        progress: whether there is a progress bar on stderr.

    Iterating it measures first, prints the result (or that there is none), and then gives the flow's datapoints (of its
    next pass) unchanged.

    Raises:
        TypeError, ValueError: at construction, a count that is not an integer, or too small; by `start`, a flow that is
            empty, or ends in the warm-up.

    Example:
        >>> import headrace as hr
        >>> result = hr.TestDataSpeed(hr.FakeData([(8, 8)], size=50), size=40, warmup=5).start()
        >>> result.count, result.datapoints_per_s > 0
        (40, True)
    """

    __test__ = False  # or else pytest takes it for a test

    def __init__(self, ds: Any, size: int = 5000, warmup: int = 0, *, progress: bool = True):
        super().__init__(ds)
        self.progress = bool(progress)
        self._size = check_count("size", size)
        self.warmup = check_count("warmup", warmup, least=0)

    def start(self) -> SpeedResult:
        """Measure, under a progress bar on stderr, which stays there with the rate (of the warm-up, too).

        Raises:
            ValueError: the flow is empty, or ends in the warm-up.

        Example:
            >>> import headrace as hr
            >>> hr.TestDataSpeed(hr.FakeData([(2,)], size=10)).start().complete
            False
        """
        return self._measured(leave=True).result()

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if not state.get("measured"):
            measurement = self._measured(leave=False)
            try:
                print(measurement.result())
            except ValueError as nothing:  # the datapoints are given all the same
                print(f"{type(self).__name__}: {nothing}")
            state["measured"] = True
        yield from source

    def _measured(self, *, leave: bool) -> Measurement:
        measurement = Measurement(self.ds, self._size, self.warmup, bar=self.progress, leave=leave)
        measurement.run()
        return measurement

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`; what is measured decides which pass of the input comes next."""
        return f"TestDataSpeed({self.describe()})"

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"size={self._size}, warmup={self.warmup}"


class Measurement:
    """One measurement: `run` it, then ask for the `result`; there is one also after a run that was interrupted.

    (Of one that was interrupted in its warm-up, the result is about that, and `warmup` is 0.)

    Args:
        flow: what is measured.
        size: how many datapoints at most; None: as many as there are.
        warmup: how many are read before, unmeasured.
        limit_s: how long to measure at most.
        warmup_limit_s: how long to warm up at most.
        bar: whether there is a progress bar on stderr; None: if that is a terminal.
        leave: whether the progress bar stays.
    """

    def __init__(
        self,
        flow: DataFlow,
        size: int | None,
        warmup: int,
        *,
        limit_s: float = math.inf,
        warmup_limit_s: float = math.inf,
        bar: bool | None = None,
        leave: bool = False,
    ):
        self._flow = flow
        self._size = size
        self.warmup = warmup
        """How many datapoints the warm-up takes; once it has run, how many it took."""
        self._limit_s = limit_s
        self._warmup_limit_s = warmup_limit_s
        self._bar = bar
        self._leave = leave
        self._latencies = array.array("d")  # seconds; eight bytes each, so that a long run stays small
        self._read = 0
        self._nbytes = 0
        self._seconds = 0.0
        self._first_s = 0.0
        self._warming = False
        self._ended = False

    def run(self) -> None:
        """Read the flow. Whatever it raises passes through."""
        self._flow.reset_state()
        now = time.perf_counter
        latencies, nbytes, read, warming = self._latencies, 0, 0, self.warmup > 0
        total = None if self._size is None else self.warmup + self._size
        off = None if self._bar is None else not self._bar
        with progress_bar(total=total, unit="dp", leave=self._leave, disable=off) as bar:
            shown = begin = last = arrived = warm = now()
            try:
                for read, dp in enumerate(self._flow, 1):
                    arrived = now()
                    if read == 1:
                        self._first_s = arrived - begin
                        warm = arrived  # until then it may have waited for somebody
                    latencies.append(arrived - last)
                    nbytes += count_bytes(dp)
                    if arrived - shown > 0.1:
                        bar.update(read - bar.n)
                        shown = arrived
                    if warming:
                        warming = read < self.warmup and arrived - warm < self._warmup_limit_s
                        if not warming:
                            self.warmup, nbytes = read, 0
                            del latencies[:]
                            begin = arrived = now()
                    elif len(latencies) == self._size or arrived - begin >= self._limit_s:
                        break
                    last = now()
                else:
                    self._ended = True
                arrived = now()
            finally:
                self._read, self._nbytes, self._seconds = read, nbytes, arrived - begin
                self._warming = warming
                if warming and not self._ended:
                    self.warmup = 0
            bar.update(read - bar.n)

    @property
    def ended_warming(self) -> bool:
        """Whether the flow gave something, but ended in the warm-up."""
        return self._ended and self._read > 0 and (self._warming or not self._latencies)

    def result(self) -> SpeedResult:
        """The figures of the datapoints that were measured.

        Raises:
            ValueError: there were none: the flow is empty, or ended in the warm-up, or was interrupted too early.
        """
        count = len(self._latencies)
        if not count or self.ended_warming:
            if not self._ended:
                what = f"had given {self._read} datapoints when it was interrupted"
            elif self.ended_warming:
                what = f"ended after {self._read} datapoints, within the warm-up of {self.warmup}"
            else:
                what = "is empty"
            raise ValueError(f"nothing to measure: the flow {what}")
        p50, p90, p99, slowest = (float(p) * 1e3 for p in np.percentile(self._latencies, [50, 90, 99, 100]))
        return SpeedResult(
            count=count,
            seconds=self._seconds,
            datapoints_per_s=count / self._seconds,
            megabytes_per_s=self._nbytes / self._seconds / 1e6,
            first_s=self._first_s,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            max_ms=slowest,
            complete=not self._ended,
        )


def count_bytes(value: Any) -> int:
    """The bytes in a datapoint's arrays, bytes and texts (a character is one), also in lists, tuples and dicts."""
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    if isinstance(value, dict):
        return sum(map(count_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(count_bytes, value))
    return 0
