"""Nodes that are lost, actors that are killed or have no room: the pass is exact, and in order."""

from __future__ import annotations

import itertools
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import contracts
import functions
import numpy as np
import psutil
import pytest
import ray
from contracts import ints, pids
from ray.cluster_utils import Cluster

import headrace as hr
from headrace.parallel.transports import ray as ray_transport

SPOT = {"num_cpus": 0, "resources": {"spot": 1}}


@pytest.fixture
def spot_nodes(cluster: Cluster) -> Iterator[list[Any]]:
    """Two nodes that may go, each with room for two actors."""
    nodes = [cluster.add_node(num_cpus=0, resources={"spot": 2}) for _ in range(2)]
    yield nodes
    for node in nodes:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


def image(n: int) -> Any:
    contracts.pause(0.003)
    return n, np.full(150_000, n % 251, np.uint8)


def check(got: list[Any], count: int) -> None:
    assert [n for n, _ in got] == list(range(count))
    assert all((array == n % 251).all() for n, array in got)


def test_a_lost_node_loses_no_datapoint(
    cluster: Cluster, spot_nodes: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its actors die, and with them results that have not been fetched; those on the other node do their work."""
    with hr.RayMapData(ints(600), 4, image, buffer_size=40, **SPOT) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 150))
        cluster.remove_node(spot_nodes[0], allow_graceful=False)
        got += it
        check(got, 600)
    assert 1 <= caplog.text.count("it is replaced") <= 3


def test_actors_come_back_on_a_new_node(cluster: Cluster, spot_nodes: list[Any]) -> None:
    """All are lost. The pass goes on where there is room again."""
    with hr.RayMapData(ints(300), 4, image, buffer_size=40, **SPOT) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 100))
        before = set(pids(flow))
        for node in spot_nodes:
            cluster.remove_node(node, allow_graceful=False)
        spot_nodes.append(cluster.add_node(num_cpus=0, resources={"spot": 4}))
        got += it
        check(got, 300)
        assert before.isdisjoint(pids(flow))


def test_copies_on_a_lost_node_go_on_elsewhere(cluster: Cluster, spot_nodes: list[Any]) -> None:
    copied = hr.MapData(ints(400), image)
    with hr.RayRunner(copied, 4, 4, shard=True, **SPOT) as flow:
        it = iter(flow)
        got = list(itertools.islice(it, 100))
        cluster.remove_node(spot_nodes[1], allow_graceful=False)
        spot_nodes.append(cluster.add_node(num_cpus=0, resources={"spot": 2}))
        got += it
    check(sorted(got, key=lambda dp: dp[0]), 400)


@pytest.mark.parametrize("how", ["SIGKILL", "ray.kill"])
def test_a_killed_actor_loses_no_datapoint(how: str, caplog: pytest.LogCaptureFixture) -> None:
    with hr.RayMapData(ints(400), 2, image, num_cpus=0.01) as flow:
        got = []
        for dp in flow:
            got.append(dp)
            if len(got) in (50, 200):
                worker = next(iter(flow._runtime.pool.workers.values()))
                if how == "SIGKILL":
                    os.kill(worker.handle.pid, signal.SIGKILL)
                else:
                    ray.kill(worker.handle._actor)
        check(got, 400)
    assert caplog.text.count("it is replaced") == 2
    assert "on node" in caplog.text


def test_an_actor_without_room_is_mentioned_and_joins_in_later(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_transport, "_PLACED_S", 0.5)
    nodes: list[Any] = []

    class AddNode(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not nodes:
                nodes.append(cluster.add_node(num_cpus=0, resources={"moon": 2}))

    handler = AddNode(logging.WARNING)
    logging.getLogger("headrace").addHandler(handler)
    try:
        with hr.RayMapData(ints(50), 2, functions.square, num_cpus=0, resources={"moon": 1}) as flow:
            assert list(flow) == [n * n for n in range(50)]
    finally:
        logging.getLogger("headrace").removeHandler(handler)
        for node in nodes:
            cluster.remove_node(node)
    assert "2 of 2 workers have not started" in caplog.text
    assert "moon: 1" in caplog.text


def test_more_actors_than_there_is_room_for_do_the_work_with_those_that_have(cluster: Cluster) -> None:
    with hr.RayMapData(ints(200), 5, functions.square, num_cpus=1) as flow:
        assert [list(flow) for _ in range(2)] == [[n * n for n in range(200)]] * 2


# -- two levels


def nested(count: int) -> hr.DataFlow:
    return hr.MultiProcessMapAndBatchData(ints(count), 2, whose, 10, remainder=True)


def whose(n: int) -> Any:
    return [n, os.getpid(), os.getppid(), np.full(10_000, n)]


def test_local_workers_in_each_actor_make_the_batches() -> None:
    with hr.RayRunner(nested(200), 2, shard=True, num_cpus=0.01) as flow:
        batches = list(flow)
        actors = pids(flow)
        below = [p for actor in actors for p in psutil.Process(actor).children(recursive=True)]
    assert sorted(n for numbers, *_ in batches for n in numbers.tolist()) == list(range(200))
    assert {len(numbers) for numbers, *_ in batches} == {10}
    made_in = {pid for _, made, *_ in batches for pid in made.tolist()}
    assert len(made_in) >= 2
    assert made_in.isdisjoint(actors)
    assert made_in <= {p.pid for p in below}
    assert psutil.wait_procs(below, timeout=5)[1] == []


def test_a_killed_actor_takes_its_local_workers_along_and_the_pass_is_exact() -> None:
    with hr.RayRunner(nested(400), 2, 2, shard=True, num_cpus=0.01) as flow:
        it = iter(flow)
        batches = list(itertools.islice(it, 10))
        below = psutil.Process(pids(flow)[0]).children(recursive=True)
        assert len(below) >= 2
        os.kill(pids(flow)[0], signal.SIGKILL)
        assert psutil.wait_procs(below, timeout=5)[1] == []
        batches += it
    assert sorted(n for numbers, *_ in batches for n in numbers.tolist()) == list(range(400))
