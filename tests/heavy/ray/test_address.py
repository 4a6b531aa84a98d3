"""Which cluster is taken. (The first tests of this folder: no cluster must be running.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ray._private.services import find_gcs_addresses

pytestmark = pytest.mark.skipif(bool(find_gcs_addresses()), reason="a Ray cluster is running on this machine")

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
    """Also after ray.shutdown(), under which a flow fails once. It may still be open at the exit."""
    script = tmp_path / "script.py"
    script.write_text(LOCAL)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=80)
    ended = "ray.shutdown() was called while a flow had workers; begin a new pass"
    assert done.stdout.splitlines() == ["first", ended, "left"], done.stderr
    assert done.returncode == 0
    assert "headrace says: no Ray cluster was found, so a local one was started, with CPU:" in done.stderr
    assert "Traceback" not in done.stderr
