"""The commands that look at a pipeline, run as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import cli

PIPELINE = """
import os, time
import headrace as hr

def slow(n):
    time.sleep(0.01)
    return n

def make_flow():
    return hr.BatchData(hr.MultiThreadMapData(hr.DataFromIterable(range(1_000_000)), 2, slow), 2)

def parts():
    return hr.DataFromIterable(range(1_000_000)), slow

def empty():
    return hr.DataFromList([])

def fails():
    return hr.MapData(hr.DataFromList([1, 0], shuffle=False), lambda n: 1 // n)

def raises():
    raise LookupError("no such data set")

def told(n):
    if n == 30:
        os.write(1, b"now\\n")
    return slow(n)

def tells():
    return hr.MapData(hr.DataFromIterable(range(1_000_000)), told)
"""

OBSERVING = {
    "explain": ["--seconds", "0.8"],
    "report": ["--seconds", "0.8", "-o", "out.html"],
    "trace": ["--seconds", "0.8", "-o", "trace.json"],
    "top": ["--seconds", "0.8"],
    "tune": ["--seconds", "0.5", "--max-workers", "2"],
}
LOOKS = ["explain", "report", "trace", "top"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path


def headrace(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "headrace", *args], cwd=folder, capture_output=True, text=True)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("__pycache__", "pipeline.py"))


@pytest.mark.parametrize("command", OBSERVING)
def test_it_says_what_it_found_and_writes_it_as_json(folder: Path, command: str) -> None:
    target = "pipeline:parts" if command == "tune" else "pipeline:make_flow"
    done = headrace(folder, command, target, *OBSERVING[command], "--json", "out.json")

    assert (done.returncode, done.stderr if command != "top" else "") == (0, "")
    found = json.loads((folder / "out.json").read_text())
    assert (found["target"], found["interrupted"]) == (target, False)
    said = " ".join(done.stdout.split())
    if command == "tune":
        assert "take: hr." in said
        assert found["best"]["pattern"] in ("thread", "process", "runner")
    elif command == "top":
        assert found["flows"][1]["pool"]["delivered"] > 10
        assert "BatchData" in said
    else:
        assert "MultiThreadMapData (slow) limits: its 2 workers are busy" in said
        assert found["kind"] == "stage"
    if command == "report":
        assert (folder / "out.html").read_text().startswith("<!doctype html>")
    if command == "trace":
        assert len(json.loads((folder / "trace.json").read_text())["traceEvents"]) > 20


def test_doctor_lists_what_it_looked_at(folder: Path) -> None:
    done = headrace(folder, "doctor", "--json", "out.json")
    assert (done.returncode, done.stderr) == (0, "")
    names = [finding["name"] for finding in json.loads((folder / "out.json").read_text())["findings"]]
    assert {"cores", "memory", "shared memory", "descriptors", "start method"} <= set(names)


def run(monkeypatch, capsys, folder: Path, *args: str) -> tuple[int, str, str]:
    """The same in this process, for what ends before anything is run."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "pipeline", raising=False)
    try:
        code = cli.main(args)
    except SystemExit as error:
        code = int(error.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("command", OBSERVING)
def test_a_target_that_cannot_be_had_is_one_line_and_a_traceback_of_the_users(
    folder: Path, command: str, monkeypatch, capsys
) -> None:
    options = OBSERVING[command]
    for target, line, traceback in (
        ("pipeline", "does not name a flow; write module:attribute", ""),
        ("nowhere:flow", "there is no module 'nowhere'", ""),
        ("pipeline:make_flo", "did you mean make_flow", ""),
        ("pipeline:os", "object of type module", ""),
        ("pipeline:raises", "pipeline:raises() failed", "LookupError: no such data set"),
        ("pipeline:fails", "failed while it was iterated", "ZeroDivisionError"),
        ("pipeline:empty", "the flow is empty" if command != "tune" else "neither a flow that maps", ""),
    ):
        code, out, err = run(monkeypatch, capsys, folder, command, target, *options, "--json", "out.json")
        assert (code, out) == (2, ""), target
        assert line in err.splitlines()[-1], target
        assert traceback in err
        assert ("Traceback" in err) == bool(traceback)
        assert "observation.py" not in err
        assert files(folder) == [], target


@pytest.mark.parametrize("command", [*OBSERVING, "doctor"])
def test_a_path_that_cannot_be_written_is_refused_at_once(folder: Path, command: str, monkeypatch, capsys) -> None:
    target = [] if command == "doctor" else ["pipeline:make_flow", *OBSERVING[command]]
    code, _, err = run(monkeypatch, capsys, folder, command, *target, "--json", "no/such/file.json")
    assert code == 2
    assert "--json: there is no folder no/such" in err
    if command in ("report", "trace"):
        code, _, err = run(monkeypatch, capsys, folder, command, "pipeline:make_flow", "-o", ".")
        assert code == 2
        assert "--output: . is a folder" in err
    assert files(folder) == []


@pytest.mark.parametrize("command", OBSERVING)
def test_ctrl_c_shows_what_was_measured_until_then(folder: Path, command: str) -> None:
    options = [*OBSERVING[command][2:], "--seconds", "600", "--json", "out.json"]
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", command, "pipeline:tells", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    if command == "tune":
        assert (out, err) == ("", "headrace tune: interrupted\n"), "the first trial was not over"
        return
    assert json.loads((folder / "out.json").read_text())["interrupted"]
    assert "MapData" in out
    if command in ("report", "trace"):
        assert len(files(folder)) == 2


def test_ctrl_c_before_there_is_enough_for_a_verdict_says_what_there_is(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import os, signal\nimport headrace as hr\n"
        "def f(n):\n    if n == 2:\n        os.kill(os.getpid(), signal.SIGINT)\n    return n\n"
        "flow = hr.MapData(hr.DataFromList([0, 1, 2, 3], shuffle=False), f)\n"
    )
    done = headrace(folder, "explain", "slow:flow", "--seconds", "600")
    assert (done.returncode, done.stdout) == (130, "")
    assert re.search(r"interrupted: the first datapoint came after .* and 2 in all", done.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_where_the_terminal_has_few_characters_others_stand_for_them(folder: Path, encoding: str) -> None:
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    run = [sys.executable, "-m", "headrace"]

    options = ["pipeline:make_flow", "--seconds", "0.8"]
    done = subprocess.run([*run, "explain", *options], cwd=folder, env=env, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"####" in done.stdout
    assert b"limits: its 2 workers" in done.stdout

    done = subprocess.run([*run, "report", *options, "-o", "out.html"], cwd=folder, env=env, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert '<meta charset="utf-8">' in (folder / "out.html").read_text("utf-8")


def test_a_reader_who_goes_away_is_no_error(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        for args in (["check-imports", "pipeline.py"], ["doctor"]):
            command = [sys.executable, "-m", "headrace", *args]
            done = subprocess.run(command, cwd=folder, stdout=nobody, stderr=subprocess.PIPE)
            assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", ["explain", "top", "bench"])
def test_without_stderr_there_is_no_progress_bar_and_no_error(folder: Path, command: str) -> None:
    script = f"exec 2>&-; exec '{sys.executable}' -m headrace {command} pipeline:make_flow --seconds 0.8"
    done = subprocess.run(["sh", "-c", script], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout


def test_help_has_an_example(capsys) -> None:
    for command in (one.__name__.replace("_", "-") for one in cli.COMMANDS):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        text = capsys.readouterr().out
        assert f"$ headrace {command}" in text
        assert "--json" in text
