"""`buffer_bytes` bounds what is in flight; `max_items_per_worker` replaces workers, without loss and without noise."""

from __future__ import annotations

import collections
import mmap
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import pid_and_square, square, worker_pids

import headrace as hr

COUNT = 120


def numbers(count: int = COUNT) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


class Counter:
    """One cell for each datapoint in a file that all processes map: 1 when its result has been made."""

    def __init__(self, path: Path):
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(mmap.PAGESIZE))

    def done(self) -> int:
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as cells:
            return cells[:].count(1)

    def mark(self, n: int) -> None:
        with open(self.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as cells:
            cells[n] = 1


class Makes:
    """A map function with results of a given size."""

    def __init__(self, counter: Counter, nbytes: int):
        self.counter, self.nbytes = counter, nbytes

    def __call__(self, n: int) -> Any:
        result = np.full(self.nbytes, n % 256, np.uint8)
        self.counter.mark(n)
        return result


MB = 1 << 20


def most_in_flight(flow: Any, counter: Counter, nbytes: int) -> int:
    """The most bytes of results that had been made and not delivered, seen by a consumer that waits for workers."""
    most = 0
    delivered = 0
    for dp in flow:
        before = -1
        while (done := counter.done()) != before:  # until the workers have used up what they may
            before = done
            os.sched_yield()
            _settle()
        most = max(most, (done - delivered) * nbytes)
        delivered += len(dp) if dp.ndim == 2 else 1
    assert delivered == COUNT
    return most


def _settle() -> None:
    sum(range(200_000))


@pytest.mark.parametrize("budget_mb", [2, 8])
def test_bytes_in_flight_are_bounded(budget_mb: int, tmp_path: Path) -> None:
    counter = Counter(tmp_path / "cells")
    with hr.MultiProcessMapData(numbers(), 2, Makes(counter, MB // 2), buffer_bytes=budget_mb * MB) as flow:
        most = most_in_flight(flow, counter, MB // 2)
    assert MB // 2 <= most <= budget_mb * MB


def test_the_budget_holds_for_batches(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "cells")
    with hr.MultiProcessMapAndBatchData(
        numbers(), 2, Makes(counter, MB // 4), 4, buffer_size=100, buffer_bytes=4 * MB
    ) as flow:
        most = most_in_flight(flow, counter, MB // 4)
    assert most <= 4 * MB


@pytest.mark.parametrize("ordered", [True, False])
def test_one_datapoint_always_fits(ordered: bool, tmp_path: Path) -> None:
    counter = Counter(tmp_path / "cells")
    with hr.MultiProcessMapData(numbers(), 2, Makes(counter, MB), buffer_bytes=1, ordered=ordered) as flow:
        assert most_in_flight(flow, counter, MB) <= 2 * MB


def test_the_first_datapoints_do_not_break_the_budget(tmp_path: Path) -> None:
    """When nothing is known about sizes yet."""
    counter = Counter(tmp_path / "cells")
    with hr.MultiProcessMapData(numbers(), 2, Makes(counter, 4 * MB), buffer_bytes=8 * MB) as flow:
        running = iter(flow)
        next(running)
        assert counter.done() <= 2


def sized(n: int) -> Any:
    return np.zeros(3 * MB if n % 10 == 9 else 1000, np.uint8)


def test_results_of_mixed_sizes_are_exact_under_a_budget() -> None:
    with hr.MultiProcessMapData(numbers(), 2, sized, buffer_bytes=4 * MB) as flow:
        for _ in range(2):
            assert [len(dp) for dp in flow] == [len(sized(n)) for n in range(COUNT)]


# -- planned restarts


@pytest.mark.parametrize("most", [1, 10, 50])
@pytest.mark.parametrize("ordered", [True, False])
def test_workers_are_replaced_without_loss_and_without_warning(
    most: int, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with hr.MultiProcessMapData(numbers(), 2, pid_and_square, max_items_per_worker=most, ordered=ordered) as flow:
        done: collections.Counter[int] = collections.Counter()
        for _ in range(1 if most == 1 else 2):
            results = list(flow)
            assert sorted(n for _, n in results) == [n * n for n in range(COUNT)]
            assert not ordered or [n for _, n in results] == [n * n for n in range(COUNT)]
            done.update(pid for pid, _ in results)
    assert max(done.values()) <= most
    assert not caplog.records


def test_batches_are_exact_over_restarts(caplog: pytest.LogCaptureFixture) -> None:
    with hr.MultiProcessMapAndBatchData(numbers(), 2, square, 8, max_items_per_worker=20) as flow:
        before = set()
        for _ in range(2):
            assert [n for batch in flow for n in batch.tolist()] == [n * n for n in range(COUNT)]
            assert not before & set(worker_pids(flow))
            before = set(worker_pids(flow))
    assert not caplog.records


def test_arrays_of_workers_that_have_left_stay_valid() -> None:
    kept = []
    with hr.MultiProcessMapData(numbers(), 2, lambda n: np.full(50_000, n), max_items_per_worker=5) as flow:
        kept.extend(flow)
    assert all((array == n).all() for n, array in enumerate(kept))


@pytest.mark.parametrize("argument", ["buffer_bytes", "max_items_per_worker", "max_retries", "buffer_size"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("9", TypeError)])
def test_bad_limits_are_refused_by_name(argument: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=argument):
        hr.MultiProcessMapData(numbers(), 2, square, **{argument: value})


def test_the_cells_are_what_they_claim(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "cells")
    counter.mark(3)
    assert (counter.done(), struct.unpack_from("5B", counter.path.read_bytes())) == (1, (0, 0, 0, 1, 0))
