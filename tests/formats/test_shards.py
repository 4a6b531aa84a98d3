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
