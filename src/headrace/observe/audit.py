"""Proof that nothing is lost or doubled in the parallel stages of a pipeline."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from ..errors import AuditError
from ..flow import DataFlow
from ..tree import walk

__all__ = ["Audit", "AuditedPass", "audit"]


@dataclasses.dataclass
class AuditedPass:
    """The books of one pass of one parallel stage.

    Attributes:
        stage: name of the stage's class.
        pass_index: number of the pass.
        taken: datapoints pulled from the input.
        delivered: datapoints (or, by a stage that batches, those in rows) accounted for at the output.
        taken_hash: order-free hash of the numbers of the datapoints pulled.
        delivered_hash: the same of those accounted for.
        complete: whether the pass has come to its end, and the books have been compared.
        counted_by: what the numbers of the datapoints belong to: the "pass" of the input, or a runner's "copy".
    """

    stage: str
    pass_index: int
    taken: int = 0
    delivered: int = 0
    taken_hash: int = 0
    delivered_hash: int = 0
    complete: bool = False
    counted_by: str = "pass"
    _taken_rows: list[tuple[int, int, int]] = dataclasses.field(default_factory=list, repr=False)
    _delivered_rows: list[tuple[int, int, int]] = dataclasses.field(default_factory=list, repr=False)
    _kept_rows: list[tuple[int, int, int]] = dataclasses.field(default_factory=list, repr=False)

    def take(self, pass_index: int, first: int, count: int) -> None:
        """These datapoints were pulled from the input."""
        self.taken += count
        self.taken_hash = (self.taken_hash + _hash(pass_index, first, count)) % 2**64
        _append(self._taken_rows, (pass_index, first, count))

    def keep(self, pass_index: int, first: int, count: int) -> None:
        """These were taken and are still there, for the next pass."""
        self.taken -= count
        self.taken_hash = (self.taken_hash - _hash(pass_index, first, count)) % 2**64
        _append(self._kept_rows, (pass_index, first, count))

    def deliver(self, pass_index: int, first: int, count: int) -> None:
        """These datapoints were delivered, discarded by the function, or handled as bad ones."""
        self.delivered += count
        self.delivered_hash = (self.delivered_hash + _hash(pass_index, first, count)) % 2**64
        _append(self._delivered_rows, (pass_index, first, count))

    def compare(self) -> None:
        """The pass is over.

        Raises:
            AuditError: the books differ; the message names the datapoints.
        """
        self.complete = True
        if (self.taken, self.taken_hash) == (self.delivered, self.delivered_hash):
            return
        taken = collections.Counter(_numbers(self._taken_rows)) - collections.Counter(_numbers(self._kept_rows))
        delivered = collections.Counter(_numbers(self._delivered_rows))
        lost = sorted(taken.keys() - delivered.keys())
        doubled = sorted((delivered - taken).keys())
        raise AuditError(
            f"{self.stage}, pass {self.pass_index}: {self.taken} datapoints went in, {self.delivered} came out; "
            f"lost: {self._shown(lost)}; doubled or unknown: {self._shown(doubled)}"
        )

    def _shown(self, numbers: list[tuple[int, int]]) -> str:
        text = ", ".join(f"{n} of {self.counted_by} {p}" for p, n in numbers[:20])
        return (text or "none") + (f", ... ({len(numbers)} in all)" if len(numbers) > 20 else "")


@dataclasses.dataclass
class Audit:
    """What `audit` has recorded so far.

    Attributes:
        passes: one entry for each pass of each parallel stage, in the order in which they began.
    """

    passes: list[AuditedPass] = dataclasses.field(default_factory=list)

    def begin(self, stage: str, pass_index: int, counted_by: str = "pass") -> AuditedPass:
        """A pass begins."""
        entry = AuditedPass(stage, pass_index, counted_by=counted_by)
        self.passes.append(entry)
        return entry


def audit(flow: DataFlow) -> Audit:
    """Keep books on each parallel stage of a pipeline, from the next pass on.

    At the input and at the output of each mapper, the numbers of the datapoints are counted and hashed, independently
    of the ledger; at the end of each pass the two must be equal. Of a runner, what has come in from the copies is the
    input, less what is still there for the next pass. (And what a copy has sent and what has come in is compared with
    each message, audited or not.)

    Args:
        flow: the pipeline.

    Returns:
        The record, which goes on growing.

    Raises:
        TypeError: ``flow`` is no flow.
        AuditError: from the iteration, when datapoints were lost or doubled; the message names them.

    Example:
        >>> import headrace as hr
        >>> flow = hr.MultiThreadMapData(hr.DataFromList([1, 2, 3]), 2, lambda x: x)
        >>> record = hr.audit(flow)
        >>> with flow:
        ...     _ = list(flow)
        >>> [(p.stage, p.taken, p.delivered, p.complete) for p in record.passes]
        [('MultiThreadMapData', 3, 3, True)]
    """
    from .observation import check_flow  # not at the top: the mappers need this module

    record = Audit()
    for below in walk(check_flow(flow)):
        below._audit = record
    return record


def _hash(pass_index: int, first: int, count: int) -> int:
    """The sum of a hash of each number: splitmix64 (Steele, Lea, Flood, *Fast splittable PRNGs*, 2014)."""
    with np.errstate(over="ignore"):
        x = np.arange(first, first + count, dtype=np.uint64) + np.uint64((pass_index << 40) + 1)
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return int((x ^ (x >> np.uint64(31))).sum(dtype=np.uint64))


def _append(rows: list[tuple[int, int, int]], row: tuple[int, int, int]) -> None:
    """Add a row of consecutive numbers, joined with the last one if it follows it."""
    if rows:
        pass_index, first, count = rows[-1]
        if pass_index == row[0] and first + count == row[1]:
            rows[-1] = (pass_index, first, count + row[2])
            return
    rows.append(row)


def _numbers(rows: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(pass_index, n) for pass_index, first, count in rows for n in range(first, first + count)]
