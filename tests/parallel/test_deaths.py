"""A worker that dies takes nothing with it: its datapoints are redone, in order, and one warning says so."""

# ruff: noqa: PT012 - what came before the exception is looked at, too

from __future__ import annotations

import itertools
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contracts
import functions
import numpy as np
import psutil
import pytest
from contracts import Face, ints, pids, wait_until

import headrace as hr
from headrace.parallel.executors.zygote import Zygote

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')

SQUARES = [n * n for n in range(200)]


def kill(pid: int) -> None:
    """Kill, and wait for the end."""
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and r.name == "headrace"]


@pytest.mark.parametrize("how", functions.DEATHS)
def test_the_pass_is_exact_whatever_ends_a_worker(
    process_mapper: Face, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with process_mapper(ints(200), 2, functions.die_at(77, functions.DEATHS[how], tmp_path)) as flow:
        assert list(flow) == SQUARES
        (warning,) = warnings_of(caplog)
        assert list(flow) == SQUARES
        assert len(pids(flow)) == 2
    assert type(flow).__name__ in warning
    assert "worker " in warning
    words = {
        "SIGKILL": "killed by SIGKILL",
        "SIGTERM": "killed by SIGTERM",
        "os._exit(0)": "exit code 0",
        "os._exit(3)": "exit code 3",
        "sys.exit": "exit code 4",
        "sys.exit()": "exit code 0",
        "segfault": "killed by SIGSEGV",
        "abort": "killed by SIGABRT",
    }
    assert words[how] in warning or not process_mapper.tells_how


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["SIGKILL", "sys.exit"])
def test_the_same_under_other_start_methods(start_method: str, how: str, tmp_path: Path) -> None:
    function = functions.die_at(77, functions.DEATHS[how], tmp_path)
    with hr.MultiProcessMapData(ints(200), 2, function, start_method=start_method) as flow:
        assert [list(flow), list(flow)] == [SQUARES, SQUARES]


def test_batches_are_exact_whatever_ends_a_worker(batcher: Face, tmp_path: Path) -> None:
    with batcher(ints(200), 2, functions.die_at(77, os.abort, tmp_path), 8) as flow:
        assert [n for batch in flow for n in batch.tolist()] == SQUARES


def test_unordered_is_exact_too(process_mapper: Face, tmp_path: Path) -> None:
    with process_mapper(ints(200), 2, functions.die_at(77, os.abort, tmp_path), ordered=False) as flow:
        assert sorted(flow) == SQUARES


def test_death_in_pickling_a_result(process_mapper: Face, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    with process_mapper(ints(50), 2, lambda n: functions.DiesWhilePickled(marker) if n == 20 else n) as flow:
        assert list(flow) == [7 if n == 20 else n for n in range(50)]


def test_death_in_unpickling_an_input_ends_with_a_clear_error(process_mapper: Face) -> None:
    rows = [functions.ExitsOnArrival() if n == 20 else n for n in range(40)]
    got = []
    with (
        process_mapper(hr.DataFromList(rows, shuffle=False), 2, functions.same) as flow,
        pytest.raises(hr.WorkerDied, match="datapoint 20 has ended 3 workers"),
    ):
        for dp in flow:
            got.append(dp)
    assert got == list(range(20))


@pytest.mark.parametrize("how", ["SIGKILL", "os._exit(0)", "segfault"])
def test_a_poisonous_datapoint_is_named(process_mapper: Face, how: str) -> None:
    got = []
    flow = process_mapper(ints(200), 2, functions.die_at(77, functions.DEATHS[how], None))
    with flow, pytest.raises(hr.WorkerDied, match=r"datapoint 77 has ended 3 workers in a row; the last: .*") as caught:
        for dp in flow:
            got.append(dp)
    assert got == SQUARES[:77]
    assert "datapoint 77 " in caught.value.__notes__[-1]


def test_a_poisonous_datapoint_can_be_skipped(process_mapper: Face) -> None:
    function = functions.die_at(77, functions.DEATHS["SIGKILL"], None)
    with process_mapper(ints(200), 2, function, on_error="skip", max_retries=1) as flow:
        assert list(flow) == SQUARES[:77] + SQUARES[78:]
        (bad,) = flow.errors
    assert bad.index == 77
    assert isinstance(bad.error, hr.WorkerDied)


# -- killed from outside


def test_killed_while_running(process_mapper: Face, caplog: pytest.LogCaptureFixture) -> None:
    with process_mapper(ints(200), 2, functions.square, buffer_size=10) as flow:
        got = []
        for dp in flow:
            got.append(dp)
            if len(got) in (1, 50, 51, 120, 199):
                kill(pids(flow)[len(got) % 2])
        assert got == SQUARES
        assert list(flow) == SQUARES
    assert 4 <= len(warnings_of(caplog)) <= 5


def test_killed_between_passes_and_before_the_first_datapoint(process_mapper: Face) -> None:
    with process_mapper(ints(200), 2, functions.square) as flow:
        it = iter(flow)
        kill(pids(flow)[0])
        assert list(it) == SQUARES
        for _ in range(3):
            kill(pids(flow)[1])
            assert list(flow) == SQUARES
        next(iter(flow))
        for pid in pids(flow):
            kill(pid)
        assert list(flow) == SQUARES


@pytest.mark.parametrize("workers", [1, 4])
def test_all_workers_killed_at_once(process_mapper: Face, workers: int) -> None:
    with process_mapper(ints(200), workers, functions.square, buffer_size=20) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 60))
        workers_now = pids(flow)
        for pid in workers_now:
            os.kill(pid, signal.SIGKILL)
        got.extend(it)
        assert got == SQUARES
        assert not set(pids(flow)) & set(workers_now)


def test_killed_while_the_consumer_waits(process_mapper: Face, tmp_path: Path) -> None:
    """The death itself wakes the consumer."""

    def once_stuck(n: int) -> int:
        if n == 5 and not (tmp_path / "pid").exists():
            (tmp_path / "writing").write_text(str(os.getpid()))
            (tmp_path / "writing").rename(tmp_path / "pid")
            contracts.pause(60)
        return n * n

    import threading

    def killer() -> None:
        wait_until((tmp_path / "pid").exists)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    thread = threading.Thread(target=killer)
    thread.start()
    with process_mapper(ints(200), 2, once_stuck) as flow:
        assert list(flow) == SQUARES
    thread.join()


def test_stopped_workers_can_be_closed(process_mapper: Face) -> None:
    flow = process_mapper(ints(200), 2, functions.square, buffer_size=10)
    next(iter(flow))
    workers = [psutil.Process(pid) for pid in pids(flow)]
    for worker in workers:
        worker.suspend()
    flow.close()
    contracts.wait_for_ends(workers)


def test_arrays_of_a_dead_worker_stay_as_they_are(process_mapper: Face) -> None:
    with process_mapper(ints(60), 2, lambda n: np.full(50_000, n), buffer_size=8) as flow:
        kept = []
        for array in flow:
            kept.append(array)
            if len(kept) % 20 == 10:
                for pid in pids(flow):
                    kill(pid)
    assert [(a == n).all() for n, a in enumerate(kept)] == [True] * 60


def test_leaky_workers_are_replaced_without_a_word(process_mapper: Face, caplog: pytest.LogCaptureFixture) -> None:
    """Each datapoint is mapped once: what a leaving worker has said last is not lost."""
    with process_mapper(ints(200), 2, lambda n: (n, os.getpid(), bytes(100_000)), max_items_per_worker=7) as flow:
        for _ in range(2):
            got = [dp[:2] for dp in flow]
            assert [n for n, _ in got] == list(range(200))
            assert len({pid for _, pid in got}) >= 10
    assert warnings_of(caplog) == []


# -- at the start


def test_workers_that_die_while_starting_are_a_clear_error(process_mapper: Face) -> None:
    bomb = functions.ExitsOnArrival()
    flow = process_mapper(ints(5), 2, lambda n: bomb)
    with pytest.raises(
        hr.WorkerDied, match="exit code 7 while starting" if process_mapper.tells_how else "while starting"
    ):
        list(flow)


@pytest.mark.parametrize("moment", ["running", "idle"])
def test_the_fork_server_is_killed(process_mapper: Face, moment: str) -> None:
    """It takes its workers along. There is another one, and the pass is exact, and so is the next."""
    flow = process_mapper(ints(200), 2, functions.square, buffer_size=10)
    it = iter(flow)
    got = list(itertools.islice(it, 200 if moment == "idle" else 30))
    if moment == "idle":
        assert list(it) == []
    zygote = Zygote._current
    assert zygote is not None
    workers = [psutil.Process(pid) for pid in pids(flow)]
    zygote._process.kill()
    psutil.wait_procs(workers, timeout=5)
    it = iter(flow) if moment == "idle" else it
    got = [] if moment == "idle" else got
    got.extend(it)
    assert got == SQUARES
    del it
    assert list(flow) == SQUARES
    flow.close()


# -- runners


@pytest.mark.parametrize("how", ["SIGKILL", "os._exit(0)", "segfault", "sys.exit"])
def test_a_copy_goes_on_in_another_worker(process_runner: Face, how: str, tmp_path: Path) -> None:
    copied = hr.MapData(ints(200), functions.die_at(77, functions.DEATHS[how], tmp_path))
    with process_runner(copied, 1) as flow:
        assert [list(flow), list(flow)] == [SQUARES, SQUARES]


def test_a_copy_killed_from_outside_goes_on(process_runner: Face) -> None:
    with process_runner(ints(200), 1, buffer=4) as flow:
        for _ in range(2):
            got = []
            for dp in flow:
                got.append(dp)
                if len(got) in (1, 100):
                    kill(pids(flow)[0])
            assert got == list(range(200))
            kill(pids(flow)[0])


def test_shares_stay_exact_when_copies_are_killed(process_runner: Face) -> None:
    with process_runner(ints(300), 3, shard=True, buffer=4) as flow:
        got = []
        for dp in flow:
            got.append(dp)
            if len(got) in (30, 150):
                kill(pids(flow)[len(got) % 3])
        assert sorted(got) == list(range(300))


def test_a_copy_that_always_dies_at_the_same_place_is_a_clear_error(process_runner: Face) -> None:
    copied = hr.MapData(ints(200), functions.die_at(77, functions.DEATHS["SIGKILL"], None))
    got = []
    with process_runner(copied, 1) as flow, pytest.raises(hr.WorkerDied, match="copy 0 has ended 3 workers"):
        for dp in flow:
            got.append(dp)
    assert got == SQUARES[: len(got)]


def test_a_copied_flow_without_state_is_read_again_up_to_its_place(process_runner: Face, tmp_path: Path) -> None:
    class Plain(hr.DataFlow):
        def __iter__(self) -> Iterator[int]:
            for n in range(100):
                if n == 50 and not (tmp_path / "died").exists():
                    (tmp_path / "died").touch()
                    os._exit(1)
                yield n

    with process_runner(Plain, 1, shard=True) as flow:
        assert list(flow) == list(range(100))


def test_a_killed_worker_below_another_flow(process_runner: Face, tmp_path: Path) -> None:
    inner: Any = hr.MultiProcessMapData(ints(200), 2, functions.die_at(77, os.abort, tmp_path))
    with process_runner(inner, 1) as flow:
        assert [list(flow), list(flow)] == [SQUARES, SQUARES]
