"""One cluster of two nodes for all tests of Ray, and the faces over which the contracts of ``tests/parallel`` run."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What another cluster has left in /tmp/ray is nothing to us. (Short: Ray puts sockets there.)
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray-")

import pytest
import ray
from ray.cluster_utils import Cluster

import headrace as hr
from headrace.parallel.transports import ray as ray_transport

sys.path.insert(0, str(Path(__file__).parents[2] / "parallel"))  # the contracts, and their functions for workers

import contracts

# Actors that ask for little, so that the cluster has room for those of all tests.
RayMapData = functools.partial(hr.RayMapData, num_cpus=0.01)


def ray_runner(ds: Any, copies: int, **kwargs: Any) -> Any:
    if "buffer" in kwargs:
        kwargs["hwm"] = kwargs.pop("buffer")
    return hr.RayRunner(contracts._made(ds), copies, num_cpus=0.01, **kwargs)


MAPPER = contracts.Face(RayMapData, True, tells_how=False)
RUNNER = contracts.Face(ray_runner, True, tells_how=False)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    of_contracts = [item for item in items if item.path.name == "test_contracts.py"]
    if not of_contracts:
        return
    kept = of_contracts[0].module.wanted(of_contracts)
    left_out = [item for item in of_contracts if item not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    impatient = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}  # for the tests of lost nodes
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": impatient},
    )
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is nothing to be warned of; the contracts count warnings."""
    monkeypatch.setattr(ray_transport, "_PLACED_S", 1e6)


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves an actor or a thread of ours. (Other processes and descriptors come and go with Ray.)"""
    if request.node.path.name == "test_address.py":  # there is no cluster yet
        yield
        return
    request.getfixturevalue("cluster")
    threads = set(threading.enumerate())
    yield
    gc.collect()
    contracts.wait_until(lambda: not living_actors(), 10)
    if request.node.path.name in ("test_ray_data.py", "test_examples.py"):  # Ray Data has threads
        return
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads


def living_actors() -> list[str]:
    """Our actors of this cluster that are not dead. (Ray Data keeps some of its own.)"""
    table = ray._private.state.actors()
    return [a for a, info in table.items() if info["State"] != "DEAD" and info["ActorClassName"] == "RayWorker"]


@pytest.fixture
def mapper() -> contracts.Face:
    return MAPPER


@pytest.fixture
def process_mapper() -> contracts.Face:
    return MAPPER


@pytest.fixture
def any_mapper() -> contracts.Face:
    return MAPPER


@pytest.fixture
def runner() -> contracts.Face:
    return RUNNER


@pytest.fixture
def process_runner() -> contracts.Face:
    return RUNNER


@pytest.fixture
def any_runner() -> contracts.Face:
    return RUNNER
