"""Random numbers: from ``(seed, place, pass, index)`` to a generator, the same wherever that is evaluated.

A *place* is the number of a flow in its pipeline, counted from the source upwards. Random numbers therefore depend
on what the pipeline is and on where in the data it stands, never on which worker, thread or process does the work.
The scheme is numpy's `SeedSequence` with spawn keys
(https://numpy.org/doc/stable/reference/random/parallel.html), one key word per coordinate.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import threading

import numpy as np

__all__ = ["Place", "WorkerInfo", "item_generator", "seed", "seed_globals", "worker_info"]

_RANKED = 2**32 - 1  # no copy, flow or pass has this number, so keys with and without ranks differ

_global_seed: int | None = None
_seeds_set = 0


def seed(value: int | None) -> None:
    """Fix all random numbers of the flows that begin a pass from now on; ``None`` goes back to OS entropy.

    Args:
        value: a non-negative integer, or ``None``.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is negative.

    Example:
        >>> import headrace as hr
        >>> hr.seed(7)
        >>> first = list(hr.DataFromList([1, 2, 3, 4, 5, 6]))
        >>> hr.seed(7)
        >>> first == list(hr.DataFromList([1, 2, 3, 4, 5, 6]))
        True
        >>> hr.seed(None)
    """
    global _global_seed, _seeds_set
    _global_seed = check_seed(value)
    _seeds_set += 1


def check_seed(value: int | None) -> int | None:
    """The seed itself, when it is one."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"a seed is a non-negative integer or None, got {value!r}")
    if value < 0:
        raise ValueError(f"a seed is a non-negative integer or None, got {value}")
    return int(value)


def global_seed(since: int = 0) -> int | None:
    """What `seed` was last given; None if that was no later than when `seeds_set` gave ``since``."""
    return _global_seed if _seeds_set > since else None


def seeds_set() -> int:
    """How often `seed` has been called."""
    return _seeds_set


def fresh_entropy() -> int:
    """A seed from the operating system."""
    return random.SystemRandom().getrandbits(64)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a flow stands: the root of all its random numbers.

    Attributes:
        seed: the seed of the pipeline.
        number: post-order number of the flow in its pipeline (the first source is 0).
        copy: the path of runner copies this flow lives in, outermost first; empty outside of runners.
        share: which share of the data this flow has to give, and of how many: see `DataFlow.elementwise`.
        ranks: for a flow that reads from a `Shard`: the rank of this process. What is below a `Shard` has the same
            random numbers in all processes, what is above has others in each.
    """

    seed: int
    number: int
    copy: tuple[int, ...] = ()
    share: tuple[int, int] = (0, 1)
    ranks: tuple[int, ...] = ()

    def index_of(self, turn: int) -> int:
        """The index in the whole pass of the datapoint that is number ``turn`` of this share."""
        index, count = self.share
        return turn * count + index

    def sequence(self, *key: int) -> np.random.SeedSequence:
        """The seed sequence for a point inside this flow, for example ``(pass_index,)``."""
        ranks = (*self.ranks, _RANKED) if self.ranks else ()
        return np.random.SeedSequence(self.seed, spawn_key=(*ranks, *self.copy, len(self.copy), self.number, *key))

    def generator(self, *key: int) -> np.random.Generator:
        """A generator for a point inside this flow."""
        return np.random.Generator(np.random.PCG64(self.sequence(*key)))

    def item_key(self, pass_index: int) -> int:
        """The 128-bit key from which `item_generator` makes the generators of one pass."""
        low, high = self.sequence(pass_index).generate_state(2, np.uint64)
        return int(low) | int(high) << 64


def item_generator(key: int, index: int) -> np.random.Generator:
    """The generator of datapoint ``index`` under the key of its pass.

    Philox is counter-based: the index is the counter's highest word, so streams of different datapoints cannot
    overlap before 2**192 draws (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011).
    """
    return np.random.Generator(np.random.Philox(counter=index << 192, key=key))


def seed_globals(sequence: np.random.SeedSequence) -> None:
    """Seed ``random``, ``numpy.random`` and (if it is imported) torch in this process."""
    # Each has its own words: random and numpy.random are the same algorithm, and would give the same numbers.
    words = [int(w) for w in sequence.generate_state(10)]
    random.seed(sum(w << (32 * i) for i, w in enumerate(words[:4])))
    np.random.seed(words[4:8])
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(words[8] | words[9] << 32)


@dataclasses.dataclass(frozen=True)
class WorkerInfo:
    """Which copy of a runner is running.

    Attributes:
        index: number of this copy, from 0.
        count: how many copies there are; of runners with ``shard=True`` in each other, those of all of them.
        seed: an integer of its own for each copy and pass.
        pass_index: number of the runner's pass, from 0.
    """

    index: int
    count: int
    seed: int
    pass_index: int


class _Where(threading.local):
    info: WorkerInfo | None = None
    asked: bool = False


_where = _Where()


def worker_info() -> WorkerInfo | None:
    """Which copy of a runner this code runs in, so that a user's flow can take its own share of the data.

    Under ``shard=True``, a flow that asks is taken to do so: headrace then takes no share for it.

    Returns:
        A `WorkerInfo` in the copies of a runner (process or thread), ``None`` everywhere else.

    Example:
        >>> import headrace as hr
        >>> hr.worker_info() is None
        True
    """
    _where.asked = _where.info is not None
    return _where.info


def shards_itself() -> bool:
    """Whether user code has asked `worker_info` since the copy began: then it takes its share by itself."""
    return _where.asked


def set_worker_info(info: WorkerInfo | None) -> None:
    """Said by the program of a runner when a copy begins a pass."""
    _where.info = info
    _where.asked = False
