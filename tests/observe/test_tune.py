"""tune tries patterns, and picks one that is sound and fast."""

from __future__ import annotations

import functools
import json
import operator
import threading
import time

import numpy as np
import pytest
from pipelines import MANY, quick

import headrace as hr
from headrace.observe.tune import TuneRow, take_apart


def fetch(number: int) -> int:
    time.sleep(0.02)
    return number


def tune(ds, func, batch_size=None, **kwargs) -> hr.TuneResult:
    return hr.tune(ds, func, batch_size, progress=False, **{"seconds": 1, **kwargs})


def test_for_waiting_it_takes_workers() -> None:
    result = tune(range(MANY), fetch, seconds=3, max_workers=4)

    inline = next(row for row in result.rows if row.pattern == "inline")
    assert result.best.pattern in ("thread", "process", "runner")
    assert result.best.workers >= 2
    assert result.best.datapoints_per_s > 1.3 * inline.datapoints_per_s


def test_what_cannot_travel_is_not_sent_to_processes_and_the_row_says_why() -> None:
    lock = threading.Lock()

    def locked(number: int) -> int:
        with lock:
            return number

    result = tune(range(MANY), locked, max_workers=2)

    assert result.best.pattern in ("inline", "thread")
    for pattern in ("process", "runner"):
        row = next(row for row in result.rows if row.pattern == pattern)
        assert not row.ran
        assert "lock" in row.note
    ran = [row.datapoints_per_s for row in result.rows if row.ran]
    assert ran == sorted(ran, reverse=True)
    assert result.best.datapoints_per_s >= 0.9 * ran[0]
    assert all(row.cpu_s > 0 and row.first_s > 0 and row.memory_bytes > 0 for row in result.rows if row.ran)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["best"]["code"] == result.code
    assert len(plain["rows"]) == len(result.rows)
    assert result.code in " ".join(str(result).split())


def test_arrays_that_need_no_work_are_not_sent_to_processes() -> None:
    array = np.ones(10_000_000, np.uint8)
    result = tune(range(MANY), lambda _: array, max_workers=2)
    assert result.best.pattern in ("inline", "thread")


def test_with_a_batch_size_it_tries_batching_in_workers_and_builds_batches() -> None:
    result = tune(range(10_000), lambda n: [n], 4, max_workers=2)

    assert "map_and_batch" in {row.pattern for row in result.rows}
    with result.build(range(8)) as flow:
        assert sorted(n for (batch,) in flow for n in batch.tolist()) == list(range(8))


@pytest.mark.parametrize(
    ("pattern", "arguments", "batch_size"),
    [
        ("inline", {}, None),
        ("inline", {}, 2),
        ("thread", {"num_thread": 2}, None),
        ("thread", {"num_thread": 2, "buffer_size": 50}, 2),
        ("process", {"num_proc": 1}, 2),
        ("map_and_batch", {"num_proc": 1}, 2),
        ("runner", {"num_proc": 1}, 2),
    ],
)
def test_the_code_of_a_row_makes_what_it_builds(pattern, arguments, batch_size) -> None:
    row = TuneRow(pattern, arguments, quick, batch_size)
    ds = hr.DataFromList(list(range(8)), shuffle=False)

    built = row.build(ds)
    written = eval(row.code, {"hr": hr, "ds": ds, "quick": quick})

    assert repr(written) == repr(built)
    with built:
        expected = list(range(8)) if batch_size is None else [[0, 1], [2, 3], [4, 5], [6, 7]]
        assert [np.asarray(dp).tolist() for dp in built] == expected


class Adder:
    def __call__(self, n: int) -> int:
        return n + 1

    def add(self, n: int) -> int:
        return n + 1


@pytest.mark.parametrize(
    "func",
    [lambda n: n + 1, functools.partial(operator.add, 1), Adder(), Adder().add, (1).__add__],
    ids=["lambda", "partial", "object", "method", "builtin method"],
)
def test_in_the_code_a_function_without_a_name_of_its_own_is_map_func(func) -> None:
    row = TuneRow("thread", {"num_thread": 2}, func, None)
    with eval(row.code, {"hr": hr, "ds": range(3), "map_func": func}) as flow:
        assert list(flow) == [1, 2, 3]


def test_in_the_code_a_function_inside_a_function_has_the_name_that_it_has_there() -> None:
    def here(n: int) -> int:
        return n + 1

    assert TuneRow("inline", {}, here, None).code == "hr.MapData(ds, here)"


def test_a_pipeline_is_taken_apart() -> None:
    ds = hr.DataFromList([[1]] * 8)
    assert take_apart(hr.MapData(ds, quick)) == (ds, quick, None)
    assert take_apart(hr.BatchData(hr.MapData(ds, quick), 4)) == (ds, quick, 4)
    assert take_apart(hr.MultiThreadMapData(ds, 1, quick)) == (ds, quick, None)
    assert take_apart(hr.MultiProcessMapAndBatchData(ds, 1, quick, 2)) == (ds, quick, 2)
    assert take_apart(ds) is None
    assert take_apart(hr.BatchData(ds, 4)) is None


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((5, quick), TypeError, "expected a DataFlow or another iterable"),
        (([1], 5), TypeError, "the map function must be callable"),
        (([1], quick, 0), ValueError, "batch_size must be at least 1"),
        (([], quick), ValueError, "nothing to measure: the flow is empty"),
        ((iter([1, 2]), quick), ValueError, "can be iterated only once"),
        (([1, 0], lambda n: 1 / n), ZeroDivisionError, "division"),
    ],
)
def test_bad_input(arguments, error, text) -> None:
    with pytest.raises(error, match=text):
        tune(*arguments)
