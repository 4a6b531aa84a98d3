"""Data sets are downloaded when asked for, from a server on this machine."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import write_cifar10, write_mnist

import headrace as hr
from headrace import dataset


class Server:
    """Serves what is put into ``files``; ``asked`` says what for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut_off = False
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                served.asked.append(name)
                if name not in served.files:
                    self.send_error(404)
                    return
                data = served.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if served.cut_off else data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Server()
    yield served
    served.close()


@pytest.fixture
def mnist(server: Server, tmp_path: Path) -> Any:
    """MNIST with three digits, as the server publishes it."""
    write_mnist(tmp_path / "published", "train", 3)
    sums = {}
    for path in (tmp_path / "published").iterdir():
        server.files[path.name] = path.read_bytes()
        sums[path.name.partition("-idx")[0]] = hashlib.sha256(path.read_bytes()).hexdigest()

    class SmallMnist(dataset.Mnist):
        MIRRORS = (server.url,)
        SHA256 = sums

    return SmallMnist


def test_nothing_is_downloaded_unasked(mnist: Any, server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no folder"):
        mnist("train", dir=tmp_path / "here")
    (tmp_path / "here").mkdir()
    with pytest.raises(FileNotFoundError, match="published at"):
        mnist("train", dir=tmp_path / "here")
    assert server.asked == []


def test_what_is_missing_is_downloaded_once(
    mnist: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_DATASET", str(tmp_path / "new" / "folder"))
    for _ in range(2):
        flow = mnist("train", download=True, shuffle=False)
        assert [int(label) for _, label in flow] == [0, 1, 2]
    assert sorted(server.asked) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    folder = tmp_path / "new" / "folder" / "mnist_data"
    assert sorted(path.name for path in folder.iterdir()) == sorted(server.asked)
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err  # a progress bar
    assert len(mnist("train")) == 3


def test_an_uncompressed_copy_is_enough(mnist: Any, server: Server, tmp_path: Path) -> None:
    for name, data in server.files.items():
        (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress(data))
    assert len(mnist("train", dir=tmp_path, download=True)) == 3
    assert server.asked == []


def test_other_bytes_than_were_published_are_refused(mnist: Any, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    server.files["train-images-idx3-ubyte.gz"] += b"?"
    with pytest.raises(hr.FormatError, match=rf"{server.url}train-images-idx3-ubyte.gz: \d+ bytes have come, with the"):
        mnist("train", dir=folder, download=True)
    assert list(folder.iterdir()) == []


def test_a_download_that_is_cut_off_is_refused(mnist: Any, server: Server, tmp_path: Path) -> None:
    server.cut_off = True
    with pytest.raises((ConnectionError, hr.FormatError), match=f"{server.url}train-images"):
        mnist("train", dir=tmp_path / "here", download=True)
    assert list((tmp_path / "here").iterdir()) == []
    server.cut_off = False
    assert len(mnist("train", dir=tmp_path / "here", download=True)) == 3


def test_mirrors_are_tried_in_turn(mnist: Any, server: Server, tmp_path: Path) -> None:
    mnist.MIRRORS = ("http://127.0.0.1:9/", f"{server.url}elsewhere/", server.url)
    assert len(mnist("train", dir=tmp_path / "here", download=True)) == 3
    mnist.MIRRORS = ("http://127.0.0.1:9/", f"{server.url}elsewhere/")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9/train-images.*it cannot be downloaded") as caught:
        mnist("train", dir=tmp_path / "there", download=True)
    assert "elsewhere/train-images-idx3-ubyte.gz: it cannot be downloaded: HTTP Error 404" in caught.value.__notes__[0]


WAITS = """
import sys
from headrace import dataset

class SmallMnist(dataset.Mnist):
    MIRRORS = (sys.argv[2],)

print(len(SmallMnist("train", dir=sys.argv[1], download=True)))
"""


def test_processes_that_want_the_same_file_wait_for_the_first(mnist: Any, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(server.files["train-labels-idx1-ubyte.gz"])
    lock = folder / ".train-images-idx3-ubyte.gz.lock"
    with open(lock, "wb") as first:  # we are the first one
        fcntl.flock(first, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [sys.executable, "-c", WAITS, str(folder), server.url], stdout=subprocess.PIPE, text=True
        )
        inode = os.stat(lock).st_ino
        while not any("->" in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines()):
            assert second.poll() is None
        (folder / "train-images-idx3-ubyte.gz").write_bytes(server.files["train-images-idx3-ubyte.gz"])
        lock.unlink()
    assert second.communicate(timeout=50)[0] == "3\n"
    assert server.asked == []


def test_an_archive_is_unpacked_and_nothing_else_in_it(server: Server, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "published")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "published" / "cifar-10-batches-py", "cifar-10-batches-py")
        for name in ("../escaped", "cifar-10-batches-py/../../escaped", "/escaped", "other/file"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    server.files["cifar-10-python.tar.gz"] = packed.getvalue()

    class SmallCifar(dataset.Cifar10):
        SOURCE_URL = server.url
        SHA256 = {10: hashlib.sha256(packed.getvalue()).hexdigest()}

    folder = tmp_path / "a" / "here"
    assert len(SmallCifar("train", dir=folder, download=True)) == 15
    assert len(SmallCifar("test", dir=folder, download=True)) == 3
    assert server.asked == ["cifar-10-python.tar.gz"]
    assert [path.name for path in folder.iterdir()] == ["cifar-10-batches-py"]
    assert len(list((folder / "cifar-10-batches-py").iterdir())) == 7
    assert not list(tmp_path.rglob("escaped"))


def test_files_of_matlab_are_downloaded(server: Server, tmp_path: Path) -> None:
    io_ = pytest.importorskip("scipy.io")
    io_.savemat(tmp_path / "svhn.mat", {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.array([[1], [10], [2], [3]])})
    server.files["test_32x32.mat"] = (tmp_path / "svhn.mat").read_bytes()
    silhouettes = {f"{name}_data": np.zeros((2, 784), np.uint8) for name in ("train", "test", "val")}
    io_.savemat(tmp_path / "c.mat", {**silhouettes, **{f"{n}_labels": [[1], [2]] for n in ("train", "test", "val")}})
    server.files["caltech101_silhouettes_28_split1.mat"] = (tmp_path / "c.mat").read_bytes()

    class SmallSVHN(dataset.SVHNDigit):
        SOURCE_URL = server.url
        SHA256 = {"test": hashlib.sha256(server.files["test_32x32.mat"]).hexdigest()}

    class SmallCaltech(dataset.Caltech101Silhouettes):
        SOURCE_URL = server.url
        MD5 = hashlib.md5(server.files["caltech101_silhouettes_28_split1.mat"]).hexdigest()

    assert [int(label) for _, label in SmallSVHN("test", tmp_path / "here", shuffle=False, download=True)] == [
        1,
        0,
        2,
        3,
    ]
    assert len(SmallCaltech("val", dir=tmp_path / "there", download=True)) == 2


@pytest.mark.parametrize("published", [dataset.Mnist, dataset.FashionMnist, dataset.SVHNDigit, dataset.CifarBase])
def test_checksums_are_whole(published: Any) -> None:
    assert all(len(bytes.fromhex(digest)) == 32 for digest in published.SHA256.values())
