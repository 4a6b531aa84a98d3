import os
import pickle

import numpy as np
import pytest
from dataset_files import python2_pickle, write_cifar10, write_cifar100

import headrace as hr
from headrace import dataset
from headrace.testing import check_resume


def test_gives_rgb_images_and_labels(tmp_path):
    batches = write_cifar10(tmp_path)
    flow = dataset.Cifar10("train", shuffle=False, dir=tmp_path)
    datapoints = list(flow)
    assert len(flow) == len(datapoints) == 15
    image, label = datapoints[4]  # the second one of the second batch
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 2].ravel(), batches["data_batch_2"][1, 2048:])  # the blue plane
    assert label == 1
    assert flow.get_label_names() == ["airplane", "automobile"]
    test = dataset.Cifar10("test", dir=tmp_path)
    assert len(test) == 3
    assert test.fs == [str(tmp_path / "cifar-10-batches-py" / "test_batch")]
    check_resume(lambda: dataset.Cifar10("train", dir=tmp_path))


def test_means(tmp_path):
    batches = write_cifar10(tmp_path)
    flow = dataset.Cifar10("test", dir=tmp_path)
    train = np.concatenate([batches[f"data_batch_{n}"] for n in range(1, 6)]).reshape(-1, 3, 32, 32)
    expected = train.transpose(0, 2, 3, 1).mean(axis=0)
    np.testing.assert_allclose(flow.get_per_pixel_mean(("train",)), expected, rtol=1e-5)
    np.testing.assert_allclose(flow.get_per_channel_mean(("train",)), expected.mean((0, 1)), rtol=1e-5)
    assert flow.get_per_pixel_mean().shape == (32, 32, 3)
    with pytest.raises(ValueError, match="names must be one of"):
        flow.get_per_pixel_mean(("all",))


def test_cifar100_gives_the_fine_labels(tmp_path):
    write_cifar100(tmp_path)
    assert sorted(label for _, label in dataset.Cifar100("train", dir=tmp_path)) == [0, 1, 2, 3]
    assert dataset.CifarBase("test", dir=tmp_path, cifar_classnum=100).get_label_names() == ["apple"]


def test_bad_files_are_errors_that_name_the_file(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    whole = path.read_bytes()
    for damage, match in [
        (whole[:-500], "data_batch_3: damaged"),
        (b"not a pickle", "data_batch_3: damaged"),
        (pickle.dumps([1]), "data_batch_3: a file of CIFAR holds a dict, this a list"),
        (python2_pickle({b"labels": []}), "there is no 'data' in it, only"),
        (python2_pickle({b"labels": [1], b"data": np.zeros((1, 9), np.uint8)}), "data_batch_3 does not hold"),
    ]:
        path.write_bytes(damage)
        with pytest.raises(hr.FormatError, match=match):
            dataset.Cifar10("train", dir=tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3 is missing"):
        dataset.Cifar10("train", dir=tmp_path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


def test_a_pickle_that_would_run_code_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(hr.FormatError, match=r"names (posix|os)\.mkdir, which is no data"):
        dataset.Cifar10("test", dir=tmp_path)
    assert not (tmp_path / "made-by-a-pickle").exists()
