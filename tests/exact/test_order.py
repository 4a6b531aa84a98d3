"""Ordered and unordered: both exact, and neither lets a slow datapoint stop the others."""

from __future__ import annotations

import collections
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import square

import headrace as hr

COUNT = 300
SQUARES = [n * n for n in range(COUNT)]


def numbers(count: int = COUNT) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


def mapper(workers: int, f: Any, **kwargs: Any) -> Any:
    return hr.MultiProcessMapData(numbers(), workers, f, **kwargs)


def threads(workers: int, f: Any, **kwargs: Any) -> Any:
    return hr.MultiThreadMapData(numbers(), workers, f, **kwargs)


def batches(workers: int, f: Any, **kwargs: Any) -> Any:
    return hr.MultiProcessMapAndBatchData(numbers(), workers, f, 7, remainder=True, **kwargs)


all_mappers = pytest.mark.parametrize("make", [mapper, threads, batches])


def read(flow: hr.DataFlow) -> list[int]:
    return [int(n) for dp in flow for n in np.atleast_1d(dp)]


@all_mappers
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_ordered_is_the_default_and_exact(make: Any, workers: int) -> None:
    with make(workers, square) as flow:
        assert [read(flow), read(flow)] == [SQUARES, SQUARES]


@all_mappers
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_unordered_is_exact_too(make: Any, workers: int) -> None:
    with make(workers, square, ordered=False) as flow:
        assert [sorted(read(flow)), sorted(read(flow))] == [SQUARES, SQUARES]


@pytest.mark.parametrize("make", [mapper, threads])
@pytest.mark.parametrize("buffer_size", [1, 2, 3, 1000])
@pytest.mark.parametrize("ordered", [True, False])
def test_exact_with_any_buffer(make: Any, buffer_size: int, ordered: bool) -> None:
    with make(3, square, ordered=ordered, buffer_size=buffer_size) as flow:
        assert sorted(read(flow)) == SQUARES


class SlowOne:
    """Datapoint 0 waits until another process has written to its FIFO; all tell which process did them."""

    def __init__(self, fifo: Path):
        self.fifo = fifo

    def __call__(self, n: int) -> tuple[int, int]:
        if n == 0:
            self.fifo.read_bytes()
        if n == 100:
            self.fifo.write_bytes(b"go on")
        return n, os.getpid()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_datapoint_does_not_stop_the_others_while_the_window_has_room(ordered: bool, tmp_path: Path) -> None:
    """It takes as long as the next hundred together: it is their end that lets it go on."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with mapper(3, SlowOne(fifo), ordered=ordered, buffer_size=200) as flow:
        results = list(flow)
    assert sorted(n for n, _ in results) == list(range(COUNT))
    if ordered:
        assert [n for n, _ in results] == list(range(COUNT))
    else:
        # Less than a hundred: results come in groups, and the third worker may be late with its own.
        assert [n for n, _ in results].index(0) >= 20


def test_unordered_gives_what_is_done_before_the_slow_one(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with mapper(2, SlowOne(fifo), ordered=False) as flow:
        before = list(itertools.takewhile(lambda dp: dp[0] != 0, flow))
    assert len(before) >= 20  # less than a hundred, as results come in groups


SKEW = 25


def skewed(n: int) -> tuple[int, int]:
    """One in 25 costs a hundred times the processor time of the others."""
    if n % SKEW == 0:
        sum(range(300_000))
    else:
        sum(range(3_000))
    return n, os.getpid()


def test_skewed_work_is_shared_by_work_and_not_by_turns() -> None:
    """With turns, the expensive datapoints (every 25th, 5 workers) would all go to the same worker."""
    with mapper(5, skewed, buffer_size=100) as flow:
        for _ in range(3):
            results = list(flow)
            assert [n for n, _ in results] == list(range(COUNT))
    expensive = collections.Counter(pid for n, pid in results if n % SKEW == 0)
    assert sum(expensive.values()) == COUNT // SKEW
    assert len(expensive) >= 3
    assert max(expensive.values()) <= COUNT // SKEW // 2


def test_who_has_a_long_datapoint_gets_fewer_others(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with mapper(2, SlowOne(fifo), buffer_size=200) as flow:
        results = list(flow)
    slow_pid = results[0][1]
    of_the_first_hundred = collections.Counter(pid for _, pid in results[:101])
    assert of_the_first_hundred[slow_pid] <= 25
