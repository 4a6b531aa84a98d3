"""Make batches of datapoints whose shapes agree."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .._checks import check_count, component_of
from ..errors import NoLengthError
from ..flow import ProxyDataFlow
from ..recycling import Recycler
from ..stacking import stack_datapoints
from ..state import State

__all__ = ["BatchDataByShape"]


class BatchDataByShape(ProxyDataFlow):
    """Stack datapoints in which one component has the same shape, as soon as there are ``batch_size`` of a shape.

    Args:
        ds: the input flow.
        batch_size: how many datapoints make a batch.
        idx: the index or key of the component whose shape decides.

    Order and integrity: each datapoint in one batch; the order is input order within a shape. Datapoints of shapes that
    have not come up ``batch_size`` times are kept for later passes, in the state too. No length: it depends on the
    shapes. Not reentrant.

    Raises:
        TypeError, ValueError: at construction, a bad ``batch_size``; later, a component without shape.
        BatchError: other components do not fit.

    Example:
        >>> import headrace as hr
        >>> import numpy as np
        >>> ds = hr.DataFromList([[np.zeros(n)] for n in (2, 3, 2, 3)], shuffle=False)
        >>> [batch[0].shape for batch in hr.BatchDataByShape(ds, 2, idx=0)]
        [(2, 2), (2, 3)]
    """

    keeps = True

    def __init__(self, ds: Any, batch_size: int, idx: Any):
        super().__init__(ds)
        self.batch_size = check_count("batch_size", batch_size)
        self.idx = idx

    def __len__(self) -> int:
        raise NoLengthError("BatchDataByShape has no length: the number of batches depends on the shapes")

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        if not state.restored:
            source.restart()  # only the leftovers outlive a pass
        recycler = Recycler()
        held = state.kept.setdefault("held", {})
        for dp in source:
            component = component_of(dp, self.idx, "BatchDataByShape")
            shape = getattr(component, "shape", None)
            if shape is None:
                raise TypeError(f"BatchDataByShape: component {self.idx!r} has no shape: {type(component).__name__}")
            group = held.setdefault(tuple(shape), [])
            group.append(dp)
            if len(group) == self.batch_size:
                del held[tuple(shape)]
                yield stack_datapoints(group, out=recycler.empty)
