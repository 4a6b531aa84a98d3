"""A worker that dies costs time, and nothing else."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import CAUSES, Deadly, DeadlyToLoad, Egg, SlowToLoad, kill, spans, square, worker_pids

import headrace as hr

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies')

COUNT, AT = 40, 17
SQUARES = [n * n for n in range(COUNT)]


def numbers(count: int = COUNT) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


def mapper(f: Callable[[Any], Any], **kwargs: Any) -> hr.DataFlow:
    as_objects = hr.DataFromList(list(range(COUNT)), shuffle=False)  # map_and_batch has a range, which travels as one
    return hr.MultiProcessMapData(as_objects, 2, f, **kwargs)


def map_and_batch(f: Callable[[Any], Any], **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessMapAndBatchData(numbers(), 2, f, 8, **kwargs)


def runner_zmq(f: Callable[[Any], Any], **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessRunnerZMQ(hr.MapData(numbers(), f), 1, **kwargs)


def runner_pipes(f: Callable[[Any], Any], **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessRunner(hr.MapData(numbers(), f), 8, 1, **kwargs)


def sharded(f: Callable[[Any], Any], **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessRunnerZMQ(hr.MapData(numbers(), f), 2, shard=True, **kwargs)


CLASSES = [mapper, map_and_batch, runner_zmq, runner_pipes, sharded]
MAPPERS = [mapper, map_and_batch]


def read(flow: hr.DataFlow) -> list[Any]:
    """One pass: batches taken apart, and what has no order sorted."""
    got = list(itertools.chain.from_iterable(dp.tolist() if isinstance(dp, np.ndarray) else [dp] for dp in flow))
    return sorted(got) if getattr(flow, "shard", False) else got


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "headrace" and r.levelno >= logging.WARNING]


def assert_one_warning(caplog: pytest.LogCaptureFixture, make: Any, cause: str) -> None:
    (warning,) = warnings_of(caplog)
    assert f" {CAUSES[cause]}" in warning
    assert "worker 0 (" in warning or "worker 1 (" in warning
    if make in MAPPERS:
        assert any(AT in span for span in spans(warning)), warning
    else:
        assert "copy" in warning


# -- the crash matrix: cause x moment x class x start method


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("make", CLASSES)
def test_death_in_the_function(make: Any, cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with make(Deadly(cause, AT, tmp_path)) as flow:
        assert read(flow) == SQUARES
    assert_one_warning(caplog, make, cause)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("make", [mapper, runner_zmq, runner_pipes, sharded])
def test_death_while_the_result_is_pickled(
    make: Any, cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(Deadly(cause, AT, tmp_path, moment="pickling")) as flow:
        assert read(flow) == SQUARES
    assert_one_warning(caplog, make, cause)


@pytest.mark.parametrize("cause", [c for c in CAUSES if c != "sys.exit"])  # which Python ignores in __del__
@pytest.mark.parametrize("make", CLASSES)
def test_death_while_garbage_is_collected(
    make: Any, cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(Deadly(cause, AT, tmp_path, moment="garbage")) as flow:
        assert read(flow) == SQUARES
    assert_one_warning(caplog, make, cause)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("make", MAPPERS)
def test_death_while_the_input_is_unpickled(
    make: Any, cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flow = make(square)
    flow.ds = hr.DataFromList([Egg(n, cause, AT, tmp_path) for n in range(COUNT)], shuffle=False)
    with flow:
        assert read(flow) == SQUARES
    assert_one_warning(caplog, make, cause)


@pytest.mark.parametrize("cause", CAUSES)
def test_death_in_the_middle_of_a_chunk(cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tiny datapoints travel in large groups; only one of them is deadly."""
    with hr.MultiProcessMapData(numbers(20_000), 2, Deadly(cause, 15_000, tmp_path)) as flow:
        assert list(flow) == [n * n for n in range(20_000)]
    (warning,) = warnings_of(caplog)
    assert any(15_000 in span for span in spans(warning))


@pytest.mark.parametrize("make", CLASSES)
def test_death_of_idle_workers(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    room = {mapper: {"buffer_size": 1}, map_and_batch: {"buffer_size": 8}, runner_zmq: {"hwm": 1}}
    with make(square, **room.get(make, {})) as flow:
        running = iter(flow)
        first = next(running)
        kill(worker_pids(flow))
        got = read_on(flow, first, running)
        assert got == SQUARES
    assert all("was killed by SIGKILL" in w for w in warnings_of(caplog))
    if make is mapper:  # only one of its two workers had anything to do
        assert any("it held no datapoints" in w for w in warnings_of(caplog))


def read_on(flow: hr.DataFlow, first: Any, running: Iterator[Any]) -> list[Any]:
    rest = itertools.chain([first], running)
    got = list(itertools.chain.from_iterable(dp.tolist() if isinstance(dp, np.ndarray) else [dp] for dp in rest))
    return sorted(got) if getattr(flow, "shard", False) else got


@pytest.mark.parametrize("make", CLASSES)
def test_death_between_passes(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with make(square) as flow:
        assert read(flow) == SQUARES
        pids = worker_pids(flow)
        kill(pids)
        assert read(flow) == SQUARES
        while set(pids) & set(worker_pids(flow)):  # several passes may be at hand
            assert read(flow) == SQUARES
    assert len(warnings_of(caplog)) == len(pids)


@pytest.mark.parametrize("make", CLASSES)
def test_death_from_outside_at_any_time(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with make(square) as flow:
        for _ in range(3):
            running = iter(flow)
            first = next(running)
            (pid, *_) = worker_pids(flow)
            kill([pid])
            assert read_on(flow, first, running) == SQUARES
            while pid in worker_pids(flow):  # it had nothing to do, and nobody has looked yet
                assert read(flow) == SQUARES
    assert len(warnings_of(caplog)) == 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("cause", ["SIGKILL", "exit 0"])
@pytest.mark.parametrize("make", [mapper, sharded])
def test_death_under_other_start_methods(
    make: Any, cause: str, method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(Deadly(cause, AT, tmp_path), start_method=method) as flow:
        assert read(flow) == SQUARES
        if method == "fork":
            kill(worker_pids(flow))
            assert read(flow) == SQUARES
            caplog.records[1:] = []
    assert_one_warning(caplog, make, cause)


@pytest.mark.parametrize("make", [mapper, runner_zmq, runner_pipes])
def test_a_worker_that_takes_long_to_start_is_not_dead(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with make(SlowToLoad(1.3)) as flow:
        assert read(flow) == SQUARES
    assert not caplog.records


# -- all at once


@pytest.mark.parametrize("make", CLASSES)
def test_all_workers_killed_at_once(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with make(square) as flow:
        running = iter(flow)
        first = next(running)
        pids = worker_pids(flow)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # so that none sees another one's death
        kill(pids)
        assert read_on(flow, first, running) == SQUARES
        assert read(flow) == SQUARES
    assert len(warnings_of(caplog)) == len(pids)


FORK_SERVER = """
import os, signal
import headrace as hr

flow = hr.MultiProcessMapData(range(40), 2, lambda n: n * n)
with flow:
    assert list(flow) == [n * n for n in range(40)]
    os.kill(flow._runtime.pool._executor._zygote._process.pid, signal.SIGKILL)
    for _ in range(5):
        assert list(flow) == [n * n for n in range(40)]
    print("usable")
"""


def test_the_fork_server_is_killed_too(tmp_path: Path) -> None:
    """Its workers die with it, and all are replaced."""
    script = tmp_path / "script.py"
    script.write_text(FORK_SERVER)

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=15)

    assert (done.returncode, done.stdout) == (0, "usable\n"), done.stderr
    assert done.stderr.count("ended together with the fork server") == 2


# -- what has been delivered


@pytest.mark.parametrize("make", MAPPERS)
def test_delivered_arrays_stay_valid(make: Any) -> None:
    kept = []
    flow = make(lambda n: np.full(60_000, n, np.uint16))
    with flow:
        for _ in range(2):
            for dp in flow:
                kept.extend(dp if dp.ndim == 2 else [dp])
                if len(kept) % 16 == 0:
                    kill(worker_pids(flow)[:1])
    assert [int(a[0]) for a in kept] == [*range(COUNT), *range(COUNT)]
    assert all((a == a[0]).all() for a in kept)


# -- how often


@pytest.mark.parametrize("max_retries", [1, 2, 3])
def test_a_poisonous_datapoint_ends_in_worker_died(
    max_retries: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    got = []
    with mapper(Deadly("SIGKILL", AT, tmp_path, always=True), max_retries=max_retries, buffer_size=1) as flow:
        with pytest.raises(hr.WorkerDied, match=rf"datapoint {AT} .*SIGKILL") as error:
            got.extend(flow)
        assert isinstance(error.value, hr.DataFlowError)
        assert got == SQUARES[:AT]
        assert len(warnings_of(caplog)) == max_retries
        with pytest.raises(hr.WorkerDied):  # the flow can be used again, and the datapoint is still poisonous
            read(flow)


def test_three_deaths_are_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mapper(Deadly("exit 0", AT, tmp_path, always=True), buffer_size=1) as flow, pytest.raises(hr.WorkerDied):
        read(flow)
    assert len(warnings_of(caplog)) == 3


@pytest.mark.parametrize("make", MAPPERS)
@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_a_poisonous_datapoint_follows_on_error(make: Any, on_error: str, tmp_path: Path) -> None:
    given: list[Exception] = []
    policy = "skip" if on_error == "skip" else lambda error: given.append(error) or -1
    kwargs = {"remainder": True} if make is map_and_batch else {}
    with make(Deadly("SIGKILL", AT, tmp_path, always=True), on_error=policy, **kwargs) as flow:
        got = read(flow)
        ((index, error),) = [(bad.index, bad.error) for bad in flow.errors]
    expected = list(SQUARES)
    expected[AT : AT + 1] = [] if on_error == "skip" else [-1]
    if make is map_and_batch and on_error == "skip":  # a batch with a gap waits until it is full
        got.sort()
    assert got == expected
    assert (index, type(error)) == (AT, hr.WorkerDied)
    assert given == ([] if on_error == "skip" else [error])


@pytest.mark.parametrize("make", [runner_zmq, runner_pipes, sharded])
def test_a_poisonous_copy_ends_in_worker_died(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        make(Deadly("exit 0", 0, tmp_path, always=True), max_retries=2) as flow,
        pytest.raises(hr.WorkerDied, match=r"copy 0 .*2 workers in a row.*exit code 0"),
    ):
        read(flow)
    assert len(warnings_of(caplog)) == 2


@pytest.mark.parametrize("make", CLASSES)
def test_workers_that_die_while_starting_are_not_started_for_ever(make: Any) -> None:
    with make(DeadlyToLoad()) as flow, pytest.raises(hr.WorkerDied, match=r"exit code 3"):
        read(flow)


def test_a_poisonous_neighbour_takes_nobody_with_it(tmp_path: Path) -> None:
    """Datapoints that lay in the same group as the deadly one are all delivered."""
    count, at = 5_000, 4_000
    with hr.MultiProcessMapData(
        numbers(count), 2, Deadly("SIGKILL", at, tmp_path, always=True), on_error="skip"
    ) as flow:
        assert list(flow) == [n * n for n in range(count) if n != at]
        assert [bad.index for bad in flow.errors] == [at]


@pytest.mark.parametrize("max_retries", [1, 3])
def test_a_neighbour_whose_answer_died_with_the_worker_is_not_blamed(max_retries: int, tmp_path: Path) -> None:
    """The worker has just answered the datapoint before; it dies before the answer has left."""
    for round_number in range(10):
        (folder := tmp_path / str(round_number)).mkdir()
        deadly = Deadly("exit 0", AT, folder, always=True)
        with mapper(deadly, on_error="skip", max_retries=max_retries, buffer_size=4) as flow:
            assert read(flow) == [n for n in SQUARES if n != AT * AT]
            assert [bad.index for bad in flow.errors] == [AT]


# -- runners: where a copy goes on


class Tagged(hr.RNGDataFlow):
    """A user's flow without state: resumed by replaying it."""

    def __init__(self, deadly: Deadly):
        self.deadly = deadly

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for n in range(COUNT):
            yield self.deadly(n), int(self.rng.randint(1 << 30))


@pytest.mark.parametrize("runner", ["zmq", "pipes"])
def test_a_copy_without_length_and_state_goes_on_by_replay(runner: str, tmp_path: Path) -> None:
    def take(cause_at: int) -> list[Any]:
        hr.seed(3)
        source = Tagged(Deadly("SIGKILL", cause_at, tmp_path))
        flow = hr.MultiProcessRunnerZMQ(source, 1) if runner == "zmq" else hr.MultiProcessRunner(source, 8, 1)
        with flow:
            return list(itertools.islice(flow, 2 * COUNT + 5))

    assert take(AT) == take(-1)


def test_a_random_copy_goes_on_with_the_same_random_numbers(tmp_path: Path) -> None:
    def take(at: int) -> list[Any]:
        hr.seed(3)
        shuffled = hr.LocallyShuffleData(hr.MapData(hr.DataFromList(range(COUNT)), Deadly("exit 3", at, tmp_path)), 7)
        with hr.MultiProcessRunnerZMQ(shuffled, 1) as flow:
            return [dp for _ in range(3) for dp in flow]

    assert take(AT) == take(-1)


# -- when it is noticed


@pytest.mark.parametrize("make", [mapper, runner_zmq, runner_pipes])
def test_a_death_is_noticed_while_there_is_always_something_to_deliver(make: Any) -> None:
    """A consumer that is slower than one worker alone, on a stream without end."""
    kwargs: dict[str, Any] = {"ordered": False, "strict": False, "buffer_size": 8} if make is mapper else {}
    slow = threading.Event()
    with make(square, **kwargs) as flow:
        running = itertools.chain.from_iterable(itertools.repeat(flow))
        next(running)
        before = set(worker_pids(flow))
        kill(worker_pids(flow)[:1])
        for _ in itertools.takewhile(lambda _: len(before & set(worker_pids(flow))) == len(before), running):
            slow.wait(0.002)
        assert len(worker_pids(flow)) == len(before)
        del running
