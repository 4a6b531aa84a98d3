"""Counters at the channels, and snapshots of them."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from pipelines import numbers, slow
from rich.console import Console

import headrace as hr
from headrace.observe.counters import Counters, Slice, Slices, Spent


def pool_of(flow: hr.DataFlow):
    return next(f.pool for f in reversed(flow.stats().flows) if f.pool is not None)


@pytest.mark.parametrize("mapper", [hr.MultiProcessMapData, hr.MultiThreadMapData])
def test_what_a_mapper_did_is_counted_exactly(mapper) -> None:
    with mapper(hr.DataFromList(list(range(100))), 2, lambda n: None if n % 4 == 0 else n) as flow:
        assert len(list(flow)) == 75
        pool = pool_of(flow)
        assert (pool.workers, pool.delivered, pool.discarded, pool.in_flight) == (2, 100, 25, 0)
        assert pool.tasks >= 1
        list(flow)
        assert pool_of(flow).delivered == 200, "over all passes"
    assert pool_of(flow).workers == 0


def test_bytes_of_results_and_of_shared_memory_are_counted() -> None:
    with hr.MultiProcessMapData(numbers(), 1, lambda n: np.zeros(100_000, np.uint8)) as flow:
        for got, _ in enumerate(flow):
            if pool_of(flow).arena_bytes:  # workers send their books now and then
                break
            assert got < 100_000
        assert pool_of(flow).arena_bytes >= 100_000
        assert pool_of(flow).result_bytes >= 100_000 * pool_of(flow).delivered


def test_the_times_of_a_worker_add_up_and_are_where_they_belong() -> None:
    with hr.MultiThreadMapData(hr.DataFromList(list(range(30))), 1, slow) as flow:
        list(flow)
        pool = pool_of(flow)
    assert pool.work_s >= 0.25
    assert pool.wait_s > pool.decode_s
    assert 0 < pool.busy <= 1
    assert 0 < pool.waiting <= 1


class Laborious:
    """Takes a millisecond to pickle, and one to unpickle."""

    def __reduce__(self):
        return spin, (), spin()

    def __setstate__(self, state: object) -> None:
        raise AssertionError


def spin() -> None:
    end_s = time.perf_counter() + 1e-3
    while time.perf_counter() < end_s:
        pass


def test_pickling_and_unpickling_are_counted_though_few_datapoints_are_clocked() -> None:
    count = 300
    with hr.MultiProcessMapData(hr.DataFromList(list(range(count))), 1, lambda n: Laborious()) as flow:
        list(flow)
        list(flow)  # by its end the worker has said what the first pass cost it
        pool = pool_of(flow)
    assert 0.8 * 2 * count * 1e-3 < pool.decode_s
    assert 0.8 * count * 1e-3 < pool.send_s
    assert pool.away_s >= 0


def test_deaths_retries_and_bad_datapoints_are_counted() -> None:
    def dies_once(number: int) -> int:
        if number == 5 and not os.path.exists(flag):
            open(flag, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 7:
            raise ValueError(number)
        return number

    flag = f"{os.environ['PYTEST_TMP']}/died"
    with hr.MultiProcessMapData(hr.DataFromList(list(range(10)), shuffle=False), 1, dies_once, on_error="skip") as flow:
        assert list(flow) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
        pool = pool_of(flow)
    assert (pool.replaced, pool.failed) == (1, 1)
    assert pool.retried >= 1


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))


def test_runners_and_batching_mappers_are_counted_too() -> None:
    with hr.MultiProcessRunnerZMQ(hr.DataFromList(list(range(40))), 2, shard=True) as flow:
        assert len(list(flow)) == 40
        assert pool_of(flow).delivered == 40
    with hr.MultiProcessMapAndBatchData(hr.DataFromList([[n] for n in range(40)]), 2, lambda dp: dp, 8) as flow:
        assert len(list(flow)) == 5
        assert pool_of(flow).delivered == 40


def test_a_difference_is_what_happened_in_between() -> None:
    with hr.BatchData(hr.MultiThreadMapData(hr.DataFromList(list(range(20))), 2, lambda n: n), 5) as flow:
        list(flow)
        before = flow.stats()
        list(flow)
        between = flow.stats() - before
        assert between.flows[1].pool.delivered == 20
        assert between.flows[1].pool.workers == 2, "what stands now does not subtract"
        assert between.seconds > 0
        with pytest.raises(ValueError, match="subtract the earlier one"):
            before - flow.stats()
        with pytest.raises(ValueError, match="two different pipelines"):
            flow.stats() - hr.DataFromList([1]).stats()
        with pytest.raises(TypeError):
            flow.stats() - 1


def test_a_snapshot_is_plain_data_and_a_table() -> None:
    with hr.BatchData(hr.MultiThreadMapData(hr.DataFromList(list(range(20))), 2, lambda n: n), 5) as flow:
        list(flow)
        stats = flow.stats()
    plain = json.loads(json.dumps(stats.to_dict()))
    assert [f["name"] for f in plain["flows"]] == ["DataFromList", "MultiThreadMapData", "BatchData"]
    assert plain["flows"][1]["pool"]["delivered"] == 20
    assert plain["flows"][0]["datapoints"] is None, "flows without workers are measured only on demand"
    assert "MultiThreadMapData" in str(stats)
    assert "measured only by explain and watch" in str(stats)
    out = io.StringIO()
    Console(file=out, width=80).print(stats)
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_flows_in_copies_are_listed_as_such() -> None:
    flow = hr.MultiProcessRunnerZMQ(hr.MapData(hr.DataFromList([1]), slow), 1)
    assert [(f.name, f.here) for f in flow.stats().flows] == [
        ("DataFromList", False),
        ("MapData", False),
        ("MultiProcessRunnerZMQ", True),
    ]


def test_a_flow_that_never_ran_has_stats_too() -> None:
    assert hr.MultiProcessMapData([1], 1, slow).stats().flows[-1].pool is None


def test_stats_can_be_taken_by_another_thread() -> None:
    with hr.MultiThreadMapData(numbers(), 2, lambda n: n) as flow:
        iterator = iter(flow)
        next(iterator)
        taken: list[hr.Stats] = []
        thread = threading.Thread(target=lambda: taken.extend(flow.stats() for _ in range(20)))
        thread.start()
        for _ in range(2000):
            next(iterator)
        thread.join()
        delivered = [s.flows[-1].pool.delivered for s in taken]
        assert delivered == sorted(delivered)
        del iterator


def test_samples_and_slices_stay_bounded() -> None:
    counters = Counters()
    for moment in range(100_000):
        if moment * 0.05 >= counters.due_s:
            counters.sample(moment * 0.05, 1)
    assert 600 <= len(counters.samples) <= 1200
    assert counters.samples[-1].at_s > 0.9 * 100_000 * 0.05

    slices = Slices()
    for moment in range(1_000_000):
        slices.add(Slice(0, "work", float(moment), 0.5))
    assert 10_000 <= len(slices.kept) <= 20_000
    assert slices.every == 64


def test_what_a_worker_did_that_is_gone_still_counts() -> None:
    counters = Counters()
    counters.heard(1, Spent(1.0, 0.5, 2.0, 0.25, 1.5, 4096))
    counters.buried(1)
    counters.heard(2, Spent(1.0, 0.5, 2.0, 0.25, 1.5, 4096))
    assert counters.spent == Spent(2.0, 1.0, 4.0, 0.5, 3.0, 4096)
