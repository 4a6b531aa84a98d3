"""What every mapper promises, over threads, and over processes with either transport."""

# ruff: noqa: PT012 - what came before the exception is looked at, too

from __future__ import annotations

import collections
import enum
import functools
import gc
import inspect
import itertools
import multiprocessing
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

import contracts
import functions
import numpy as np
import psutil
import pytest
from contracts import Face, ints, pids, wait_until

import headrace as hr

# pytest-timeout has a thread; here it holds no lock that a worker needs.
pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')


# -- exactness and order


def repr_of_type(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}"


def test_three_passes_equal_mapdata_in_order(any_mapper: Face) -> None:
    expected = list(hr.MapData(ints(137), functions.square))

    with any_mapper(ints(137), 2, functions.square) as flow:
        assert [list(flow) for _ in range(3)] == [expected] * 3
        assert len(flow) == 137


@pytest.mark.parametrize(
    "sequence",
    [range(100_000), range(50_000, -50_000, -3), range(7), range(0), list(range(30_000)), ("a", None, (1, 2)) * 50],
    ids=repr_of_type,
)
@pytest.mark.parametrize("source", [hr.DataFromIterable, functools.partial(hr.DataFromList, shuffle=False)])
def test_sequences_of_any_kind_and_length(mapper: Face, source: Any, sequence: Any) -> None:
    with mapper(source(sequence), 2, functions.boxed) as flow:
        for _ in range(2):
            assert list(flow) == [[one] for one in sequence]
    with mapper(source(sequence), 2, functions.boxed) as flow:
        running = iter(flow)
        begun = [next(running) for _ in range(len(sequence) // 2)]
        state = flow.state_dict()
        assert state == flow.state_dict()
        running.close()
        flow.load_state_dict(state)
        assert begun + list(flow) == [[one] for one in sequence]


class SaysItHas(hr.DataFlow):
    """100 datapoints, or so it says."""

    def __init__(self, length: int | None):
        self.length = length

    def __iter__(self) -> Any:
        return iter(range(100))

    def __len__(self) -> int:
        if self.length is None:
            raise NotImplementedError
        return self.length


@pytest.mark.parametrize("length", [0, 3, 99, 100, 10**6, None])
def test_an_input_gives_what_it_gives_whatever_it_says_of_its_length(mapper: Face, length: int | None) -> None:
    with mapper(SaysItHas(length), 2, functions.square) as flow:
        assert [list(map(int, flow)) for _ in range(2)] == [[n * n for n in range(100)]] * 2


def test_each_pass_follows_the_input_of_that_pass(mapper: Face) -> None:
    """A shuffled input is in another order in each pass, the same as under MapData."""
    hr.seed(11)
    plain = hr.MapData(hr.DataFromList(range(50)), functions.square)
    expected = [list(plain) for _ in range(3)]

    with mapper(hr.DataFromList(range(50)), 2, functions.square) as flow:
        assert [list(flow) for _ in range(3)] == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize("workers", [1, 3])
def test_unordered_gives_each_datapoint_once(mapper: Face, workers: int) -> None:
    def uneven(n: int) -> int:
        if n % 17 == 0:
            contracts.pause(0.005)
        return n

    with mapper(ints(200), workers, uneven, ordered=False, buffer_size=20) as flow:
        for _ in range(3):
            assert sorted(flow) == list(range(200))


def test_a_slow_datapoint_does_not_stop_the_other_workers(mapper: Face, tmp_path: Path) -> None:
    """Datapoint 0 waits until the other worker has done 20 others."""

    def f(n: int) -> int:
        if n == 0:
            wait_until(lambda: len(list(tmp_path.iterdir())) >= 20)
        else:
            (tmp_path / str(n)).touch()
        return n

    with mapper(ints(60), 2, f, buffer_size=40) as flow:
        assert list(flow) == list(range(60))


def test_a_function_that_becomes_slow_does_not_keep_back_what_it_has_done(mapper: Face, tmp_path: Path) -> None:
    """Tasks have grown to thousands of datapoints by then; what a worker has not begun goes to all of them."""
    done = tmp_path / "done"
    with mapper(ints(100_000), 2, functions.Slows(30_000, done)) as flow:
        running = iter(flow)
        assert list(itertools.islice(running, 30_001)) == list(range(30_001))
        assert done.stat().st_size < 2_000
        assert list(itertools.islice(running, 500)) == list(range(30_001, 30_501))


def test_none_discards(mapper: Face) -> None:
    with mapper(ints(101), 3, functions.odd_only) as flow:
        for _ in range(2):
            assert list(flow) == list(range(1, 101, 2))
    with mapper(ints(30), 2, lambda n: None) as flow:
        assert list(flow) == []
    with mapper(ints(101), 3, functions.odd_only, ordered=False) as flow:
        assert sorted(flow) == list(range(1, 101, 2))


EMPTIES: list[Any] = [0, "", [], {}, (), b"", False, 0.0, [None], (None,), {"x": None}, [[], None, 0], frozenset()]


def test_what_is_empty_or_false_is_data(mapper: Face) -> None:
    with mapper(hr.DataFromList(range(len(EMPTIES)), shuffle=False), 2, EMPTIES.__getitem__) as flow:
        assert list(flow) == EMPTIES
    with mapper(hr.DataFromList(EMPTIES, shuffle=False), 2, lambda dp: [dp]) as flow:
        assert list(flow) == [[e] for e in EMPTIES]
    assert [type(a) for a in EMPTIES] == [type(b[0]) for b in [[e] for e in EMPTIES]]


def test_none_is_data_in_the_input(mapper: Face) -> None:
    with mapper(hr.DataFromList([1, None, 3], shuffle=False), 2, lambda dp: [dp]) as flow:
        assert list(flow) == [[1], [None], [3]]


@pytest.mark.parametrize("dp", [7, "text", [1, "a"], (1, "a"), {"x": 1, "y": [2]}, [[1], (2,)], 1.5, b"bytes"])
def test_datapoints_of_any_kind_pass_unchanged(mapper: Face, dp: Any) -> None:
    with mapper(hr.DataFromList([dp] * 5, shuffle=False), 2, functions.same) as flow:
        got = list(flow)
    assert got == [dp] * 5
    assert {type(g) for g in got} == {type(dp)}


def test_writing_into_the_datapoint_leaves_the_source_alone(mapper: Face) -> None:
    rows = [[1, 2], {"x": 1}]

    def overwrite(dp: Any) -> Any:
        dp[0 if isinstance(dp, list) else "x"] = 99
        return dp

    with mapper(hr.DataFromList(rows, shuffle=False), 2, overwrite) as flow:
        assert list(flow) == [[99, 2], {"x": 99}]
    assert rows == [[1, 2], {"x": 1}]


# -- how the function is called


def test_functions_of_several_arguments_are_given_the_components(any_mapper: Face) -> None:
    with any_mapper(hr.DataFromList([[1, 2], (3, 4)], shuffle=False), 2, functions.pair) as flow:
        assert list(flow) == [[2, 1], [4, 3]]
    with any_mapper([{"width": 2, "height": 3}, {"height": 5, "width": 4}], 2, functions.area) as flow:
        assert list(flow) == [6, 20]


def test_wrong_number_of_components_is_an_error_about_it(mapper: Face) -> None:
    with mapper([[1, 2], [1, 2, 3]], 2, functions.pair) as flow, pytest.raises(TypeError, match="positional argument"):
        list(flow)


def callables() -> dict[str, Any]:
    factor = 3
    return {
        "function": functions.triple,
        "lambda": lambda n: 3 * n,
        "closure": lambda n: factor * n,
        "partial": functools.partial(functions.area, 3),
        "partial by keyword": functools.partial(functions.area, width=3),
        "bound method": functions.Scale(3).method,
        "callable object": functions.Scale(3),
        "static method": functions.Scale.static,
        "class method": functions.Scale.of_class,
        "builtin method": (3).__mul__,
        "numpy ufunc": functools.partial(np.multiply, 3),
    }


@pytest.mark.parametrize("kind", callables())
def test_anything_callable_can_be_the_function(any_mapper: Face, kind: str) -> None:
    function = callables()[kind]
    if kind == "partial by keyword":
        with any_mapper(ints(20), 2, lambda n: function(height=n)) as flow:
            assert list(flow) == [3 * n for n in range(20)]
        return
    with any_mapper(ints(20), 2, function) as flow:
        assert list(flow) == [3 * n for n in range(20)]


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_pipe_of_multiprocessing_travels_with_the_function(start_method: str) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)

    def tell(n: int) -> int:
        writer.send(n)
        return n

    with hr.MultiProcessMapData(ints(3), 1, tell, start_method=start_method) as flow:
        assert list(flow) == [0, 1, 2]
        assert [reader.recv() for _ in range(3) if reader.poll(10)] == [0, 1, 2]
    reader.close()
    writer.close()


def test_classes_inside_a_function_are_the_same_here_and_there(any_mapper: Face) -> None:
    class Point:
        pass

    class Colour(enum.Enum):
        RED = 1

    def check(dp: Any) -> Any:
        assert type(dp) in (Point, Colour)
        return [dp, Point(), Colour.RED]

    with any_mapper([Point(), Colour.RED], 2, check) as flow:
        for (first, point, colour), sent in zip(flow, (Point, Colour), strict=True):
            assert (type(first), type(point), colour) == (sent, Point, Colour.RED)


def test_class_as_function_gives_its_objects(mapper: Face) -> None:
    with mapper(ints(5), 2, functions.Scale) as flow:
        got = list(flow)
    assert [(type(g), g.factor) for g in got] == [(functions.Scale, n) for n in range(5)]


MAIN_SCRIPT = """
import sys
import headrace as hr

class Mine:
    def __init__(self, n):
        self.n = n
    def __call__(self, dp):
        return Mine(dp.n + self.n)

def f(dp):
    return helper(dp)

def helper(dp):
    return Mine(dp.n * 2)

method = sys.argv[1]
rows = [Mine(n) for n in range(10)]
for function in (f, lambda dp: Mine(dp.n * 2), Mine(1)):
    with hr.MultiProcessMapData(hr.DataFromList(rows, shuffle=False), 2, function, start_method=method) as flow:
        got = list(flow)
    assert all(type(g) is Mine for g in got), got
    print([g.n for g in got])
class Wrong(Exception):
    pass
def fails(dp):
    raise Wrong(dp.n)
try:
    list(hr.MultiProcessMapData(rows, 2, fails, start_method=method))
except Wrong as error:
    print(error.args)
class Source(hr.DataFlow):
    def __iter__(self):
        yield from rows
    def __len__(self):
        return len(rows)
with hr.MultiProcessRunnerZMQ(Source(), 1, start_method=method) as flow:
    got = list(flow)
    assert all(type(g) is Mine for g in got), got
    print([g.n for g in got])
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_a_script_without_a_main_guard_may_use_all_that_it_defines(start_method: str, tmp_path: Path) -> None:
    done = contracts.run_script(tmp_path, MAIN_SCRIPT, start_method)

    assert (done.err, done.process.returncode) == ("", 0)
    double, plus = [2 * n for n in range(10)], [n + 1 for n in range(10)]
    assert done.out.splitlines() == [str(double), str(double), str(plus), "(0,)", str(list(range(10)))]


# -- random numbers


def test_rng_gives_the_same_bits_everywhere() -> None:
    rows = [[n, str(n)] for n in range(60)]

    def two_passes(make: Any) -> list[Any]:
        hr.seed(5)
        with make(hr.DataFromList(rows)) as flow:
            return [list(flow), list(flow)]

    expected = two_passes(lambda ds: hr.MapData(ds, functions.draw))
    assert expected[0] != expected[1]
    for face in contracts.MAPPERS.values():
        for workers in (1, 3):
            got = two_passes(lambda ds, face=face, workers=workers: face(ds, workers, functions.draw))
            assert got == expected, (face, workers)
    batched = two_passes(lambda ds: hr.MultiProcessMapAndBatchData(ds, 2, functions.draw_two, 4))
    alone = two_passes(lambda ds: hr.BatchData(hr.MapData(ds, functions.draw_two), 4))
    for got, want in zip(itertools.chain(*batched), itertools.chain(*alone), strict=True):
        assert [g.tolist() for g in got] == [w.tolist() for w in want]


def test_rng_is_the_same_unordered_and_after_a_death(process_mapper: Face, tmp_path: Path) -> None:
    def dies_once(n: int, *, rng: np.random.Generator) -> Any:
        if n == 30 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(1)
        return [n, rng.random()]

    def draws(n: int, *, rng: np.random.Generator) -> Any:
        return [n, rng.random()]

    hr.seed(6)
    expected = list(hr.MapData(ints(60), draws))
    with process_mapper(ints(60), 3, dies_once, ordered=False) as flow:
        assert sorted(flow) == expected


def test_without_a_seed_random_numbers_differ_from_run_to_run(mapper: Face) -> None:
    with mapper(ints(4), 1, functions.draw) as a, mapper(ints(4), 1, functions.draw) as b:
        assert list(a) != list(b)


def test_global_generators_differ_between_workers_and_passes(process_mapper: Face) -> None:
    def draws(n: int) -> Any:
        contracts.pause(0.002)
        return random.random(), float(np.random.rand()), os.getpid()

    with process_mapper(ints(40), 2, draws, buffer_size=4) as flow:
        wait_until(lambda: len({pid for *_, pid in flow}) == 2)  # both are up
        got = list(flow) + list(flow)
    assert len({g[0] for g in got}) == len({g[1] for g in got}) == 80
    assert len({g[2] for g in got}) == 2


# -- endless


def test_not_strict_is_endless_and_exact_pass_after_pass(mapper: Face) -> None:
    with mapper(ints(10), 2, functions.square, strict=False) as flow:
        assert len(flow) == 10
        squares = [n * n for n in range(10)]
        assert list(itertools.islice(flow, 35)) == squares * 3 + squares[:5]
        assert list(itertools.islice(flow, 10)) == squares  # a new iterator begins a new stream


def test_not_strict_unordered_gives_every_input_at_least_once(mapper: Face) -> None:
    with mapper(ints(10), 3, functions.odd_only, strict=False, ordered=False, buffer_size=6) as flow:
        got = collections.Counter(itertools.islice(flow, 30))
    assert set(got) == {1, 3, 5, 7, 9}


def test_not_strict_without_a_length(mapper: Face) -> None:
    with mapper(functions.Counting(7), 2, functions.same, strict=False) as flow:
        assert list(itertools.islice(flow, 20)) == [n % 7 for n in range(20)]
        with pytest.raises(TypeError):
            len(flow)


def test_not_strict_over_nothing_ends(mapper: Face) -> None:
    with mapper(ints(0), 2, functions.same, strict=False) as flow:
        assert list(itertools.islice(flow, 5)) == []


# -- sources


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_sources_with_and_without_length_empty_and_short(any_mapper: Face, count: int) -> None:
    for source in (
        ints(count),
        functions.Counting(count),
        hr.DataFromGenerator(lambda: iter(range(count))),
        list(range(count)),
    ):
        with any_mapper(source, 4, functions.square, buffer_size=200) as flow:
            assert [list(flow), list(flow)] == [[n * n for n in range(count)]] * 2


def test_one_shot_iterator_says_so_on_the_second_pass(mapper: Face) -> None:
    with mapper(iter(range(5)), 2, functions.same) as flow:
        assert list(flow) == [0, 1, 2, 3, 4]
        with pytest.raises(hr.ExhaustedSourceError):
            list(flow)


def test_what_the_source_gave_before_it_failed_is_delivered(mapper: Face) -> None:
    got = []
    with mapper(functions.Failing(37), 2, functions.same) as flow, pytest.raises(ValueError, match="the source has"):
        for dp in flow:
            got.append(dp)
    assert got == list(range(37))


def test_a_slow_source_does_not_hold_back_what_is_done(mapper: Face) -> None:
    """The source blocks until the consumer has had what came before."""
    consumed = threading.Semaphore(0)

    def source() -> Any:
        yield 0
        yield 1
        for n in range(2, 6):
            contracts.pause(0.002)
            assert consumed.acquire(timeout=10)
            yield n

    got = []
    # One datapoint must be on its way while the source is waited for: that is what the buffer is for.
    with mapper(hr.DataFromGenerator(source), 1, functions.same, buffer_size=1) as flow:
        for n in flow:
            got.append(n)
            consumed.release()
    assert got == list(range(6))


def test_a_slow_source_of_many_is_not_read_far_ahead_of_what_is_done(mapper: Face) -> None:
    """A task of quick datapoints may have thousands; to read that many from a slow input would take long."""
    read = 0

    def source() -> Any:
        nonlocal read
        for read in range(1, 1501):
            contracts.pause(0.0005)
            yield read

    ahead = []
    with mapper(hr.DataFromGenerator(source), 2, functions.same) as flow:
        for n in flow:
            ahead.append(read - n)
    assert len(ahead) == 1500
    assert max(ahead) < 500


# -- sizes


@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_any_buffer_with_any_number_of_threads(workers: int) -> None:
    for buffer_size in (1, 2, 3, 7, 64, 200):
        with hr.MultiThreadMapData(ints(97), workers, functions.square, buffer_size=buffer_size) as flow:
            assert list(flow) == [n * n for n in range(97)]


def test_three_hundred_small_exact_configurations_with_threads() -> None:
    chance = random.Random(1)
    for _ in range(300):
        count, workers, buffer = chance.randint(0, 100), chance.randint(1, 16), chance.randint(1, 200)
        ordered = chance.random() < 0.7
        with hr.MultiThreadMapData(ints(count), workers, functions.square, buffer_size=buffer, ordered=ordered) as flow:
            if chance.random() < 0.3:
                list(itertools.islice(flow, chance.randint(0, count)))
            got = list(flow)
        assert (got if ordered else sorted(got)) == [n * n for n in range(count)], (count, workers, buffer, ordered)


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 16])
def test_hundreds_of_small_exact_passes_with_processes(process_mapper: Face, workers: int) -> None:
    """Other lengths and buffers in each pass, over the same workers; some passes are left early."""
    chance = random.Random(workers)
    source = functions.Resizable()

    def slow_at_times(n: int) -> int | None:
        if n % 31 == 30:
            contracts.pause(0.001)
        return n * n if n % 5 else None

    with process_mapper(source, workers, slow_at_times) as flow:
        for number in range(60):
            source.count = chance.randint(0, 100)
            flow.buffer_size, flow._elastic = chance.randint(1, 200), number % 4 == 0
            flow.ordered = chance.random() < 0.7
            if chance.random() < 0.3:
                list(itertools.islice(flow, chance.randint(0, 50)))
            got = list(flow)
            expected = [n * n for n in range(source.count) if n % 5]
            assert (got if flow.ordered else sorted(got)) == expected, (number, source.count, flow.buffer_size)


def test_two_thousand_passes_of_three_datapoints(process_mapper: Face) -> None:
    with process_mapper(ints(3), 2, functions.square) as flow:
        for _ in range(2000):
            assert list(flow) == [0, 1, 4]


# -- leaving, and coming back


def test_a_pass_after_break_is_clean_and_exact(any_mapper: Face) -> None:
    with any_mapper(ints(150), 2, functions.square, buffer_size=40) as flow:
        for stop in (0, 1, 2, 17, 149, 3):
            for dp in flow:
                if dp >= stop * stop:
                    break
            assert list(flow) == [n * n for n in range(150)]


def test_what_was_under_way_in_an_abandoned_pass_is_not_worked_on(mapper: Face, tmp_path: Path) -> None:
    """Else leaving a pass would cost as much time as finishing it."""

    def noted(n: int) -> int:
        (tmp_path / str(n)).touch()
        contracts.pause(0.01)
        return n

    source = functions.Counting(1000)
    with mapper(source, 1, noted, buffer_size=200) as flow:
        it = iter(flow)
        next(it)
        # No event says that tasks are waiting in the worker; the source has been read ahead by them.
        it.close()
        pulled = source.given
        source.count = 0
        assert list(flow) == []
        assert len(list(tmp_path.iterdir())) <= max(4, pulled // 2)


def test_second_iterator_is_refused_while_the_first_is_alive(mapper: Face) -> None:
    with mapper(ints(20), 2, functions.same) as flow:
        first = iter(flow)
        assert next(first) == 0
        with pytest.raises(RuntimeError, match="not reentrant"):
            next(iter(flow))
        assert list(first) == list(range(1, 20))  # unharmed
        assert list(flow) == list(range(20))
        second = iter(flow)
        next(second)
        second.close()
        assert list(flow) == list(range(20))


def test_after_the_end_next_goes_on_saying_so(mapper: Face) -> None:
    with mapper(ints(3), 2, functions.same) as flow:
        it = iter(flow)
        assert list(it) == [0, 1, 2]
        for _ in range(3):
            with pytest.raises(StopIteration):
                next(it)


def test_close_under_a_live_iterator_is_no_end_of_data(mapper: Face) -> None:
    flow = mapper(ints(1000), 2, functions.same, buffer_size=10)
    it = iter(flow)
    got = [next(it)]
    flow.close()
    with pytest.raises(hr.DataFlowTerminated):
        got.extend(it)
    assert got == list(range(len(got)))
    del it
    assert list(flow) == list(range(1000))  # new workers
    flow.close()
    flow.close()


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_close_from_another_thread_ends_the_reader(mapper: Face, seconds: float) -> None:
    """Whatever it is doing, and the two never meet in a socket, which would end the process."""

    def slow(n: int) -> int:
        contracts.pause(seconds)
        return n

    for _ in range(5):
        contracts.close_under_a_reader(mapper(functions.Counting(None), 2, slow, buffer_size=10))


@pytest.mark.parametrize("how", ["with", "close", "del", "cycle"])
@pytest.mark.parametrize("moment", ["unused", "in a pass", "after a pass", "in a pass, iterator dropped first"])
def test_nothing_is_left(mapper: Face, how: str, moment: str) -> None:
    flow = mapper(ints(100), 2, functions.same)
    it = None
    if moment != "unused":
        it = iter(flow)
        list(itertools.islice(it, 100 if moment == "after a pass" else 10))
        if moment.endswith("first"):
            it = None
    workers = [psutil.Process(p) for p in pids(flow)] if mapper.in_process and moment != "unused" else []
    threads = [t for t in threading.enumerate() if t.name.startswith("headrace")]
    if how == "with":
        with flow:
            pass
    elif how == "close":
        flow.close()
    elif how == "cycle":
        flow.itself = [flow]
    del flow, it
    if how == "cycle":
        gc.collect()

    assert psutil.wait_procs(workers, timeout=5)[1] == []
    wait_until(lambda: not any(t.is_alive() for t in threads), 5)


def test_the_flow_lives_as_long_as_a_pass_over_it(mapper: Face) -> None:
    """``for dp in Flow(...)``, with no name for the flow."""
    assert [dp for dp in mapper(ints(500), 2, functions.same, buffer_size=4)] == list(range(500))  # noqa: C416
    it = iter(mapper(ints(500), 2, functions.same, buffer_size=4))
    gc.collect()
    assert list(it) == list(range(500))


def test_closing_takes_less_than_two_seconds(process_mapper: Face) -> None:
    """Idle, and in the middle of work; the time is what is promised."""
    import time

    def stuck(n: int) -> int:
        contracts.pause(30)
        return n

    for function in (functions.same, stuck):
        flow = process_mapper(ints(100), 4, function)
        it = iter(flow)
        if function is functions.same:
            next(it)
        else:
            flow._pool()
        began = time.monotonic()
        flow.close()
        assert time.monotonic() - began < 2
        del it


def test_workers_are_kept_over_passes(process_mapper: Face) -> None:
    with process_mapper(ints(50), 3, lambda n: os.getpid()) as flow:
        first = set(flow)
        workers = pids(flow)
        for _ in range(3):
            assert set(flow) <= set(workers)
            next(iter(flow))
        assert pids(flow) == workers
    assert first <= set(workers)


def test_workers_start_with_the_first_pass_not_before(mapper: Face) -> None:
    flow = mapper(ints(5), 2, functions.same)
    assert flow._runtime.pool is None
    list(flow)
    flow.close()


def test_reset_state_is_optional_and_harmless(mapper: Face) -> None:
    with mapper(ints(20), 2, functions.same) as flow:
        flow.reset_state()
        assert list(flow) == list(range(20))
        flow.reset_state()
        flow.reset_state()
        assert list(flow) == list(range(20))


# -- threads


def test_process_flows_add_no_python_thread(process_mapper: Face) -> None:
    before = threading.active_count()
    with process_mapper(ints(50), 2, lambda n: threading.active_count()) as flow:
        it = iter(flow)
        inside = {next(it)}
        assert threading.active_count() == before
        inside.update(it)
        assert threading.active_count() == before
    assert inside == {1}


def test_iterated_in_a_thread_that_has_ended_since(mapper: Face) -> None:
    flow = mapper(ints(100), 2, functions.same, buffer_size=10)
    it = iter(flow)
    got: list[int] = []

    def in_thread(target: Any) -> None:
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()

    in_thread(lambda: got.extend(itertools.islice(it, 30)))
    got.extend(itertools.islice(it, 30))
    in_thread(lambda: got.extend(it))
    assert got == list(range(100))
    in_thread(lambda: got.extend(flow))
    assert got == [*range(100), *range(100)]
    in_thread(flow.close)


def test_next_in_two_threads_at_once_raises_rather_than_corrupts(mapper: Face) -> None:
    reading, release = threading.Event(), threading.Event()

    def source() -> Any:
        yield 0
        reading.set()
        release.wait(10)
        yield from range(1, 100)

    with mapper(hr.DataFromGenerator(source), 1, functions.same, buffer_size=2) as flow:
        it = iter(flow)
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.extend(it))
        thread.start()
        wait_until(reading.is_set)
        with pytest.raises(ValueError, match="already executing"):
            next(it)
        release.set()
        thread.join()
    assert got == list(range(100))


def test_a_closed_iterator_is_at_its_end_and_the_state_says_where_that_was(mapper: Face) -> None:
    with mapper(ints(1000), 2, functions.same) as flow:
        it = iter(flow)
        got = [next(it) for _ in range(7)]
        before = flow.state_dict()
        it.close()
        assert list(it) == []
        assert flow.state_dict() == before
        flow.load_state_dict(before)
        assert got + list(flow) == list(range(1000))


# -- how far ahead


@pytest.mark.parametrize(("workers", "buffer_size"), [(1, 1), (2, 8), (3, 5), (2, 50)])
def test_the_input_is_read_at_most_buffer_size_ahead(mapper: Face, workers: int, buffer_size: int) -> None:
    source = functions.Counting(2000)
    ahead = []
    with mapper(source, workers, functions.same, buffer_size=buffer_size) as flow:
        for delivered, _ in enumerate(flow):
            if delivered > 100:
                ahead.append(source.given - delivered)
    assert max(ahead) <= buffer_size + 1  # one more: the datapoint in the consumer's hands


def test_waiting_costs_no_cpu(process_mapper: Face) -> None:
    def slow(n: int) -> int:
        contracts.pause(0.5)
        return n

    with process_mapper(ints(4), 2, slow) as flow:
        it = iter(flow)
        next(it)
        began = psutil.Process().cpu_times()
        list(it)
        ended = psutil.Process().cpu_times()
    assert (ended.user + ended.system) - (began.user + began.system) < 0.25


# -- arguments


def test_old_names_of_arguments_are_accepted_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="'nr_proc' is now called 'num_proc'"):
        flow = hr.MultiProcessMapData(ints(3), nr_proc=2, map_func=functions.same)
    assert flow.num_proc == 2
    with pytest.warns(DeprecationWarning, match="nr_thread"):
        assert hr.MultiThreadMapData(ints(3), nr_thread=2, map_func=functions.same).num_thread == 2
    with pytest.warns(DeprecationWarning, match="nr_proc"):
        hr.MultiProcessMapAndBatchData(ints(3), nr_proc=2, map_func=functions.same, batch_size=1)
    with pytest.raises(TypeError, match="both 'num_proc' and its old name 'nr_proc'"):
        hr.MultiProcessMapData(ints(3), num_proc=1, nr_proc=2, map_func=functions.same)


def test_aliases_are_the_classes_themselves() -> None:
    assert hr.MultiProcessMapData is hr.MultiProcessMapDataZMQ
    assert hr.MultiProcessMapAndBatchData is hr.MultiProcessMapAndBatchDataZMQ


def test_arguments_are_named_as_upstream_and_the_options_by_keyword_only() -> None:
    def signature(cls: Any) -> list[str]:
        return [
            p.name
            for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
            if p.kind is p.POSITIONAL_OR_KEYWORD
        ]

    assert signature(hr.MultiProcessMapData) == ["ds", "num_proc", "map_func"]
    assert signature(hr.MultiThreadMapData) == ["ds", "num_thread", "map_func"]
    assert signature(hr.MultiProcessMapAndBatchData) == ["ds", "num_proc", "map_func", "batch_size", "buffer_size"]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"workers": 0}, ValueError, "must be at least 1, got 0"),
    ({"workers": -1}, ValueError, "must be at least 1, got -1"),
    ({"workers": None}, TypeError, "NoneType"),
    ({"workers": 2.0}, TypeError, "float: 2.0"),
    ({"workers": True}, TypeError, "bool: True"),
    ({"workers": "2"}, TypeError, "str: '2'"),
    ({"map_func": None}, TypeError, "callable"),
    ({"map_func": 3}, TypeError, "callable.*int: 3"),
    ({"map_func": "square"}, TypeError, "callable"),
    ({"ds": 5}, TypeError, "int: 5"),
    ({"ds": None}, TypeError, "NoneType"),
    ({"buffer_size": 0}, ValueError, "buffer_size.*got 0"),
    ({"buffer_size": None}, TypeError, "buffer_size"),
    ({"buffer_size": 1.5}, TypeError, "buffer_size.*1.5"),
    ({"strict": 1}, ValueError, "strict must be one of True, False, got 1"),
    ({"strict": None}, ValueError, "strict"),
    ({"ordered": "yes"}, ValueError, "ordered.*'yes'"),
    ({"seed": -1}, ValueError, "seed.*-1"),
    ({"seed": 1.5}, TypeError, "seed.*1.5"),
    ({"start_method": "thread"}, ValueError, "start_method.*'thread'"),
    ({"start_method": 3}, ValueError, "start_method.*3"),
    ({"on_error": "ignore"}, ValueError, "on_error.*'ignore'"),
    ({"on_error": None}, ValueError, "on_error"),
    ({"max_errors": 3}, ValueError, "max_errors=3 needs on_error"),
    ({"on_error": "skip", "max_errors": -1}, ValueError, "max_errors.*-1"),
    ({"on_error": "skip", "max_errors": 1.5}, ValueError, "max_errors.*1.5"),
    ({"on_error": "skip", "max_errors": "few"}, TypeError, "max_errors.*'few'"),
    ({"item_timeout_s": 0}, ValueError, "item_timeout_s.*0"),
    ({"item_timeout_s": "1"}, TypeError, "item_timeout_s.*'1'"),
    ({"max_items_per_worker": 0}, ValueError, "max_items_per_worker.*0"),
    ({"buffer_bytes": 0}, ValueError, "buffer_bytes.*0"),
    ({"max_retries": 0}, ValueError, "max_retries.*0"),
    ({"nonsense": 1}, TypeError, "nonsense"),
]
THREADS_CANNOT = {"start_method", "item_timeout_s", "max_items_per_worker", "buffer_bytes", "max_retries"}


@pytest.mark.parametrize(("change", "error", "text"), BAD)
@pytest.mark.parametrize("cls", [hr.MultiProcessMapData, hr.MultiThreadMapData, hr.MultiProcessMapAndBatchData])
def test_bad_arguments_are_named_at_construction(cls: Any, change: Any, error: type[Exception], text: str) -> None:
    arguments: dict[str, Any] = {"ds": ints(10), "workers": 2, "map_func": functions.same, **change}
    arguments["num_thread" if cls is hr.MultiThreadMapData else "num_proc"] = arguments.pop("workers")
    if cls is hr.MultiProcessMapAndBatchData:
        arguments["batch_size"] = 2
        if change == {"buffer_size": None}:
            return  # is the default there
    if cls is hr.MultiThreadMapData and THREADS_CANNOT & set(change):
        error, text = TypeError, next(iter(change))  # refused by name
    with pytest.raises(error, match=text):
        cls(**arguments)


def test_repr_shows_the_tree() -> None:
    flow = hr.MultiProcessMapData(hr.MultiThreadMapData(ints(3), 1, functions.same), 2, functions.square)
    text = repr(flow)
    assert [line.strip(" └├─│").split("(")[0] for line in text.splitlines()] == [
        "MultiProcessMapDataZMQ",
        "MultiThreadMapData",
        "DataFromList",
    ]
    assert "num_proc=2" in text
    assert "square" in text


def test_fork_beside_threads_warns() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        with (
            hr.MultiProcessMapData(ints(3), 1, functions.same, start_method="fork") as flow,
            pytest.warns(RuntimeWarning, match='Use "forkserver"'),
        ):
            assert list(flow) == [0, 1, 2]
    finally:
        release.set()
        thread.join()


def test_workers_have_the_place_and_the_environment_of_their_parent(
    process_mapper: Face, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_TEST", "here")
    monkeypatch.syspath_prepend(str(tmp_path))
    with process_mapper(ints(1), 1, lambda n: (os.getcwd(), os.environ["HEADRACE_TEST"], sys.path[0])) as flow:
        assert list(flow) == [(str(tmp_path), "here", str(tmp_path))]
