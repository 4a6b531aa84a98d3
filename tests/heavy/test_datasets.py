"""Data sets whose files are of the size of the real ones, or are MATLAB's (written by SciPy)."""

import numpy as np
import pytest

import headrace as hr
from headrace import dataset

cv2 = pytest.importorskip("cv2")
io = pytest.importorskip("scipy.io")


def test_mnist_files_of_full_size_load_in_their_known_counts(tmp_path):
    for prefix, count in (("train", 60000), ("t10k", 10000)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            (tmp_path / f"{prefix}-{kind}-ubyte").write_bytes(header + bytes(int(np.prod(shape))))
    assert len(dataset.Mnist("train", dir=tmp_path)) == 60000
    assert len(dataset.Mnist("test", dir=tmp_path)) == 10000


def test_cifar_files_of_full_size_load_in_their_known_counts(tmp_path):
    import pickle

    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    content = pickle.dumps({b"data": np.zeros((10000, 3072), np.uint8), b"labels": [0] * 10000}, 2)
    for name in [*[f"data_batch_{n}" for n in range(1, 6)], "test_batch"]:
        (base / name).write_bytes(content)
    (base / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane"]}, 2))
    assert len(dataset.Cifar10("train", dir=tmp_path)) == 50000
    assert len(dataset.Cifar10("test", dir=tmp_path)) == 10000


def test_svhn(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), np.uint8)
    labels = np.array([[1], [10], [3], [10], [9]], np.uint8)
    for name in ("train", "test", "extra"):
        io.savemat(tmp_path / f"{name}_32x32.mat", {"X": images, "y": labels}, do_compression=True)
    flow = dataset.SVHNDigit("train", tmp_path, shuffle=False)
    datapoints = list(flow)
    assert [int(label) for _, label in datapoints] == [1, 0, 3, 0, 9]
    np.testing.assert_array_equal(datapoints[2][0], images[..., 2])
    np.testing.assert_allclose(dataset.SVHNDigit.get_per_pixel_mean(data_dir=tmp_path), images.mean(axis=3))


def test_silhouettes(tmp_path):
    variables = {}
    for n, name in enumerate(("train", "val", "test"), 1):
        variables[f"{name}_data"] = np.full((n, 784), n % 2, np.uint8)
        variables[f"{name}_labels"] = np.arange(1, n + 1, dtype=np.uint8)[:, None]
    io.savemat(tmp_path / "caltech101_silhouettes_28_split1.mat", variables)
    flow = dataset.Caltech101Silhouettes("test", shuffle=False, dir=tmp_path)
    assert flow.images.shape == (3, 28, 28)
    assert [int(label) for _, label in flow] == [0, 1, 2]


def write_bsds(folder, shapes):
    root = folder / "BSR" / "BSDS500" / "data"
    for kind in ("images", "groundTruth"):
        (root / kind / "val").mkdir(parents=True)
    for n, shape in enumerate(shapes):
        cv2.imwrite(str(root / "images" / "val" / f"{n}.jpg"), np.full((*shape, 3), 10 * n, np.uint8))
        people = np.empty((1, 4), object)
        for k in range(4):
            drawn = np.zeros(shape, np.uint8)
            drawn[: k + 1] = 1
            people[0, k] = {"Segmentation": np.ones(shape, np.uint16), "Boundaries": drawn}
        io.savemat(root / "groundTruth" / "val" / f"{n}.mat", {"groundTruth": people})
    return root


def test_bsds500(tmp_path):
    write_bsds(tmp_path, [(321, 481), (481, 321)])
    flow = dataset.BSDS500("val", tmp_path, shuffle=False)
    (image, label), (upright, turned) = flow
    assert image.shape == upright.shape == (321, 481, 3)
    assert label[:5, 0].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert turned[0, :5].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert label.dtype == np.float32


def test_bad_files_are_errors_that_name_the_file(tmp_path):
    path = tmp_path / "train_32x32.mat"
    io.savemat(path, {"X": np.zeros((32, 32, 3, 50), np.uint8), "y": np.ones((50, 1), np.uint8)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(hr.FormatError, match=r"train_32x32.mat: no MATLAB file, or damaged"):
        dataset.SVHNDigit("train", tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(hr.FormatError, match=r"train_32x32.mat: no MATLAB file, or damaged"):
        dataset.SVHNDigit("train", tmp_path)
    io.savemat(path, {"y": np.ones((5, 1))})
    with pytest.raises(hr.FormatError, match="there is no variable 'X'"):
        dataset.SVHNDigit("train", tmp_path)
    io.savemat(path, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((5, 1))})
    with pytest.raises(hr.FormatError, match=r"X must be uint8 of shape \(32, 32, 3, 5\)"):
        dataset.SVHNDigit("train", tmp_path)
    root = write_bsds(tmp_path, [(321, 481)])
    io.savemat(root / "groundTruth" / "val" / "0.mat", {"groundTruth": np.zeros(3)})
    with pytest.raises(hr.FormatError, match=r"0.mat: groundTruth does not hold structs"):
        dataset.BSDS500("val", tmp_path)
    cv2.imwrite(str(root / "images" / "val" / "0.jpg"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(hr.FormatError, match=r"0.jpg: expected 321 x 481"):
        dataset.BSDS500("val", tmp_path)
