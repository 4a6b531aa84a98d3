"""Which cluster is taken, and what is said if there is none. (The first tests of this folder: none must be running.)"""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions
import pytest
import ray
from contracts import ints
from ray._private.services import find_gcs_addresses
from ray.cluster_utils import Cluster

import headrace as hr
from headrace.parallel.executors import ray_session

pytestmark = pytest.mark.skipif(bool(find_gcs_addresses()), reason="a Ray cluster is running on this machine")


HOST = ray.util.get_node_ip_address()  # Ray does not use 127.0.0.1


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def fails(address: str, error: type[Exception], match: str) -> None:
    """A pass over a flow with this address fails, and soon: Ray by itself takes 40 s and more."""
    began = time.monotonic()
    with pytest.raises(error, match=match):
        list(hr.RayMapData(ints(3), 1, functions.square, address=address))
    assert time.monotonic() - began < 10


def test_a_dead_address_says_so_within_seconds() -> None:
    port = unused_port()
    fails(f"{HOST}:{port}", hr.ClusterError, f"no Ray cluster at {HOST}:{port}: .* 'ray start --head --port={port}'")
    fails(f"{HOST}:{port}", ConnectionError, "refused")
    with pytest.raises(hr.ClusterError, match="no Ray cluster"):
        hr.flow_to_ray_dataset(ints(3), address=f"{HOST}:{port}")


def test_a_dead_address_in_the_environment_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"{HOST}:{unused_port()}")
    fails("auto", hr.ClusterError, "no Ray cluster at .*, which RAY_ADDRESS names: the connection was refused")
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    fails("auto", ValueError, "client mode")


def test_an_unknown_host_is_named() -> None:
    fails("nowhere.invalid:6379", hr.AddressError, r"nowhere\.invalid:6379 is unknown .*; check the name")


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """As Ray's dashboard is one."""
    with http.server.HTTPServer((HOST, 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Silent(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def test_something_else_that_listens_there_is_told_from_a_cluster() -> None:
    with web_server() as port:
        fails(f"{HOST}:{port}", hr.ClusterError, f"what listens at {HOST}:{port} is no Ray cluster: .*dashboard")


def test_nobody_is_waited_for_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "_ANSWER_S", 0.3)
    with socket.create_server((HOST, 0)) as mute:
        port = mute.getsockname()[1]
        fails(f"{HOST}:{port}", hr.ClusterError, f"nothing at {HOST}:{port} has answered within 0.3 s")


LOCAL = """
import logging
import headrace as hr
logging.basicConfig(format="%(name)s says: %(message)s")
flow = hr.RayMapData(hr.DataFromList(range(20), shuffle=False), 2, lambda n: n * n)
assert list(flow) == [n * n for n in range(20)]
print("first")
import ray
ray.shutdown()
try:
    list(flow)
except RuntimeError as error:
    print(error)
assert list(flow) == [n * n for n in range(20)]
print("left", flush=True)
"""


def test_without_a_cluster_a_local_one_is_started_and_said_so(tmp_path: Path) -> None:
    """Also after ray.shutdown(), under which a flow fails once. It may still be open at the exit. What a cluster that
    was killed has left does not matter."""
    script = tmp_path / "script.py"
    script.write_text(LOCAL)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        stale = Path(folder, "ray", "ray_current_cluster")
        stale.parent.mkdir()
        stale.write_text(f"{HOST}:{unused_port()}")
        done = subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            timeout=80,
            env={**os.environ, "RAY_TMPDIR": folder},
        )
    ended = "ray.shutdown() was called while a flow had workers; begin a new pass"
    assert done.stdout.splitlines() == ["first", ended, "left"], done.stderr
    assert done.returncode == 0
    assert "headrace says: no Ray cluster was found, so a local one was started, with CPU:" in done.stderr
    assert "Traceback" not in done.stderr


OTHER_VERSION = """
import sys
import headrace as hr
import ray
ray.__version__ = "2.41.0"
for _ in range(2):
    try:
        list(hr.RayMapData(range(3), 1, lambda n: n, address=sys.argv[1]))
    except hr.ProtocolError as error:
        print(error)
"""


def test_a_cluster_of_another_version_is_refused_with_both_versions(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(OTHER_VERSION)
    done = subprocess.run([sys.executable, script, cluster.address], capture_output=True, text=True, timeout=80)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert f"the Ray cluster at {cluster.address} does not fit this process" in line
        assert "Ray: 2.41.0" in line
        assert line.endswith("use the cluster's versions of Ray and Python here")
