"""Make batches of datapoints of similar length."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from .._checks import check_count
from ..errors import NoLengthError
from ..flow import ProxyDataFlow
from ..recycling import Recycler
from ..sequences import LengthFunction, check_length_function, check_pad_value, length_of, stack_padded
from ..state import State

__all__ = ["BucketBatch"]


class BucketBatch(ProxyDataFlow):
    """Sort datapoints by length into buckets, and make a batch whenever a bucket is full: little padding.

    Args:
        ds: the input flow.
        batch_size: how many datapoints make a batch: one number, or one for each bucket (``len(boundaries) + 1``).
        boundaries: increasing lengths at which a new bucket begins: ``[10, 20]`` makes buckets for lengths below 10,
            from 10 to 19, and from 20 on (as TensorFlow's ``bucket_by_sequence_length``).
        length: tells the length of a datapoint; default: ``len`` of its first component.
        pad_value: what arrays are filled up with at their end: to the longest one of the component in this batch, in
            the first dimension. (Put the length into the datapoint, if the model needs it.)
        remainder: whether what is in the buckets at the end of a pass becomes smaller batches, which is the default,
            since the rare lengths would be missing otherwise; if not, it is dropped.

    Order and integrity: each datapoint in one batch; input order within a bucket; the rest comes in order of the
    buckets. No length. The state holds the datapoints in the buckets.

    Raises:
        TypeError, ValueError: at construction, bad arguments; later, a datapoint without length.
            Also a ``pad_value`` that an array cannot hold.
        BatchError: the datapoints of a batch do not fit.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> ds = hr.DataFromList([np.ones(n, int) for n in (2, 7, 3, 9)], shuffle=False)
        >>> for batch in hr.BucketBatch(ds, batch_size=2, boundaries=[5]):
        ...     print(batch.tolist())
        [[1, 1, 0], [1, 1, 1]]
        [[1, 1, 1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1]]
    """

    elementwise = True

    def __init__(
        self,
        ds: Any,
        batch_size: int | Sequence[int],
        boundaries: Sequence[int],
        length: LengthFunction | None = None,
        pad_value: float = 0,
        remainder: bool = True,
    ):
        super().__init__(ds)
        if not isinstance(boundaries, (Sequence, np.ndarray)):
            raise TypeError(
                f"boundaries must be a list of lengths, got {type(boundaries).__name__}: {boundaries!r:.60}"
            )
        self.boundaries = [check_count("a boundary", b) for b in boundaries]
        if not self.boundaries or any(a >= b for a, b in itertools.pairwise(self.boundaries)):
            raise ValueError(f"boundaries must be increasing, and at least one, got {self.boundaries}")
        if isinstance(batch_size, (Sequence, np.ndarray)):
            sizes = list(batch_size)
        else:
            sizes = [batch_size] * (len(self.boundaries) + 1)
        self.batch_size = [check_count("batch_size", size) for size in sizes]
        if len(sizes) != len(self.boundaries) + 1:
            raise ValueError(f"batch_size: {len(self.boundaries) + 1} buckets need as many sizes, got {len(sizes)}")
        self.length = check_length_function(length)
        self.pad_value = check_pad_value(pad_value)
        self.remainder = bool(remainder)

    def __len__(self) -> int:
        raise NoLengthError("BucketBatch has no length: the number of batches depends on the lengths")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        buckets: list[list[Any]] = state.setdefault("buckets", [[] for _ in self.batch_size])
        recycler = Recycler()

        def empty(bucket: list[Any]) -> Any:
            batch = stack_padded(bucket, self.pad_value, recycler.empty)
            bucket.clear()
            return batch

        if not state.get("ended"):
            for dp in source:
                number = bisect.bisect_right(self.boundaries, length_of(self.length, dp))
                bucket = buckets[number]
                bucket.append(dp)
                if len(bucket) == self.batch_size[number]:
                    yield empty(bucket)
            state["ended"] = True
        if self.remainder:
            for bucket in buckets:
                if bucket:
                    yield empty(bucket)

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: with all boundaries and sizes, however many there are."""
        return f"BucketBatch({self.describe()}, {self.boundaries}, {self.batch_size})"
