"""What does a change cost? Processor time of two trees of headrace, in alternation: ``python -m benchmarks.two_trees``.

    git worktree add ../other some-commit           # or a copy with something taken out
    python -m benchmarks.two_trees . ../other
    python -m benchmarks.two_trees . .              # how much two equal ones differ here: the noise

Each tree has a pipeline of its own, in a process of its own, which stays. They take turns of a tenth of a second, and
of each turn the processor time of the consumer and of all workers is counted, to the nanosecond, until nothing runs any
more: so what is made ahead counts too, and what others do on the machine matters little. A pair of turns gives one
ratio. The order alternates, and all begins anew with fresh processes several times, since two processes may differ by
how their memory happens to lie. The result is the median of the ratios of all pairs, and the range of the medians of
the processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import proctree
from benchmarks.environments import ROOT
from benchmarks.workloads.arrays import make_array
from benchmarks.workloads.tiny_ints import plus_one

MANY = 2**62
WARM_TURNS = 5
STILL_S = 0.004

WORK: dict[str, tuple[Callable[[int], Any], str, int]] = {
    "tiny": (plus_one, "process", 200_000),
    "tiny-threads": (plus_one, "thread", 200_000),
    "arrays_150kB": (partial(make_array, 150_528), "process", 2_000),
}
"""Function, kind of workers, items in a turn."""


def serve(name: str) -> None:
    """One tree's process: for each number on stdin, take so many items; say what processor time they took."""
    import headrace as hr

    function, kind, _ = WORK[name]
    source = hr.DataFromIterable(range(MANY))
    mapped = hr.MultiProcessMapData if kind == "process" else hr.MultiThreadMapData
    print(hr.__file__, flush=True)
    with mapped(source, 2, function) as flow:
        items = iter(flow)
        next(items)
        members = (os.getpid(), *proctree.descendants(os.getpid()))
        before = _still(members)
        for line in sys.stdin:
            for _ in islice(items, int(line)):
                pass
            after = _still(members)
            print(after - before, flush=True)
            before = after


def _still(members: tuple[int, ...]) -> int:
    """The processor time of all of them, in nanoseconds, once it no longer grows."""
    spent = -1
    while (now := sum(map(_run_ns, members[1:])) + _others_ns()) != spent:
        spent = now
        time.sleep(STILL_S)
    return spent + time.thread_time_ns()


def _run_ns(pid: int) -> int:
    return sum(
        int(Path(f"/proc/{pid}/task/{t}/schedstat").read_text().split()[0]) for t in os.listdir(f"/proc/{pid}/task")
    )


def _others_ns() -> int:
    """Of this process, without the thread that asks."""
    return _run_ns(os.getpid()) - int(Path("/proc/thread-self/schedstat").read_text().split()[0])


class Tree:
    """A process that runs a pipeline with one tree's headrace."""

    def __init__(self, folder: Path, name: str):
        variables = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{ROOT}"}
        command = [sys.executable, "-m", "benchmarks.two_trees", "--serve", name]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        came_from = self._process.stdout.readline().strip()
        if not came_from.startswith(str(folder / "src")):
            raise RuntimeError(f"headrace was to come from {folder}, and came from {came_from}")

    def turn(self, count: int) -> float:
        """Processor time of one item, in microseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline()) / count / 1e3

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def pairs(folders: list[Path], name: str, count: int) -> Iterator[list[float]]:
    """Turns of both, with fresh processes."""
    trees = [Tree(folder, name) for folder in folders]
    try:
        for _ in range(WARM_TURNS):
            for tree in trees:
                tree.turn(count)
        order = [0, 1]
        while True:
            costs = [0.0, 0.0]
            for number in order:
                costs[number] = trees[number].turn(count)
            order.reverse()
            yield costs
    finally:
        for tree in trees:
            tree.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, nargs="?", help="a folder with src/headrace")
    parser.add_argument("second", type=Path, nargs="?", help="another one")
    parser.add_argument("--only", default=",".join(WORK), help="workloads (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=10, help="how often all begins anew (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=20, help="pairs of turns each time (default: %(default)s)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    if args.first is None or args.second is None:
        parser.error("give two trees")
    folders = [args.first.resolve(), args.second.resolve()]
    print("| work | CPU per item, first | second | first / second | in single processes |\n|---|---|---|---|---|")
    for name in args.only.split(","):
        measured = [list(islice(pairs(folders, name, WORK[name][2]), args.turns)) for _ in range(args.processes)]
        ratios = [[first / second for first, second in turns] for turns in measured]
        medians = sorted(median(some) for some in ratios)
        first, second = (median(turn[n] for turns in measured for turn in turns) for n in (0, 1))
        ratio = median(one for some in ratios for one in some)
        print(f"| {name} | {first:.3g} us | {second:.3g} us | {ratio:.3f} | {medians[0]:.3f} to {medians[-1]:.3f} |")


if __name__ == "__main__":
    main()
