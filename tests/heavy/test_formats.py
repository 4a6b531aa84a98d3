"""The files of others are read, and ours are read by others: TensorFlow, WebDataset, Hugging Face datasets, Zarr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.testing import same

ROWS = [{"image": os.urandom(300), "label": n - 2, "w": np.array([n / 2, 1], "f4"), "s": "é"} for n in range(5)]


def test_tensorflow_reads_our_tfrecords_and_examples(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    path = str(tmp_path / "x.tfrecord")
    hr.TFRecordSerializer.save(hr.DataFromList(ROWS, shuffle=False), path, "example", progress=False)
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "w": tf.io.FixedLenFeature([2], tf.float32),
        "s": tf.io.FixedLenFeature([], tf.string),
    }
    count = 0
    for row, raw in zip(ROWS, tf.data.TFRecordDataset(path), strict=True):
        got = {name: value.numpy() for name, value in tf.io.parse_single_example(raw, spec).items()}
        assert (got["image"], got["label"], got["s"].decode()) == (row["image"], row["label"], row["s"])
        assert (got["w"] == row["w"]).all()
        count += 1
    assert count == 5


def test_tfrecords_and_examples_of_tensorflow_are_read(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    path = str(tmp_path / "x.tfrecord")
    train = tf.train
    with tf.io.TFRecordWriter(path) as writer:
        for row in ROWS:
            feature = {
                "image": train.Feature(bytes_list=train.BytesList(value=[row["image"]])),
                "label": train.Feature(int64_list=train.Int64List(value=[row["label"], 7])),
                "w": train.Feature(float_list=train.FloatList(value=row["w"])),
            }
            writer.write(train.Example(features=train.Features(feature=feature)).SerializeToString())
    for row, got in zip(ROWS, hr.TFRecordData(path, parse="example"), strict=True):
        expected = {"image": [row["image"]], "label": np.array([row["label"], 7]), "w": row["w"]}
        assert same({name: got[name] for name in expected}, expected)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_webdataset_reads_our_shards_and_we_its(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    theirs, ours = str(tmp_path / "a-000000.tar"), str(tmp_path / "b-000000.tar")
    with wds.TarWriter(theirs) as writer:
        for n in range(4):
            writer.write({"__key__": f"s{n}", "txt": f"é{n}", "cls": n, "a.b.json": {"n": n}})
    expected = {"__key__": "s1", "txt": "é1".encode(), "cls": b"1", "a.b.json": b'{"n": 1}'}
    assert list(hr.WebDatasetData(theirs))[1] == expected

    rows = [{"__key__": f"k{n}", "txt": f"é{n}", "cls": n, "x.npy": np.arange(n)} for n in range(3)]
    hr.WebDatasetSerializer.save(hr.DataFromList(rows, shuffle=False), ours, progress=False)
    for row, got in zip(rows, wds.WebDataset(ours, shardshuffle=False).decode(), strict=True):
        assert (got["__key__"], got["txt"], got["cls"]) == (row["__key__"], row["txt"], row["cls"])
        assert same(got["x.npy"], row["x.npy"])


def test_a_hugging_face_dataset_is_a_list(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert list(hr.DataFromList(dataset, shuffle=False)) == [dataset[n] for n in range(3)]
    with hr.MultiProcessRunnerZMQ(hr.DataFromList(dataset, shuffle=True), 2, shard=True) as flow:
        assert sorted(dp["a"] for dp in flow) == [1, 2, 3]


ZARR = """
import numpy as np, zarr
import headrace as hr
from headrace.testing import check_resume

group = zarr.open_group("x.zarr", mode="w")
group.create_array("images", shape=(10, 2), chunks=(4, 2), dtype="i4")[:] = np.arange(20).reshape(10, 2)
group.create_array("labels", shape=(10,), chunks=(5,), dtype="i4")[:] = np.arange(10)

got = list(hr.ZarrData("x.zarr", ["images", "labels"], shuffle=True))

assert sorted(int(label) for _, label in got) == list(range(10))
assert all(image.tolist() == [2 * label, 2 * label + 1] for image, label in got)
check_resume(lambda: hr.ZarrData("x.zarr", ["images", "labels"]), limit=12)
for path, name in (("x.zarr", "nothing"), (".", "images")):
    try:
        len(hr.ZarrData(path, [name]))
    except hr.FormatError as error:
        print(error)
"""


def test_zarr_in_a_process_of_its_own_since_it_keeps_a_thread(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    done = subprocess.run([sys.executable, "-c", ZARR], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "x.zarr: there is no array 'nothing'" in done.stdout
    assert ".: this cannot be read as a Zarr group" in done.stdout


BY_HTTP = """
import http.server, os, sys, threading
import headrace as hr

class Ranges(http.server.SimpleHTTPRequestHandler):
    asked, ranges = [], True

    def send_head(self):
        path = self.translate_path(self.path)
        if not os.path.exists(path) or os.path.isdir(path) or not self.ranges:
            return super().send_head()
        size = os.path.getsize(path)
        begin, end = 0, size - 1
        if "Range" in self.headers:
            begin, end = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
            end = min(end, size - 1)
        self.asked.append(end + 1 - begin if self.command == "GET" else 0)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end + 1 - begin))
        self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        self.end_headers()
        file = open(path, "rb")
        file.seek(begin)
        part = __import__("io").BytesIO(file.read(end + 1 - begin))
        file.close()
        return part

    def log_message(self, *_):
        pass

os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
rows = [{"__key__": f"{n}", "bin": bytes([n]) * 100_000} for n in range(8)]
for shard in (0, 1):
    part = hr.DataFromList(rows[4 * shard : 4 * shard + 4], shuffle=False)
    hr.WebDatasetSerializer.save(part, f"train-{shard}.tar", progress=False)

def check(paths, **how):
    flow = hr.WebDatasetData(paths, **how)
    running = iter(flow)
    first = [next(running) for _ in range(3)]
    state = flow.state_dict()
    rest = list(running)
    again = hr.WebDatasetData(paths, **how)
    again.load_state_dict(state)
    assert list(again) == rest
    assert sorted(first + rest, key=lambda dp: dp["__key__"]) == rows
    mapped = hr.MultiProcessMapData(hr.WebDatasetData(paths, **how), 2, lambda dp: len(dp["bin"]))
    with mapped:
        assert list(mapped) == [100_000] * 8

shards = [f"{url}/train-{n}.tar" for n in (0, 1)]
check(shards)
check(f"{url}/train-*.tar")  # from the page that lists the folder
check(shards, shuffle=True)
shuffled = hr.WebDatasetData(shards, shuffle=True)
len(shuffled)
Ranges.asked.clear()
list(shuffled)
assert sorted(Ranges.asked)[-8:] == [100_000] * 8 and sum(Ranges.asked) == 800_000, Ranges.asked

try:
    hr.WebDatasetData(f"{url}/none.tar")
except FileNotFoundError as error:
    print("missing:", error)
Ranges.ranges = False  # such a server gives whole files only
try:
    list(hr.WebDatasetData(shards))
except hr.FormatError as error:
    print("no ranges:", str(error).splitlines()[0])
check([f"simplecache::{shard}" for shard in shards])
server.shutdown()
"""


def test_shards_are_read_from_a_web_server(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")  # fsspec's way to a web server
    done = subprocess.run([sys.executable, "-c", BY_HTTP, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    missing, no_ranges = done.stdout.splitlines()
    assert missing.endswith("/none.tar")
    assert "it cannot be read: ValueError" in no_ranges
    assert "range requests" in no_ranges
