"""``headrace serve``, ``receive`` and ``keygen``, run as a person runs them."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import headrace as hr

PIPELINE = """
import itertools, pathlib, time
import headrace as hr

def make_flow():
    return hr.DataFromList(list(range(100)), shuffle=False)

def copies():
    return hr.MultiProcessRunnerZMQ(make_flow(), 2, shard=True)

def broken():
    return hr.MapData(make_flow(), lambda n: 1 // (50 - n))

def without_end():
    return hr.DataFromGenerator(numbers)

def numbers():
    # Far more than may be under way lies between these moments: so the receiver has read for longer than it warms up.
    FAR, WARMUP_S = 10_000, 1.0
    begun = warm = None
    for n in itertools.count():
        yield n
        if n == FAR:
            begun = time.monotonic()
        if begun is not None and warm is None and time.monotonic() - begun > WARMUP_S:
            warm = n
        if warm is not None and n == warm + FAR:
            pathlib.Path("measuring").touch()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path


def begin(folder: Path, *args: str) -> subprocess.Popen[str]:
    command: list[Any] = [sys.executable, "-m", "headrace", *args]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *args: str) -> tuple[int, str, str]:
    process = begin(folder, *args)
    out, err = process.communicate(timeout=40)
    return process.returncode, out, err


def test_with_keys_from_keygen_a_pipeline_in_processes_is_received(folder: Path, address: str) -> None:
    assert run(folder, "keygen", "keys", "--json", "files.json")[0] == 0
    made = json.loads((folder / "files.json").read_text())["files"]
    assert sorted(made) == sorted(str(path.relative_to(folder)) for path in (folder / "keys").iterdir())
    mine, theirs = ("--key", "keys/sender.key_secret"), ("--peer", "keys/receiver.key")
    sender = begin(folder, "serve", "pipeline:make_flow", "--to", address, "--passes", "2", "--workers", "2",
                   "--name", "node1", "--json", "sent.json", *mine, *theirs)  # fmt: skip
    code, out, err = run(folder, "receive", address, "--passes", "2", "--senders", "1", "--json", "got.json",
                         "--timeout", "30", "--key", "keys/receiver.key_secret",
                         "--peer", "keys/sender.key")  # fmt: skip
    told, warned = sender.communicate(timeout=20)

    assert (code, sender.returncode) == (0, 0), err + warned
    assert "node1" in out
    assert "sent 200 datapoints" in told
    (entry,) = json.loads((folder / "got.json").read_text())["senders"]
    assert (entry["name"], entry["datapoints"], entry["ended"]) == ("node1", 200, True)
    assert json.loads((folder / "sent.json").read_text())["passes"] == 2


def test_bench_measures_and_ctrl_c_ends_a_sender(folder: Path, address: str) -> None:
    sender = begin(folder, "serve", "pipeline:make_flow", "--to", address, "--json", "sent.json")
    code, out, _ = run(folder, "receive", address, "--bench", "--seconds", "0.3", "--json", "got.json")
    sender.send_signal(signal.SIGINT)
    said, err = sender.communicate(timeout=20)

    assert code == 0
    assert "datapoints/s" in out
    assert json.loads((folder / "got.json").read_text())["speed"]["count"] > 0
    assert sender.returncode == 130
    assert "Traceback" not in err
    sent = json.loads((folder / "sent.json").read_text())
    assert sent["interrupted"]
    assert sent["datapoints"] >= json.loads((folder / "got.json").read_text())["speed"]["count"]
    assert f"sent {sent['datapoints']:,} datapoints" in said


def test_a_sender_that_is_interrupted_may_come_back(folder: Path, address: str) -> None:
    command = ["serve", "pipeline:make_flow", "--to", address, "--passes", "1", "--ack", "--state", "state.json"]
    command += ["--json", "sent.json"]
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, timeout_s=30) as remote:
        sender = begin(folder, *command)
        it = iter(remote)
        got = list(itertools.islice(it, 30))
        sender.send_signal(signal.SIGINT)
        out, err = sender.communicate(timeout=20)
        assert sender.returncode == 130
        assert re.search(r"interrupted after \d+ datapoints, \d+ bytes", err)
        assert err.splitlines()[-1] == "interrupted: the figures are of what was sent until then"
        sent = json.loads((folder / "sent.json").read_text())
        assert (sent["interrupted"], 30 <= sent["datapoints"] < 100, sent["passes"]) == (True, True, 0)
        assert out.startswith(f"sent {sent['datapoints']} datapoints, {sent['nbytes']:,} bytes, in 0 passes")
        sender = begin(folder, *command)
        got += it
        sender.communicate(timeout=20)
    assert got == list(range(100))
    assert not json.loads((folder / "sent.json").read_text())["interrupted"]


def test_ctrl_c_at_a_receiver_shows_what_came_until_then(folder: Path, address: str) -> None:
    receiver = begin(folder, "receive", address, "--json", "got.json", "--bench")
    sender = begin(folder, "serve", "pipeline:without_end", "--to", address, "--name", "node1")
    while not (folder / "measuring").exists():
        assert sender.poll() is None
        time.sleep(0.01)
    receiver.send_signal(signal.SIGINT)
    out, err = receiver.communicate(timeout=20)
    sender.kill()
    sender.communicate()

    assert receiver.returncode == 130, err
    assert "node1" in out
    assert "datapoints/s" in out
    assert "interrupted: the figures are of what came until then" in err
    assert "Traceback" not in err
    report = json.loads((folder / "got.json").read_text())
    assert report["interrupted"]
    assert report["senders"][0]["datapoints"] > 0


def test_what_came_is_counted_also_when_it_ends_with_an_error(folder: Path, address: str) -> None:
    sender = begin(folder, "serve", "pipeline:broken", "--to", address, "--passes", "1", "--name", "node1")
    code, out, err = run(folder, "receive", address, "--passes", "1", "--json", "got.json")
    sender.communicate(timeout=20)
    assert (code, "node1" in out) == (2, True), err
    assert json.loads((folder / "got.json").read_text())["senders"][0]["datapoints"] == 50


def test_a_pass_that_is_too_short_to_measure_is_counted(folder: Path, address: str) -> None:
    sender = begin(folder, "serve", "pipeline:make_flow", "--to", address, "--passes", "1", "--name", "node1")
    code, out, err = run(folder, "receive", address, "--passes", "1", "--senders", "1", "--bench")
    sender.communicate(timeout=20)
    assert (code, "node1" in out) == (2, True), err
    assert err.splitlines()[-1] == (
        "headrace receive: nothing to measure: all that came came within the warm-up of 1 s"
    )


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["serve", "pipeline:make_flow", "--to", "tcp://192.0.2.1:5555"], "beyond this machine"),
        (["serve", "pipeline:make_flow", "--to", "nonsense"], "--to must be tcp://HOST:PORT or ipc://PATH"),
        (["serve", "pipeline:make_flow", "--to", "tcp://127.0.0.1:9", "--state", "x"], "--state needs --ack"),
        (
            ["serve", "pipeline:make_flow", "--to", "tcp://127.0.0.1:9", "--ack", "--state", "no/x"],
            "there is no folder",
        ),
        (["serve", "pipeline:copies", "--to", "tcp://127.0.0.1:9", "--ack"], "ack=True needs a flow that can go back"),
        (["serve", "pipeline:make_flow", "--to", "tcp://127.0.0.1:9", "--timeout", "0.1"], "no receiver at"),
        (["serve", "pipeline:make_flow", "--to", "tcp://127.0.0.1:9", "--key", "x"], "key was given without peers"),
        (["receive", "tcp://*:5555"], "beyond this machine"),
        (["receive", "tcp://127.0.0.1:0"], "must be tcp://HOST:PORT"),
        (["receive", "tcp://127.0.0.1:9", "--senders", "2"], "--senders needs --passes"),
        (["receive", "ipc://socket", "--timeout", "0.1"], "no sender has come to ipc://socket for 0.1 s"),
        (["keygen", "pipeline.py"], "pipeline.py"),
        (["keygen", "new", "--name", "a/b"], "a key's name is made of"),
    ],
    ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else "",
)
def test_what_cannot_work_is_refused_in_one_line(folder: Path, args: list[str], text: str) -> None:
    code, out, err = run(folder, *args)

    assert (code, out) == (2, "")
    assert text in err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"headrace {args[0]}: ")


def test_a_pipeline_that_raises_shows_the_users_frames_at_the_sender(folder: Path, address: str) -> None:
    sender = begin(folder, "serve", "pipeline:broken", "--to", address, "--passes", "1")
    code, _, err = run(folder, "receive", address, "--passes", "1")
    _, told = sender.communicate(timeout=20)

    assert (code, sender.returncode) == (2, 2)
    assert "failed after 50 datapoints: ZeroDivisionError" in err
    assert "in <lambda>" in told
    assert "sender.py" not in told
