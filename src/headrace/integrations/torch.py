"""PyTorch: flows as datasets, arrays as tensors, and copies to the GPU ahead of time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..flow import DataFlow, as_flow
from ._import import import_extra
from .ahead import Mover, ReadAhead
from .pinned import PinnedReads
from .structure import map_leaves

__all__ = ["DevicePrefetch", "tensors", "to_torch"]


def tensors(datapoint: Any) -> Any:
    """A datapoint with tensors in place of arrays, on the same memory.

    Args:
        datapoint: nested lists, tuples and dicts; they keep their form.

    Returns:
        The same with a CPU tensor for each array and numpy scalar. Nothing is copied, except for arrays that torch
        cannot share: read-only ones, of negative strides, of foreign byte order. What torch has no type for (strings,
        objects, times) and what is no array stays as it is.

    Raises:
        ImportError: torch is not installed.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((2, 3))
        >>> tensor, name = tensors((image, "a.jpg"))
        >>> tensor[0, 0] = 7  # the array's memory
        >>> float(image[0, 0]), name
        (7.0, 'a.jpg')
    """
    torch = import_extra("torch", "torch")
    return map_leaves(functools.partial(_tensor, torch), datapoint)


def to_torch(flow: Any) -> Any:
    """A flow as a `torch.utils.data.IterableDataset`, which can also be saved and resumed.

    Hand it to a ``DataLoader(dataset, batch_size=None, num_workers=0)``, to a ``StatefulDataLoader`` of torchdata, to
    Lightning, or just iterate it. The flow has workers of its own, so torch's are not needed; in a `DataLoader` with
    ``num_workers`` > 0 each worker would run the whole pipeline, so that is refused.

    Args:
        flow: the flow, or any iterable.

    Returns:
        A dataset. It gives the datapoints of the flow as `tensors` makes them; ``len`` is the flow's;
        ``state_dict()`` and ``load_state_dict(state)`` are the flow's too; ``dataset.flow`` is the flow.

    Raises:
        ImportError: torch is not installed.
        TypeError: ``flow`` is not iterable.
        RuntimeError: when it is iterated, in a worker of a ``DataLoader``.

    Example:
        >>> import torch
        >>> import headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([1, 2, 3, 4], shuffle=False), 2)
        >>> loader = torch.utils.data.DataLoader(to_torch(flow), batch_size=None)
        >>> list(loader)
        [tensor([1, 2], dtype=torch.int32), tensor([3, 4], dtype=torch.int32)]
    """
    return _dataset_class()(as_flow(flow))


@functools.cache
def _dataset_class() -> Any:
    torch = import_extra("torch", "torch")
    base: Any = torch.utils.data.IterableDataset

    class FlowDataset(base):  # type: ignore[misc]
        """See `to_torch`."""

        def __init__(self, flow: DataFlow):
            self.flow = flow

        def __reduce__(self) -> tuple[Any, tuple[DataFlow]]:
            return to_torch, (self.flow,)

        def __len__(self) -> int:
            return len(self.flow)

        def __iter__(self) -> Iterator[Any]:
            worker = torch.utils.data.get_worker_info()
            if worker is not None:
                raise RuntimeError(
                    f"a DataLoader with num_workers={worker.num_workers} would run the whole flow in each worker, and "
                    "give each datapoint as often; use num_workers=0, and headrace's own workers "
                    "(MultiProcessMapData, MultiProcessRunnerZMQ)"
                )
            for datapoint in self.flow:
                yield tensors(datapoint)

        def state_dict(self) -> dict[str, Any]:
            return self.flow.state_dict()

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.flow.load_state_dict(state)

    return FlowDataset


class DevicePrefetch(ReadAhead):
    """Copy datapoints to a device while the consumer is busy with those before.

    On a CUDA device: the shared memory into which a worker wrote an array is pinned, the first time that it is seen,
    and the device reads the array there. Other arrays are copied into pinned memory of torch's first. All this runs on
    a stream of its own; the consumer's stream waits for it, not the consumer. On other devices: a plain
    ``tensor.to(device)``, which on the CPU copies nothing.

    Args:
        ds: the input flow; mostly of batches.
        device: a `torch.device` or its name.
        depth: how many datapoints are under way beyond the one that the consumer has. Each takes its room on the
            device.

    Order and integrity: input order, each datapoint once. Datapoints are given as `tensors` makes them, on the device.
    The state holds the datapoints that were read ahead (as arrays: with large batches, a large state).

    Warns:
        RuntimeWarning: CUDA will not pin that memory; then all arrays are copied first.

    Raises:
        ImportError: at construction, torch is not installed.
        RuntimeError: at construction, torch knows no such device; when it is iterated, the device is not there.
        TypeError, ValueError: at construction, a bad ``depth``.

    Example:
        >>> import headrace as hr
        >>> flow = hr.BatchData(hr.DataFromList([1, 2, 3, 4], shuffle=False), 2)
        >>> [batch.device.type for batch in DevicePrefetch(flow, "cpu")]
        ['cpu', 'cpu']
    """

    def __init__(self, ds: Any, device: Any, depth: int = 2):
        super().__init__(ds, depth)
        self.device = str(import_extra("torch", "torch").device(device))

    def mover(self) -> Mover:
        """See `ReadAhead`."""
        torch = import_extra("torch", "torch")
        device = torch.device(self.device)
        return _CudaMover(torch, device) if device.type == "cuda" else _PlainMover(torch, device)


class _PlainMover:
    def __init__(self, torch: Any, device: Any):
        self._torch = torch
        self._device = device

    def start(self, dp: Any) -> Any:
        return map_leaves(lambda leaf: leaf.to(self._device) if self._torch.is_tensor(leaf) else leaf, tensors(dp))

    def finish(self, started: Any) -> Any:
        return started

    def close(self) -> None:
        pass


class _CudaMover:
    def __init__(self, torch: Any, device: Any):
        self._torch = torch
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._reads = PinnedReads(_CudaPinner(torch, device))

    def start(self, dp: Any) -> tuple[Any, Any]:
        with self._torch.cuda.stream(self._stream):
            try:
                moved = map_leaves(self._copy, dp)
            finally:  # also when there is no room on the device for the second array: the first may be under way
                copied = self._stream.record_event()
                self._reads.end(copied)
            return moved, copied

    def _copy(self, leaf: Any) -> Any:
        tensor = _tensor(self._torch, leaf)
        if not self._torch.is_tensor(tensor):
            return tensor
        if not (_on(tensor, leaf) and self._reads.begin(leaf)):
            tensor = tensor.pin_memory()  # The block is torch's: it is not used again before the copy from it is done.
        return tensor.to(self._device, non_blocking=True)

    def finish(self, started: tuple[Any, Any]) -> Any:
        moved, copied = started
        current = self._torch.cuda.current_stream(self._device)
        current.wait_event(copied)

        def hand_over(leaf: Any) -> Any:
            if self._torch.is_tensor(leaf):
                leaf.record_stream(current)  # or else its memory might be used again on our stream too early
            return leaf

        return map_leaves(hand_over, moved)

    def close(self) -> None:
        self._reads.close()


class _CudaPinner:
    """See `Pinner`."""

    def __init__(self, torch: Any, device: Any):
        self._torch = torch
        self._device = device
        self._cudart = torch.cuda.cudart()

    def register(self, address: int, nbytes: int) -> None:
        portable = 1  # for all devices
        try:
            self._torch.cuda.check_error(int(self._cudart.cudaHostRegister(address, nbytes, portable)))
        except RuntimeError:
            # CUDA keeps the error, and torch would raise it after the next kernel, whoever's that is. (It offers no way
            # to take it back.) So that kernel is this one.
            with contextlib.suppress(RuntimeError):
                self._torch.ones(1, device=self._device)
            raise

    def unregister(self, address: int) -> None:
        # It fails only when CUDA has ended, as it does before the interpreter, or is broken; then nothing is pinned.
        self._cudart.cudaHostUnregister(address)


def _on(tensor: Any, leaf: Any) -> bool:
    """Whether a tensor lies on the memory of an array without gaps, which is copied in one piece."""
    return isinstance(leaf, np.ndarray) and leaf.flags.forc and tensor.data_ptr() == leaf.ctypes.data


def _tensor(torch: Any, leaf: Any) -> Any:
    if isinstance(leaf, np.generic):
        array = np.array(leaf)
    elif isinstance(leaf, np.ndarray):
        array = leaf
    else:
        return leaf
    if not array.flags.writeable or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(array)
    except TypeError:  # torch has no such type
        return leaf
