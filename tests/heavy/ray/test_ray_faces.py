"""What is Ray's own about the faces: arguments, state, random numbers, memory, shutdown."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import warnings
from typing import Any

import functions
import numpy as np
import psutil
import pytest
from contracts import ints, pause, wait_until
from ray.cluster_utils import Cluster

import headrace as hr
from headrace.testing import check_resume


def mapper(ds: Any, actors: int = 2, function: Any = functions.square, **kwargs: Any) -> Any:
    return hr.RayMapData(ds, actors, function, num_cpus=0.01, **kwargs)


# -- the same state and random numbers as elsewhere


def test_rng_gives_the_same_bits_as_inline() -> None:
    rows = [[n, str(n)] for n in range(60)]
    hr.seed(5)
    plain = hr.MapData(hr.DataFromList(rows), functions.draw)
    expected = [list(plain), list(plain)]

    hr.seed(5)
    with mapper(hr.DataFromList(rows), 3, functions.draw) as flow:
        assert [list(flow), list(flow)] == expected


def test_shares_draw_as_those_of_processes_do() -> None:
    copied = hr.MapData(ints(30), functions.draw)
    hr.seed(5)
    with hr.MultiProcessRunnerZMQ(copied, 1, shard=True) as flow:
        expected = list(flow)
    hr.seed(5)
    with hr.RayRunner(copied, 3, shard=True, num_cpus=0.01) as flow:
        assert sorted(flow) == expected


def test_resumes_at_every_datapoint() -> None:
    check_resume(lambda: mapper(hr.DataFromList(range(3)), 1))


@pytest.mark.parametrize("ordered", [True, False])
def test_a_state_goes_on_with_another_executor_and_another_number_of_workers(ordered: bool) -> None:
    with mapper(ints(100), 3, ordered=ordered) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 37))
        state = flow.state_dict()
        it.close()
    with hr.MultiProcessMapData(ints(100), 1, functions.square, ordered=ordered) as flow:
        flow.load_state_dict(state)
        it = iter(flow)
        got += itertools.islice(it, 20)
        state = flow.state_dict()
        it.close()
    with mapper(ints(100), 2, ordered=ordered) as flow:
        flow.load_state_dict(state)
        got += flow
    assert (got if ordered else sorted(got)) == [n * n for n in range(100)]


def test_a_runner_s_state_goes_on_with_other_actors() -> None:
    with hr.RayRunner(ints(60), 3, 4, shard=True, num_cpus=0.01) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 20))
        state = flow.state_dict()
        it.close()
    with hr.RayRunner(ints(60), 2, shard=True, num_cpus=0.01) as flow:
        flow.load_state_dict(state)
        got += flow
    assert sorted(got) == list(range(60))


def test_copies_that_are_the_same_warn_once() -> None:
    with hr.RayRunner(ints(200), 2, 4, num_cpus=0.01) as flow:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            wait_until(lambda: list(flow) and caught, 60)  # the second actor may be up later than the first
            list(flow)
        (warning,) = caught
        assert "begin with the same datapoints" in str(warning.message)
        lines = repr(flow).splitlines()
    assert lines[0].startswith("RayRunner")
    assert "num_actors=2" in lines[0]
    assert "DataFromList" in lines[1]


def test_leaky_workers_are_replaced_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with mapper(ints(40), 2, lambda n: (n, os.getpid()), max_items_per_worker=10) as flow:
        got = list(flow)
    assert [n for n, _ in got] == list(range(40))
    assert len({pid for _, pid in got}) >= 3
    assert "replaced" not in caplog.text


# -- memory


def test_the_memory_of_this_process_is_bounded() -> None:
    """A slow consumer of 1 GB: what is ahead of it is bounded by bytes, and what it has seen is gone."""

    def large(n: int) -> Any:
        return [n, np.full(2_000_000, n % 251, np.uint8)]

    process = psutil.Process()
    with mapper(ints(500), 2, large, buffer_bytes=16 << 20) as flow:
        it = iter(flow)
        [next(it) for _ in range(50)]
        before = process.memory_full_info().uss
        highest = before
        for n, array in it:
            assert array[-1] == n % 251
            if n % 50 == 0:
                pause(0.05)
                highest = max(highest, process.memory_full_info().uss)
    assert highest - before < 100e6


def test_arrays_are_writable_private_and_kept() -> None:
    with mapper(ints(40), 2, lambda n: np.full(200_000, n)) as flow:
        arrays = list(flow)
        arrays[3][:] = -1
    assert [int(a[-1]) for a in arrays] == [n if n != 3 else -1 for n in range(40)]
    assert all(a.flags.writeable and a.flags.aligned for a in arrays)


# -- arguments


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"num_actors": 0}, ValueError, "num_actors must be at least 1, got 0"),
    ({"num_actors": 2.0}, TypeError, "num_actors.*float: 2.0"),
    ({"map_func": None}, TypeError, "callable"),
    ({"ds": 5}, TypeError, "int: 5"),
    ({"buffer_size": 0}, ValueError, "buffer_size.*got 0"),
    ({"ordered": "yes"}, ValueError, "ordered.*'yes'"),
    ({"num_cpus": -1}, ValueError, "num_cpus must be at least 0, got -1"),
    ({"num_cpus": "2"}, TypeError, "num_cpus.*str: '2'"),
    ({"num_cpus": True}, TypeError, "num_cpus.*bool"),
    ({"resources": ["GPU"]}, TypeError, "resources must be a mapping"),
    ({"resources": {"CPU": 1}}, ValueError, "use num_cpus"),
    ({"resources": {"tpu": -1}}, ValueError, r"resources\['tpu'\].*-1"),
    ({"resources": {3: 1}}, TypeError, "names that are str, got 3"),
    ({"address": None}, TypeError, "address.*NoneType"),
    ({"address": "head"}, ValueError, "address must be .*'head'"),
    ({"address": "head:port"}, ValueError, "address must be .*'head:port'"),
    ({"address": "head:70000"}, ValueError, "address must be .*'head:70000'"),
    ({"address": "ray://head:10001"}, ValueError, "client mode.*'ray://head:10001'"),
    ({"item_timeout_s": 0}, ValueError, "item_timeout_s.*0"),
    ({"max_retries": 0}, ValueError, "max_retries.*0"),
    ({"start_method": "fork"}, TypeError, "start_method"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD)
def test_bad_arguments_are_named_at_construction(change: Any, error: type[Exception], text: str) -> None:
    arguments = {"ds": ints(3), "num_actors": 2, "map_func": functions.same, **change}
    with pytest.raises(error, match=text):
        hr.RayMapData(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"num_actors": 0}, ValueError, "num_actors"),
        ({"hwm": 0}, ValueError, "hwm.*0"),
        ({"shard": 1}, ValueError, "shard"),
        ({"ds": 7}, TypeError, "int: 7"),
        ({"num_cpus": None}, TypeError, "num_cpus"),
        ({"max_retries": 0}, ValueError, "max_retries"),
    ],
)
def test_bad_arguments_of_the_runner_are_named_at_construction(change: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hr.RayRunner(**{"ds": ints(3), **change})


def test_another_cluster_than_the_connected_one_is_refused() -> None:
    flow = mapper(ints(3), address="10.11.12.13:6379")
    with pytest.raises(hr.ClusterError, match=r"connected to the Ray cluster at .* got '10.11.12.13:6379'"):
        list(flow)


def test_the_connected_cluster_may_be_named_by_its_host(cluster: Cluster) -> None:
    port = cluster.address.rpartition(":")[2]
    for host in (cluster.address.rpartition(":")[0], "localhost"):
        with mapper(ints(3), 1, address=f"{host}:{port}") as flow:
            assert list(flow) == [0, 1, 4]
    with pytest.raises(hr.AddressError, match=r"nowhere\.invalid:6379 is unknown"):
        list(mapper(ints(3), address="nowhere.invalid:6379"))


def test_what_is_tied_to_this_machine_is_refused() -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    flow = mapper(ints(3), 1, lambda n: writer.send(n))
    with pytest.raises(hr.SerializationError, match="map_func holds a queue, pipe or value of multiprocessing"):
        list(flow)
    reader.close()
    writer.close()


def test_a_function_that_cannot_be_pickled_is_named_down_to_the_attribute() -> None:
    import threading

    lock = threading.Lock()
    flow = mapper(ints(3), 1, lambda n: lock)
    with pytest.raises(hr.SerializationError, match=r"map_func, closure variable 'lock' is a _thread.lock"):
        list(flow)
