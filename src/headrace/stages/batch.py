"""Make batches of consecutive datapoints."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from .._checks import check_count, known_length
from ..flow import ProxyDataFlow
from ..recycling import Recycler
from ..stacking import stack_datapoints
from ..state import State

__all__ = ["BatchData"]


class BatchData(ProxyDataFlow):
    """Stack ``batch_size`` consecutive datapoints into one.

    Args:
        ds: the input flow. Its datapoints are lists or tuples (a batch is a list), dicts (a dict), or bare objects
            (one array); components are arrays, numbers, ``str``, ``bytes``, or lists and dicts of these.
        batch_size: how many datapoints make a batch.
        remainder: whether the rest at the end of a pass becomes a smaller batch; if not, it is dropped.
        use_list: make lists of components instead of arrays: for components that cannot be stacked.

    The first dimension of each array is the batch. Arrays and numpy scalars keep their dtype, ``int`` becomes int32
    (int64 if the values need it), ``float`` float32, ``bool`` bool.

    Order and integrity: input order, each datapoint in one batch, less a dropped rest. The state holds the
    datapoints of the unfinished batch.

    Raises:
        TypeError, ValueError: at construction, a bad ``batch_size``; also one larger than the data, where its length
            is known and ``remainder`` is false: there would never be a batch.
        BatchError: the datapoints of a batch do not fit; it names the component, its shapes and the remedy.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[1, 0.5], [2, 0.25], [3, 0.125]], shuffle=False)
        >>> for batch in hr.BatchData(ds, 2, remainder=True):
        ...     print(batch)
        [array([1, 2], dtype=int32), array([0.5 , 0.25], dtype=float32)]
        [array([3], dtype=int32), array([0.125], dtype=float32)]
    """

    elementwise = True

    def __init__(self, ds: Any, batch_size: int, remainder: bool = False, use_list: bool = False):
        super().__init__(ds)
        self.batch_size = check_count("batch_size", batch_size)
        self.remainder = bool(remainder)
        self.use_list = bool(use_list)
        length = known_length(self.ds)
        if length and length < self.batch_size and not self.remainder:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than the data ({length} datapoints), so there would never be "
                "a batch; use remainder=True"
            )

    def __len__(self) -> int:
        full, rest = divmod(len(self.ds), self.batch_size)
        return full + (1 if rest and self.remainder else 0)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if state.get("ended"):
            return
        held = state.setdefault("held", [])
        recycler = Recycler()
        for dp in source:
            held.append(dp)
            if len(held) == self.batch_size:
                batch = stack_datapoints(held, self.use_list, recycler.empty)
                held.clear()
                yield batch
                del batch  # so that its memory may serve for the next one
        if self.remainder and held:
            batch = stack_datapoints(held, self.use_list, recycler.empty)
            held.clear()
            state["ended"] = True  # or else a resumed pass would read the input once more
            yield batch

    @staticmethod
    def aggregate_batch(data_holder: Sequence[Any], use_list: bool = False) -> Any:
        """One batch of the datapoints in ``data_holder``.

        Args:
            data_holder: at least one datapoint.
            use_list: see the class.

        Raises:
            BatchError: see the class.

        Example:
            >>> import headrace as hr
            >>> hr.BatchData.aggregate_batch([{"x": 1}, {"x": 2}])
            {'x': array([1, 2], dtype=int32)}
        """
        return stack_datapoints(data_holder, use_list)
