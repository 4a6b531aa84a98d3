"""One pipeline, five ways to run it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import headrace as hr

from .augment import load

BATCH_SIZE = 64

Items = list[list[object]]  # [path, number of the photo], one for each photo


@dataclass(frozen=True)
class Pattern:
    name: str
    workers: str
    """What works: "threads", "processes", or nothing for the plain loop."""
    make: Callable[[Items, int], hr.DataFlow]
    """(items, number of workers) -> a flow of batches."""
    exact: bool = True
    """Whether a pass delivers each photo exactly once."""


def plain_loop(items: Items, _: int) -> hr.DataFlow:
    return _batches(hr.MapData(_shuffled(items), load))


def thread_map(items: Items, workers: int) -> hr.DataFlow:
    return _batches(hr.MultiThreadMapData(_shuffled(items), workers, load))


def process_map(items: Items, workers: int) -> hr.DataFlow:
    return _batches(hr.MultiProcessMapData(_shuffled(items), workers, load))


def process_runner(items: Items, workers: int) -> hr.DataFlow:
    return _batches(hr.MultiProcessRunnerZMQ(hr.MapData(_shuffled(items), load), workers))


def process_map_and_batch(items: Items, workers: int) -> hr.DataFlow:
    return hr.MultiProcessMapAndBatchData(_shuffled(items), workers, load, BATCH_SIZE, remainder=True)


MAP_AND_BATCH = Pattern("MultiProcessMapAndBatchData", "processes", process_map_and_batch)
PATTERNS = (
    Pattern("plain loop", "", plain_loop),
    Pattern("MultiThreadMapData", "threads", thread_map),
    Pattern("MultiProcessMapData", "processes", process_map),
    Pattern("MultiProcessRunnerZMQ", "processes", process_runner, exact=False),
    MAP_AND_BATCH,
)


def numbered(paths: list[Path]) -> Items:
    return [[str(path), number] for number, path in enumerate(paths)]


def usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def _shuffled(items: Items) -> hr.DataFlow:
    return hr.DataFromList(items, shuffle=True)


def _batches(flow: hr.DataFlow) -> hr.DataFlow:
    return hr.BatchData(flow, BATCH_SIZE, remainder=True)
