"""What every runner promises, over threads, and over processes with either transport."""

from __future__ import annotations

import collections
import gc
import inspect
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contracts
import functions
import psutil
import pytest
from contracts import Face, ints, pids, wait_until

import headrace as hr

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')
same_copies = pytest.mark.filterwarnings("ignore:.*begin with the same datapoints:RuntimeWarning")


# -- one copy, several copies


def test_one_copy_gives_the_flow_pass_after_pass(any_runner: Face) -> None:
    with any_runner(ints(10), 1) as flow:
        assert [list(flow) for _ in range(3)] == [list(range(10))] * 3
        assert len(flow) == 10


@same_copies
def test_two_copies_give_as_many_datapoints_as_the_flow_has(any_runner: Face) -> None:
    with any_runner(lambda: ints(10), 2) as flow:
        for _ in range(3):
            got = list(flow)
            assert len(got) == 10
            assert set(got) <= set(range(10))


@same_copies
def test_copies_are_merged_and_each_keeps_its_order(runner: Face) -> None:
    """Over n passes of n copies nothing is lost: each datapoint comes at most once more often than another."""
    with runner(lambda: ints(20), 3, buffer=4) as flow:
        got = [n for _ in range(30) for n in flow]
    counts = collections.Counter(got)
    assert len(got) == 600
    assert set(counts) == set(range(20))
    assert max(counts.values()) - min(counts.values()) <= 3


@same_copies
@pytest.mark.parametrize("copies", [1, 2])
def test_without_a_length_it_is_endless(runner: Face, copies: int) -> None:
    with runner(lambda: functions.Counting(7), copies) as flow:
        got = list(itertools.islice(flow, 100))
        assert len(got) == 100
        assert set(got) == set(range(7))
        if copies == 1:
            assert got == [n % 7 for n in range(100)]
        with pytest.raises(TypeError):
            len(flow)


def test_infinite_flow(runner: Face) -> None:
    with runner(functions.Counting(None), 1) as flow:
        assert list(itertools.islice(flow, 300)) == list(range(300))
        assert list(itertools.islice(flow, 3)) == [0, 1, 2]


def test_empty_flow_ends_at_once(runner: Face) -> None:
    for source in (ints(0), functions.Counting(0)):
        for shard in (False, True):
            with runner(lambda source=source: source, 2, shard=shard) as flow:
                assert [list(flow), list(flow)] == [[], []]


def test_passes_continue_the_stream_of_the_copies(runner: Face) -> None:
    """A shuffled flow in one copy: each pass is a full pass of it, and another order."""
    with runner(hr.DataFromList(range(30)), 1) as flow:
        passes = [list(flow) for _ in range(4)]
    assert [sorted(p) for p in passes] == [list(range(30))] * 4
    assert len({tuple(p) for p in passes}) == 4


def test_a_pass_after_break_starts_afresh(any_runner: Face) -> None:
    with any_runner(ints(50), 1) as flow:
        for stop in (0, 7, 49):
            for n in flow:
                if n == stop:
                    break
            assert list(flow) == list(range(50))


# -- shares


@pytest.mark.parametrize("copies", [1, 2, 5])
@pytest.mark.parametrize("source", [lambda: ints(23), lambda: functions.Counting(23), lambda: functions.OwnShare(23)])
def test_shares_are_exact_with_and_without_a_length(runner: Face, copies: int, source: Any) -> None:
    with runner(source, copies, shard=True) as flow:
        for _ in range(3):
            assert sorted(flow) == list(range(23))


def test_shares_of_a_shuffled_flow_are_exact(runner: Face) -> None:
    with runner(lambda: hr.DataFromList(range(40)), 3, shard=True) as flow:
        passes = [list(flow) for _ in range(3)]
    assert [sorted(p) for p in passes] == [list(range(40))] * 3


def test_fewer_datapoints_than_shares(runner: Face) -> None:
    with runner(lambda: ints(2), 5, shard=True) as flow:
        assert [sorted(flow), sorted(flow)] == [[0, 1], [0, 1]]


def test_a_pass_of_shares_after_break_is_exact(runner: Face) -> None:
    with runner(lambda: ints(60), 3, shard=True, buffer=3) as flow:
        for _ in range(5):
            next(iter(flow))
            assert sorted(flow) == list(range(60))


def test_copies_know_which_they_are(runner: Face) -> None:
    infos: set[Any] = set()
    with runner(functions.WhoAmI, 3, buffer=1) as flow:
        wait_until(lambda: infos.update(flow) or len(infos) >= 3)  # a copy may come to its turn late
    assert {(i[0], i[1]) for i in infos} == {(0, 3), (1, 3), (2, 3)}
    assert len({i[2] for i in infos}) == 3
    assert {i[3] for i in infos} == {0}
    assert hr.worker_info() is None


# -- randomness


def test_random_streams_of_copies_differ(runner: Face) -> None:
    with runner(lambda: functions.Noise(40), 2) as flow:
        got = [n for _ in range(3) for n in flow]
    assert len(set(got)) == 120


def test_global_generators_of_copies_differ(process_runner: Face) -> None:
    with process_runner(functions.Globals, 3) as flow:
        got = list(itertools.islice(flow, 60))
    assert len({g[0] for g in got}) == len({g[1] for g in got}) == 60


def test_a_seed_reproduces_one_copy(runner: Face) -> None:
    def run(seed: int) -> list[Any]:
        hr.seed(seed)
        with runner(lambda: functions.Noise(10), 1) as flow:
            return [list(flow), list(flow)]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_a_seed_reproduces_what_several_copies_give_together(runner: Face) -> None:
    def run() -> list[float]:
        hr.seed(3)
        with runner(lambda: functions.Noise(10), 2, shard=True) as flow:
            return sorted(flow)

    assert run() == run()


@pytest.mark.parametrize(("count", "buffer"), [(200, 4), (10, 5), (5000, 50)])
def test_copies_that_are_the_same_warn_once_in_the_first_pass(runner: Face, count: int, buffer: int) -> None:
    """Also if that is over before the second copy has begun."""
    flow = runner(lambda: ints(count), 2, buffer=buffer)
    with pytest.warns(RuntimeWarning, match=r"begin with the same datapoints.*shard=True"):
        passes = [list(flow)]
    passes += [list(flow) for _ in range(3)]  # (a second warning would be an error)
    flow.close()
    assert [len(datapoints) for datapoints in passes] == [count] * 4


def test_copies_that_differ_do_not_warn(runner: Face) -> None:
    with runner(lambda: functions.Noise(10), 3) as flow:
        assert [len(list(flow)) for _ in range(2)] == [10, 10]


# -- leaving


def test_second_iterator_is_refused_while_the_first_is_alive(runner: Face) -> None:
    with runner(ints(20), 1) as flow:
        first = iter(flow)
        next(first)
        with pytest.raises(RuntimeError, match="not reentrant"):
            next(iter(flow))
        assert list(first) == list(range(1, 20))
        assert list(flow) == list(range(20))


def test_close_under_a_live_iterator_is_no_end_of_data(runner: Face) -> None:
    flow = runner(functions.Counting(None), 1)
    it = iter(flow)
    next(it)
    flow.close()
    with pytest.raises(hr.DataFlowTerminated):
        collections.deque(it, maxlen=0)
    assert list(itertools.islice(flow, 3)) == [0, 1, 2]
    flow.close()


@same_copies
def test_close_from_another_thread_ends_the_reader(runner: Face) -> None:
    for _ in range(10):
        contracts.close_under_a_reader(runner(lambda: functions.Counting(None), 2))


@pytest.mark.parametrize("how", ["with", "close", "del", "cycle"])
@pytest.mark.parametrize("moment", ["unused", "in a pass", "after a pass"])
def test_nothing_is_left(runner: Face, how: str, moment: str) -> None:
    flow = runner(ints(100), 1)
    it = None
    if moment != "unused":
        it = iter(flow)
        list(itertools.islice(it, None if moment == "after a pass" else 10))
    workers = [psutil.Process(p) for p in pids(flow)] if runner.in_process and moment != "unused" else []
    threads = [t for t in threading.enumerate() if t.name.startswith("headrace")]
    if how == "with":
        with flow:
            pass
    elif how == "close":
        flow.close()
    elif how == "cycle":
        flow.itself = [flow]
    del flow, it
    gc.collect()  # a pass that has ended goes on in the next one, which makes a cycle

    assert psutil.wait_procs(workers, timeout=5)[1] == []
    wait_until(lambda: not any(t.is_alive() for t in threads), 5)


def test_the_flow_lives_as_long_as_a_pass_over_it(runner: Face) -> None:
    assert [dp for dp in runner(ints(300), 1)] == list(range(300))  # noqa: C416
    it = iter(runner(ints(300), 1))
    gc.collect()
    assert list(it) == list(range(300))


def test_workers_are_kept_over_passes(process_runner: Face) -> None:
    with process_runner(hr.MapData(ints(10), lambda n: os.getpid()), 1) as flow:
        assert {pid for _ in range(4) for pid in flow} == set(pids(flow))
        next(iter(flow))
        assert {pid for _ in range(4) for pid in flow} == set(pids(flow))


def test_process_flows_add_no_python_thread(process_runner: Face) -> None:
    before = threading.active_count()
    with process_runner(hr.MapData(ints(10), lambda n: threading.active_count()), 1) as flow:
        inside = set(flow)
        assert threading.active_count() == before
    assert inside == {1}


# -- how far ahead


@pytest.mark.parametrize("buffer", [1, 8])
def test_copies_run_a_bounded_way_ahead(runner: Face, tmp_path: Path, buffer: int) -> None:
    class Noted(hr.DataFlow):
        def __iter__(self) -> Iterator[int]:
            for n in range(100_000):
                fd = os.open(tmp_path / "made", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(fd, b".")
                os.close(fd)
                yield n

    ahead = []
    with runner(Noted, 2, buffer=buffer, shard=True) as flow:
        it = iter(flow)
        for delivered in range(1, 40):
            next(it)
            contracts.pause(0.002)
            ahead.append((tmp_path / "made").stat().st_size - delivered)
    # Each copy reads both shares; hwm counts for each copy, num_prefetch for all.
    assert max(ahead) <= 2 * (2 * buffer * 2 + 2) + 40


# -- arguments


def test_get_df_is_called_once_for_each_thread() -> None:
    calls = []

    def get_df() -> hr.DataFlow:
        calls.append(1)
        return hr.DataFromList(range(100))  # whose shuffles do not begin alike

    with hr.MultiThreadRunner(get_df, 5, 3) as flow:
        list(flow)
        list(flow)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: hr.MultiThreadRunner(ints(3), 5, 1), TypeError, "get_df must be a function.*DataFromList"),
        (lambda: hr.MultiThreadRunner(lambda: [1, 2], 5, 1), TypeError, "must return a DataFlow, got list"),
        (lambda: hr.MultiThreadRunner(lambda: None, 5, 1), TypeError, "NoneType"),
        (lambda: hr.MultiThreadRunner(lambda: ints(3), 5, 0), ValueError, "num_thread must be at least 1, got 0"),
        (lambda: hr.MultiThreadRunner(lambda: ints(3), 0, 1), ValueError, "num_prefetch must be at least 1, got 0"),
        (lambda: hr.MultiProcessRunner(ints(3), 0, 1), ValueError, "num_prefetch"),
        (lambda: hr.MultiProcessRunner(ints(3), 5, None), TypeError, "num_proc.*NoneType"),
        (lambda: hr.MultiProcessRunner(ints(3), 5, -2), ValueError, "num_proc.*-2"),
        (lambda: hr.MultiProcessRunner(7, 5, 1), TypeError, "int: 7"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), 0), ValueError, "num_proc"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), 1.0), TypeError, "num_proc.*1.0"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), 1, 0), ValueError, "hwm.*0"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), 1, "many"), TypeError, "hwm.*'many'"),
        (lambda: hr.MultiProcessRunnerZMQ(None), TypeError, "NoneType"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), shard="yes"), ValueError, "shard.*'yes'"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), start_method="thread"), ValueError, "start_method"),
        (lambda: hr.MultiProcessRunnerZMQ(ints(3), seed=-1), ValueError, "seed"),
        (lambda: hr.MultiProcessRunner(ints(3)), TypeError, "num_prefetch"),
    ],
)
def test_bad_arguments_are_named_at_construction(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_names_signatures_and_old_names() -> None:
    assert hr.PrefetchData is hr.MultiProcessPrefetchData is hr.MultiProcessRunner
    assert hr.PrefetchDataZMQ is hr.MultiProcessRunnerZMQ
    assert hr.MultiThreadPrefetchData is hr.MultiThreadRunner

    def positional(cls: Any) -> list[tuple[str, Any]]:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    needed = inspect.Parameter.empty
    assert positional(hr.MultiProcessRunnerZMQ) == [("ds", needed), ("num_proc", 1), ("hwm", 50)]
    assert positional(hr.MultiProcessRunner) == [("ds", needed), ("num_prefetch", needed), ("num_proc", needed)]
    assert positional(hr.MultiThreadRunner) == [("get_df", needed), ("num_prefetch", needed), ("num_thread", needed)]

    with pytest.warns(DeprecationWarning, match="nr_proc"):
        assert hr.PrefetchDataZMQ(ints(3), nr_proc=2).num_proc == 2
    with pytest.warns(DeprecationWarning, match="nr_p"):
        assert hr.PrefetchData(ints(3), nr_prefetch=5, nr_proc=2).num_prefetch == 5
    with pytest.warns(DeprecationWarning, match="nr_"):
        assert hr.MultiThreadPrefetchData(lambda: ints(3), nr_prefetch=5, nr_thread=2).num_thread == 2


def test_repr_shows_the_tree(runner: Face) -> None:
    lines = repr(runner(ints(3), 2)).splitlines()
    assert lines[0].startswith("Multi")
    assert "DataFromList" in lines[1]


def test_the_flow_is_not_reset_or_read_in_this_process(process_runner: Face) -> None:
    class Here(hr.DataFlow):
        def reset_state(self) -> None:
            super().reset_state()
            self.pid = os.getpid()

        def __iter__(self) -> Iterator[int]:
            yield self.pid

        def __len__(self) -> int:
            return 1

    with process_runner(Here(), 1) as flow:
        flow.reset_state()
        assert list(flow) == pids(flow)


def test_a_flow_that_becomes_slow_hands_over_what_it_has(tmp_path: Path) -> None:
    """Tasks have grown to thousands of datapoints by then."""
    made = tmp_path / "made"

    class Slows(hr.DataFlow):
        def __iter__(self) -> Iterator[int]:
            yield from map(functions.Slows(30_000, made), range(100_000))

    with hr.MultiProcessRunnerZMQ(Slows(), 1, shard=True) as flow:
        running = iter(flow)
        assert list(itertools.islice(running, 30_001)) == list(range(30_001))
        assert made.stat().st_size < 2_000
