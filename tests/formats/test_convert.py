"""``headrace convert``, run as a person runs it."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headrace as hr
from headrace.cli import main
from headrace.commands.convert import convert

PIPELINE = """
import headrace as hr

def make_flow():
    return hr.DataFromList([{"n": n, "text": f"number {n}"} for n in range(30)], shuffle=False)

def fails():
    return hr.MapData(make_flow(), lambda dp: dp if dp["n"] != 5 else 1 // 0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command in this process, as if it were a new one: exit code and stderr."""

    def convert(*args: str) -> tuple[int, str]:
        sys.modules.pop("pipeline", None)
        code = main(["convert", *args])
        out, err = capfd.readouterr()
        assert out == ""
        return code, err

    return convert


Run = Callable[..., tuple[int, str]]


def test_from_a_pipeline_through_formats_in_shards(folder: Path, run: Run) -> None:
    assert run("pipeline:make_flow", "a.lmdb", "--quiet") == (0, "")
    code, err = run("a.lmdb", "b.parquet", "--shards", "3", "--processes", "2")
    assert code == 0
    assert "30 datapoints written" in err
    assert run("b-*.parquet", "c.tfrecord", "--codec", "example", "--quiet") == (0, "")
    got = list(hr.TFRecordData(folder / "c.tfrecord", parse="example"))
    assert sorted(int(dp["n"][0]) for dp in got) == list(range(30))


def test_the_example_of_the_help_runs(folder: Path, run: Run) -> None:
    example = (inspect.getdoc(convert) or "").partition("Example:\n")[2]
    code, _, shell = example.partition("\n\n")
    (folder / "pipeline.py").write_text("\n".join(line[2:] for line in code.splitlines()))
    for line in shell.strip().splitlines():
        assert run(*shlex.split(line.strip().removeprefix("$ headrace convert ")), "--quiet") == (0, "")
    assert len(hr.TFRecordData(folder / "numbers.tfrecord")) == 1000
    assert json.loads((folder / "counts.json").read_text())["datapoints"] == 1000


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nothing.lmdb", "x.lmdb"], "nothing.lmdb: No such file"),
        (["pipeline:make_flow", "x.doc"], "x.doc: no format has the ending '.doc'"),
        (["pipeline:make_flow", "pipeline.jsonl", "--codec", "plain"], "--codec: JSON lines has no codecs"),
        (["pipeline:make_flow", "old.jsonl"], "old.jsonl: it exists; --overwrite replaces it"),
        (["pipeline:make_flow", "x.jsonl", "--processes", "2"], "--shards makes several files"),
        (["pipeline:make_flow", "x.npz", "--resume"], "an unfinished npz file cannot be gone on with"),
        (["old.jsonl", "x.lmdb"], "old.jsonl: at byte 0: this line is no JSON"),
        (["pickled.tfrecord", "x.lmdb"], "it is pickled"),
        (["pipeline:nothing", "x.lmdb"], "no 'nothing' in pipeline"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folder: Path, run: Run, args: list[str], text: str) -> None:
    (folder / "old.jsonl").write_text("old\n")
    flow = hr.DataFromList([pickle.dumps({"n": 1})])
    hr.TFRecordSerializer.save(flow, folder / "pickled.tfrecord", "bytes", progress=False)
    before = set(os.listdir(folder))

    code, err = run(*args, "--quiet")

    assert code == 2
    assert text in err.splitlines()[-1]
    assert "Traceback" not in err
    assert set(os.listdir(folder)) - before <= {"__pycache__", ".x.lmdb.part", ".x.lmdb.resume"}


def test_a_pipeline_that_fails_shows_its_traceback_and_resumes(folder: Path, run: Run) -> None:
    code, err = run("pipeline:fails", "x.jsonl", "--quiet")
    assert code == 2
    assert "ZeroDivisionError" in err
    assert "5 datapoints are safe in" in err
    text = (folder / "pipeline.py").read_text()
    (folder / "pipeline.py").write_text(text.replace("1 // 0", "dp"))

    assert run("pipeline:fails", "x.jsonl", "--quiet", "--resume") == (0, "")
    assert [dp["n"] for dp in hr.JSONLinesData(folder / "x.jsonl")] == list(range(30))


def test_bad_records_are_skipped_and_pickles_read_on_demand(folder: Path, run: Run) -> None:
    (folder / "a.jsonl").write_text('{"n": 1}\nno\n{"n": 2}\n')
    assert run("a.jsonl", "b.jsonl", "--quiet", "--on-error", "skip")[0] == 0
    assert (folder / "b.jsonl").read_text() == '{"n": 1}\n{"n": 2}\n'
    flow = hr.DataFromList([pickle.dumps({"n": 1})])
    hr.TFRecordSerializer.save(flow, folder / "p.tfrecord", "bytes", progress=False)
    assert run("p.tfrecord", "q.jsonl", "--quiet", "--allow-pickle") == (0, "")
    assert list(hr.JSONLinesData(folder / "q.jsonl")) == [{"n": 1}]
