"""Small files in the true formats."""

import gzip
import pickle
import struct

import cv2
import numpy as np


def write_idx(path, array, compress=True):
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if compress else data)


def write_mnist(folder, prefix, count, compress=True):
    images = np.arange(count * 28 * 28).reshape(count, 28, 28).astype(np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    end = ".gz" if compress else ""
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"{prefix}-images-idx3-ubyte{end}", images, compress)
    write_idx(folder / f"{prefix}-labels-idx1-ubyte{end}", labels, compress)
    return images, labels


def python2_pickle(content):
    """As CIFAR's files were written: protocol 2, with bytes as keys, and numpy under its old name."""
    data = pickle.dumps(content, 2)
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_cifar10(folder, count=3):
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    batches = {}
    for name in [*[f"data_batch_{n}" for n in range(1, 6)], "test_batch"]:
        batches[name] = rng.integers(0, 256, (count, 3072), np.uint8)
        content = {b"data": batches[name], b"labels": [n % 10 for n in range(count)], b"batch_label": b"x"}
        (base / name).write_bytes(python2_pickle(content))
    (base / "batches.meta").write_bytes(python2_pickle({b"label_names": [b"airplane", b"automobile"]}))
    return batches


def write_cifar100(folder, count=4):
    base = folder / "cifar-100-python"
    base.mkdir(parents=True)
    for name in ("train", "test"):
        content = {
            b"data": np.full((count, 3072), 9, np.uint8),
            b"fine_labels": list(range(count)),
            b"coarse_labels": [0] * count,
        }
        (base / name).write_bytes(python2_pickle(content))
    (base / "meta").write_bytes(python2_pickle({b"fine_label_names": [b"apple"], b"coarse_label_names": [b"fruit"]}))


def write_image(path, value, shape=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((*shape, 3), value, np.uint8))[1].tobytes())


def varint(number):
    parts = bytearray()
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def write_blob(path, array):
    """Caffe's BlobProto: (1, channels, height, width), with the values as packed floats."""
    shape = b"".join(varint(n << 3) + varint(size) for n, size in enumerate((1, *array.shape), 1))
    data = array.astype("<f4").tobytes()
    path.write_bytes(shape + varint(5 << 3 | 2) + varint(len(data)) + data)
