import numpy as np
import pytest
from dataset_files import write_idx, write_mnist

import headrace as hr
from headrace import dataset
from headrace.testing import check_resume


@pytest.fixture
def folder(tmp_path):
    write_mnist(tmp_path, "train", 12)
    write_mnist(tmp_path, "t10k", 5, compress=False)
    return tmp_path


def test_gives_images_in_0_to_1_with_their_labels(folder):
    flow = dataset.Mnist("train", shuffle=False, dir=folder)
    datapoints = list(flow)
    assert len(flow) == len(datapoints) == 12
    image, label = datapoints[3]
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image.ravel()[:3] * 255, (np.arange(3) + 3 * 784) % 256, atol=1e-4)
    assert label == 3
    assert len(dataset.Mnist("test", dir=folder)) == 5


def test_shuffles_each_pass_anew_and_resumes(folder):
    hr.seed(0)
    flow = dataset.Mnist("train", dir=folder)
    assert sorted(int(label) for _, label in flow) == sorted(n % 10 for n in range(12))
    assert [int(label) for _, label in flow] != [int(label) for _, label in flow]
    check_resume(lambda: dataset.Mnist("train", dir=folder))


def test_the_arrays_are_open_to_users(folder):
    class FirstThree(dataset.Mnist):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.images, self.labels = self.images[:3], self.labels[:3]

    flow = FirstThree("train", shuffle=False, dir=folder)
    assert flow.images.shape == (3, 28, 28, 1)
    assert len(flow) == 3
    assert [int(label) for _, label in flow] == [0, 1, 2]


def test_a_subclass_with_its_own_iter_has_rng(folder):
    class Own(dataset.Mnist):
        def __iter__(self):
            order = list(range(len(self)))
            if self.shuffle:
                self.rng.shuffle(order)
            for k in order:
                yield [self.images[k], self.labels[k]]

    assert len(list(Own("train", dir=folder))) == 12


def test_a_subclass_that_names_another_folder_reads_that_one(folder, monkeypatch):
    class Kuzushiji(dataset.Mnist):
        _DIR_NAME = "kmnist_data"  # as tensorpack has it

    monkeypatch.setenv("TENSORPACK_DATASET", str(folder))
    write_mnist(folder / "mnist_data", "train", 3)
    write_mnist(folder / "kmnist_data", "train", 4)
    assert len(Kuzushiji("train")) == 4


def test_nobody_changes_the_data_by_changing_a_datapoint(folder):
    flow = dataset.Mnist("train", shuffle=False, dir=folder)
    for image, _ in flow:
        image[:] = -1
    assert flow.images.min() == 0


def test_the_folder_comes_from_the_environment(folder, monkeypatch):
    root = folder / "root"
    root.mkdir()
    write_mnist(root / "mnist_data", "train", 3)
    write_mnist(root / "fashion_mnist_data", "train", 4)
    monkeypatch.delenv("HEADRACE_DATASET", raising=False)
    monkeypatch.delenv("TENSORPACK_DATASET", raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    with pytest.raises(ValueError, match="set HEADRACE_DATASET to the folder that holds mnist_data/"):
        dataset.Mnist("train")
    usual = folder / "home" / "tensorpack_data"  # where tensorpack has put it, if nobody said where
    usual.mkdir(parents=True)
    write_mnist(usual / "mnist_data", "train", 2)
    assert len(dataset.Mnist("train")) == 2
    with pytest.raises(ValueError, match="set HEADRACE_DATASET"):
        dataset.Cifar10("train")
    monkeypatch.setenv("TENSORPACK_DATASET", str(root))
    assert len(dataset.Mnist("train")) == 3
    assert len(dataset.FashionMnist("train")) == 4
    assert len(dataset.FashionMnist("train").get_label_names()) == 10
    monkeypatch.setenv("HEADRACE_DATASET", str(folder))
    with pytest.raises(FileNotFoundError, match="mnist_data is no folder"):
        dataset.Mnist("train")


def test_bad_files_are_errors_that_name_the_file(folder):
    images = folder / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    for damage, match in [
        (whole[:-30], "train-images-idx3-ubyte.gz: truncated or damaged"),
        (whole[:40] + b"xxxx" + whole[44:], "truncated or damaged"),
        (b"\0\0\x0d\x03" + bytes(30), "offset 0: an IDX file with 3 axes begins with"),
        (b"", "offset 0"),
        (b"\0\0\x08\x03\0\0", "bytes of data, but a shape of"),
    ]:
        images.write_bytes(damage)
        with pytest.raises(hr.FormatError, match=match):
            dataset.Mnist("train", dir=folder)
    write_idx(images, np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(hr.FormatError, match="3 images, but 12 labels"):
        dataset.Mnist("train", dir=folder)
    images.unlink()
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz is missing; the data set is published"):
        dataset.Mnist("train", dir=folder)
