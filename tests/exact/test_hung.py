"""`item_timeout_s`: a datapoint that never comes back is found, told where, and follows `on_error`."""

from __future__ import annotations

import inspect
import itertools
import logging
import os
import threading
from pathlib import Path
from typing import Any

import crashes
import pytest
from crashes import Stuck, Waits, square

import headrace as hr

COUNT, AT = 24, 9
SQUARES = [n * n for n in range(COUNT)]


def numbers() -> hr.DataFlow:
    return hr.DataFromList(range(COUNT), shuffle=False)


def mapper(f: Any, **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessMapData(numbers(), 2, f, **kwargs)


def map_and_batch(f: Any, **kwargs: Any) -> hr.DataFlow:
    return hr.MultiProcessMapAndBatchData(numbers(), 2, f, 4, remainder=True, **kwargs)


def read(flow: hr.DataFlow) -> list[int]:
    return [int(n) for dp in flow for n in (dp if hasattr(dp, "shape") else [dp])]


def line_of(function: Any) -> str:
    lines, first = inspect.getsourcelines(function)
    return f"line {first + next(i for i, line in enumerate(lines) if 'looked for' in line)} in {function.__name__}"


@pytest.mark.parametrize(
    ("how", "function"), [("waiting", crashes.waits_for_ever), ("holding the GIL", crashes.matches_for_ever)]
)
@pytest.mark.parametrize("make", [mapper, map_and_batch])
def test_the_error_names_stage_worker_datapoint_and_line(
    make: Any, how: str, function: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(Stuck(how, AT, tmp_path), item_timeout_s=0.4) as flow:
        with pytest.raises(hr.ItemTimeoutError, match=rf"worker [01] .*datapoint {AT} .*0\.4 s") as error:
            read(flow)
        assert isinstance(error.value, TimeoutError)
        assert isinstance(error.value, hr.DataFlowError)
        assert type(flow).__name__ in error.value.__notes__[-1]
        assert line_of(function) in str(error.value)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR and f"datapoint {AT} " in r.getMessage()]
    assert type(flow).__name__ in record.getMessage()
    assert line_of(function) in record.getMessage()
    assert "crashes.py" in record.getMessage()


@pytest.mark.parametrize("make", [mapper, map_and_batch])
@pytest.mark.parametrize("replacement", [None, -1])
def test_it_follows_on_error(make: Any, replacement: int | None, tmp_path: Path) -> None:
    policy = "skip" if replacement is None else lambda error: replacement
    with make(Stuck("waiting", AT, tmp_path), item_timeout_s=0.4, on_error=policy) as flow:
        for _ in range(2):
            got = read(flow)
            assert sorted(got) == sorted([n for n in SQUARES if n != AT * AT] + [-1] * (replacement is not None))
            assert [(bad.index, type(bad.error)) for bad in flow.errors] == [(AT, hr.ItemTimeoutError)]


def test_order_is_kept(tmp_path: Path) -> None:
    with mapper(Stuck("waiting", AT, tmp_path), item_timeout_s=0.4, on_error="skip") as flow:
        assert read(flow) == [n for n in SQUARES if n != AT * AT]


def test_the_worker_is_replaced(tmp_path: Path) -> None:
    with mapper(Stuck("waiting", AT, tmp_path), item_timeout_s=0.4, on_error="skip") as flow:
        running = iter(flow)
        next(running)
        before = set(crashes.worker_pids(flow))
        list(running)
        after = set(crashes.worker_pids(flow))
    assert (len(after), len(after & before)) == (2, 1)


def test_it_is_found_while_other_workers_always_have_something(tmp_path: Path) -> None:
    """Unordered, and a consumer that is slower than the other worker: there is no moment with nothing to do."""
    stuck = Stuck("waiting", 0, tmp_path, always=False)
    flow = hr.MultiProcessMapData(
        numbers(), 2, stuck, item_timeout_s=0.4, on_error="skip", ordered=False, strict=False, buffer_size=8
    )
    slow = threading.Event()
    with flow:
        for _ in itertools.takewhile(lambda _: not flow.errors, itertools.islice(flow, 1500)):
            slow.wait(0.002)
        assert [bad.index for bad in flow.errors] == [0]


@pytest.mark.parametrize("item_timeout_s", [None, 30])
def test_a_slow_datapoint_is_no_error(item_timeout_s: float | None, tmp_path: Path) -> None:
    """Datapoint 0 takes longer than most of the others together (the next one waits behind it)."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with mapper(Waits(fifo), item_timeout_s=item_timeout_s, ordered=False) as flow:
        running = iter(flow)
        got = list(itertools.islice(running, COUNT // 2))
        fifo.write_bytes(b"go on")
        assert 0 not in got
        assert sorted(got + list(running)) == SQUARES


def test_a_slow_consumer_is_no_error() -> None:
    away = threading.Event()
    with mapper(square, item_timeout_s=0.3) as flow:
        got = []
        for dp in flow:
            got.append(dp)
            if len(got) % 8 == 1:
                away.wait(0.5)
        assert got == SQUARES


def test_a_worker_that_died_while_the_consumer_was_away_is_no_hung_one(caplog: pytest.LogCaptureFixture) -> None:
    away = threading.Event()
    with mapper(square, item_timeout_s=0.3, buffer_size=4) as flow:
        got = []
        for dp in flow:
            got.append(dp)
            if len(got) in (3, 9, 15):
                crashes.kill(crashes.worker_pids(flow))
                away.wait(0.5)
        assert got == SQUARES
    assert not [r for r in caplog.records if r.levelno > logging.WARNING]


def test_slow_start_of_a_worker_is_no_error() -> None:
    with mapper(square, item_timeout_s=0.3, start_method="spawn") as flow:
        assert read(flow) == SQUARES


@pytest.mark.parametrize("argument", ["item_timeout_s", "max_items_per_worker", "buffer_bytes", "max_retries"])
def test_threads_refuse_what_they_cannot_honour(argument: str) -> None:
    with pytest.raises(TypeError, match=argument):
        hr.MultiThreadMapData(numbers(), 2, square, **{argument: 5})
    with pytest.raises(TypeError, match=argument):
        hr.MultiThreadRunner(numbers, 2, 2, **{argument: 5})


@pytest.mark.parametrize("argument", ["item_timeout_s", "on_error", "max_errors", "ordered"])
@pytest.mark.parametrize("runner", [hr.MultiProcessRunnerZMQ, hr.MultiProcessRunner])
def test_runners_refuse_what_they_cannot_honour(runner: Any, argument: str) -> None:
    with pytest.raises(TypeError, match=argument):
        runner(numbers(), 2, 2, **{argument: 5})


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("5", TypeError)]
)
def test_bad_timeouts_are_refused_by_name(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="item_timeout_s"):
        mapper(square, item_timeout_s=value)
