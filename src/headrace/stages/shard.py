"""Give each process of a training job its own part of the data."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any

from .._checks import check_count, known_length
from ..distributed import current_rank
from ..errors import DataFlowError, EmptySourceError, NoLengthError
from ..flow import DataFlow, ProxyDataFlow
from ..seeding import check_seed
from ..state import State
from ..tree import walk

__all__ = ["Shard", "check_same_order", "share_size"]

_UNEVEN = ("raise", "drop", "pad")


class Shard(ProxyDataFlow):
    """The part of a flow that belongs to one process (rank) of a training job.

    Where only maps lie between this and a source, the source reads nothing but this part; else the flow is read as a
    whole, and the part is taken from it. It goes together with the shares of runners:
    ``MultiProcessRunnerZMQ(Shard(ds), 4, shard=True)`` splits the part of this process among four workers.

    Args:
        ds: the flow; it needs a length.
        rank: the number of this process, from 0. By default this and ``world_size`` are those of ``torch.distributed``,
            of JAX, or of the environment variables ``RANK`` and ``WORLD_SIZE``, found out at construction.
        world_size: how many processes there are.
        uneven: what to do if ``len(ds)`` is not divisible by ``world_size``, since a training step waits for all
            processes: ``"raise"`` an error, ``"drop"`` the last few datapoints, or ``"pad"``: where one is missing,
            the last one of the part comes twice.
        seed: fixes the random numbers below. All processes shuffle alike: by this seed, or by that of
            `headrace.seed` (which must be the same everywhere), else by seed 0.

    Order and integrity: the parts of all processes are, together, one pass of ``ds``: exactly, except for what
    ``uneven`` says. They have the same length. Resumes exactly; a state fits every rank, if all of them have taken
    equally many datapoints.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value; if the rank is not known; if
            below there is a flow whose order differs from process to process (a runner, or ``ordered=False``).
        NoLengthError: ``ds`` has no length.
        ValueError: at the beginning of a pass, under ``"raise"``: the length is not divisible.
        DataFlowError: ``ds`` gave fewer datapoints than its length.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([0, 1, 2, 3, 4], shuffle=False)
        >>> [list(hr.Shard(ds, rank, 2, uneven="pad")) for rank in (0, 1)]
        [[0, 2, 4], [1, 3, 3]]
        >>> [list(hr.Shard(ds, rank, 2, uneven="drop")) for rank in (0, 1)]
        [[0, 2], [1, 3]]
    """

    elementwise = True  # the share of a runner is part of the one that is taken here

    def __init__(
        self,
        ds: Any,
        rank: int | None = None,
        world_size: int | None = None,
        uneven: str = "raise",
        seed: int | None = None,
    ):
        super().__init__(ds)
        if (rank is None) != (world_size is None):
            raise ValueError(f"rank={rank} and world_size={world_size}: give both, or none")
        if rank is None or world_size is None:
            rank, world_size = current_rank()
        self.rank: int = check_count("rank", rank, 0)
        self.world_size = check_count("world_size", world_size)
        if self.rank >= self.world_size:
            raise ValueError(f"rank must be less than world_size={world_size}, got {rank}")
        if uneven not in _UNEVEN:
            raise ValueError(f"uneven must be one of {', '.join(map(repr, _UNEVEN))}, got {uneven!r}")
        self.uneven = uneven
        self._seed = check_seed(seed)
        check_same_order(self.ds, "Shard")

    def __len__(self) -> int:
        total = self._total()
        if self.uneven == "raise" and total % self.world_size:
            raise ValueError(
                f"Shard: {total} datapoints cannot be split evenly among {self.world_size} processes; choose "
                'uneven="drop" or uneven="pad"'
            )
        return -(-total // self.world_size) if self.uneven == "pad" else total // self.world_size

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        index, count = state.place.share  # of a runner
        limit = share_size(len(self), index, count)
        own = min(limit, share_size(self._total(), *self._combined(state.place.share)))
        done = state.setdefault("done", 0)
        for dp in itertools.islice(self._own(source, state), max(own - done, 0)):
            done = state["done"] = done + 1
            if done == own < limit:
                state["last"] = dp  # it will come again
            yield dp
        if done < own:
            raise DataFlowError(
                f"Shard: rank {self.rank} got {done} datapoints of {type(self.ds).__name__}, its length promised {own} "
                "(are some discarded below?); put Shard below what discards, or let on_error= be a function that gives "
                "another datapoint in the place of a bad one"
            )
        if own < limit and "last" not in state:
            raise EmptySourceError(
                f"Shard: rank {self.rank} has no datapoint to pad with: {self._total()} for {self.world_size} processes"
                + (f" with {count} workers each" if count > 1 else "")
            )
        while state["done"] < limit:
            state["done"] += 1
            yield state["last"]

    def _own(self, source: Any, state: State) -> Iterator[Any]:
        if self._one_to_one():
            yield from source
            return
        index, count = self._combined(state.place.share)
        for dp in source:
            if state.my_turn(index, count):
                yield dp

    def _combined(self, share: tuple[int, int]) -> tuple[int, int]:
        """The runner's share of the part of this process, as a share of all."""
        index, count = share
        return index * self.world_size + self.rank, count * self.world_size

    def _share_below(self, share: tuple[int, int]) -> tuple[int, int]:
        return self._combined(share) if self._one_to_one() else (0, 1)

    def _one_to_one(self) -> bool:
        """Whether a share of what gives the share below is, one for one, a share of ``ds``."""
        flow = self.ds
        while flow.elementwise:
            if len(flow.inputs) != 1 or known_length(flow) != known_length(flow.inputs[0]):
                return False
            flow = flow.inputs[0]
        return True

    def _total(self) -> int:
        try:
            return len(self.ds)
        except NoLengthError as error:
            raise NoLengthError(f"Shard needs a length to split by ({error}); FixedSizeData gives a flow one") from None

    def describe(self) -> str:
        """See `DataFlow.describe`."""
        return f"rank={self.rank}, world_size={self.world_size}, uneven={self.uneven!r}"

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: the state of one rank fits the others."""
        return f"Shard(world_size={self.world_size}, uneven={self.uneven!r})"


def share_size(total: int, index: int, count: int) -> int:
    """How many of ``total`` datapoints are in share ``index`` of ``count``.

    Example:
        >>> [share_size(10, index, 4) for index in range(4)]
        [3, 3, 2, 2]
    """
    return max(total - index + count - 1, 0) // count


def check_same_order(ds: DataFlow, name: str) -> None:
    """Refuse what gives its datapoints in another order in each process, so that parts would overlap.

    Args:
        ds: what shall be taken apart.
        name: who does that, for the message.

    Raises:
        ValueError: there is such a flow.
    """
    flow = ds
    while flow.elementwise and len(flow.inputs) == 1:  # the share is taken below these: their own order does not matter
        flow = flow.inputs[0]
    for below in walk(flow):
        if hasattr(below, "shard") or getattr(below, "ordered", True) is False:
            raise ValueError(
                f"{name}: the order of {type(below).__name__} below it differs from process to process, so that parts "
                "would overlap; let it be ordered, or come after"
            )
