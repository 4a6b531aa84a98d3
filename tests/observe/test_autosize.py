"""num_proc="auto": the pool grows and shrinks while it runs, and no datapoint notices."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import headrace as hr
from headrace.observe.counters import Counters, Spent
from headrace.observe.machine import available_cores
from headrace.parallel.autosize import AutoSize

MANY = 1_000_000


class WaitsUntil:
    """A function that waits for each datapoint, as for a disk, until a file is there."""

    def __init__(self, flag: Path):
        self.flag = str(flag)

    def __call__(self, number: int) -> int:
        if not os.path.exists(self.flag):
            time.sleep(0.01)
        return number


@pytest.mark.parametrize("mapper", [hr.MultiThreadMapData, hr.MultiProcessMapData])
def test_it_grows_and_shrinks_without_losing_repeating_or_reordering(mapper, tmp_path: Path) -> None:
    flag = tmp_path / "quick"
    got, largest = [], 0
    with mapper(hr.DataFromList(range(MANY), shuffle=False), "auto", WaitsUntil(flag)) as flow:
        for number in flow:
            got.append(number)
            size = flow._runtime.pool.size
            if size >= 4 and not flag.exists():
                flag.touch()
            if flag.exists():
                largest = max(size, largest)
                if size < largest:
                    break
                time.sleep(0.001)  # now the consumer is the slow one
        assert got == list(range(len(got)))
        assert flow.stats().flows[-1].pool.replaced == 0


def test_workers_that_are_killed_while_it_grows_cost_nothing(tmp_path: Path) -> None:
    killed = []
    with hr.MultiProcessMapData(
        hr.DataFromList(range(MANY), shuffle=False), "auto", WaitsUntil(tmp_path / "x")
    ) as flow:
        got, rest = [], 30
        for number in flow:
            got.append(number)
            workers = list(flow._runtime.pool.workers.values())
            if len(workers) > 2 + len(killed) and len(killed) < 2:
                killed.append(workers[-1].handle.pid)
                os.kill(killed[-1], signal.SIGKILL)
            rest -= len(killed) == 2
            if not rest:
                break
        assert got == list(range(len(got)))


def test_batches_are_whole_whatever_the_pool_does(tmp_path: Path) -> None:
    flow = hr.MultiProcessMapAndBatchData(
        hr.DataFromList(range(300), shuffle=False), "auto", WaitsUntil(tmp_path / "x"), 8, remainder=True
    )
    with flow:
        assert [n for batch in flow for n in batch.tolist()] == list(range(300))


class Work:
    """A pool as its counters show it, without one."""

    def __init__(self, waits: float, busy: float, on_core: float):
        self.counters = Counters()
        self.now_s = 0.0
        self.waits, self.busy, self.on_core = waits, busy, on_core

    def passes(self, seconds: float, workers: int, rate: float) -> float:
        self.now_s += seconds
        self.counters.delivered += int(seconds * rate)
        self.counters.wait_s += seconds * self.waits
        spent = self.counters.spent
        busy_s = seconds * workers * self.busy
        self.counters.heard(
            0,
            Spent(
                spent.wait_s + seconds * workers - busy_s,
                0.0,
                spent.work_s + busy_s,
                0.0,
                spent.cpu_s + busy_s * self.on_core,
            ),
        )
        return self.now_s


def run(autosize: AutoSize, work: Work, workers: int, seconds: float, rate_of) -> list[int]:
    sizes = []
    for _ in range(int(seconds / 0.1)):
        workers = autosize.wish(work.passes(0.1, workers, rate_of(workers)), workers)
        sizes.append(workers)
    return sizes


def test_workers_that_wait_are_doubled_for_as_long_as_the_rate_follows() -> None:
    work = Work(waits=0.9, busy=0.95, on_core=0.05)
    sizes = run(AutoSize(work.counters, 32), work, 2, 10, lambda n: 100 * min(n, 8))
    assert max(sizes) == 16
    assert sizes[-1] == 8, "sixteen were no faster"
    assert sizes.count(16) < 10, "and are not tried again at once"


def test_workers_that_compute_get_no_more_than_there_are_processors() -> None:
    work = Work(waits=0.9, busy=0.95, on_core=1.0)
    sizes = run(AutoSize(work.counters, 1000), work, 1, 30, lambda n: 100 * n)
    assert max(sizes) == available_cores()


def test_idle_workers_are_sent_home() -> None:
    work = Work(waits=0.0, busy=0.1, on_core=1.0)
    assert run(AutoSize(work.counters, 32), work, 16, 10, lambda n: 1000)[-1] == 1


def test_a_balance_is_left_alone() -> None:
    work = Work(waits=0.05, busy=0.8, on_core=1.0)
    assert set(run(AutoSize(work.counters, 32), work, 3, 10, lambda n: 1000)) == {3}


@pytest.mark.parametrize(
    ("value", "error"), [("many", TypeError), (None, TypeError), (0, ValueError), (2.0, TypeError)]
)
def test_other_numbers_are_refused(value, error) -> None:
    for mapper in (hr.MultiProcessMapData, hr.MultiThreadMapData):
        with pytest.raises(error, match=r"num_(proc|thread) must be"):
            mapper([1], value, len)
