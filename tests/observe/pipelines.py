"""Pipelines with a known bottleneck. What is slow sleeps, so that a loaded machine does not move the bottleneck."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

import headrace as hr

MANY = 1_000_000


class SlowSource(hr.DataFlow):
    def __iter__(self) -> Iterator[int]:
        for number in range(MANY):
            time.sleep(0.005)
            yield number


def numbers() -> hr.DataFlow:
    return hr.DataFromIterable(range(MANY))


def quick(number: int) -> int:
    return number


def spin(number: int) -> int:
    """Two milliseconds of a processor."""
    until = time.process_time() + 0.002
    while time.process_time() < until:
        pass
    return number


def slow(number: int) -> int:
    time.sleep(0.01)
    return number


class BigArrays:
    """Gives the same 10 MB again and again: making them costs nothing, sending them does."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __call__(self, number: int) -> np.ndarray:
        if self.array is None:
            self.array = np.ones(10_000_000, np.uint8)
        return self.array
