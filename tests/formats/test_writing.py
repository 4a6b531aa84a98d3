"""Files appear whole or not at all, never over another one, and what was written before a crash is not lost."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds import FORMATS, RESUMABLE, Format, every_format

import headrace as hr
from headrace.formats import writing
from headrace.testing import same

resumable = pytest.mark.parametrize("form", RESUMABLE, ids=lambda form: form.name[2:])


class FailsOnce(hr.ProxyDataFlow):
    """Raises before datapoint ``at``, as long as ``broken`` is True."""

    broken = True

    def __init__(self, ds: Any, at: int):
        super().__init__(ds)
        self.at = at

    def run(self, source: Any, state: Any) -> Iterator[Any]:
        for dp in source:
            seen = state.get("seen", 0)
            if seen == self.at and FailsOnce.broken:
                raise LookupError("the source is gone")
            state["seen"] = seen + 1
            yield dp


@pytest.fixture(autouse=True)
def _broken() -> Iterator[None]:
    yield
    FailsOnce.broken = True


def failing(form: Format, count: int, at: int) -> hr.DataFlow:
    return FailsOnce(form.flow(count), at)


@every_format
def test_an_existing_file_is_never_replaced_unasked(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path, 3)
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        form.save(form.flow(2), path, progress=False)
    assert len(form.load(path, shuffle=False)) == 3

    assert form.save(form.flow(2), path, progress=False, overwrite=True) == 2

    assert same(list(form.load(path, shuffle=False)), form.expected(2))
    assert os.listdir(tmp_path) == [form.name]


@every_format
def test_overwriting_never_removes_what_is_of_another_kind(form: Format, tmp_path: Path) -> None:
    path = tmp_path / form.name
    if form.name == "x":
        path.write_text("precious")
        with pytest.raises(NotADirectoryError, match="it is a file, which a folder does not replace"):
            form.save(form.flow(2), path, progress=False, overwrite=True)
        assert path.read_text() == "precious"
    else:
        path = path.with_name("data.mdb") if form.name == "x.lmdb" else path  # which is where LMDB goes in a folder
        path.mkdir()
        (path / "precious").touch()
        with pytest.raises(IsADirectoryError, match="it is a folder, which a file does not replace"):
            form.save(form.flow(2), tmp_path if form.name == "x.lmdb" else path, progress=False, overwrite=True)
        assert os.listdir(path) == ["precious"]
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_is_replaced_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = next(f for f in FORMATS if f.name == "x")
    path = form.write(tmp_path, 3)
    (tmp_path / ".x.old").mkdir()  # of a process that was killed at the end
    rename = os.rename

    def killed(source: Any, target: Any) -> None:
        if Path(target) == path:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        form.save(form.flow(5), path, progress=False, overwrite=True)
    monkeypatch.undo()
    assert same(list(form.load(tmp_path / ".x.old", shuffle=False)), form.expected(3))
    assert same(list(form.load(tmp_path / ".x.part", shuffle=False)), form.expected(5))
    assert form.save(form.flow(4), path, progress=False) == 4
    assert form.save(form.flow(2), path, progress=False, overwrite=True) == 2
    assert os.listdir(tmp_path) == ["x"]


@every_format
def test_a_folder_that_does_not_exist_is_named(form: Format, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder to write into: .*/nowhere'"):
        form.save(form.flow(2), tmp_path / "nowhere" / form.name, progress=False)


def test_bad_arguments_leave_nothing(tmp_path: Path) -> None:
    flow = hr.DataFromList([1, 2], shuffle=False)
    for value, error in ((0, ValueError), (-5, ValueError), ("often", TypeError)):
        with pytest.raises(error, match="write_frequency must be"):
            hr.LMDBSerializer.save(flow, tmp_path / "x.lmdb", write_frequency=value, progress=False)
    assert os.listdir(tmp_path) == []


@every_format
def test_overwriting_that_fails_leaves_the_old_file(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path, 3)
    with pytest.raises(LookupError):
        form.save(failing(form, 9, 5), path, progress=False, overwrite=True)
    assert same(list(form.load(path, shuffle=False)), form.expected(3))


@every_format
def test_a_failure_leaves_no_file_that_looks_complete(form: Format, tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        form.save(failing(form, 9, 5), tmp_path / form.name, progress=False)

    left = set(os.listdir(tmp_path))
    assert left == ({f".{form.name}.part", f".{form.name}.resume"} if form in RESUMABLE else set())


@resumable
@pytest.mark.parametrize("at", [0, 1, 5, 8])
def test_resume_goes_on_where_it_failed(form: Format, at: int, tmp_path: Path) -> None:
    path = tmp_path / form.name
    with pytest.raises(LookupError) as caught:
        form.save(failing(form, 9, at), path, progress=False)
    if at:
        assert f"{at} datapoints are safe in" in "".join(caught.value.__notes__)
        with pytest.raises(FileExistsError, match=f"unfinished file with {at} datapoints is there; resume=True"):
            form.save(failing(form, 9, at), path, progress=False)
    else:
        assert os.listdir(tmp_path) == []
    with pytest.raises(LookupError):  # it fails again
        form.save(failing(form, 9, at), path, progress=False, resume=True)
    FailsOnce.broken = False

    assert form.save(failing(form, 9, at), path, progress=False, resume=True) == 9

    assert same(list(form.load(path, shuffle=False)), form.expected(9))
    assert os.listdir(tmp_path) == [form.name]


def test_resume_reads_a_shuffled_source_on_not_again(tmp_path: Path) -> None:
    FailsOnce.broken = True
    path = tmp_path / "x.jsonl"
    rows = list(range(50))
    with pytest.raises(LookupError):
        hr.JSONLinesSerializer.save(FailsOnce(hr.DataFromList(rows, shuffle=True), 20), path, progress=False)
    FailsOnce.broken = False

    hr.JSONLinesSerializer.save(FailsOnce(hr.DataFromList(rows), 20), path, progress=False, resume=True)

    assert sorted(hr.JSONLinesData(path)) == rows


def test_resume_refuses_another_flow(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(LookupError):
        hr.JSONLinesSerializer.save(FailsOnce(hr.DataFromList(list(range(9))), 5), path, progress=False)
    with pytest.raises(hr.StateError, match="another pipeline"):
        hr.JSONLinesSerializer.save(hr.DataFromList(list(range(9))), path, progress=False, resume=True)
    assert (tmp_path / ".x.jsonl.part").exists()

    assert hr.JSONLinesSerializer.save(hr.DataFromList([1, 2]), path, progress=False, overwrite=True) == 2
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / ".x.jsonl.part").write_text("1\n")
    (tmp_path / ".x.jsonl.resume").write_text("{")
    with pytest.raises(hr.FormatError, match=r"\.x\.jsonl\.resume: not what was saved"):
        hr.JSONLinesSerializer.save(hr.DataFromList([1]), tmp_path / "x.jsonl", progress=False, resume=True)


KILLED = """
import os, signal, sys
import headrace as hr
from headrace.formats import writing

def numbers(n):
    if n == 3000 and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n": n}

writing._CHECKPOINT_S = 0.0  # after each datapoint
path = sys.argv[1]
save = {"lmdb": hr.LMDBSerializer, "jsonl": hr.JSONLinesSerializer, "tfrecord": hr.TFRecordSerializer}[path[2:]].save
flow = hr.MapData(hr.DataFromList(list(range(2990, 3010)), shuffle=False), numbers)
print(save(flow, path, progress=False, resume=True))
"""


@pytest.mark.parametrize("name", ["x.lmdb", "x.jsonl", "x.tfrecord"])
def test_a_writer_that_was_killed_is_resumed_to_the_same_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "write.py").write_text(KILLED)
    command = [sys.executable, "write.py", name]
    killed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    saved = json.loads((tmp_path / f".{name}.resume").read_text())

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    form = next(f for f in FORMATS if f.name == name)
    assert (killed.returncode, saved["datapoints"]) == (-signal.SIGKILL, 10)
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr
    assert [dp["n"] for dp in form.load(tmp_path / name, shuffle=False)] == list(range(2990, 3010))
    assert sorted(os.listdir(tmp_path)) == sorted([name, "killed", "write.py"])


# -- two writers


def test_two_processes_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    code = (
        "import sys, headrace as hr\n"
        "def wait(n):\n"
        "    print('writing', flush=True); sys.stdin.readline(); return n\n"
        f"hr.JSONLinesSerializer.save(hr.MapData(hr.DataFromList([7]), wait), {str(path)!r}, progress=False)\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "writing\n"

    for how in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(BlockingIOError, match=f"process {first.pid} is writing it.*x.jsonl"):
            hr.JSONLinesSerializer.save(hr.DataFromList([1, 2]), path, progress=False, **how)
    first.communicate("go on\n")

    assert (first.returncode, list(hr.JSONLinesData(path)), os.listdir(tmp_path)) == (0, [7], ["x.jsonl"])


def test_the_lock_of_a_writer_that_died_is_free(tmp_path: Path) -> None:
    lock = tmp_path / ".x.jsonl.lock"
    lock.write_text("1")
    hr.JSONLinesSerializer.save(hr.DataFromList([1]), tmp_path / "x.jsonl", progress=False)
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_a_lock_file_that_was_removed_while_waiting_is_made_anew(tmp_path: Path) -> None:
    target = writing.Target(tmp_path / "x", overwrite=False, resume=False)
    with target, open(tmp_path / ".x.lock") as same_file, pytest.raises(BlockingIOError):
        fcntl.flock(same_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.listdir(tmp_path) == []


# -- full disks

LIMIT = 1 << 17
LARGE = 1 << 14


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may become larger: like a full disk, writing fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def large(form: Format, count: int) -> hr.DataFlow:
    """Datapoints that cannot be compressed, each of about 16 kB."""
    rng = np.random.default_rng(0)
    make: dict[str, Callable[[int], Any]] = {
        "x.tar": lambda n: {"bin": rng.bytes(LARGE)},
        "x.npy": lambda n: rng.integers(0, 255, LARGE, np.uint8),
        "x.svm": lambda n: [rng.random(LARGE // 16), 1.0],
        "x.h5": lambda n: {"x": rng.bytes(LARGE)},
        "x.parquet": lambda n: {"x": rng.bytes(LARGE)},
        "x.arrow": lambda n: {"x": rng.bytes(LARGE)},
        "x.jsonl": lambda n: f"{n:05d}" * (LARGE // 5),
        "x": lambda n: {"path": f"{n}", "data": rng.bytes(LARGE)},
    }
    one = make.get(form.name, lambda n: [rng.bytes(LARGE)])
    return hr.DataFromList([one(n) for n in range(count)], shuffle=False)


@pytest.mark.parametrize("form", [f for f in FORMATS if f.name not in ("x.lmdb", "x")], ids=lambda form: form.name[2:])
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_an_oserror_and_leaves_nothing_half(form: Format, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"File too large|too big|errno = 27|EFBIG"):
        form.save(large(form, 20), tmp_path / form.name, progress=False)
    assert form.name not in os.listdir(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    gc.collect()
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name[2:])
def test_on_a_full_file_system_what_is_there_survives(form: Format, small_disk: Path) -> None:
    form.save(large(form, 2), small_disk / form.name, progress=False)
    with pytest.raises(OSError, match=r"No space left|errno = 28|the disk may be full"):
        form.save(large(form, 40), small_disk / form.name, progress=False, overwrite=True)
    with form.load(small_disk / form.name, shuffle=False) as flow:
        assert len(list(flow)) == 2


def test_after_a_full_disk_a_larger_one_goes_on(small_disk: Path) -> None:
    rows = [f"{n:05d}" * 2000 for n in range(40)]
    path = small_disk / "x.jsonl"
    with pytest.raises(OSError, match="No space left"):
        hr.JSONLinesSerializer.save(hr.DataFromList(rows, shuffle=False), path, progress=False)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)

    hr.JSONLinesSerializer.save(hr.DataFromList(rows, shuffle=False), path, progress=False, resume=True)

    assert list(hr.JSONLinesData(path)) == rows


# -- what cannot be written


@pytest.mark.parametrize(
    ("form", "datapoint", "text"),
    [
        ("x.lmdb", [{1, 2}], r"\[0\] is a set, which only pickle can store: codec=\"pickle\" writes it"),
        ("x.jsonl", {1, 2}, "JSON has no set"),
        ("x.tar", [b"x"], "a WebDataset sample is a dict"),
        ("x.tar", {"__key__": "a.b", "x": b""}, "a name without dots, got 'a.b'"),
        ("x.tar", {"txt": {1}}, "component 'txt' is a set"),
        ("x.tar", {"": b"x"}, "the component '' cannot be the end of a file's name"),
        ("x.tar", {"a/b": b"x"}, "the component 'a/b' cannot be"),
        ("x.tar", {"__key__": "00000000", "txt": "x"}, "the sample before has the __key__ '00000000', too"),
        ("x.svm", [1, 2, 3], "is a vector and a number, got list"),
        ("x.npy", "text", "another|shape|dtype"),
        (
            "x.h5",
            {"x": np.zeros((2, 3), np.int16), "name": "a\0b", "jpeg": b""},
            "component 'name' has a null character",
        ),
        ("x.h5", {"x": 1}, r"the components \['x'\], expected"),
        ("x.parquet", {"x": 1}, "the first one was a tuple"),
        ("x", {"path": "../out", "data": b""}, "below the folder, got '../out'"),
        ("x", {"path": "é/000.txt", "data": b""}, "comes twice"),
    ],
)
def test_a_datapoint_that_does_not_fit_is_named_by_number(form: str, datapoint: Any, text: str, tmp_path: Path) -> None:
    how = next(f for f in FORMATS if f.name == form)
    flow = hr.DataFromList([how.make(0), datapoint], shuffle=False)
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        how.save(flow, tmp_path / form, progress=False)
    assert "datapoint 1 of the flow" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("save", [hr.ParquetSerializer.save, hr.ArrowSerializer.save])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (1, 1.5),
        ([1], [1.5]),
        (np.array([1]), np.array([1.5])),
        (np.float32(1), 0.1),
        ({"x": 1}, {"y": 1}),
        ([{"x": 1}], [{"x": 1, "y": 2}]),
        ("a", b"a"),
        (b"a", "a"),
        (1, True),
        (1.5, 2**60 + 1),
        (np.int8(1), 1000),
        (np.zeros((2, 2)), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 2)), np.zeros((2, 3))),
        (np.zeros((2, 2)), None),
    ],
    ids=repr,
)
def test_nothing_is_lost_where_types_change_between_row_groups(
    save: Any, first: Any, then: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="component '0': no type of Arrow fits all rows") as caught:
        save(hr.DataFromList([[first], [then]], shuffle=False), tmp_path / "x", group_rows=1, progress=False)
    assert "datapoint 1 of the flow" in "".join(caught.value.__notes__)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("serializer", [hr.ParquetSerializer, hr.ArrowSerializer])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (1.5, 2),
        (1, None),
        ([1.5], [1]),
        ([1], []),
        (np.array([1.0]), np.array([0.1], np.float32)),
        (np.int8(1), 100),
        (np.eye(2, 3, dtype=bool), np.ones((2, 3), bool)),
        (np.full((2, 2), 0.5, np.float16), np.zeros((2, 2), np.float16)),
    ],
    ids=repr,
)
def test_what_fits_into_the_types_of_the_first_row_group_does(
    serializer: Any, first: Any, then: Any, tmp_path: Path
) -> None:
    flow = hr.DataFromList([[first], [then]], shuffle=False)
    serializer.save(flow, tmp_path / "x", group_rows=1, progress=False)
    ((a,), (b,)) = serializer.load(tmp_path / "x", shuffle=False)
    np.testing.assert_array_equal(np.asarray(a), np.asarray(first))
    np.testing.assert_array_equal(np.asarray(b), np.asarray(then))


def test_unsigned_numbers_that_a_tf_example_cannot_hold_are_refused(tmp_path: Path) -> None:
    for large in (2**63, [1, 2**63], (2**64 - 1,), np.array([1, 2**63], np.uint64)):
        flow = hr.DataFromList([{"n": np.uint64(2**63 - 1)}, {"n": large}], shuffle=False)
        with pytest.raises(TypeError, match=r"component 'n' has integers of 2\*\*63 or more") as caught:
            hr.TFRecordSerializer.save(flow, tmp_path / "x.tfrecord", codec="example", progress=False, overwrite=True)
        assert "datapoint 1 of the flow" in "".join(caught.value.__notes__)


def test_the_progress_bar_can_be_switched_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flow = hr.DataFromList([1, 2], shuffle=False)
    hr.JSONLinesSerializer.save(flow, tmp_path / "a.jsonl", progress=False)
    assert capfd.readouterr().err == ""
    hr.JSONLinesSerializer.save(flow, tmp_path / "b.jsonl")
    assert "b.jsonl: 100%" in capfd.readouterr().err
