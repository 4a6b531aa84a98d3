"""Measure how fast a flow is."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from .._checks import check_count
from ..flow import ProxyDataFlow
from ..state import State

__all__ = ["SpeedResult", "TestDataSpeed", "count_bytes"]


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

    Iterating it measures first, prints the result, and then gives the flow's datapoints (of its next pass) unchanged.

    Raises:
        TypeError, ValueError: at construction, a count that is not an integer, or too small; when measuring, a flow
            that is empty, or ends in the warm-up.

    Example:
        >>> import headrace as hr
        >>> result = hr.TestDataSpeed(hr.FakeData([(8, 8)], size=50), size=40, warmup=5).start()
        >>> result.count, result.datapoints_per_s > 0
        (40, True)
    """

    __test__ = False  # or else pytest takes it for a test

    def __init__(self, ds: Any, size: int = 5000, warmup: int = 0):
        super().__init__(ds)
        self._size = check_count("size", size)
        self.warmup = check_count("warmup", warmup, least=0)

    def start(self) -> SpeedResult:
        """Measure, under a progress bar on stderr.

        Raises:
            ValueError: the flow is empty, or ends in the warm-up.

        Example:
            >>> import headrace as hr
            >>> hr.TestDataSpeed(hr.FakeData([(2,)], size=10)).start().complete
            False
        """
        self.ds.reset_state()
        now = time.perf_counter
        latencies: list[float] = []
        size = 0
        with _Bar(total=self.warmup + self._size, unit="dp", leave=False) as bar:
            shown, read = now(), 0
            begin = last = now()
            first_s = 0.0
            for read, dp in enumerate(self.ds, 1):
                arrived = now()
                if read == 1:
                    first_s = arrived - begin
                if read > self.warmup:
                    latencies.append(arrived - last)
                    size += count_bytes(dp)
                if arrived - shown > 0.1:
                    bar.update(read - bar.n)
                    shown = arrived
                if read == self.warmup:
                    begin = now()
                if len(latencies) == self._size:
                    break
                last = now()
            seconds = now() - begin
            bar.update(read - bar.n)
        if not latencies:
            what = "is empty" if read == 0 else f"ended after {read} datapoints, within the warm-up of {self.warmup}"
            raise ValueError(f"nothing to measure: the flow {what}")
        p50, p90, p99, slowest = (float(p) for p in np.percentile(np.array(latencies) * 1e3, [50, 90, 99, 100]))
        count = len(latencies)
        return SpeedResult(
            count=count,
            seconds=seconds,
            datapoints_per_s=count / seconds,
            megabytes_per_s=size / seconds / 1e6,
            first_s=first_s,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            max_ms=slowest,
            complete=count == self._size,
        )

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if not state.get("measured"):
            print(self.start())
            state["measured"] = True
        yield from source

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`; what is measured decides which pass of the input comes next."""
        return f"TestDataSpeed({self.describe()})"

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"size={self._size}, warmup={self.warmup}"


class _Bar(tqdm):  # type: ignore[misc]
    monitor_interval: ClassVar[int] = 0  # tqdm's monitor is a thread


_Bar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing too, for bars of several processes


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
