"""The base of data sets that fit into memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sources.indexed import IndexedSource

__all__ = ["LabelledImages"]


class LabelledImages(IndexedSource):
    """Pairs ``[image, label]`` from two arrays, ``images`` and ``labels``, which users may replace or cut.

    The yielded images are copies, so that nobody changes the data set.
    """

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.images)

    def _datapoint(self, number: int) -> list[Any]:
        return [self.images[number].copy(), self.labels[number]]
