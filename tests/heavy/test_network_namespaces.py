"""Several hosts, as network namespaces joined by veth pairs: a link is cut, a sender and a receiver are killed.

With keys, since the addresses are no loopback. Takes half a minute, and needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.remote.security import write_keys

PROGRAMS = Path(__file__).resolve().parents[1] / "remote" / "remote_programs.py"
TRAINER, ADDRESS = "headrace-trainer", "tcp://10.213.77.1:5555"
NODES = ("headrace-node1", "headrace-node2")
COUNT = 3000


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """A trainer and two nodes on one bridge; veth pairs are the cables."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    if subprocess.run(["ip", "netns", "add", TRAINER], capture_output=True).returncode:
        pytest.skip("network namespaces are not permitted here")
    try:
        on_trainer = ("-n", TRAINER)
        ip(*on_trainer, "link", "add", "bridge", "type", "bridge")
        ip(*on_trainer, "addr", "add", "10.213.77.1/24", "dev", "bridge")
        ip(*on_trainer, "link", "set", "bridge", "up")
        for n, node in enumerate(NODES, 2):
            ip("netns", "add", node)
            ip(*on_trainer, "link", "add", f"cable{n}", "type", "veth", "peer", "name", "eth0", "netns", node)
            ip(*on_trainer, "link", "set", f"cable{n}", "master", "bridge", "up")
            ip("-n", node, "addr", "add", f"10.213.77.{n}/24", "dev", "eth0")
            ip("-n", node, "link", "set", "eth0", "up")
        yield
    finally:
        for name in (TRAINER, *NODES):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def start(host: str, function: str, **options: Any) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", host, sys.executable, str(PROGRAMS), function, json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out), err


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def wait_until(got: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not (got.exists() and len(json.loads(got.read_text())) >= count):
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Job:
    """Two senders with states and a receiver with a state."""

    def __init__(self, folder: Path, **heartbeat: float):
        keys = folder / "keys"
        write_keys(keys, ["trainer", "node"])
        os.mkdir(keys / "nodes")
        os.link(keys / "node.key", keys / "nodes" / "node.key")
        self.record = folder / "record"
        self.state = folder / "state"
        self._heartbeat = heartbeat
        self._keys = keys
        self._folder = folder
        self.receiver = self.receive()
        self.senders = [self.send(n) for n in range(2)]

    def receive(self) -> subprocess.Popen[str]:
        return start(TRAINER, "receive", address=ADDRESS, record=str(self.record), state=str(self.state), passes=1,
                     num_senders=2, ack=True, every=20, key=str(self._keys / "trainer.key_secret"),
                     peers=str(self._keys / "nodes"), **self._heartbeat)  # fmt: skip

    def send(self, n: int) -> subprocess.Popen[str]:
        return start(NODES[n], "send", address=ADDRESS, count=COUNT, base=n * 100_000, delay_s=0.003, passes=1,
                     ack=True, name=f"node{n}", state_file=str(self._folder / f"node{n}"),
                     key=str(self._keys / "node.key_secret"), peers=str(self._keys / "trainer.key"),
                     **self._heartbeat)  # fmt: skip

    def check(self) -> str:
        """All came once. Returns what the receiver has logged."""
        for sender in self.senders:
            assert finish(sender)[0]["lost"] == 0
        log = finish(self.receiver)[1]
        assert sorted(json.loads(self.state.read_text())["got"]) == [*range(COUNT), *range(100_000, 100_000 + COUNT)]
        return log


@pytest.mark.timeout(120)
@pytest.mark.parametrize("heartbeat_s", [5.0, 1.0], ids=["TCP bridges the gap", "heartbeats notice it"])
def test_a_link_that_is_cut_for_ten_seconds_loses_and_doubles_nothing(
    hosts: None, tmp_path: Path, heartbeat_s: float
) -> None:
    job = Job(tmp_path, heartbeat_s=heartbeat_s)
    wait_until(job.record, 500)
    ip("-n", TRAINER, "link", "set", "cable2", "down")
    time.sleep(10)
    ip("-n", TRAINER, "link", "set", "cable2", "up")

    log = job.check()
    assert ("sender node0 is gone" in log) == (heartbeat_s == 1.0)
    assert "sender node1 is gone" not in log


@pytest.mark.timeout(120)
def test_killed_senders_and_receivers_go_on_from_their_states(hosts: None, tmp_path: Path) -> None:
    job = Job(tmp_path)
    wait_until(job.record, 500)
    kill(job.senders[0])
    job.senders[0] = job.send(0)
    wait_until(job.record, 1500)
    kill(job.receiver)
    job.receiver = job.receive()
    wait_until(job.record, 3000)
    kill(job.senders[1])
    kill(job.receiver)
    job.senders[1], job.receiver = job.send(1), job.receive()

    job.check()
