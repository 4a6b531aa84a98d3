"""PyTorch: datasets, tensors, copies to a device."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import headrace as hr
from headrace.integrations.torch import DevicePrefetch, tensors, to_torch
from headrace.testing import check_resume, same

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def batches(count: int = 12, size: int = 2) -> hr.DataFlow:
    rows = [[np.full((2, 3), n, np.float32), n] for n in range(count)]
    return hr.BatchData(hr.DataFromList(rows), size)


def image(n: int) -> np.ndarray[Any, Any]:
    return np.full((300, 300), n, np.int32)


class Pair(NamedTuple):
    x: Any
    y: Any


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64"]
)
def test_tensors_share_the_memory_of_arrays(dtype: str) -> None:
    array = np.zeros((3, 4), dtype)[1:, ::2]
    tensor = tensors(array)
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    assert tensor.shape == array.shape
    assert tensor.numpy().dtype == array.dtype


def test_structure_is_kept_and_what_torch_does_not_know_stays() -> None:
    dp = {"a": [np.float32(1.5), (np.zeros(2), "text")], "b": Pair(3, np.array(["x"])), "c": None}
    got = tensors(dp)
    assert got["a"][0].dtype == torch.float32
    assert got["a"][0].shape == ()
    assert isinstance(got["a"][1], tuple)
    assert got["a"][1][1] == "text"
    assert isinstance(got["b"], Pair)
    assert got["b"].x == 3
    assert got["b"].y is dp["b"].y
    assert got["c"] is None


def test_arrays_that_cannot_be_shared_are_copied_without_a_warning() -> None:
    read_only = np.frombuffer(b"\1\2\3", np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = tensors(read_only)
        tensor[0] = 9
        assert tensors(np.arange(3)[::-1]).tolist() == [2, 1, 0]
        assert tensors(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]
    assert read_only[0] == 1


def test_what_workers_wrote_becomes_tensors_without_a_copy_and_stays_intact() -> None:
    with hr.MultiProcessMapData(hr.DataFromList(range(60), shuffle=False), 2, image) as flow:
        kept = list(to_torch(flow))
    assert all((tensor == n).all() for n, tensor in enumerate(kept))


@pytest.mark.filterwarnings("ignore:'set_vital'")  # torchdata calls what torch deprecates
@pytest.mark.parametrize("loader", [DataLoader, StatefulDataLoader])
def test_a_loader_gives_the_passes_of_the_flow(loader: Any) -> None:
    hr.seed(1)
    expected = [list(flow) for flow in [batches()] for _ in range(2)]
    hr.seed(1)
    loading = loader(to_torch(batches()), batch_size=None, num_workers=0)
    assert len(loading) == 6
    for one_pass in expected:
        for got, (images, labels) in zip(loading, one_pass, strict=True):
            assert same(got[0].numpy(), images)
            assert same(got[1].numpy(), labels)


def test_a_loader_may_make_the_batches() -> None:
    loading = DataLoader(to_torch(hr.DataFromList(range(5), shuffle=False)), batch_size=2)
    assert [batch.tolist() for batch in loading] == [[0, 1], [2, 3], [4]]


def test_a_flow_without_length_has_none_as_a_dataset() -> None:
    dataset = to_torch(hr.Filter(range(4), lambda n: n % 2))
    with pytest.raises(TypeError, match="Filter has no length"):
        len(dataset)
    assert list(DataLoader(dataset, batch_size=None)) == [1, 3]


IN_WORKERS = """
import headrace as hr
from headrace.integrations.torch import to_torch
from torch.utils.data import DataLoader

try:
    next(iter(DataLoader(to_torch(hr.DataFromList([1, 2])), batch_size=None, num_workers=2)))
except RuntimeError as error:
    print(error)
"""


def test_workers_of_a_loader_are_refused() -> None:
    # In a process of its own: a DataLoader with workers leaves multiprocessing's start method chosen, and its helpers.
    done = subprocess.run([sys.executable, "-c", IN_WORKERS], capture_output=True, text=True, timeout=200)
    assert "num_workers=2 would run the whole flow in each worker" in done.stdout, done.stderr
    assert "use num_workers=0" in done.stdout


def test_a_dataset_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(to_torch(hr.DataFromList([1, 2], shuffle=False))))
    assert list(again) == [1, 2]


def test_is_stateful() -> None:
    dataset = to_torch(batches())
    running = iter(dataset)
    first = [next(running) for _ in range(2)]
    state = dataset.state_dict()
    rest = list(running)
    again = to_torch(batches())
    again.load_state_dict(state)
    resumed = list(again)
    assert [labels.tolist() for _, labels in resumed] == [labels.tolist() for _, labels in rest]
    assert len(first) + len(resumed) == 6


@pytest.mark.filterwarnings("ignore:'set_vital'")
def test_a_stateful_loader_goes_on_at_every_position() -> None:
    hr.seed(2)
    loading = StatefulDataLoader(to_torch(batches()), batch_size=None)
    expected, states = [], []
    for _, labels in loading:
        expected.append(labels.tolist())
        states.append(loading.state_dict())
    hr.seed(None)
    for position, state in enumerate(states, 1):
        again = StatefulDataLoader(to_torch(batches()), batch_size=None)
        again.load_state_dict(state)
        assert [labels.tolist() for _, labels in again] == expected[position:]


@pytest.mark.parametrize("depth", [0, 1, 2, 20])
def test_device_prefetch_gives_the_same_in_order(depth: int) -> None:
    flow = DevicePrefetch(hr.BatchData(hr.DataFromList(range(10), shuffle=False), 2), "cpu", depth)
    assert len(flow) == 5
    for _ in range(2):
        assert [batch.tolist() for batch in flow] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_device_prefetch_reads_as_far_ahead_as_it_says() -> None:
    read = []

    def numbers() -> Any:
        for n in range(10):
            read.append(n)
            yield np.array(n)

    running = iter(DevicePrefetch(hr.DataFromGenerator(numbers), torch.device("cpu"), depth=3))
    assert int(next(running)) == 0
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize("depth", [0, 2])
def test_device_prefetch_resumes(depth: int) -> None:
    def arrays() -> hr.DataFlow:
        flow = DevicePrefetch(batches(), "cpu", depth)
        return hr.MapData(flow, lambda x, y: [x.numpy(), y.numpy()])

    check_resume(arrays)


def test_a_state_fits_another_device_and_depth() -> None:
    flow = DevicePrefetch(batches(), "cpu", 5)
    running = iter(flow)
    next(running)
    state = flow.state_dict()
    rest = [labels.tolist() for _, labels in running]
    again = DevicePrefetch(batches(), "meta", 0)
    again.load_state_dict(state)
    assert [labels.device.type for _, labels in again] == ["meta"] * 5
    again = DevicePrefetch(batches(), "cpu", 1)
    again.load_state_dict(state)
    assert [labels.tolist() for _, labels in again] == rest


def test_bad_devices_and_depths() -> None:
    with pytest.raises(RuntimeError, match="gpu0"):
        DevicePrefetch(batches(), "gpu0")
    with pytest.raises(ValueError, match="depth must be at least 0"):
        DevicePrefetch(batches(), "cpu", -1)


@needs_cuda
@pytest.mark.parametrize("depth", [0, 2, 8])
def test_cuda_batches_are_right_while_the_device_is_busy(depth: int) -> None:
    rows = hr.DataFromList(range(200), shuffle=False)
    with DevicePrefetch(hr.MultiProcessMapData(rows, 2, image), "cuda", depth) as flow:
        sums = []
        busy = torch.rand(2000, 2000, device="cuda")
        for batch in flow:
            busy = busy @ busy
            busy /= busy.max()
            sums.append(batch.sum())
            del batch
        assert [int(s) for s in sums] == [n * 300 * 300 for n in range(200)]


@needs_cuda
def test_cuda_uses_a_stream_of_its_own() -> None:
    flow = DevicePrefetch(batches(), "cuda")
    images, labels = next(iter(flow))
    assert images.is_cuda
    assert labels.is_cuda
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


def big_image(n: int) -> np.ndarray[Any, Any]:
    return np.full((64, 224, 224, 3), n, np.uint8)


@needs_cuda
def test_cuda_reads_the_arrays_of_workers_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(tensor: torch.Tensor) -> torch.Tensor:
        raise AssertionError(f"a further copy of {tuple(tensor.shape)}")

    monkeypatch.setattr(torch.Tensor, "pin_memory", refused)
    rows = hr.DataFromList(range(60), shuffle=False)
    with DevicePrefetch(hr.MultiProcessMapData(rows, 2, big_image, buffer_size=4), "cuda", 2) as flow:
        for _ in range(2):
            for n, images in enumerate(flow):
                assert int(images.min()) == int(images.max()) == n


@needs_cuda
def test_cuda_pins_the_blocks_of_the_arena() -> None:
    with hr.MultiProcessMapData(hr.DataFromList(range(4), shuffle=False), 1, big_image) as source:
        arrays = list(source)
        list(DevicePrefetch(arrays, "cuda", 1))
        assert all(torch.from_numpy(array).is_pinned() for array in arrays)
    assert all(int(array.max()) == n for n, array in enumerate(arrays))


@needs_cuda
def test_cuda_goes_on_when_blocks_cannot_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    register = torch.cuda.cudart().cudaHostRegister
    monkeypatch.setattr(
        torch.cuda.cudart(), "cudaHostRegister", lambda address, nbytes, flags: register(address, 0, flags)
    )
    rows = hr.DataFromList(range(20), shuffle=False)
    with DevicePrefetch(hr.MultiProcessMapData(rows, 2, image), "cuda", 2) as flow:
        with pytest.warns(RuntimeWarning, match=r"cannot be pinned \(invalid argument"):
            assert [int(batch.max()) for batch in flow] == list(range(20))
        assert int(torch.ones(3, device="cuda").sum()) == 3  # no error is left behind for others


@needs_cuda
def test_cuda_batches_are_right_when_the_consumer_leaves() -> None:
    rows = hr.DataFromList(range(60), shuffle=False)
    with DevicePrefetch(hr.MultiProcessMapData(rows, 2, big_image, buffer_size=4), "cuda", 4) as flow:
        for _ in range(5):
            running = iter(flow)
            moved = [next(running) for _ in range(5)]
            running.close()
            assert [int(images.min()) for images in moved] == [int(images.max()) for images in moved] == list(range(5))


@needs_cuda
def test_cuda_without_the_further_copy_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints GB/s (pytest -s); the first pass, which pins the blocks, is not counted."""

    def gigabytes_a_second() -> float:
        rows = hr.DataFromList(range(200), shuffle=False)
        with DevicePrefetch(hr.MultiProcessMapData(rows, 4, big_image), "cuda", 2) as flow:
            for _ in range(2):
                torch.cuda.synchronize()
                began = time.perf_counter()
                nbytes = sum(images.nbytes for images in flow)
                torch.cuda.synchronize()
            return nbytes / (time.perf_counter() - began) / 1e9

    direct = gigabytes_a_second()
    monkeypatch.setattr("headrace.integrations.pinned.pin", lambda array, pinner: False)
    print(f"from the arena {direct:.1f} GB/s, through pinned memory of torch's {gigabytes_a_second():.1f} GB/s")
