"""Files by URL: read and written as files on this machine are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import headrace as hr
from headrace.cli import main
from headrace.testing import check_resume

MEMORY = "memory://shards"


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


def samples(count: int, first: int = 0) -> hr.DataFlow:
    rows = [{"__key__": f"{n:04d}", "txt": f"é{n}", "bin": bytes([n]) * 700} for n in range(first, first + count)]
    return hr.DataFromList(rows, shuffle=False)


def given(count: int) -> list[Any]:
    return [{"__key__": f"{n:04d}", "txt": f"é{n}".encode(), "bin": bytes([n]) * 700} for n in range(count)]


def write(url: str, shards: int = 2, each: int = 5) -> None:
    for shard in range(shards):
        path = f"{url}/train-{shard:06d}.tar"
        assert hr.WebDatasetSerializer.save(samples(each, shard * each), path, progress=False) == each


@pytest.fixture(params=["memory", "file", "simplecache"])
def url(request: Any, tmp_path: Path) -> str:
    return {"memory": MEMORY, "file": f"file://{tmp_path}/é", "simplecache": f"simplecache::{MEMORY}"}[request.param]


def test_shards_by_url_are_read_like_files(url: str) -> None:
    write(url.removeprefix("simplecache::"))
    with hr.WebDatasetData(f"{url}/train-*.tar") as flow:
        assert len(flow) == 10
        assert list(flow) == given(10)
    with hr.WebDatasetData([f"{url}/train-000001.tar", f"{url}/train-000000.tar"], shuffle=True) as flow:
        hr.seed(3)
        shuffled = list(flow)
        assert shuffled != given(10)
        assert sorted(shuffled, key=lambda dp: dp["__key__"]) == given(10)


@pytest.mark.parametrize("shuffle", [False, True])
def test_state_and_shares_are_those_of_files(shuffle: bool) -> None:
    write(MEMORY)
    check_resume(lambda: hr.WebDatasetData(f"{MEMORY}/train-*.tar", shuffle))
    shares = [list(hr.Shard(hr.WebDatasetData(f"{MEMORY}/train-*.tar"), rank, 2)) for rank in (0, 1)]
    assert sorted(dp["__key__"] for share in shares for dp in share) == [f"{n:04d}" for n in range(10)]


def test_other_formats_of_records_are_read_and_written_too() -> None:
    numbers = hr.DataFromList([{"n": n} for n in range(7)], shuffle=False)
    hr.JSONLinesSerializer.save(numbers, f"{MEMORY}/n.jsonl", progress=False)
    hr.TFRecordSerializer.save(numbers, f"{MEMORY}/n.tfrecord", progress=False)
    assert list(hr.JSONLinesData(f"{MEMORY}/n.jsonl")) == [{"n": n} for n in range(7)]
    assert list(hr.TFRecordSerializer.load(f"{MEMORY}/n.tfrecord")) == [{"n": n} for n in range(7)]


def test_a_sample_is_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write(MEMORY, shards=1)
    with hr.WebDatasetData(f"{MEMORY}/train-000000.tar") as flow:
        len(flow)
        reads = []
        read = io.BytesIO.read
        kind = type(fsspec.filesystem("memory").open(f"{MEMORY}/train-000000.tar"))
        monkeypatch.setattr(
            kind, "read", lambda self, size=-1: (reads.append(size), read(self, size))[1], raising=False
        )
        assert list(flow) == given(5)
    assert len(reads) == 5


def test_formats_that_are_not_read_by_url_say_so() -> None:
    for load in (hr.ParquetData, hr.ArrowData, hr.NpyData):
        with pytest.raises(ValueError, match=r"memory://x/\*\.parquet: .* is read from files; by URL: WebDataset"):
            load("memory://x/*.parquet")


def test_missing_files_are_said_at_construction(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file matches the pattern.*memory://shards/x-\*\.tar"):
        hr.WebDatasetData(f"{MEMORY}/x-*.tar")
    with pytest.raises(FileNotFoundError, match=r"none\.tar"):
        hr.WebDatasetData(f"{MEMORY}/none.tar")
    with pytest.raises(FileNotFoundError, match=r"none\.tar"):
        hr.WebDatasetData(f"file://{tmp_path}/none.tar")
    with pytest.raises(ValueError, match="Protocol not known: carrier-pigeon"):
        hr.WebDatasetData("carrier-pigeon://home/x.tar")


def test_damage_names_the_url_and_the_offset() -> None:
    write(MEMORY)
    fs = fsspec.filesystem("memory")
    whole = fs.cat_file("/shards/train-000000.tar")
    for damaged, match in [
        (whole[:3000], r"memory://shards/train-000000\.tar: at byte \d+: this is no tar file"),
        (b"", "this is no tar file, or it is damaged"),
        (whole[:3584] + b"?" * 512 + whole[4096:], "this is no tar file, or it is damaged"),
    ]:
        fs.pipe_file("/shards/train-000000.tar", damaged)
        with pytest.raises(hr.FormatError, match=match):
            list(hr.WebDatasetData(f"{MEMORY}/train-*.tar"))
        with hr.WebDatasetData(f"{MEMORY}/train-*.tar", on_error="skip") as flow:
            assert list(flow)[-5:] == given(10)[-5:]
            assert len(flow.errors) == 1


def test_a_file_that_goes_away_or_shrinks_is_an_error_of_its_record() -> None:
    write(MEMORY, shards=1)
    fs = fsspec.filesystem("memory")
    with hr.WebDatasetData(f"{MEMORY}/train-000000.tar", on_error="skip") as flow:
        assert len(flow) == 5
        flow._records()._open.clear()  # as if there were many shards
        fs.pipe_file("/shards/train-000000.tar", fs.cat_file("/shards/train-000000.tar")[:5000])
        assert list(flow) == given(2)
        assert len(flow.errors) == 3
        assert "memory://shards/train-000000.tar: at byte" in str(flow.errors[0])


def test_an_existing_file_is_never_replaced_unasked() -> None:
    write(MEMORY, shards=1)
    path = f"{MEMORY}/train-000000.tar"
    with pytest.raises(FileExistsError, match=f"overwrite=True replaces it: '{path}'"):
        hr.WebDatasetSerializer.save(samples(2), path, progress=False)
    assert len(hr.WebDatasetData(path)) == 5
    hr.WebDatasetSerializer.save(samples(2), path, progress=False, overwrite=True)
    assert len(hr.WebDatasetData(path)) == 2
    with pytest.raises(ValueError, match="resume=True: only an unfinished file on this machine"):
        hr.WebDatasetSerializer.save(samples(2), f"{MEMORY}/y.tar", progress=False, resume=True)


def test_nothing_appears_before_the_file_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fails() -> Iterator[Any]:
        yield {"txt": "a"}
        raise LookupError("the source is gone")

    with pytest.raises(LookupError):
        hr.WebDatasetSerializer.save(hr.DataFromGenerator(fails), f"{MEMORY}/x.tar", progress=False)
    assert fsspec.filesystem("memory").find("/") == []
    assert list(tmp_path.iterdir()) == []


def test_a_complete_file_that_cannot_be_sent_is_kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fs = fsspec.filesystem("memory")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("the bucket is read-only")

    monkeypatch.setattr(type(fs), "mv", refuse)
    with pytest.raises(PermissionError, match="read-only") as caught:
        hr.WebDatasetSerializer.save(samples(3), f"{MEMORY}/x.tar", progress=False)
    (kept,) = tmp_path.glob("*/x.tar")
    assert caught.value.__notes__ == [
        f"the file is complete, and was kept as {kept}; it could not be brought to {MEMORY}/x.tar"
    ]
    assert len(hr.WebDatasetData(kept)) == 3
    assert fs.find("/") == []


def test_convert_reads_and_writes_urls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hr.WebDatasetSerializer.save(samples(10), tmp_path / "all.tar", progress=False)
    there = f"file://{tmp_path}/there"
    assert main(["convert", f"{tmp_path}/all.tar", f"{there}/train.tar", "--shards", "2", "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["train-000000.tar", "train-000001.tar"]
    assert main(["convert", f"{there}/train-*.tar", f"{tmp_path}/back.tar", "--quiet"]) == 0
    assert len(hr.WebDatasetData(tmp_path / "back.tar")) == 10
    assert main(["convert", f"{tmp_path}/all.tar", f"{there}/train.tar", "--shards", "2", "--quiet"]) != 0
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_without_fsspec_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("headrace.formats.extras.importlib.import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'headrace\[fsspec\]'"):
        hr.WebDatasetData("s3://bucket/train.tar")
