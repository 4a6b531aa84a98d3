"""Fourteen situations in which other libraries hang, lose data or hide the error; docs/reliability.md has the table.

Each was first run against another library (named in the table with its version); here headrace is in the same
situation. The kills are real ones.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headrace as hr


def numbers(count: int) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


def dies_once_at(number: int, folder: Path) -> Callable[[int], int]:
    """A map function whose worker is killed by SIGKILL the first time it is given ``number``."""
    marker = folder / "died"

    def f(n: int) -> int:
        if n == number and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    return f


def squares(count: int) -> list[int]:
    return [n * n for n in range(count)]


def read_until_error(flow: hr.DataFlow) -> tuple[list[Any], Exception]:
    got: list[Any] = []
    with flow, pytest.raises(Exception) as caught:  # noqa: PT011, PT012  # the caller looks at it
        for dp in flow:
            got.append(dp)
    return got, caught.value


# -- 1 to 3, 9, 13: errors

SCRIPT = """
import headrace as hr

class MyError(Exception):
    pass

def f(n):
    if n == 3:
        raise MyError("no", n)
    return n

got = []
flow = hr.MultiProcessMapData(hr.DataFromList(range(10), shuffle=False), 2, f)
try:
    for dp in flow:
        got.append(dp)
except MyError as error:
    print(got, error.args)
"""


def test_1_exception_class_of_the_main_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    done = subprocess.run([sys.executable, script], capture_output=True, text=True)

    assert (done.stdout, done.stderr, done.returncode) == ("[0, 1, 2] ('no', 3)\n", "", 0)


def test_a_flow_that_only_its_iterator_holds_runs_to_its_end() -> None:
    # Found by the script above: the loop keeps the iterator, and nothing keeps the flow.
    got = []
    for dp in hr.MultiProcessMapData(numbers(10), 2, abs):
        got.append(dp)

    assert got == list(range(10))


class HoldsLock(Exception):
    def __init__(self, text: str):
        super().__init__(text)
        self.lock = threading.Lock()


def raises_lock(n: int) -> int:
    if n == 3:
        raise HoldsLock("cannot be pickled")
    return n


def test_2_exception_that_cannot_be_pickled() -> None:
    got, error = read_until_error(hr.MultiProcessMapData(numbers(10), 2, raises_lock))

    assert (got, type(error)) == ([0, 1, 2], hr.WorkerError)
    assert "HoldsLock" in str(error)
    assert "in raises_lock" in str(error)


def returns_lock(n: int) -> Any:
    return threading.Lock() if n == 3 else n


def test_3_result_that_cannot_be_pickled() -> None:
    got, error = read_until_error(hr.MultiProcessMapData(numbers(10), 2, returns_lock))

    assert (got, type(error)) == ([0, 1, 2], hr.SerializationError)
    assert "lock" in str(error)
    assert "datapoint 3 " in error.__notes__[-1]


def bad_sample(n: int) -> int:
    if n % 10 == 7:
        raise ValueError(f"sample {n} is bad")
    return n


def test_9_five_bad_samples_of_fifty_under_the_defaults() -> None:
    got, error = read_until_error(hr.MultiProcessMapData(numbers(50), 2, bad_sample))

    assert (got, type(error), error.args) == (list(range(7)), ValueError, ("sample 7 is bad",))


class TwoArguments(Exception):
    def __init__(self, path: str, line: int):
        super().__init__(path, line)
        self.line = line


def raises_two(n: int) -> int:
    raise TwoArguments("a.txt", n)


def test_13_exception_with_two_constructor_arguments() -> None:
    _, error = read_until_error(hr.MultiProcessMapData(numbers(5), 2, raises_two))

    assert isinstance(error, TwoArguments)
    assert (error.args, error.line) == (("a.txt", 0), 0)
    assert isinstance(error.__cause__, hr.RemoteTraceback)


# -- 4, 6 to 8, 10, 12, 14: kills


def test_4_worker_of_a_mapper_is_killed(tmp_path: Path) -> None:
    with hr.MultiProcessMapData(numbers(10), 2, dies_once_at(3, tmp_path)) as flow:
        assert list(flow) == squares(10)


def test_6_worker_of_a_runner_is_killed(tmp_path: Path) -> None:
    copied = hr.MapData(numbers(10), dies_once_at(3, tmp_path))
    with hr.MultiProcessRunnerZMQ(copied, 1) as flow:
        assert list(flow) == squares(10)


def test_7_ordered_mapper_loses_a_worker_at_item_5_of_50(tmp_path: Path) -> None:
    with hr.MultiProcessMapData(numbers(50), 2, dies_once_at(5, tmp_path), ordered=True) as flow:
        assert list(flow) == squares(50)


def test_8_one_of_two_parallel_stages_loses_a_worker(tmp_path: Path) -> None:
    first = hr.MultiProcessMapData(numbers(50), 2, dies_once_at(5, tmp_path))
    with hr.MultiThreadMapData(first, 2, lambda n: n + 1) as flow:
        assert list(flow) == [n + 1 for n in squares(50)]


def test_10_worker_started_by_spawn_is_killed(tmp_path: Path) -> None:
    with hr.MultiProcessMapData(numbers(10), 2, dies_once_at(2, tmp_path), start_method="spawn") as flow:
        assert list(flow) == squares(10)


def test_12_worker_that_makes_batches_is_killed(tmp_path: Path) -> None:
    with hr.MultiProcessMapAndBatchData(numbers(32), 2, dies_once_at(9, tmp_path), 8) as flow:
        assert [n for batch in flow for n in batch.tolist()] == squares(32)


def test_14_the_only_worker_is_killed(tmp_path: Path) -> None:
    with hr.MultiProcessMapData(numbers(10), 1, dies_once_at(3, tmp_path)) as flow:
        assert list(flow) == squares(10)


# -- 5: counts; 11: state


@pytest.mark.parametrize("num_proc", [1, 4])
def test_5_batches_of_8_from_110_do_not_depend_on_the_workers(num_proc: int) -> None:
    with hr.MultiProcessMapAndBatchData(numbers(110), num_proc, abs, 8) as flow:
        assert [n for batch in flow for n in batch.tolist()] == list(range(104))
    with hr.MultiProcessMapAndBatchData(numbers(110), num_proc, abs, 8, remainder=True) as flow:
        assert [n for batch in flow for n in batch.tolist()] == list(range(110))


def test_11_unordered_state_keeps_the_slow_item() -> None:
    others_done = threading.Event()

    def f(n: int) -> int:
        if n == 0:
            others_done.wait()
        return n

    def make() -> hr.DataFlow:
        return hr.MultiThreadMapData(numbers(20), 2, f, ordered=False)

    with make() as flow:
        first = list(itertools.islice(iter(running := iter(flow)), 6))
        state = json.loads(json.dumps(flow.state_dict()))
        others_done.set()
        del running
    with make() as flow:
        flow.load_state_dict(state)
        rest = list(flow)

    assert 0 not in first
    assert sorted(first + rest) == list(range(20))
