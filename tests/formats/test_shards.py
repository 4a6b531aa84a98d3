"""Several files at a time: exact, in processes, and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from kinds import FORMATS, Format

import headrace as hr
from headrace.testing import same

SHARDED = [f for f in FORMATS if f.name in ("x.tar", "x.jsonl", "x.parquet")]


@pytest.mark.parametrize("form", SHARDED, ids=lambda form: form.name[2:])
def test_each_datapoint_is_in_one_file(form: Format, tmp_path: Path) -> None:
    flow = hr.DataFromList([form.make(n) for n in range(11)], shuffle=True)
    assert hr.save_shards(flow, tmp_path / form.name, 3, 2, progress=False) == 11

    assert len(os.listdir(tmp_path)) == 3
    back = form.load(f"{tmp_path}/x-*", shuffle=False)
    got = [{k: v for k, v in dp.items() if k != "__key__"} if isinstance(dp, dict) else dp for dp in back]
    for n in range(11):
        one = form.make(n) if form.given is None else {k: v for k, v in form.given(n).items() if k != "__key__"}
        assert sum(same(one, dp) for dp in got) == 1


@pytest.mark.parametrize("name", ["x.tar", "x.parquet", "x.arrow"])
def test_more_files_than_datapoints_are_read_as_well(name: str, tmp_path: Path) -> None:
    form = next(f for f in FORMATS if f.name == name)
    flow = hr.DataFromList([form.make(n) for n in range(2)], shuffle=False)
    assert hr.save_shards(flow, tmp_path / form.name, 5, progress=False) == 2
    assert len(os.listdir(tmp_path)) == 5
    assert len(list(form.load(f"{tmp_path}/x-*", shuffle=True))) == 2
    with pytest.raises(FileExistsError, match="overwrite=True replaces it, resume=True keeps it and writes the others"):
        hr.save_shards(flow, tmp_path / form.name, 5, progress=False)
    assert hr.save_shards(flow, tmp_path / form.name, 5, progress=False, resume=True) == 0


@pytest.mark.parametrize("name", ["x.tar", "x.jsonl"])
def test_files_of_two_sets_are_never_mixed(name: str, tmp_path: Path) -> None:
    flow = hr.DataFromList([{"txt": str(n)} for n in range(6)], shuffle=False)
    hr.save_shards(flow, tmp_path / name, 3, progress=False)
    (tmp_path / name.replace("x", "x-other")).touch()
    before = sorted(os.listdir(tmp_path))
    for how in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(FileExistsError, match=r"another number of files, .*/x-00000"):
            hr.save_shards(flow, tmp_path / name, 2, progress=False, **how)
    assert sorted(os.listdir(tmp_path)) == before
    assert hr.save_shards(flow, tmp_path / name, 3, progress=False, overwrite=True) == 6


def test_folders_are_overwritten_by_folders_only(tmp_path: Path) -> None:
    files = hr.DataFromList([{"path": f"{n}.txt", "data": b"new"} for n in range(4)], shuffle=False)
    for _ in range(2):
        assert hr.save_shards(files, tmp_path / "x", 2, progress=False, overwrite=True) == 4
    assert len(list(tmp_path.rglob("*.txt"))) == 4
    lines = tmp_path / "y-00001-of-00002.jsonl"
    lines.mkdir()
    with pytest.raises(IsADirectoryError, match=r"y-00001-of-00002\.jsonl"):
        hr.save_shards(hr.DataFromList([1, 2, 3]), tmp_path / "y.jsonl", 2, progress=False, overwrite=True)


def test_numbered_files_are_named_as_webdataset_does(tmp_path: Path) -> None:
    flow = hr.DataFromList([{"txt": str(n)} for n in range(6)], shuffle=False)
    hr.save_shards(flow, tmp_path / "train.tar", 3, progress=False)
    texts = [dp["txt"] for dp in hr.WebDatasetData(f"{tmp_path}/train-{{000000..000002}}.tar")]
    assert texts == [b"0", b"3", b"1", b"4", b"2", b"5"]
    assert len(hr.WebDatasetData(f"file://{tmp_path}/train-{{000001..000002}}.tar")) == 4
    with pytest.raises(FileNotFoundError, match=r"train-000003\.tar"):
        hr.WebDatasetData(f"{tmp_path}/train-{{000002..000009}}.tar")
    with pytest.raises(ValueError, match=r"\{2\.\.1\} counts backwards"):
        hr.WebDatasetData(f"{tmp_path}/train-{{2..1}}.tar")
    literal = tmp_path / "odd-{0..1}.jsonl"
    literal.write_text("7\n")
    assert list(hr.JSONLinesData(literal)) == [7]


def test_files_may_be_read_in_stretches_and_written_again(tmp_path: Path) -> None:
    flow = hr.DataFromList([{"n": n} for n in range(100)], shuffle=False)
    hr.ParquetSerializer.save(flow, tmp_path / "x.parquet", group_rows=7, progress=False)
    hr.save_shards(hr.ParquetData(tmp_path / "x.parquet"), tmp_path / "y.jsonl", 4, progress=False)
    assert [dp["n"] for dp in hr.JSONLinesData(f"{tmp_path}/y-*.jsonl")] == list(range(100))


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    flag = str(tmp_path / "killed")

    def number(n: int) -> int:
        if n == 13 and not os.path.exists(flag):
            Path(flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    flow = hr.MapData(hr.DataFromList(list(range(40)), shuffle=False), number)
    assert hr.save_shards(flow, tmp_path / "x.jsonl", 4, 2, progress=False) == 40
    assert sorted(hr.JSONLinesData(f"{tmp_path}/x-*.jsonl")) == list(range(40))
    assert len(os.listdir(tmp_path)) == 5


def test_a_failure_leaves_complete_files_and_resume_makes_the_others(tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    path = str(flag)

    def number(n: int) -> int:
        if n == 7 and os.path.exists(path):
            raise LookupError(n)
        return n

    flow = hr.MapData(hr.DataFromList(list(range(20)), shuffle=False), number)
    with pytest.raises(LookupError):
        hr.save_shards(flow, tmp_path / "x.jsonl", 4, 1, progress=False)
    with pytest.raises(FileExistsError):
        hr.save_shards(flow, tmp_path / "x.jsonl", 4, 1, progress=False)
    flag.unlink()
    hr.save_shards(flow, tmp_path / "x.jsonl", 4, 1, progress=False, resume=True)
    assert sorted(hr.JSONLinesData(f"{tmp_path}/x-*.jsonl")) == list(range(20))
    assert hr.save_shards(flow, tmp_path / "x.jsonl", 4, 1, progress=False, overwrite=True) == 20


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no format has the ending '\.doc'; known are \.lmdb, "):
        hr.save_shards([1], tmp_path / "x.doc", 2)
    with pytest.raises(ValueError, match="shards must be at least 1"):
        hr.save_shards([1], tmp_path / "x.jsonl", 0)
    with pytest.raises(ValueError, match="save_shards: the order of MultiThreadRunner"):
        hr.save_shards(hr.MultiThreadRunner(lambda: hr.DataFromList([1]), 1, 1), tmp_path / "x.jsonl", 2)
    assert os.listdir(tmp_path) == []
