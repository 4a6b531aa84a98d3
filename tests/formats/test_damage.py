"""Damaged, foreign and wrong files: errors that name file and place, and all else is read under on_error="skip"."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds import FORMATS, Format

import headrace as hr
from headrace.formats.crc32c import masked
from headrace.plain_codec.records import encode
from headrace.testing import same

lmdb = pytest.importorskip("lmdb")

FILES = [f for f in FORMATS if f.name != "x"]
BINARY = [f for f in FILES if f.name not in ("x.jsonl", "x.svm")]
files = pytest.mark.parametrize("form", FILES, ids=lambda form: form.name[2:])
binary = pytest.mark.parametrize("form", BINARY, ids=lambda form: form.name[2:])
SHARDED = [f for f in FORMATS if f.name in ("x.tfrecord", "x.tar", "x.jsonl", "x.parquet", "x.arrow")]


def by_name(name: str) -> Format:
    return next(f for f in FORMATS if f.name == name)


@files
def test_a_file_of_another_format_is_refused_by_name(form: Format, tmp_path: Path) -> None:
    path = tmp_path / form.name
    path.write_bytes(b"GIF89a, and then this and that\n" * 20)
    with pytest.raises(hr.FormatError, match=re.escape(str(path))):
        list(form.load(path, shuffle=False))


@binary
def test_a_truncated_file_is_an_error_or_an_exact_part(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    data, expected = path.read_bytes(), form.expected(20)
    for size in {0, 1, 100, len(data) // 4, len(data) // 2, len(data) - 200, len(data) - 1}:
        path.write_bytes(data[: max(size, 0)])
        flow = form.load(path, shuffle=False)
        error: Exception | None = None
        got: list[Any] = []
        try:
            got = list(flow)
        except hr.FormatError as raised:
            error = raised
        flow.close()
        assert same(got, expected[: len(got)])
        assert str(path) in str(error) or len(got) == 20 or (form.name, size) == ("x.tfrecord", 0)


@binary
def test_flipped_bytes_never_crash_and_are_seen_by_whoever_has_checksums(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    data, expected = path.read_bytes(), form.expected(20)
    rng = np.random.default_rng(2)
    checked = form.name in ("x.tfrecord", "x.npz")
    for at in rng.choice(len(data), 30, replace=False) if form.name != "x.lmdb" else []:
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        flow = form.load(path, shuffle=False)
        try:
            got = list(flow)
        except (hr.FormatError, MemoryError):
            continue
        finally:
            flow.close()
        assert same(got, expected) or not checked


def flip(path: Path, text: bytes, at: int = 0) -> None:
    """Damage the bytes where ``text`` stands."""
    data = bytearray(path.read_bytes())
    position = data.index(text) + at
    data[position] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["x.lmdb", "x.tfrecord", "x.jsonl", "x.npz"])
def test_what_can_be_read_is_read_when_bad_records_are_skipped(name: str, tmp_path: Path) -> None:
    rows = [f"row-{n:03d}-é" for n in range(10)]
    form = by_name(name)
    if name == "x.npz":  # which compresses: the packed records are damaged before
        records = [encode(row) for row in rows]
        records[4] = records[4][:-1] + b"?"
        header = '{"format": "headrace-npz", "version": 1, "codec": "plain"}'
        ends = np.cumsum([len(r) for r in records])
        np.savez(tmp_path / name, headrace=header, records=np.frombuffer(b"".join(records), "u1"), ends=ends)
    else:
        form.save(hr.DataFromList(rows, shuffle=False), tmp_path / name, progress=False)
        flip(tmp_path / name, b"row-004", at=-1 if name == "x.jsonl" else 2)

    with form.load(tmp_path / name, shuffle=False, on_error="skip") as flow:
        assert list(flow) == [row for row in rows if row != rows[4]]
        assert [bad.index for bad in flow.errors] == [4]
        assert name in str(flow.errors[0].error)
    with form.load(tmp_path / name, shuffle=False) as flow, pytest.raises(hr.FormatError, match=name) as caught:
        list(flow)
    assert re.search(r"at byte \d+|key b'0+4'|record 4", str(caught.value))
    instead = form.load(tmp_path / name, shuffle=False, on_error=lambda error: type(error).__name__)
    assert list(instead)[4] == "FormatError"
    instead.close()


@pytest.mark.parametrize(("name", "at"), [("x.tfrecord", "within this record"), ("x.tar", "within|truncated|damaged")])
def test_of_a_truncated_file_the_rest_is_read_when_skipping(name: str, at: str, tmp_path: Path) -> None:
    form = by_name(name)
    path = form.write(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    flow = form.load(path, shuffle=False, on_error="skip")
    got = list(flow)

    assert 5 < len(got) < 15
    assert same(got, form.expected(20)[: len(got)])
    assert [bad.index for bad in flow.errors] == [-1]
    with pytest.raises(hr.FormatError, match=rf"{name}: at byte \d+: .*({at})"):
        len(form.load(path, shuffle=False))


@pytest.mark.parametrize("form", SHARDED, ids=lambda form: form.name[2:])
def test_a_whole_shard_that_is_damaged_is_an_error_or_skipped(form: Format, tmp_path: Path) -> None:
    paths = []
    for shard in range(3):
        folder = tmp_path / f"{shard}"
        folder.mkdir()
        paths.append(form.write(folder, 4))
    paths[1].write_bytes(b"\x00\xffno" * 500)

    with pytest.raises(hr.FormatError, match=re.escape(str(paths[1]))):
        list(form.load(paths, shuffle=False))
    flow = form.load(paths, shuffle=False, on_error="skip")
    assert same(list(flow), form.expected(4) * 2)
    assert len(flow.errors) == 1
    again = form.load(paths, shuffle=True, on_error="skip")
    assert len(list(again)) == 8


@pytest.mark.parametrize("form", SHARDED, ids=lambda form: form.name[2:])
def test_an_empty_shard_is_no_error(form: Format, tmp_path: Path) -> None:
    paths = []
    for shard, count in enumerate((0, 2, 0, 3)):
        folder = tmp_path / f"{shard}"
        folder.mkdir()
        paths.append(form.write(folder, count))

    assert same(list(form.load(paths, shuffle=False)), form.expected(2) + form.expected(3))
    assert len(list(form.load(paths, shuffle=True))) == 5
    assert list(form.load(paths[0], shuffle=False)) == []


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_an_empty_table_with_the_schema_of_the_others_is_no_error(name: str, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for shard, rows in enumerate(([1, 2], [], [3])):
        table = pyarrow.table({"n": pyarrow.array(rows, pyarrow.int64())})
        if name == "x.parquet":
            parquet.write_table(table, tmp_path / f"{shard}{name}")
        else:
            with pyarrow.ipc.new_file(tmp_path / f"{shard}{name}", table.schema) as file:
                file.write_table(table)
    assert [dp["n"] for dp in by_name(name).load(f"{tmp_path}/*{name}", shuffle=False)] == [1, 2, 3]


def test_the_order_of_columns_and_whether_they_may_be_null_is_no_schema(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for shard, (names, nullable) in enumerate((("na", True), ("an", True), ("na", False))):
        fields = [pyarrow.field(name, pyarrow.int64(), nullable) for name in names]
        values = {"n": [shard], "a": [10 + shard]}
        parquet.write_table(pyarrow.table(values, pyarrow.schema(fields)), tmp_path / f"{shard}x.parquet")
    flow = hr.ParquetData(f"{tmp_path}/*x.parquet")
    assert [list(dp.items()) for dp in flow] == [[("n", n), ("a", 10 + n)] for n in range(3)]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_a_schema_that_changes_between_shards_is_told(name: str, tmp_path: Path) -> None:
    form = by_name(name)
    for shard, row in enumerate(({"n": 1, "a": "x"}, {"n": 1.5, "a": "x"})):
        form.save(hr.DataFromList([row], shuffle=False), tmp_path / f"{shard}{name}", progress=False)
    with pytest.raises(hr.FormatError, match=f"1{name}: the schema is not that of .*0{name}: 'n' is double, "):
        len(form.load(f"{tmp_path}/*{name}", shuffle=False))
    with form.load(f"{tmp_path}/*{name}", shuffle=False, on_error="skip") as flow:
        assert list(flow) == [{"n": 1, "a": "x"}]
    with pytest.raises(hr.FormatError, match=r"there is no column 'z'; there are \['n', 'a'\]"):
        len(
            hr.ParquetData(tmp_path / "0x.parquet", ["z"])
            if "parquet" in name
            else hr.ArrowData(f"{tmp_path}/0{name}", ["z"])
        )


@files
def test_a_file_that_cannot_be_read_is_named(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    if os.geteuid():
        path.chmod(0)
    else:  # root may read every file, but nobody a folder
        path.unlink()
        path.mkdir()
    with pytest.raises((OSError, hr.FormatError), match=form.name):
        len(form.load(path, shuffle=False))


def test_a_file_that_vanishes_is_a_bad_record(tmp_path: Path) -> None:
    form = by_name("x")
    path = form.write(tmp_path, 4)
    flow = form.load(path, shuffle=False)
    assert len(flow) == 4
    (path / "é" / "002.txt").unlink()
    with pytest.raises(hr.FormatError, match=r"002\.txt: it cannot be read: No such file"):
        list(flow)
    assert len(list(form.load(path, shuffle=False))) == 3


@pytest.mark.parametrize("name", ["x.tfrecord", "x.tar", "x.jsonl"])
def test_a_compressed_file_is_recognized(name: str, tmp_path: Path) -> None:
    import gzip

    path = by_name(name).write(tmp_path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(hr.FormatError, match="it is compressed: unpack it first"):
        len(by_name(name).load(path, shuffle=False))


# -- pickles, headers, versions


def upstream_lmdb(path: Path, rows: list[Any], protocol: int = 5) -> None:
    """As tensorpack's LMDBSerializer writes it."""
    with lmdb.open(str(path), subdir=False, map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for n, row in enumerate(rows):
            transaction.put(f"{n:08d}".encode(), pickle.dumps(row, protocol))
        transaction.put(b"__keys__", pickle.dumps([f"{n:08d}".encode() for n in range(len(rows))], protocol))


@pytest.mark.parametrize("protocol", [2, 5])
def test_tensorpacks_lmdb_is_read_when_pickle_is_allowed(protocol: int, tmp_path: Path) -> None:
    path, rows = tmp_path / "x.lmdb", [[np.arange(n), n, {"a": (1,)}] for n in range(20)]
    upstream_lmdb(path, rows, protocol)

    assert [k for k, v in hr.LMDBData(path, shuffle=False)] == [f"{n:08d}".encode() for n in range(20)]
    with pytest.raises(hr.FormatError, match=r"key b'00000000': it is pickled.*allow_pickle=True if you trust"):
        list(hr.LMDBSerializer.load(path, shuffle=False))
    assert same(list(hr.LMDBSerializer.load(path, shuffle=False, allow_pickle=True)), rows)
    assert sorted(dp[1] for dp in hr.LMDBSerializer.load(path, allow_pickle=True)) == list(range(20))


class Bomb:
    def __reduce__(self) -> Any:
        return (print, ("code of the file has run",))


def test_a_list_of_keys_that_is_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.lmdb"
    with lmdb.open(str(path), subdir=False, map_size=1 << 24) as env, env.begin(write=True) as transaction:
        transaction.put(b"b", b"2")
        transaction.put(b"a", b"1")
        transaction.put(b"__keys__", pickle.dumps(Bomb()))

    assert list(hr.LMDBData(path, shuffle=False)) == [[b"a", b"1"], [b"b", b"2"]]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["x.lmdb", "x.tfrecord", "x.npz"])
def test_any_object_may_be_pickled_but_is_loaded_only_if_allowed(name: str, tmp_path: Path) -> None:
    form = by_name(name)
    rows = [{1, 2}, range(3)]
    form.save(hr.DataFromList(rows, shuffle=False), tmp_path / name, codec="pickle", progress=False)
    with pytest.raises(hr.FormatError, match="it is pickled"):
        list(form.load(tmp_path / name, shuffle=False))
    assert list(form.load(tmp_path / name, shuffle=False, allow_pickle=True)) == rows


def test_tensorpacks_npz_is_read_when_pickle_is_allowed(tmp_path: Path) -> None:
    buffer = np.empty(2, object)
    buffer[:] = [[1, "a"], [2, "b"]]
    np.savez_compressed(tmp_path / "x.npz", buffer=buffer)
    with pytest.raises(hr.FormatError, match="it is pickled, as tensorpack writes it"):
        len(hr.NumpySerializer.load(tmp_path / "x.npz"))
    assert list(hr.NumpySerializer.load(tmp_path / "x.npz", False, allow_pickle=True)) == [[1, "a"], [2, "b"]]

    rows = [[np.full((2, 2), n, np.uint8), n] for n in range(3)]  # numpy makes one array of these
    np.savez_compressed(tmp_path / "y.npz", buffer=np.asarray(rows, dtype=object))
    assert same(list(hr.NumpySerializer.load(tmp_path / "y.npz", False, allow_pickle=True)), rows)


def test_an_unknown_version_is_told(tmp_path: Path) -> None:
    path = by_name("x.lmdb").write(tmp_path, 2)
    with lmdb.open(str(path), subdir=False, map_size=1 << 24, lock=False) as env, env.begin(write=True) as transaction:
        transaction.put(b"__headrace__", b'{"format": "headrace-lmdb", "version": 9, "count": 2}')
    with pytest.raises(hr.FormatError, match=r"version 9; this headrace reads 'headrace-lmdb', version 1"):
        len(hr.LMDBSerializer.load(path))
    np.savez(tmp_path / "x.npz", headrace='{"format": "headrace-npz", "version": 9}')
    with pytest.raises(hr.FormatError, match="'headrace-npz', version 9"):
        len(hr.NumpySerializer.load(tmp_path / "x.npz"))


# -- LMDB


def test_lmdb_keys(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    hr.LMDBSerializer.save(hr.DataFromList([10, 20, 30], shuffle=False), path, progress=False)

    assert os.listdir(path) == ["data.mdb"]
    assert [k for k, v in hr.LMDBData(path, False, keys=["00000002", b"00000000"])] == [b"00000002", b"00000000"]
    assert len(list(hr.LMDBData(path, keys="{:0>8d}"))) == 3
    with pytest.raises(hr.FormatError, match=r"data\.mdb: there is no key b'nothing'"):
        list(hr.LMDBData(path, keys=["nothing"]))
    skipping = hr.LMDBData(path, False, keys=["nothing", "00000001"], on_error="skip")
    assert [k for k, v in skipping] == [b"00000001"]
    with pytest.raises(TypeError, match="keys must be str or bytes"):
        hr.LMDBData(path, keys=[1])
    for form in ("{:zz}", "{a}", "{", "{} {}"):
        with pytest.raises(ValueError, match=r"is no format for numbers, such as '\{:0>8d\}'"):
            hr.LMDBData(path, keys=form)


def test_lmdb_decoder(tmp_path: Path) -> None:
    path = by_name("x.lmdb").write(tmp_path, 4)
    decoded = hr.LMDBDataDecoder(hr.LMDBData(path, shuffle=False), lambda k, v: int(k) if int(k) % 2 else None)
    assert list(decoded) == [1, 3]
    with pytest.raises(TypeError, match="decoder must be callable"):
        hr.LMDBDataDecoder(hr.LMDBData(path), 3)


def datum(image: np.ndarray[Any, Any], label: int, **more: int) -> bytes:
    """A caffe.Datum, encoded by hand."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    channels, height, width = image.shape
    data = image.tobytes()
    return b"".join(
        (
            *(bytes([number << 3]) + varint(value) for number, value in ((1, channels), (2, height), (3, width))),
            bytes([4 << 3 | 2]) + varint(len(data)) + data,
            bytes([5 << 3]) + varint(label),
            *(bytes([7 << 3, value]) for value in more.values()),
        )
    )


def test_caffe_lmdb(tmp_path: Path) -> None:
    images = [np.random.default_rng(n).integers(0, 255, (3, 20, 30), np.uint8) for n in range(3)]
    path = tmp_path / "caffe"
    with lmdb.open(str(path), subdir=False, map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for n, image in enumerate(images):
            transaction.put(f"{n:08d}".encode(), datum(image, 300 + n))
        transaction.put(b"00000003", datum(images[0], 1, encoded=1))
        transaction.put(b"00000004", b"\xff\xff")

    ds = hr.CaffeLMDB(path, shuffle=False, on_error="skip")

    got = list(ds)
    assert same(got, [[image.transpose(1, 2, 0), 300 + n] for n, image in enumerate(images)])
    assert "compressed image" in str(ds.errors[0].error)
    assert "no protocol buffer" in str(ds.errors[1].error)


# -- what others write and read


def test_tfrecord_is_framed_as_tensorflow_does(tmp_path: Path) -> None:
    """The checksum of "123456789" is the check value of CRC-32C, masked as the format says."""
    path = tmp_path / "x.tfrecord"
    hr.TFRecordSerializer.save(hr.DataFromList([b"123456789"], shuffle=False), path, "bytes", progress=False)
    data = path.read_bytes()
    assert data[:8] == struct.pack("<Q", 9)
    assert data[8:12] == struct.pack("<I", masked(data[:8]))
    assert data[12:] == b"123456789" + struct.pack("<I", 0xC78AB0E5)


def test_tf_examples_of_all_kinds(tmp_path: Path) -> None:
    rows = [{"b": [b"\x00", b""], "s": "é", "i": [1, -1, 2**62], "f": np.array([0.5, -2], "f4"), "n": 7, "e": []}]
    hr.TFRecordSerializer.save(hr.DataFromList(rows), tmp_path / "x", "example", progress=False)
    [got] = hr.TFRecordData(tmp_path / "x", parse="example")
    assert same(got.pop("i"), np.array([1, -1, 2**62]))
    assert same(got.pop("f"), np.array([0.5, -2], "f4"))
    assert same(got.pop("n"), np.array([7]))
    assert {k: list(v) for k, v in got.items()} == {"b": [b"\x00", b""], "s": ["é".encode()], "e": []}


def test_tar_is_what_tarfile_and_tar_read(tmp_path: Path) -> None:
    import tarfile

    key = "folder/" + "ü" * 120  # longer than a ustar name
    path = tmp_path / "x.tar"
    hr.WebDatasetSerializer.save(hr.DataFromList([{"__key__": key, "seg.txt": "a", "cls": 3}]), path, progress=False)
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{key}.seg.txt", f"{key}.cls"]
    assert list(hr.WebDatasetData(path)) == [{"__key__": key, "seg.txt": b"a", "cls": b"3"}]
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.txt").write_text("1")
    (folder / "a.cls").write_text("2")
    subprocess.run(["tar", "-cf", tmp_path / "y.tar", "src/a.txt", "src/a.cls"], cwd=tmp_path, check=True)
    assert list(hr.WebDatasetData(tmp_path / "y.tar")) == [{"__key__": "src/a", "txt": b"1", "cls": b"2"}]


def test_hdf5_of_others_contiguous_and_chunked(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["plain"] = np.arange(10)
        file.create_dataset("group/chunked", data=np.arange(20).reshape(10, 2), chunks=(4, 2), compression="gzip")
        file["text"] = ["é"] * 10
        file["short"] = np.arange(9)
    flow = hr.HDF5Data(tmp_path / "x.h5", ["plain", "group/chunked", "text"], shuffle=True)
    hr.seed(0)
    got = list(flow)
    assert sorted(int(dp[0]) for dp in got) == list(range(10))
    assert all(list(dp[1]) == [2 * dp[0], 2 * dp[0] + 1] and dp[2] == "é" for dp in got)
    flow.close()
    with pytest.raises(hr.FormatError, match="the numbers of rows differ: 'plain': 10, 'short': 9"):
        len(hr.HDF5Data(tmp_path / "x.h5", ["plain", "short"]))
    with pytest.raises(hr.FormatError, match=r"no dataset 'nothing'; there are \['group/chunked', "):
        len(hr.HDF5Data(tmp_path / "x.h5", ["nothing"]))
    with pytest.raises(hr.FormatError, match="data_paths must be given"):
        len(hr.HDF5Data(tmp_path / "x.h5"))


def test_hdf5_names_the_components_of_lists_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    rows = [[np.full((2, 2), n), n, f"é{n}", bytes([n, 0])] for n in range(3)]
    assert hr.HDF5Serializer.save(hr.DataFromList(rows, shuffle=False), path, progress=False) == 3
    assert same([[a, int(n), t, b] for a, n, t, b in hr.HDF5Serializer.load(path, shuffle=False)], rows)
    assert same(list(hr.HDF5Data(path, ["2", "3"], shuffle=False)), [row[2:] for row in rows])


def test_svmlight(tmp_path: Path) -> None:
    path = tmp_path / "x.svm"
    path.write_text("# a comment\n1 qid:3 1:0.5 4:1e3 # more\n\n-1\n2 3:1 2:1\nx 1:1\n1 1:\n")
    flow = hr.SVMLightData(path, shuffle=False, on_error="skip")
    assert same(list(flow), [[np.array([0.5, 0, 0, 1000.0]), 1.0], [np.zeros(4), -1.0]])
    assert len(flow.errors) == 3
    with pytest.raises(hr.FormatError, match=r"x\.svm: at byte 43: the indices must not be negative"):
        len(hr.SVMLightData(path))
    path.write_text("1 0:5 2:1\n")
    assert same(list(hr.SVMLightData(path)), [[np.array([5.0, 0, 1]), 1.0]])


def test_npy_of_several_components(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    np.save(tmp_path / "b.npy", np.array(["x", "y", "z"]))
    np.save(tmp_path / "c.npy", np.arange(2))
    np.save(tmp_path / "d.npy", np.array(1))
    flow = hr.NpyData([tmp_path / "a.npy", tmp_path / "b.npy"])
    first = next(iter(flow))
    first[0][:] = 9  # it is ours
    assert same(next(iter(flow)), [np.array([0, 1]), np.str_("x")])
    with pytest.raises(hr.FormatError, match="different numbers of rows"):
        len(hr.NpyData([tmp_path / "a.npy", tmp_path / "c.npy"]))
    with pytest.raises(hr.FormatError, match="has no rows"):
        len(hr.NpyData(tmp_path / "d.npy"))
    with pytest.raises(ValueError, match=r"\[ab\]\.npy' stands for 2 files: give a list"):
        hr.NpyData(f"{tmp_path}/[ab].npy")
    assert len(list(hr.NpyData([f"{tmp_path}/[ab].npy"]))) == 3


def test_blank_lines_do_not_count_whatever_ends_them(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\r\n{"a": 1}\r\n  \t\r\n\r\n {"a": 2}\r\n \n\n[3]\n  ')
    flow = hr.JSONLinesData(path)
    assert list(flow) == [{"a": 1}, {"a": 2}, [3]]
    assert len(flow) == 3
    path.write_bytes(b"1\n\0\0\0\n2\n")
    with pytest.raises(hr.FormatError, match=r"x\.jsonl: at byte 2: this line is no JSON"):
        list(hr.JSONLinesData(path))


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 7])
def test_blank_lines_are_found_wherever_a_block_of_the_file_ends(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.formats.jsonl._BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.jsonl"
    for lines in itertools.product(["1", " 2", "", "\r", "   ", "[3, 4]"], repeat=3):
        path.write_text("\n".join(lines), newline="")
        assert list(hr.JSONLinesData(path)) == [json.loads(line) for line in lines if line.strip()]


def test_huge_metadata_is_not_held_more_than_once(tmp_path: Path) -> None:
    """A million lines: the index is two integers each, opening is quick, and a state stays small."""
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{n}\n" for n in range(1_000_000)))
    flow = hr.JSONLinesData(path, shuffle=True)
    running = iter(flow)
    for _ in range(1000):
        next(running)
    assert len(flow) == 1_000_000
    assert len(str(flow.state_dict())) < 1000


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"])
def test_a_tar_header_that_announces_ten_gigabytes_is_not_read(kind: bytes, tmp_path: Path) -> None:
    good = by_name("x.tar").write(tmp_path, 3)
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, 10 << 30
    bad = tmp_path / "bad.tar"
    bad.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    os.truncate(bad, 11 << 30)  # a hole, which takes no room on the disk
    with pytest.raises(hr.FormatError, match=r"bad\.tar: at byte 0: .* a header of 10737418240 bytes"):
        len(hr.WebDatasetData(bad))
    flow = hr.WebDatasetData([bad, good], on_error="skip")
    assert len(list(flow)) == 3
    assert [str(error.index) for error in flow.errors] == ["-1"]


def test_lmdb_where_address_space_is_limited(tmp_path: Path) -> None:
    code = (
        "import resource, headrace as hr\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "flow = hr.DataFromList(list(range(9)), shuffle=False)\n"
        "hr.LMDBSerializer.save(flow, 'x.lmdb', progress=False)\n"
        "print(list(hr.LMDBSerializer.load('x.lmdb', shuffle=False)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[0, 1, 2, 3, 4, 5, 6, 7, 8]\n", done.stderr


def test_the_index_of_a_shard_takes_few_bytes_for_each_sample(tmp_path: Path) -> None:
    rows = [{"jpg": b"x", "cls": n, "seg.png": b"y"} for n in range(3000)]
    hr.WebDatasetSerializer.save(hr.DataFromList(rows, shuffle=False), tmp_path / "x.tar", progress=False)
    flow = hr.WebDatasetData(tmp_path / "x.tar")
    tracemalloc.start()
    try:
        assert len(flow) == 3000
        nbytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert nbytes / 3000 < 200
    assert len(pickle.dumps(flow)) / 3000 < 200  # for worker processes


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('lmdb', 'h5py', 'pyarrow', 'zarr'): sys.modules[name] = None\n"
        "import headrace as hr\n"
        "for make in (lambda: hr.LMDBData('x'), lambda: hr.HDF5Data('x', ['a']), lambda: hr.ParquetData('x'),\n"
        "             lambda: hr.ZarrData('x', ['a']), lambda: hr.LMDBSerializer.save([], 'x')):\n"
        "    try: make()\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert re.findall(r"pip install 'headrace\[(\w+)\]'", done.stdout) == ["lmdb", "hdf5", "arrow", "zarr", "lmdb"]


def test_what_is_no_regular_file_in_a_folder_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(hr.FormatError, match=r"fifo: it cannot be read: it is no regular file"):
        list(hr.FolderData(tmp_path, "fifo"))
    flow = hr.FolderData(tmp_path, on_error="skip")
    assert [(dp["path"], dp["data"]) for dp in flow] == [("a.txt", b"a"), ("link.txt", b"a")]
    assert [Path(str(bad.error).partition(":")[0]).name for bad in flow.errors] == ["device", "fifo", "nowhere"]


@files
def test_a_fifo_is_refused_and_does_not_hang(form: Format, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / form.name)
    with pytest.raises(hr.FormatError, match="neither a file nor a folder"):
        form.load(tmp_path / form.name)
    with pytest.raises((hr.FormatError, FileNotFoundError)):  # where patterns are known
        form.load(tmp_path / "x*")
