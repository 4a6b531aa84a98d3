"""`on_error`, `max_errors`, `flow.errors`: bad datapoints are skipped or replaced, counted, listed, limited."""

from __future__ import annotations

import collections.abc
import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from crashes import Bad, BadSample, HasLock, square

import headrace as hr

COUNT = 40
GOOD = [n * n for n in range(COUNT) if n % 10]


def numbers(count: int = COUNT) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=False)


def processes(ds: hr.DataFlow, f: Any, **kwargs: Any) -> Any:
    return hr.MultiProcessMapData(ds, 2, f, **kwargs)


def threads(ds: hr.DataFlow, f: Any, **kwargs: Any) -> Any:
    return hr.MultiThreadMapData(ds, 2, f, **kwargs)


def batches(ds: hr.DataFlow, f: Any, **kwargs: Any) -> Any:
    return hr.MultiProcessMapAndBatchData(ds, 2, f, 4, remainder=True, **kwargs)


MAPPERS = [processes, threads, batches]
all_mappers = pytest.mark.parametrize("make", MAPPERS)


def read(flow: hr.DataFlow) -> list[Any]:
    return [n for dp in flow for n in (dp.tolist() if isinstance(dp, np.ndarray) else [dp])]


def assert_same(make: Any, got: list[Any], expected: list[Any]) -> None:
    """Batches with a gap may come later, but nothing is lost or doubled."""
    if make is batches:
        got, expected = sorted(got), sorted(expected)
    assert got == expected


# -- the policies


@all_mappers
def test_skip_leaves_out_the_bad_and_nothing_else(make: Any) -> None:
    with make(numbers(), Bad(10), on_error="skip") as flow:
        for _ in range(2):
            assert_same(make, read(flow), GOOD)
            assert [bad.index for bad in flow.errors] == [0, 10, 20, 30]


@all_mappers
def test_a_function_decides_what_takes_the_place(make: Any) -> None:
    asked = []

    def policy(error: Exception) -> int | None:
        asked.append(error)
        return -error.n if error.n != 20 else None

    with make(numbers(), Bad(10), on_error=policy) as flow:
        got = read(flow)
        assert [bad.error for bad in flow.errors] == asked
    assert_same(make, got, [-n if n % 10 == 0 else n * n for n in range(COUNT) if n != 20])
    assert [error.n for error in asked] == [0, 10, 20, 30]


@all_mappers
def test_raise_is_the_default(make: Any) -> None:
    with make(numbers(), Bad(10)) as flow:
        with pytest.raises(BadSample) as error:
            read(flow)
        assert error.value.args == ("bad", 0)
        assert len(flow.errors) == 0


@all_mappers
def test_a_policy_that_raises_ends_the_pass_with_its_error(make: Any) -> None:
    def policy(error: Exception) -> None:
        raise KeyError("no idea") from error

    with make(numbers(), Bad(10), on_error=policy) as flow:
        for _ in range(2):
            with pytest.raises(KeyError, match="no idea") as error:
                read(flow)
            assert isinstance(error.value.__cause__, BadSample)


def test_batches_are_full_in_spite_of_bad_datapoints() -> None:
    with batches(numbers(), Bad(10), on_error="skip") as flow:
        assert [len(batch) for batch in flow] == [4] * 9


@pytest.mark.parametrize("error", ["unpicklable error", "unpicklable result", "StopIteration"])
def test_anything_that_goes_wrong_with_a_datapoint_can_be_skipped(error: str) -> None:
    with processes(numbers(), Bad(10, error), on_error="skip") as flow:
        assert read(flow) == GOOD
        kinds = {type(bad.error) for bad in flow.errors}
        assert len(flow.errors) == 4
    expected = {"unpicklable error": hr.WorkerError, "unpicklable result": hr.SerializationError}
    assert kinds == {expected.get(error, RuntimeError)}


class CannotArrive:
    def __init__(self, n: int):
        self.n = n

    def __reduce__(self) -> Any:
        return Bad(10), (self.n,)


def test_an_input_that_cannot_be_unpickled_can_be_skipped() -> None:
    with processes(
        hr.DataFromList([CannotArrive(n) for n in range(COUNT)], shuffle=False), abs, on_error="skip"
    ) as flow:
        assert read(flow) == GOOD
        assert [bad.index for bad in flow.errors] == [0, 10, 20, 30]


# -- the list


@all_mappers
def test_entries_have_the_index_and_the_original_exception(make: Any) -> None:
    with make(numbers(), Bad(10), on_error="skip") as flow:
        read(flow)
        entries = [(bad.index, type(bad.error), bad.error.args, bad.error.n) for bad in flow.errors]
    assert entries == [(n, BadSample, ("bad", n), n) for n in (0, 10, 20, 30)]


def test_the_cause_has_the_worker_s_traceback() -> None:
    with processes(numbers(), Bad(10), on_error="skip") as flow:
        read(flow)
        (first, *_) = flow.errors
    assert isinstance(first.error.__cause__, hr.RemoteTraceback)
    assert "crashes.py" in str(first.error.__cause__)
    assert "datapoint 0 " in first.error.__notes__[-1]


def test_it_is_a_sequence_for_the_current_or_last_pass() -> None:
    with processes(numbers(), Bad(10), on_error="skip") as flow:
        assert isinstance(flow.errors, collections.abc.Sequence)
        assert len(flow.errors) == 0
        running = iter(flow)
        next(running)
        assert [bad.index for bad in flow.errors] == [0]
        list(running)
        assert [bad.index for bad in flow.errors[1:3]] == [10, 20]
        assert flow.errors[-1].index == 30
        running = iter(flow)
        next(running)
        assert [bad.index for bad in flow.errors] == [0]


@all_mappers
def test_the_index_counts_inputs_in_spite_of_discards_and_shuffling(make: Any) -> None:
    hr.seed(5)
    shuffled = hr.DataFromList(range(COUNT))
    kept = hr.MapData(shuffled, lambda n: n if n % 3 else None)
    bad = Bad(10)
    with make(kept, lambda n: None if n % 4 == 1 else bad(n), on_error="skip") as flow:
        read(flow)
        found = {bad.index: bad.error.n for bad in flow.errors}
    hr.seed(5)
    inputs = list(
        hr.MultiThreadMapData(hr.MapData(hr.DataFromList(range(COUNT)), lambda n: n if n % 3 else None), 1, abs)
    )
    assert found == {index: n for index, n in enumerate(inputs) if n % 10 == 0}
    assert len(found) == 2


def test_unordered_they_are_listed_once_each() -> None:
    with processes(numbers(), Bad(10), on_error="skip", ordered=False) as flow:
        assert sorted(read(flow)) == GOOD
        assert sorted(bad.index for bad in flow.errors) == [0, 10, 20, 30]


def test_a_pass_without_a_good_datapoint_is_empty() -> None:
    with processes(numbers(), Bad(1), on_error="skip") as flow:
        assert read(flow) == []
        assert len(flow.errors) == COUNT


# -- the limit


@all_mappers
def test_max_errors_may_be_reached_but_not_exceeded(make: Any) -> None:
    with make(numbers(), Bad(10), on_error="skip", max_errors=4) as flow:
        assert_same(make, read(flow), GOOD)
    with make(numbers(), Bad(10), on_error="skip", max_errors=3) as flow:
        with pytest.raises(hr.TooManyErrors, match=r"4 datapoints have failed, max_errors=3; the last one is 30") as e:
            read(flow)
        assert isinstance(e.value, hr.DataFlowError)
        assert isinstance(e.value.__cause__, BadSample)
        assert e.value.__cause__.args == ("bad", 30)


def test_a_fraction_is_of_the_pass() -> None:
    with processes(numbers(), Bad(10), on_error="skip", max_errors=0.1) as flow:
        assert read(flow) == GOOD
    with processes(numbers(), Bad(10), on_error="skip", max_errors=0.09) as flow, pytest.raises(hr.TooManyErrors):
        read(flow)


def test_a_fraction_may_be_reached_exactly() -> None:
    def divide(number: int) -> float:
        return 1 / max(0, number - 28)  # 29 of them fail; and 0.29 * 100 is 28.999999999999996

    with threads(hr.DataFromList(range(100), shuffle=False), divide, on_error="skip", max_errors=0.29) as flow:
        assert len(read(flow)) == 71


class Endless(hr.DataFlow):
    def __iter__(self) -> Iterator[int]:
        return iter(range(1, 400))


@pytest.mark.parametrize(("fraction", "enough"), [(0.11, True), (0.05, False)])
def test_a_fraction_without_length_is_of_what_has_come(fraction: float, enough: bool) -> None:
    with threads(Endless(), Bad(10), on_error="skip", max_errors=fraction) as flow:
        if enough:
            assert len(read(flow)) == 399 - 39
        else:
            with pytest.raises(hr.TooManyErrors):
                read(flow)


def test_the_count_begins_anew_in_each_pass() -> None:
    with threads(numbers(), Bad(10), on_error="skip", max_errors=4) as flow:
        assert [len(read(flow)) for _ in range(3)] == [36] * 3


# -- the log


def test_the_log_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    with threads(numbers(1000), Bad(2), on_error="skip") as flow:
        read(flow)
    messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "bad datapoint 0, number 1 of this pass: BadSample" in messages[0]
    assert 5 <= len(messages) <= 20


# -- the state


def resumed_after(make: Any, taken: int, f: Any, **kwargs: Any) -> tuple[list[Any], Any]:
    with make(numbers(), f, **kwargs) as flow:
        running = iter(flow)
        got = [int(n) for dp in itertools.islice(running, taken) for n in np.atleast_1d(dp)]
        state = json.loads(json.dumps(flow.state_dict()))
        del running
    again = make(numbers(), f, **kwargs)
    again.load_state_dict(state)
    return got, again


@all_mappers
@pytest.mark.parametrize("taken", [1, 5, 9])
def test_errors_are_part_of_the_state(make: Any, taken: int) -> None:
    got, flow = resumed_after(make, taken, Bad(10), on_error="skip")
    with flow:
        got += read(flow)
        assert_same(make, got, GOOD)
        assert [bad.index for bad in flow.errors] == [0, 10, 20, 30]
        assert "BadSample" in str(flow.errors[0].error)


@all_mappers
def test_max_errors_counts_those_before_the_resume(make: Any) -> None:
    _, flow = resumed_after(make, 4, Bad(10), on_error="skip", max_errors=3)
    with flow, pytest.raises(hr.TooManyErrors, match="4 datapoints have failed"):
        read(flow)


def test_ten_thousand_are_listed_and_all_are_counted() -> None:
    def endless() -> Iterator[int]:
        yield from itertools.count(1)

    def make() -> Any:
        return threads(hr.DataFromGenerator(endless), Bad(1), on_error="skip", max_errors=12_000)

    with make() as flow:
        with pytest.raises(hr.TooManyErrors, match="12001 datapoints have failed"):
            list(flow)
        assert (len(flow.errors), flow.errors.total) == (10_000, 12_001)
        assert flow.errors[-1].index == 9_999
        assert repr(flow.errors).startswith("<12001 bad datapoints: 0, 1, 2, ")
        assert repr(flow.errors).endswith("19, ...>")


def test_a_state_counts_those_that_are_not_listed() -> None:
    def make() -> Any:
        return threads(numbers(11_000), lambda n: 1 // max(0, n - 10_200), on_error="skip", max_errors=10_201)

    with make() as flow:
        assert next(iter(flow)) == 1
        state = json.loads(json.dumps(flow.state_dict()))
    with make() as flow:
        flow.load_state_dict(state)
        assert len(list(flow)) == 798
        assert (len(flow.errors), flow.errors.total) == (10_000, 10_201)


# -- bad arguments


@all_mappers
@pytest.mark.parametrize("value", ["ignore", None, 3])
def test_unknown_on_error_is_refused_with_the_choices(make: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r'on_error must be "raise", "skip" or a function of the exception'):
        make(numbers(), square, on_error=value)


@all_mappers
@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (-0.5, ValueError), (1.5, ValueError), ("3", TypeError), (True, TypeError)]
)
def test_bad_max_errors_is_refused_by_name(make: Any, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_errors"):
        make(numbers(), square, on_error="skip", max_errors=value)


@all_mappers
def test_max_errors_without_a_policy_is_refused_with_the_remedy(make: Any) -> None:
    with pytest.raises(ValueError, match=r'max_errors=3 needs on_error="skip"'):
        make(numbers(), square, max_errors=3)


def test_the_exceptions_of_this_file_are_what_they_claim() -> None:
    assert (BadSample("a", 1).args, HasLock(1).args) == (("a", 1), (1,))
