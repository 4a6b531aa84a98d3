"""Whatever goes wrong in user code reaches the consumer: as it was, with where it was, and nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import contracts
import functions
import numpy as np
import pytest
from contracts import Face, ints

import headrace as hr


def read(flow: Any) -> tuple[list[Any], BaseException]:
    """What came before the exception, and the exception."""
    got: list[Any] = []
    with pytest.raises(BaseException) as caught:  # noqa: PT011, PT012
        for dp in flow:
            got.append(dp)
    assert not isinstance(caught.value, AssertionError)
    error = caught.value
    # Nothing of the traceback is looked at below, and it holds the flow.
    while caught.value.__traceback__ is not None:
        caught.value.__traceback__ = None
    del caught
    return got, error


@pytest.mark.parametrize("kind", functions.ERRORS)
def test_errors_of_the_function_arrive_as_they_were(mapper: Face, kind: str) -> None:
    make, expected, text = functions.ERRORS[kind]
    with mapper(ints(12), 2, functions.raise_at(5, make)) as flow:
        got, error = read(flow)

    assert got == [0, 1, 2, 3, 4]
    assert isinstance(error, expected)
    assert text in str(error)
    note = error.__notes__[-1]
    assert type(flow).__name__ in note
    assert "datapoint 5 " in note
    assert "worker " in note
    assert ("process " if mapper.in_process else "thread ") in note
    if isinstance(error, hr.WorkerError):
        assert kind.replace("Plain", "").replace("Huge", "ValueError") in str(error)
        assert "Traceback" in str(error)
    assert len(str(error)) < 25_000_000


def test_arguments_and_attributes_are_kept(mapper: Face) -> None:
    with mapper(ints(12), 2, functions.raise_at(5, functions.ERRORS["WithAttributes"][0])) as flow:
        _, error = read(flow)
    assert type(error) is functions.WithAttributes
    assert (error.args, error.extra) == (("text", 5), {"n": [5, "x"]})
    assert "my own note" in error.__notes__
    with mapper(ints(12), 2, functions.raise_at(5, functions.ERRORS["TwoArguments"][0])) as flow:
        _, error = read(flow)
    assert type(error) is functions.TwoArguments
    assert (error.path, error.line) == ("a.txt", 5)


def test_the_cause_is_the_traceback_in_the_worker(mapper: Face) -> None:
    with mapper(ints(12), 2, functions.raise_at(5, ValueError)) as flow:
        _, error = read(flow)
    assert type(error) is ValueError
    cause = error.__cause__
    assert isinstance(cause, hr.RemoteTraceback)
    assert "functions.py" in str(cause)
    assert "raise make(n)" in str(cause)
    assert "ValueError: 5" in str(cause)


def test_a_long_traceback_is_cut(mapper: Face) -> None:
    def deep(n: int) -> int:
        raise ValueError("x" * 1_000_000)

    with mapper(ints(2), 1, deep) as flow:
        _, error = read(flow)
    assert "characters left out" in str(error.__cause__)
    assert len(str(error.__cause__)) < 100_000


def test_system_exit_in_a_thread_is_an_error() -> None:
    with hr.MultiThreadMapData(ints(10), 2, functions.raise_at(5, SystemExit)) as flow:
        got, error = read(flow)
    assert got == [0, 1, 2, 3, 4]
    assert isinstance(error, hr.WorkerError)
    assert "SystemExit" in str(error)


def test_after_an_error_a_new_pass_is_exact(mapper: Face, tmp_path: Any) -> None:
    def once(n: int) -> int:
        if n == 20 and not (tmp_path / "raised").exists():
            (tmp_path / "raised").touch()
            raise ValueError("once")
        return n

    with mapper(ints(50), 2, once) as flow:
        got, error = read(flow)
        assert (got, type(error)) == (list(range(20)), ValueError)
        assert list(flow) == list(range(50))


def test_an_iterator_that_has_failed_is_at_its_end(mapper: Face) -> None:
    with mapper(ints(50), 2, functions.raise_at(3, ValueError)) as flow:
        it = iter(flow)
        read(it)
        with pytest.raises(StopIteration):
            next(it)


def test_the_first_error_in_the_order_of_the_input_is_raised(mapper: Face) -> None:
    def all_fail_from_10(n: int) -> int:
        if n >= 10:
            raise ValueError(n)
        return n

    with mapper(ints(50), 3, all_fail_from_10) as flow:
        for _ in range(3):
            got, error = read(flow)
            assert (got, error.args) == (list(range(10)), (10,))


def test_the_good_datapoints_of_a_failing_source_are_delivered(any_mapper: Face) -> None:
    if any_mapper.start_method == "fork":
        pytest.skip("is about the source, which is read here")
    for error in (ValueError, KeyError, OSError):
        with any_mapper(functions.Failing(23, error), 2, functions.same) as flow:
            got, raised = read(flow)
        assert got == list(range(23))
        assert type(raised) is error
        assert any("input of" in note and "datapoint 23" in note for note in raised.__notes__)


# -- runners


def failing_sources() -> dict[str, tuple[Callable[[], hr.DataFlow], type[BaseException], int]]:
    return {
        "at once": (lambda: functions.Failing(0), ValueError, 0),
        "midway": (lambda: functions.Failing(23), ValueError, 23),
        "KeyError": (lambda: functions.Failing(23, KeyError), KeyError, 23),
        "in a function": (lambda: hr.MapData(ints(50), functions.raise_at(7, TypeError)), TypeError, 7),
        "GeneratorExit": (lambda: functions.Failing(5, GeneratorExit), hr.WorkerError, 5),
        "KeyboardInterrupt": (lambda: functions.Failing(5, KeyboardInterrupt), hr.WorkerError, 5),
        "StopIteration": (lambda: functions.Failing(5, StopIteration), RuntimeError, 5),
        "reset_state": (functions.FailsToReset, OSError, 0),
        "HoldsLock": (lambda: functions.Failing(5, functions.HoldsLock), hr.WorkerError, 5),
    }


@pytest.mark.parametrize("kind", failing_sources())
def test_errors_of_a_copied_flow_come_after_its_good_datapoints(runner: Face, kind: str) -> None:
    make, expected, good = failing_sources()[kind]
    with runner(make, 1) as flow:
        for _ in range(2):
            got, error = read(flow)
            assert got == list(range(good))
            assert isinstance(error, expected)
            assert type(flow).__name__ in error.__notes__[-1]
            assert "worker 0" in error.__notes__[-1]


def test_error_in_one_of_several_copies(runner: Face) -> None:
    class OneFails(hr.DataFlow):
        def __iter__(self) -> Iterator[int]:
            info = hr.worker_info()
            assert info is not None
            for n in range(1000):
                if n == 20 and info.index == 1:
                    raise ValueError("copy 1")
                yield 10 * n + info.index

    with runner(OneFails, 3, shard=True) as flow:
        _, error = read(flow)
    assert type(error) is ValueError
    assert "copy 1" in error.__notes__[-1]


# -- what cannot be pickled


class Connection:
    def __init__(self) -> None:
        self.host = "example"
        self._lock = threading.Lock()


def unpicklable_functions() -> dict[str, tuple[Any, list[str]]]:
    connection = Connection()
    lock = threading.Lock()
    return {
        "closure": (lambda n: connection.host, ["closure variable 'connection'", "attribute '_lock'", "_thread.lock"]),
        "lock itself": (lambda n: lock, ["closure variable 'lock'", "_thread.lock"]),
        "default argument": (lambda n, c=connection: n, ["default argument", "attribute '_lock'"]),
        "partial": (__import__("functools").partial(lambda c, n: n, connection), ["argument 0 of partial", "'_lock'"]),
        "method": (_Method().method, ["object of method 'method'", "attribute 'connection'", "'_lock'"]),
        "in a list": (lambda n, c=[1, {"k": connection}]: n, ["element 1", "key 'k'", "'_lock'"]),
    }


class _Method:
    def __init__(self) -> None:
        self.connection = Connection()

    def method(self, n: int) -> int:
        return n


@pytest.mark.parametrize("kind", ["closure", "lock itself", "default argument", "partial", "method", "in a list"])
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_function_that_cannot_be_pickled_is_named_down_to_the_attribute(kind: str, start_method: str) -> None:
    function, texts = unpicklable_functions()[kind]
    flow = hr.MultiProcessMapData(ints(5), 2, function, start_method=start_method)
    _, error = read(flow)
    assert isinstance(error, hr.SerializationError)
    for text in ["map_func", *texts, "reset_state()", 'start_method="fork"']:
        assert text in str(error)
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')
def test_fork_takes_what_cannot_be_pickled() -> None:
    function, _ = unpicklable_functions()["closure"]
    with hr.MultiProcessMapData(ints(3), 2, function, start_method="fork") as flow:
        assert list(flow) == ["example"] * 3


def test_a_flow_that_cannot_be_pickled_is_named(process_runner: Face) -> None:
    flow = process_runner(hr.DataFromGenerator(n for n in range(3)), 1)
    _, error = read(flow)
    assert isinstance(error, hr.SerializationError)
    assert "generator" in str(error)
    assert str(error).startswith("ds")


@pytest.mark.parametrize("kind", ["lock", "attribute", "generator", "local function of a lock"])
def test_a_result_that_cannot_be_pickled_names_its_datapoint(process_mapper: Face, kind: str) -> None:
    def f(n: int) -> Any:
        if n != 17:
            return [n]
        lock = threading.Lock()
        return {
            "lock": [threading.Lock()],
            "attribute": {"connection": Connection()},
            "generator": (i for i in range(3)),
            "local function of a lock": [lambda lock=lock: lock],
        }[kind]

    with process_mapper(ints(40), 2, f) as flow:
        for _ in range(2):
            got, error = read(flow)
            assert got == [[n] for n in range(17)]
            assert isinstance(error, hr.SerializationError)
            assert "lock" in str(error) or "generator" in str(error)
            assert "datapoint 17 " in error.__notes__[-1]
    if kind == "attribute":
        assert "key 'connection', attribute '_lock'" in str(error)


@pytest.mark.parametrize("bad", [0, 13])
def test_an_input_that_cannot_be_pickled_names_its_datapoint(process_mapper: Face, bad: int) -> None:
    rows: list[Any] = [[n, {}] for n in range(40)]
    rows[bad][1]["lock"] = threading.Lock()
    with process_mapper(hr.DataFromList(rows, shuffle=False), 2, lambda n, extra: n) as flow:
        for _ in range(2):
            got, error = read(flow)
            assert got == list(range(bad))
            assert isinstance(error, hr.SerializationError)
            assert "element 1, key 'lock' is a _thread.lock" in str(error)
            assert f"this process, datapoint {bad} " in error.__notes__[-1]


def test_a_result_that_fails_to_unpickle_names_its_datapoint(process_mapper: Face) -> None:
    def f(n: int) -> Any:
        return [n, np.zeros(5000), functions.FailsAtHome() if n == 17 else None]

    with process_mapper(ints(40), 2, f) as flow:
        for _ in range(2):
            got, error = read(flow)
            assert [g[0] for g in got] == list(range(17))
            assert isinstance(error, LookupError)
            assert any("unpickling the results of datapoint 17" in note for note in error.__notes__)
            del got


def test_an_input_that_fails_to_unpickle_names_its_datapoint(process_mapper: Face) -> None:
    rows = [[n, np.zeros(5000), functions.FailsToLoad() if n == 17 else None] for n in range(40)]
    with process_mapper(hr.DataFromList(rows, shuffle=False), 2, lambda dp: dp[0]) as flow:
        for _ in range(2):
            got, error = read(flow)
            assert got == list(range(17))
            assert isinstance(error, LookupError)
            assert "datapoint 17 " in error.__notes__[-1]


@pytest.mark.parametrize("kind", ["result", "result at home", "input", "input there"])
def test_the_stream_stays_in_step_after_such_an_error(process_mapper: Face, kind: str) -> None:
    """Skip the bad datapoint: all others are there, each with its own result."""
    bad = {
        "result": lambda n: threading.Lock(),
        "result at home": lambda n: functions.FailsAtHome(),
    }.get(kind, lambda n: n)
    rows: list[Any] = list(range(60))
    if kind == "input":
        rows[33] = threading.Lock()
    if kind == "input there":
        rows[33] = functions.FailsToLoad()

    def f(n: Any) -> Any:
        return bad(n) if n == 33 else n

    with process_mapper(hr.DataFromList(rows, shuffle=False), 2, f, on_error="skip") as flow:
        for _ in range(2):
            assert list(flow) == [n for n in range(60) if n != 33]
            assert [e.index for e in flow.errors] == [33]


def test_a_copied_flow_whose_datapoint_cannot_be_pickled(process_runner: Face) -> None:
    class Locks(hr.DataFlow):
        def __iter__(self) -> Iterator[Any]:
            for n in range(10):
                yield threading.Lock() if n == 6 else n

    with process_runner(Locks, 1) as flow:
        got, error = read(flow)
    assert got == list(range(6))
    assert isinstance(error, hr.SerializationError)
    assert "_thread.lock" in str(error)


def test_a_function_that_fails_to_unpickle_in_the_worker(process_mapper: Face) -> None:
    bad = functions.FailsToLoad()
    flow = process_mapper(ints(5), 2, lambda n: bad)
    _, error = read(flow)
    assert isinstance(error, LookupError)
    assert any("was starting" in note for note in error.__notes__)


# -- bad datapoints that are skipped


def bad_every_tenth(n: int) -> int:
    if n % 10 == 3:
        raise ValueError(f"sample {n} is bad")
    return n


def test_skipped_datapoints_are_listed(mapper: Face, caplog: pytest.LogCaptureFixture) -> None:
    with mapper(ints(60), 2, bad_every_tenth, on_error="skip") as flow:
        for _ in range(2):
            assert list(flow) == [n for n in range(60) if n % 10 != 3]
            assert [e.index for e in flow.errors] == [3, 13, 23, 33, 43, 53]
            assert [e.error.args for e in flow.errors] == [(f"sample {n} is bad",) for n in range(3, 60, 10)]
    assert "bad datapoint 3" in caplog.text


def test_a_function_gives_what_takes_the_place_of_a_bad_datapoint(mapper: Face) -> None:
    with mapper(ints(20), 2, bad_every_tenth, on_error=lambda error: str(error)) as flow:
        assert [dp for dp in flow if isinstance(dp, str)] == ["sample 3 is bad", "sample 13 is bad"]
    with mapper(ints(20), 2, bad_every_tenth, on_error=lambda error: None) as flow:
        assert list(flow) == [n for n in range(20) if n % 10 != 3]


@pytest.mark.parametrize(("max_errors", "delivered"), [(0, 3), (2, 21), (0.05, 30), (6, None), (1.0, None)])
def test_too_many_bad_datapoints_are_an_error(mapper: Face, max_errors: Any, delivered: int | None) -> None:
    with mapper(ints(60), 2, bad_every_tenth, on_error="skip", max_errors=max_errors) as flow:
        if delivered is None:
            assert len(list(flow)) == 54
            return
        got, error = read(flow)
    assert isinstance(error, hr.TooManyErrors)
    assert isinstance(error.__cause__, ValueError)
    assert len(got) == delivered


def test_a_hung_worker_is_ended_and_its_stack_shown(process_mapper: Face, caplog: pytest.LogCaptureFixture) -> None:
    def hangs(n: int) -> int:
        if n == 7:
            contracts.pause(60)
        return n

    with process_mapper(ints(20), 2, hangs, item_timeout_s=0.5, on_error="skip") as flow:
        assert list(flow) == [n for n in range(20) if n != 7]
        (bad,) = flow.errors
    assert bad.index == 7
    assert isinstance(bad.error, hr.ItemTimeoutError)
    assert "hangs" in str(bad.error)
    assert "in pause" in caplog.text
