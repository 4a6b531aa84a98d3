"""Parallel flows in parallel flows."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import contracts
import functions
import psutil
import pytest
from contracts import ints, pids

import headrace as hr

threads = functools.partial(hr.MultiThreadMapData)
processes = functools.partial(hr.MultiProcessMapDataZMQ)


@pytest.mark.parametrize("outer", contracts.MAPPERS.values(), ids=contracts.MAPPERS)
@pytest.mark.parametrize("inner", contracts.MAPPERS.values(), ids=contracts.MAPPERS)
def test_mapper_over_mapper(outer: Any, inner: Any) -> None:
    with outer(inner(ints(60), 2, functions.square), 2, lambda n: n + 1) as flow:
        for _ in range(3):
            assert list(flow) == [n * n + 1 for n in range(60)]
            next(iter(flow))


@pytest.mark.parametrize("outer", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
@pytest.mark.parametrize("inner", contracts.MAPPERS.values(), ids=contracts.MAPPERS)
def test_runner_around_mapper(outer: Any, inner: Any) -> None:
    with outer(inner(ints(8), 2, functions.square, buffer_size=8), 1) as flow:
        assert [list(flow) for _ in range(3)] == [[n * n for n in range(8)]] * 3
        next(iter(flow))
        assert list(flow) == [n * n for n in range(8)]


@pytest.mark.parametrize("outer", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
@pytest.mark.parametrize("inner", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
def test_runner_in_runner(outer: Any, inner: Any) -> None:
    with outer(inner(ints(8), 1), 1) as flow:
        assert [list(flow) for _ in range(3)] == [list(range(8))] * 3


class Claims(hr.DataFlow):
    """Takes its share by itself."""

    def __iter__(self) -> Any:
        info = hr.worker_info()
        assert info is not None
        return iter(range(info.index, 30, info.count))


@pytest.mark.parametrize("outer", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
@pytest.mark.parametrize("inner", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
def test_shares_of_shares_are_exact(outer: Any, inner: Any) -> None:
    with outer(lambda: inner(hr.DataFromList(range(30)), 2, shard=True), 2, shard=True) as flow:
        assert [sorted(flow), sorted(flow)] == [list(range(30))] * 2


def test_a_share_of_a_share_is_claimed_by_worker_info() -> None:
    inner = hr.MultiThreadRunner(Claims, 4, 2, shard=True)
    with hr.MultiProcessRunnerZMQ(inner, 3, shard=True) as flow:
        assert sorted(flow) == list(range(30))


def uneven(n: int) -> int:
    time.sleep(random.random() * 0.004)
    return n


@pytest.mark.parametrize("how", ["saved", "killed"])
def test_a_copy_goes_on_exactly_over_a_mapper_that_need_not_keep_the_order(how: str) -> None:
    def make() -> hr.DataFlow:
        return hr.MultiProcessRunnerZMQ(threads(ints(200), 4, uneven, ordered=False), 1, shard=True)

    with make() as flow:
        running = iter(flow)
        got = [next(running) for _ in range(77)]
        if how == "killed":
            os.kill(pids(flow)[0], signal.SIGKILL)
            got.extend(running)
        saved = flow.state_dict()
    if how == "saved":
        with make() as flow:
            flow.load_state_dict(saved)
            got.extend(flow)
    assert sorted(got) == list(range(200))


def test_shares_above_a_mapper_that_need_not_keep_the_order() -> None:
    """A cache needs all datapoints, so each copy takes every second one of what comes out of it."""
    cached = hr.CacheData(threads(ints(60), 4, uneven, ordered=False))
    with hr.MultiProcessRunnerZMQ(cached, 2, shard=True) as flow:
        assert [sorted(flow), sorted(flow)] == [list(range(60))] * 2


class DrawGlobally:
    """Draws when more than two workers have come to their turn, and says in which process it was."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, n: int) -> tuple[int, float]:
        (self.folder / str(os.getpid())).touch()
        contracts.wait_until(lambda: len(list(self.folder.iterdir())) > 2, 30)
        return os.getpid(), random.random()


def test_workers_in_different_copies_do_not_draw_the_same_numbers(tmp_path: Path) -> None:
    with hr.MultiProcessRunnerZMQ(processes(ints(100), 2, DrawGlobally(tmp_path)), 2, shard=True) as flow:
        drawn = list(flow)
    assert len({pid for pid, _ in drawn}) > 2
    assert len({number for _, number in drawn}) == 100


@pytest.mark.parametrize("inner", contracts.RUNNERS.values(), ids=contracts.RUNNERS)
@pytest.mark.parametrize("outer", contracts.MAPPERS.values(), ids=contracts.MAPPERS)
def test_mapper_over_runner(outer: Any, inner: Any) -> None:
    with outer(inner(ints(20), 1), 2, functions.square) as flow:
        assert [list(flow), list(flow)] == [[n * n for n in range(20)]] * 2


@pytest.mark.parametrize("copies", [1, 3])
def test_shares_of_a_mapper_are_exact(runner: Any, copies: int) -> None:
    def make() -> hr.DataFlow:
        return hr.MultiThreadMapData(ints(30), 2, functions.square)

    with runner(make, copies, shard=True) as flow:
        for _ in range(2):
            assert sorted(flow) == [n * n for n in range(30)]


def test_three_levels_of_processes() -> None:
    flow = hr.MultiProcessRunnerZMQ(
        hr.MultiProcessRunner(hr.MultiProcessMapData(ints(6), 2, functions.square), 5, 1), 1
    )
    with flow:
        assert [list(flow), list(flow)] == [[n * n for n in range(6)]] * 2


def test_batches_around_and_below() -> None:
    batches = hr.BatchData(hr.MultiProcessMapData(ints(20), 2, functions.square), 5)
    with hr.MultiThreadMapData(batches, 2, lambda b: b.sum()) as flow:
        assert list(flow) == [sum(n * n for n in range(k, k + 5)) for k in range(0, 20, 5)]


def test_an_error_deep_inside_keeps_its_type_and_tells_its_way() -> None:
    inner = hr.MultiProcessMapData(ints(8), 2, functions.raise_at(5, functions.ERRORS["TwoArguments"][0]))
    with (
        hr.MultiProcessRunnerZMQ(inner, 1) as flow,
        pytest.raises(functions.TwoArguments, match=r"a\.txt:5") as caught,
    ):
        list(flow)
    assert "MultiProcessRunnerZMQ" in caught.value.__notes__[-1]
    assert "MultiProcessMapDataZMQ" in str(caught.value.__cause__)


def test_a_function_may_use_a_parallel_flow() -> None:
    def total(n: int) -> int:
        with hr.MultiProcessMapData(ints(n), 2, functions.square) as inside:
            return sum(inside)

    with hr.MultiProcessMapData(ints(5), 2, total) as flow:
        assert list(flow) == [sum(k * k for k in range(n)) for n in range(5)]


def test_close_ends_workers_of_workers() -> None:
    flow = hr.MultiProcessRunnerZMQ(hr.MultiProcessMapData(ints(1000), 2, functions.same, buffer_size=4), 2, shard=True)
    next(iter(flow))
    below = [p for pid in pids(flow) for p in psutil.Process(pid).children(recursive=True)]
    assert len(below) >= 4
    flow.close()
    assert psutil.wait_procs(below, timeout=5)[1] == []


def test_a_killed_runner_worker_takes_its_own_workers_along() -> None:
    flow = hr.MultiProcessRunnerZMQ(hr.MultiProcessMapData(ints(100), 2, functions.same, buffer_size=4), 1)
    it = iter(flow)
    got = [next(it) for _ in range(5)]
    (outer,) = pids(flow)
    below = psutil.Process(outer).children(recursive=True)
    assert len(below) >= 2
    os.kill(outer, signal.SIGKILL)
    assert psutil.wait_procs(below, timeout=5)[1] == []
    got.extend(it)
    assert got == list(range(100))
    flow.close()


KILLED = """
import sys
import headrace as hr
method = sys.argv[1]
def f(n):
    {body}
    return n
inner = hr.MultiProcessMapData(hr.DataFromList(range(100000), shuffle=False), 2, f, start_method=method, buffer_size=8)
middle = hr.MultiThreadMapData(inner, 2, lambda n: n)
flow = hr.MultiProcessRunnerZMQ(middle, 2, start_method=method, hwm=8, shard=True)
for n in flow:
    print("running", flush=True)
    {ours}
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("state", ["busy", "blocked"])
def test_kill_9_of_the_main_process_leaves_no_grandchild(tmp_path: Path, start_method: str, state: str) -> None:
    body = "while n > 50: pass" if state == "busy" else "pass"
    ours = "pass" if state == "busy" else "import signal; signal.pause()"
    script = contracts.Script(tmp_path, KILLED.format(body=body, ours=ours), start_method)
    script.read_line("running")
    contracts.wait_until(lambda: len(script.session()) >= 7)
    script.process.kill()
    script.end()
    assert script.process.returncode == -signal.SIGKILL
