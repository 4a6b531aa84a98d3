"""Does `headrace.tune` choose well? ``python -m benchmarks.tune_choice``.

For each of five workloads: an exhaustive search over patterns, numbers of workers and buffers; then `headrace.tune`,
with its default time; then its choice and the best few of the search side by side, in turns. The last one is what
counts: the search picks the luckiest of many, and the machine drifts between the steps. Its turns are longer, since
the batches of many workers come in bursts.

Each configuration is measured in every round of the search. But those that have never reached two fifths of the best
are left out of the rounds after the first. With ``--keep`` the steps can be run one by one, or interrupted and gone on
with.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import headrace as hr
from benchmarks import photos
from benchmarks.workloads.arrays import make_array
from benchmarks.workloads.jpeg_to_batches import make_photo
from benchmarks.workloads.sleep import nap
from benchmarks.workloads.tiny_ints import plus_one
from headrace.observe.tune import read_turns

WORKERS = (1, 2, 3, 4, 8, 16, 32, 64)
COMPUTING = 16
"""The most workers that are tried for what computes; for what waits, all of `WORKERS`."""
BUFFERS = (None, 50, 1000)
STEPS = ("search", "tune", "compare")
MANY = 100_000_000
RIVALS = 3
HOPELESS = 0.4
WARM_S = 0.15
MARGIN = 0.9
"""The aim: tune's choice gives so much of the best at least."""

Arguments = dict[str, Any]
Kept = dict[str, Any]


def count_slowly(task: int) -> int:
    """About half a millisecond of Python, with the interpreter's lock held."""
    total = task
    for number in range(10_000):
        total += number & 7
    return total


@dataclass(frozen=True)
class Case:
    """A workload for tune.

    Attributes:
        name: for the command line.
        title: for the table.
        function: what is mapped.
        batch: None, or datapoints in a batch.
        waits: whether it mostly waits.
    """

    name: str
    title: str
    function: Callable[[int], Any]
    batch: int | None = None
    waits: bool = False

    @property
    def ds(self) -> hr.DataFlow:
        return hr.DataFromIterable(range(MANY))

    def row(self, pattern: Any, arguments: Arguments) -> hr.TuneRow:
        return hr.TuneRow(pattern, arguments, self.function, self.batch)


CASES = (
    Case("gil", "GIL-bound Python, 0.5 ms", count_slowly),
    Case("decode", "JPEG decode and augment, GIL released, batches of 64", make_photo, 64),
    Case("sleep", "sleeping I/O, 10 ms", nap, waits=True),
    Case("tiny", "tiny items (x + 1)", plus_one),
    Case("huge", "huge items (arrays of 10 MB)", partial(make_array, 10_000_000)),
)


def configurations(case: Case) -> Iterator[tuple[str, Arguments]]:
    """All that is tried: patterns x workers x buffers."""
    yield "inline", {}
    for workers, buffer in itertools.product(WORKERS, BUFFERS):
        if workers > COMPUTING and not case.waits:
            continue
        size = {} if buffer is None else {"buffer_size": buffer}
        yield "thread", {"num_thread": workers, **size}
        yield "process", {"num_proc": workers, **size}
        if case.batch is not None and (buffer is None or buffer >= case.batch):
            yield "map_and_batch", {"num_proc": workers, **size}
        if buffer != 50:  # which is its default
            yield "runner", {"num_proc": workers, **({} if buffer is None else {"hwm": buffer})}


def rate(case: Case, pattern: str, arguments: Arguments, seconds: float) -> float:
    """Datapoints in a second of one configuration, in the steady state."""
    began = time.perf_counter()
    row = case.row(pattern, arguments)
    with row.build(case.ds) as flow:
        items = iter(flow)
        next(items)
        first_s = time.perf_counter() - began
        turn = max(1, row.workers)
        # The first item says that one worker is there, not all.
        _, _, step = read_turns(items, turn, turn, WARM_S + first_s)
        count, took_s, _ = read_turns(items, turn, step, seconds)
    return count * (case.batch or 1) / took_s


def search(case: Case, kept: Kept, rounds: int, seconds: float, keep: Callable[[], None]) -> None:
    """All rounds of the search, or those that are missing."""
    rates: dict[str, list[float]] = kept.setdefault("rates", {})
    for number in range(rounds):
        best = max((max(values) for values in rates.values()), default=0.0)
        for pattern, arguments in configurations(case):
            values = rates.setdefault(json.dumps([pattern, arguments]), [])
            hopeless = number > 0 and max(values) < HOPELESS * best
            if len(values) == number and not hopeless:
                values.append(rate(case, pattern, arguments, seconds))
                keep()


def tune(case: Case, kept: Kept) -> None:
    began = time.perf_counter()
    result = hr.tune(case.ds, case.function, case.batch)
    kept["tune_s"] = time.perf_counter() - began
    kept["choice"] = [result.best.pattern, result.best.arguments]
    kept["rows"] = [[row.pattern, row.arguments, row.datapoints_per_s, row.note] for row in result.rows]


def compare(case: Case, kept: Kept, rounds: int, seconds: float) -> None:
    """Tune's choice and the best of the search, in turns; each round begins with another one."""
    medians = {key: median(values) for key, values in kept["rates"].items()}
    rivals = sorted(medians, key=lambda key: -medians[key])[:RIVALS]
    taking_part = list(dict.fromkeys([json.dumps(kept["choice"]), *rivals]))
    measured: dict[str, list[float]] = {key: [] for key in taking_part}
    for number in range(rounds):
        start = number % len(taking_part)
        for key in taking_part[start:] + taking_part[:start]:
            measured[key].append(rate(case, *json.loads(key), seconds))
    kept["compared"] = measured


def table(kept: dict[str, Kept]) -> Iterator[str]:
    yield "| work | tune's choice | datapoints/s | the best of all | datapoints/s | choice / best | tune took |"
    yield "|---|---|---|---|---|---|---|"
    for case in CASES:
        found = kept.get(case.name, {})
        if "compared" not in found:
            continue
        medians = {key: median(values) for key, values in found["compared"].items()}
        choice, best = json.dumps(found["choice"]), max(medians, key=lambda key: medians[key])
        ratio = medians[choice] / medians[best]
        cells = [case.title, _named(choice), f"{medians[choice]:,.0f}", _named(best), f"{medians[best]:,.0f}"]
        mark = "" if ratio >= MARGIN else " (missed)"
        yield f"| {' | '.join(cells)} | {ratio:.2f}{mark} | {found['tune_s']:.0f} s |"


def _named(key: str) -> str:
    pattern, arguments = json.loads(key)
    return " ".join([pattern, *(f"{name}={value}" for name, value in arguments.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default=",".join(case.name for case in CASES), help="workloads (default: %(default)s)"
    )
    parser.add_argument("--steps", default=",".join(STEPS), help="what to do (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the search (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="of the comparison (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.4, help="of a measurement in the search (default: %(default)s)"
    )
    parser.add_argument(
        "--turn", type=float, default=2.0, help="seconds of a turn of the comparison (default: %(default)s)"
    )
    parser.add_argument("--keep", type=Path, help="a JSON file: what is measured is added to it")
    args = parser.parse_args()
    kept: dict[str, Kept] = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else {}

    def keep() -> None:
        if args.keep:
            args.keep.write_text(json.dumps(kept))

    for case in CASES:
        if case.name not in args.only.split(","):
            continue
        if case.function is make_photo:
            photos.ensure()
        found = kept.setdefault(case.name, {})
        if "search" in args.steps:
            search(case, found, args.rounds, args.seconds, keep)
        if "tune" in args.steps:
            tune(case, found)
            keep()
        if "compare" in args.steps:
            compare(case, found, args.turns, args.turn)
            keep()
    print("\n".join(table(kept)))


if __name__ == "__main__":
    main()
