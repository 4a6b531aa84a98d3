"""Exactly once: senders and receivers are processes of their own, and are killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from senders import Start, end

import headrace as hr

COUNT = 200
SIZES = pytest.mark.parametrize("size", [50, 20_000], ids=["in the message", "in shared memory"])


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, end(process)
        assert time.monotonic() < deadline
        time.sleep(0.005)


def length(path: Path) -> int:
    return len(json.loads(path.read_text())) if path.exists() else 0


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


@pytest.mark.parametrize("bind", [True, False], ids=["the receiver binds", "the sender binds"])
@SIZES
def test_a_sender_that_is_killed_goes_on_from_its_state(
    start: Start, address: str, tmp_path: Path, bind: bool, size: int
) -> None:
    record = tmp_path / "record"
    receiver = start(
        "receive", address=address, record=str(record), passes=1, num_senders=1, ack=True, bind=bind, every=1
    )
    options: dict[str, Any] = {"count": COUNT, "size": size, "delay_s": 0.005, "passes": 1, "ack": True}
    options["bind"] = not bind
    options["state_file"] = str(tmp_path / "state")
    sender = start("send", address=address, **options)
    for at in (COUNT // 4, COUNT * 3 // 4):
        wait_for(lambda at=at: length(record) > at, receiver)
        sender.kill()
        sender = start("send", address=address, **options)

    finish(sender)
    finish(receiver)
    assert sorted(json.loads(record.read_text())) == list(range(COUNT))


def test_with_workers_a_served_pipeline_that_is_killed_goes_on_exactly(
    start: Start, address: str, tmp_path: Path
) -> None:
    """Copies are taken from in turn: what was sent is found again, though processes are never equally fast."""
    (tmp_path / "pipeline.py").write_text(
        "import random, time, headrace as hr\n"
        "def uneven(n):\n"
        "    time.sleep(random.random() / 200)\n"
        "    return [n, [n] * 3]\n"
        f"def make():\n    return hr.MapData(hr.DataFromList(list(range({COUNT})), shuffle=True), uneven)\n"
    )
    command = [sys.executable, "-m", "headrace", "serve", "pipeline:make", "--to", address, "--passes", "1", "--ack",
               "--state", "sender.json", "--workers", "2"]  # fmt: skip

    def serve() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    sender = serve()
    state = tmp_path / "state"
    options: dict[str, Any] = {
        "address": address, "record": str(tmp_path / "record"), "state": str(state), "passes": 1, "num_senders": 1,
        "ack": True, "listed": True,
    }  # fmt: skip
    receiver = start("receive", **options)
    wait_for(lambda: length(tmp_path / "record") > COUNT // 4, receiver)
    end(sender)
    sender = serve()
    wait_for(lambda: length(tmp_path / "record") > COUNT // 2, receiver)
    receiver.kill()
    receiver = start("receive", **options)
    finish(receiver)
    _, err = sender.communicate(timeout=30)

    assert sender.returncode == 0, err
    assert sorted(json.loads(state.read_text())["got"]) == list(range(COUNT))


@SIZES
def test_a_receiver_that_is_killed_goes_on_from_its_state(
    start: Start, address: str, tmp_path: Path, size: int
) -> None:
    state, record = tmp_path / "state", tmp_path / "record"
    sender = start("send", address=address, count=COUNT, size=size, passes=1, ack=True)
    options: dict[str, Any] = {
        "address": address, "record": str(record), "state": str(state), "passes": 1, "num_senders": 1, "ack": True,
        "delay_s": 0.004,
    }  # fmt: skip
    receiver = start("receive", **options)
    for at in (COUNT // 4, COUNT * 3 // 4):
        wait_for(lambda at=at: length(record) > at, receiver)
        receiver.kill()
        receiver = start("receive", **options)

    finish(receiver)
    result = finish(sender)
    assert sorted(json.loads(state.read_text())["got"]) == list(range(COUNT))
    assert (result["datapoints"], result["lost"]) == (COUNT, 0)


@pytest.mark.parametrize("seed", range(1))
@SIZES
def test_whoever_is_killed_each_datapoint_arrives_once(
    start: Start, address: str, tmp_path: Path, seed: int, size: int
) -> None:
    """Two senders with states, a receiver with a state; kills at random, also of several at once."""
    chance = random.Random(seed)
    programs: dict[str, tuple[str, dict[str, Any]]] = {
        f"sender-{n}": ("send", {
            "address": address, "count": COUNT, "base": n * 10_000, "size": size, "delay_s": 0.004,
            "passes": 1, "ack": True,
            "name": f"sender-{n}", "state_file": str(tmp_path / f"sender-{n}"),
        })
        for n in range(2)
    }  # fmt: skip
    programs["receiver"] = ("receive", {
        "address": address, "record": str(tmp_path / "record"), "state": str(tmp_path / "state"), "passes": 1,
        "num_senders": 2, "ack": True, "delay_s": 0.001,
    })  # fmt: skip
    running = {name: start(function, **options) for name, (function, options) in programs.items()}
    for _ in range(4):
        time.sleep(chance.uniform(0.3, 0.9))
        for name in chance.sample(sorted(programs), chance.choice([1, 1, 2])):
            if running[name].poll() is None:
                running[name].send_signal(signal.SIGKILL)
                running[name].wait()
                function, options = programs[name]
                running[name] = start(function, **options)
    for process in running.values():
        finish(process)

    got = json.loads((tmp_path / "state").read_text())["got"]
    assert sorted(got) == sorted([*range(COUNT), *range(10_000, 10_000 + COUNT)])


def test_a_dead_sender_is_noticed_and_named_while_the_others_go_on(start: Start, address: str) -> None:
    names = ("first", "second")
    senders = {name: start("send", address=address, count=50, delay_s=0.001, name=name) for name in names}
    with hr.RemoteDataZMQ(address, heartbeat_s=0.5, timeout_s=30) as remote:
        it = iter(remote)
        while {s.name for s in remote.senders if s.datapoints} != set(names):
            next(it)
        senders["first"].kill()
        while next(s for s in remote.senders if s.name == "first").connected:
            next(it)
        assert next(s for s in remote.senders if s.name == "second").connected
        for _ in range(100):
            next(it)


def test_a_sender_that_stands_still_is_given_up_after_three_heartbeats(start: Start, address: str) -> None:
    sender = start("send", address=address, count=50, passes=1, delay_s=0.02, name="frozen")
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, heartbeat_s=0.2, timeout_s=3) as remote:
        it = iter(remote)
        next(it)
        sender.send_signal(signal.SIGSTOP)
        with pytest.raises(hr.PeerLost, match=r"gone for 3 s from .*: frozen \(after \d+ datapoints\); start it again"):
            list(it)


def test_a_sender_gives_up_a_receiver_that_is_gone_for_good(start: Start, address: str, tmp_path: Path) -> None:
    receiver = start("receive", address=address, record=str(tmp_path / "record"), every=1)
    sender = start("send", address=address, count=50, timeout_s=1.0)
    wait_for(lambda: length(tmp_path / "record") > 10, receiver)
    receiver.kill()
    _, err = sender.communicate(timeout=30)

    assert sender.returncode == 1
    assert f"PeerLost: there has been no receiver at {address} for 1 s; start it" in err


def test_a_state_file_has_one_sender(start: Start, address: str, tmp_path: Path) -> None:
    options = {"address": address, "count": 5, "ack": True, "state_file": str(tmp_path / "state")}
    first = start("send", **options)
    wait_for((tmp_path / "state").exists, first)
    second = start("send", **options)
    _, err = second.communicate(timeout=30)

    assert second.returncode == 1
    assert "is in use by another sender; each needs a file of its own" in err


def test_a_state_file_of_another_flow_is_refused(tmp_path: Path, address: str) -> None:
    file = tmp_path / "state"
    with pytest.raises(hr.PeerLost):
        hr.send_dataflow_zmq(hr.DataFromList([1, 2]), address, ack=True, state_file=file, timeout_s=0.1)
    with pytest.raises(hr.StateError, match="the state belongs to another pipeline"):
        hr.send_dataflow_zmq(hr.DataFromList([1, 2, 3]), address, ack=True, state_file=file, timeout_s=0.1)
    file.write_text("{}")
    with pytest.raises(hr.StateError, match="is not the state of a sender"):
        hr.send_dataflow_zmq(hr.DataFromList([1, 2]), address, ack=True, state_file=file, timeout_s=0.1)


def test_a_script_that_just_ends_leaves_nothing_behind(address: str, tmp_path: Path) -> None:
    code = (
        "import threading, headrace as hr\n"
        f"t = threading.Thread(target=hr.send_dataflow_zmq, args=([1], {address!r}), daemon=True)\n"
        "t.start()\n"
        f"it = iter(hr.RemoteDataZMQ({address!r}))\n"
        "print(next(it), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", done.stderr)
    assert "Traceback" not in done.stderr
