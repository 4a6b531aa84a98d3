"""Random data of given shapes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from .._checks import check_count
from ..flow import RNGDataFlow
from ..seeding import item_generator
from ..state import State

__all__ = ["FakeData"]


class FakeData(RNGDataFlow):
    """Lists of random arrays, for trying out a pipeline.

    Args:
        shapes: the shape of each component.
        size: datapoints in a pass.
        random: whether each datapoint is new; if not, all of a pass are the same (the list is new, the arrays are not).
        dtype: of all components, or a list of one for each.
        domain: ``(low, high)`` of all components, or a list of one for each. Floats are below ``high``, integers
            reach it, and must be of their dtype.

    Order and integrity: each datapoint is decided by the seed, the number of the pass and its index, so it resumes in
    O(1). Of a share, only its own datapoints are made.

    Raises:
        TypeError, ValueError: at construction, arguments that do not fit.

    Example:
        >>> import headrace as hr
        >>> flow = hr.FakeData([(224, 224, 3), ()], size=2, dtype=["uint8", "int32"], domain=[(0, 255), (0, 9)])
        >>> [(image.shape, image.dtype.name, label.shape) for image, label in flow]
        [((224, 224, 3), 'uint8', ()), ((224, 224, 3), 'uint8', ())]
    """

    takes_share = True

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        size: int = 1000,
        random: bool = True,
        dtype: Any = "float32",
        domain: Any = (0, 1),
    ):
        if not isinstance(shapes, (list, tuple)) or not all(isinstance(s, (list, tuple)) for s in shapes):
            raise TypeError(f"shapes must be a list of shapes, such as [(224, 224, 3), ()], got {shapes!r:.60}")
        self.shapes = [tuple(check_count("a dimension", n, least=0) for n in shape) for shape in shapes]
        self._size = check_count("size", size, least=0)
        self.random = bool(random)
        dtypes = dtype if isinstance(dtype, (list, tuple)) else [dtype] * len(self.shapes)
        self.dtype: list[np.dtype[Any]] = [np.dtype(d) for d in dtypes]
        for d in self.dtype:
            if d.kind not in "biuf":
                raise TypeError(f"dtype must be one of bools, integers or floats, got {d}")
        several = isinstance(domain, (list, tuple)) and domain and isinstance(domain[0], (list, tuple))
        domains = domain if several else [domain] * len(self.shapes)
        for name, given in (("dtype", self.dtype), ("domain", domains)):
            if len(given) != len(self.shapes):
                raise ValueError(f"{len(self.shapes)} shapes need as many entries in {name}, got {len(given)}")
        self.domain = [_check_domain(d, of) for d, of in zip(domains, self.dtype, strict=True)]

    def __len__(self) -> int:
        return self._size

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        key = state.place.item_key(state.pass_index)
        constant = [] if self.random else self._datapoint(key, 0)
        index, count = state.share
        own = range(index, self._size, count)
        for position in range(state.setdefault("count", 0), len(own)):
            state["count"] = position + 1
            yield self._datapoint(key, own[position]) if self.random else list(constant)

    def _datapoint(self, key: int, index: int) -> list[Any]:
        rng = item_generator(key, index)
        return [_draw(rng, *kind) for kind in zip(self.shapes, self.dtype, self.domain, strict=True)]

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        dtypes = ", ".join(map(str, self.dtype))
        return f"shapes={self.shapes}, size={self._size}, random={self.random}, dtype=[{dtypes}], domain={self.domain}"


def _check_domain(domain: Any, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    pair = isinstance(domain, (list, tuple)) and len(domain) == 2
    if not (pair and all(isinstance(d, numbers.Real) for d in domain)):
        raise TypeError(f"domain must be (low, high), two numbers, got {domain!r:.60}")
    low, high = domain
    if not (low <= high and math.isfinite(high - low)):
        raise ValueError(f"domain must be (low, high), got {domain!r}")
    if dtype.kind != "f":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not least <= math.ceil(low) <= math.floor(high) <= most:
            raise ValueError(f"domain must hold integers of {dtype}, which are from {least} to {most}, got {domain!r}")
    return low, high


def _draw(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], domain: tuple[Any, Any]
) -> np.ndarray[Any, Any]:
    low, high = domain
    if dtype.kind == "f":
        array = rng.random(shape, np.float32 if dtype.itemsize <= 4 else np.float64)
        return np.asarray(array * (high - low) + low, dtype)
    whole = np.int64 if dtype.kind == "b" else dtype.type
    return np.asarray(rng.integers(int(np.ceil(low)), int(np.floor(high)), shape, whole, endpoint=True), dtype)
