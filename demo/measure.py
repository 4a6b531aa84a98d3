"""Run one pattern and take its figures: rate, CPU time of the whole process tree, time to the first batch."""

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

import headrace as hr

from .augment import SIZE
from .patterns import Items, Pattern

ROUNDS = 5
# Batches taken before a pass is measured: by then, all workers are at work.
WARM_UP_BATCHES = 4
# On a slow machine there are fewer rounds, and passes are cut short: the demo stays under three minutes.
PASS_LIMIT_S = 8.0
ROUNDS_LIMIT_S = 80.0


@dataclass(frozen=True)
class Turn:
    """What one pass of one pattern took."""

    first_batch_s: float
    """From the construction of the flow: with the start of the workers."""
    images: int
    different_photos: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds


@dataclass(frozen=True)
class Result:
    pattern: Pattern
    turns: tuple[Turn, ...]

    @property
    def first_batch_s(self) -> float:
        return statistics.median(turn.first_batch_s for turn in self.turns)

    @property
    def rate(self) -> float:
        """Images per second in the fastest pass: what else the machine does can only make a pass slower."""
        return max(turn.rate for turn in self.turns)

    @property
    def median_rate(self) -> float:
        return statistics.median(turn.rate for turn in self.turns)

    @property
    def cpu_ms(self) -> float:
        """CPU time for one image, in milliseconds, of this process and all its descendants."""
        return 1e3 * sum(turn.cpu_seconds for turn in self.turns) / sum(turn.images for turn in self.turns)


def measure(patterns: Sequence[Pattern], items: Items, workers: int) -> list[Result]:
    """Let the patterns take turns: a busy minute of the machine should not meet one of them alone."""
    rounds: list[list[Turn]] = []
    started = time.perf_counter()
    while len(rounds) < ROUNDS and _time_for_another(len(rounds), time.perf_counter() - started):
        label = f"round {len(rounds) + 1}/{ROUNDS}"
        rounds.append([_take_turn(pattern, items, workers, label) for pattern in patterns])
    return [Result(pattern, turns) for pattern, turns in zip(patterns, zip(*rounds, strict=True), strict=True)]


def _time_for_another(rounds: int, elapsed: float) -> bool:
    return rounds == 0 or elapsed + elapsed / rounds <= ROUNDS_LIMIT_S


def _take_turn(pattern: Pattern, items: Items, workers: int, label: str) -> Turn:
    """Start a flow and its workers, then measure a whole pass."""
    started = time.perf_counter()
    with pattern.make(items, workers) as flow:
        batches = iter(flow)
        next(batches)
        first_batch_s = time.perf_counter() - started
        for _ in range(WARM_UP_BATCHES - 1):
            next(batches)
        del batches  # this ends the pass: the next one begins with nothing prepared
        return _measure_pass(flow, pattern, items, label, first_batch_s)


def _measure_pass(flow: hr.DataFlow, pattern: Pattern, items: Items, label: str, first_batch_s: float) -> Turn:
    counts: Counter[int] = Counter()
    with _progress_bar(f"{label}  {pattern.name}", len(items)) as bar:
        cpu_before, started = tree_cpu_seconds(), time.perf_counter()
        for images, numbers in flow:
            _check_batch(images, numbers)
            counts.update(numbers.tolist())
            bar.update(len(numbers))
            if time.perf_counter() - started > PASS_LIMIT_S:
                break
        seconds = time.perf_counter() - started
        # Read while the workers live: the time of a process that somebody else has reaped would be lost.
        cpu_seconds = tree_cpu_seconds() - cpu_before
    _check_delivery(pattern, counts, len(items), complete=seconds < PASS_LIMIT_S)
    return Turn(first_batch_s, counts.total(), len(counts), seconds, cpu_seconds)


def _progress_bar(description: str, total: int) -> tqdm:
    layout = "{desc:<39} {bar:24} {n:,}/{total:,}"
    return tqdm(disable=None, desc=description, total=total, bar_format=layout, mininterval=0.1, leave=False)


def _check_batch(images: np.ndarray, numbers: np.ndarray) -> None:
    if images.shape != (len(numbers), SIZE, SIZE, 3) or images.dtype != np.float32:
        raise RuntimeError(f"a batch of {len(numbers)} is {images.dtype} {images.shape}")


def _check_delivery(pattern: Pattern, counts: Counter[int], num_photos: int, *, complete: bool) -> None:
    """Raise unless the pass, as far as it went, delivered what the pattern promises."""
    if complete and counts.total() != num_photos:
        raise RuntimeError(f"{pattern.name} delivered {counts.total()} photos of {num_photos}")
    if not counts.keys() <= set(range(num_photos)):
        raise RuntimeError(f"{pattern.name} delivered photos that nobody asked for")
    if pattern.exact and counts.total() != len(counts):
        raise RuntimeError(f"{pattern.name} delivered {counts.total() - len(counts)} photos twice")


def tree_cpu_seconds() -> float:
    """CPU seconds used so far by this process, its descendants, and those of them that have ended."""
    family = {os.getpid()}
    stats = _read_stats()
    # Numbers wrap around, so a child may have a lower one than its parent: look until nobody is new.
    while new := {pid for pid, (parent, _) in stats.items() if parent in family} - family:
        family |= new
    ticks = sum(stats[pid][1] for pid in family if pid in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


def _read_stats() -> dict[int, tuple[int, int]]:
    """For each process: its parent, and the clock ticks used by it and by its ended, reaped children."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold spaces and parentheses itself.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        stats[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return stats
