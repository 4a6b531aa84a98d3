"""Headrace on Ray beside Ray Data and a plain actor pool: the same function, the same two workers, the same consumer.

    python -m benchmarks.ray_data                   # in an environment with 'headrace[ray]' and 'ray[data]'
    python -m benchmarks.ray_data --rounds 5

Each run is a process with a local cluster of its own; the systems take turns, and figures are medians of the rounds
with the lowest and the highest. A run is checked: each item once, array contents by their sum. Before the clock starts
a first, short pass has started the workers. CPU is that of all processes: driver, workers, and Ray's own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import psutil

WORKERS = 2


def image(n: int) -> Any:
    return n, np.full((224, 224, 3), n % 251, np.uint8)


def square(n: int) -> Any:
    return n, n * n


JOBS: dict[str, tuple[Callable[[int], Any], int]] = {"arrays_150kB": (image, 6000), "tiny_ints": (square, 100_000)}


def headrace(function: Callable[[int], Any]) -> Callable[[int], Iterable[Any]]:
    import headrace as hr

    source = hr.DataFromList(range(0), shuffle=False)
    flow = hr.RayMapData(source, WORKERS, function, num_cpus=1)

    def one_pass(count: int) -> Iterator[Any]:
        source.lst = range(count)
        return iter(flow)

    return one_pass


def ray_data(function: Callable[[int], Any]) -> Callable[[int], Iterable[Any]]:
    """``map_batches`` with a pool of actors, as its documentation has it; rows are read in batches."""
    import ray

    class Mapper:
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            results = [function(n)[1] for n in batch["id"].tolist()]
            return {"id": batch["id"], "value": np.stack(results)}

    def one_pass(count: int) -> Iterator[Any]:
        strategy = ray.data.ActorPoolStrategy(size=WORKERS)
        ds = ray.data.range(count).map_batches(Mapper, compute=strategy, batch_size=64 if function is image else 4096)
        for batch in ds.iter_batches(batch_size=64, batch_format="numpy"):
            yield from zip(batch["id"].tolist(), batch["value"], strict=True)

    return one_pass


def actor_pool(function: Callable[[int], Any]) -> Callable[[int], Iterable[Any]]:
    """``ray.util.ActorPool``; its ``map`` submits all tasks at once, so they are given in windows. Large results one
    at a time, small ones a thousand at a time, as one would do by hand."""
    import ray
    from ray.util import ActorPool

    chunk = 1 if function is image else 1000

    @ray.remote(num_cpus=1)
    class Mapper:
        def run(self, numbers: list[int]) -> list[Any]:
            return [function(n) for n in numbers]

    pool = ActorPool([Mapper.remote() for _ in range(WORKERS)])

    def one_pass(count: int) -> Iterator[Any]:
        chunks = [list(range(at, min(at + chunk, count))) for at in range(0, count, chunk)]
        for at in range(0, len(chunks), 200):
            for results in pool.map(lambda actor, numbers: actor.run.remote(numbers), chunks[at : at + 200]):
                yield from results

    return one_pass


SYSTEMS = {"headrace": headrace, "ray data": ray_data, "actor pool": actor_pool}


def run(system: str, job: str) -> dict[str, float]:
    """One run, in this process."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    if system == "ray data":
        ray.data.DataContext.get_current().enable_progress_bars = False
        ray.data.DataContext.get_current().execution_options.preserve_order = True
    function, count = JOBS[job]
    one_pass = SYSTEMS[system](function)
    check(one_pass(count // 10), job, count // 10)
    began, cpu = time.perf_counter(), cpu_s()
    check(one_pass(count), job, count)
    seconds, cpu = time.perf_counter() - began, cpu_s() - cpu
    return {"items_per_s": count / seconds, "cpu_us_per_item": cpu / count * 1e6}


def check(items: Iterable[Any], job: str, count: int) -> None:
    """Consume all; each has to be there once, in order, with its contents."""
    expected = 0
    for n, value in items:
        assert n == expected, (n, expected)
        expected += 1
        if job == "tiny_ints":
            assert value == n * n
        else:
            assert int(value.sum(dtype=np.uint64)) == value.size * (n % 251)
    assert expected == count


def cpu_s() -> float:
    """Of this process and all below it."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def median(values: list[float]) -> str:
    """With the lowest and the highest."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def main() -> None:
    """Run all in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("SYSTEM", "JOB"), help="one run, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run(*arguments.one)), flush=True)
        return
    print("| job | system | items/s | CPU us/item |\n|---|---|---|---|")
    for job in JOBS:
        results: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
        for number in range(arguments.rounds):
            names = list(SYSTEMS)
            for system in names[number % len(names) :] + names[: number % len(names)]:
                command = [sys.executable, "-m", "benchmarks.ray_data", "--one", system, job]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                results[system].append(json.loads(done.stdout.splitlines()[-1]))
        for system, runs in results.items():
            speeds, costs = ([r[key] for r in runs] for key in ("items_per_s", "cpu_us_per_item"))
            print(f"| {job} | {system} | {median(speeds)} | {median(costs)} |", flush=True)


if __name__ == "__main__":
    main()
