"""Kill everything, at random, and count: every datapoint exactly once, in order, with the same bits.

A consumer process runs a seeded, shuffled, parallel, batched pipeline over pass after pass, and saves its state at
random moments. From outside, a random worker is killed every 0.2 s, and the consumer itself every few seconds (all by
SIGKILL); a new consumer resumes from the last saved state, with another number of workers. What was delivered is
compared at the end with an undisturbed run in a single process.

    python tests/exact/chaos.py --seconds 60 --seeds 20
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import json
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import headrace as hr

COUNT = 403
BATCH = 8
KILL_WORKER_S = 0.2
KILL_CONSUMER_S = (1.0, 4.0)
STALLED_S = 15.0


# -- the pipeline, undisturbed and disturbed


class Work:
    """Takes about two milliseconds, now and then thirty; the result is a large array or a small one."""

    def __init__(self, busy: bool):
        self.busy = busy

    def __call__(self, n: int, *, rng: np.random.Generator) -> list[Any]:
        if self.busy:
            time.sleep(0.03 if n % 50 == 0 else 0.002)
        return [n, rng.standard_normal(4000 if n % 2 else 3, np.float32)[:3], rng.integers(0, 255, 20_000, np.uint8)]


def source() -> hr.DataFlow:
    return hr.DataFromList(range(COUNT), shuffle=True)


PIPELINES: dict[str, Any] = {
    "mapper": lambda workers: hr.BatchData(
        hr.MultiProcessMapData(source(), workers, Work(True), max_retries=1000), BATCH, remainder=True
    ),
    "map and batch": lambda workers: hr.MultiProcessMapAndBatchData(
        source(), workers, Work(True), BATCH, remainder=True, max_retries=1000
    ),
    "sharded runner": lambda workers: hr.MultiProcessRunnerZMQ(
        hr.MapData(source(), Work(True)), workers, shard=True, max_retries=1000
    ),
}


def undisturbed(kind: str) -> hr.DataFlow:
    if kind == "sharded runner":  # whose copies have random numbers of their own, the same for any number of copies
        return hr.MultiThreadRunner(lambda: hr.MapData(source(), Work(False)), 8, 1, shard=True)
    return hr.BatchData(hr.MapData(source(), Work(False)), BATCH, remainder=True)


def digest(dp: list[Any]) -> str:
    """What a datapoint or a batch is, bit by bit, on one line."""
    numbers, *arrays = dp
    names = ",".join(map(str, np.atleast_1d(numbers)))
    return f"{names} {zlib.crc32(b''.join(np.ascontiguousarray(a).tobytes() for a in arrays)):08x}"


def expected(kind: str, seed: int, passes: int) -> Iterator[list[str]]:
    hr.seed(seed)
    with undisturbed(kind) as flow:
        for _ in range(passes):
            yield [digest(dp) for dp in flow]


# -- the consumer


def consume(folder: Path, kind: str, seed: int, workers: int, deadline: float) -> None:
    """Deliver until the first end of a pass after the deadline; see the module."""
    faulthandler.register(signal.SIGUSR1)
    dice = random.Random()
    flow = PIPELINES[kind](workers)
    lines = passes = 0
    if (folder / "saved.json").exists():
        saved = json.loads((folder / "saved.json").read_text())
        flow.load_state_dict(saved["state"])
        lines, passes = saved["lines"], saved["passes"]
    else:
        hr.seed(seed)
    log = folder / "log"
    log.touch()
    kept = log.read_text().splitlines(keepends=True)[:lines]  # what came after the state comes again
    log.write_text("".join(kept))

    with flow, open(log, "a") as file:

        def save() -> None:
            file.flush()
            (folder / "new.json").write_text(json.dumps({"state": flow.state_dict(), "lines": lines, "passes": passes}))
            os.replace(folder / "new.json", folder / "saved.json")

        while True:
            for dp in flow:
                file.write(f"{passes} {digest(dp)}\n")
                lines += 1
                if dice.random() < 0.1:
                    save()
            passes += 1
            if time.time() > deadline:
                break
            if dice.random() < 0.5:
                save()


# -- the killer


@dataclasses.dataclass
class Report:
    kind: str
    seed: int
    passes: int = 0
    datapoints: int = 0
    workers_killed: int = 0
    consumers_killed: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        verdict = "; ".join(self.faults) if self.faults else "exact"
        return (
            f"seed {self.seed}, {self.kind}: {self.datapoints} datapoints in {self.passes} passes, "
            f"{self.workers_killed} workers and {self.consumers_killed} consumers killed: {verdict}"
        )


def disturb(
    kind: str, seed: int, seconds: float, folder: Path, consumer_lives_s: tuple[float, float] = KILL_CONSUMER_S
) -> Report:
    """Run a pipeline, disturbed, and compare it."""
    report = Report(kind, seed)
    dice = random.Random(seed)
    deadline = time.time() + seconds
    while True:
        dies_at = time.time() + dice.uniform(*consumer_lives_s)
        code = _one_life(kind, seed, deadline, dies_at, folder, dice, report)
        if code == 0:
            break
        if code is not None:
            report.faults.append(f"the consumer ended with exit code {code}")
            return report
        if report.faults:
            return report
    _compare(folder, report)
    return report


def _one_life(
    kind: str, seed: int, deadline: float, dies_at: float, folder: Path, dice: random.Random, report: Report
) -> int | None:
    """Start a consumer, and kill its workers, and perhaps itself; its exit code, None if it was killed."""
    workers = str(dice.randint(1, 4))
    command = [sys.executable, __file__, "--consume", str(folder), kind, str(seed), workers, str(deadline)]
    with open(folder / "stderr", "ab") as stderr:
        consumer = psutil.Popen(command, stderr=stderr)
    seen: set[psutil.Process] = set()
    progress, progress_at = -1, time.time()
    while True:
        try:
            return int(consumer.wait(KILL_WORKER_S))
        except psutil.TimeoutExpired:
            pass
        found = _workers(consumer)
        seen.update(found)
        if time.time() >= dies_at and time.time() < deadline:
            consumer.kill()
            consumer.wait()
            report.consumers_killed += 1
            _, left = psutil.wait_procs(seen, timeout=5)
            if left:
                report.faults.append(f"{len(left)} workers outlive their consumer")
            return None
        if found:
            try:
                dice.choice(found).kill()
                report.workers_killed += 1
            except psutil.NoSuchProcess:
                pass
        size = (folder / "log").stat().st_size if (folder / "log").exists() else 0
        if size != progress:
            progress, progress_at = size, time.time()
        elif time.time() - progress_at > STALLED_S:
            consumer.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
            consumer.kill()
            consumer.wait()
            report.faults.append(f"nothing was delivered for {STALLED_S} s, see {folder / 'stderr'}")
            return None


def _workers(consumer: psutil.Process) -> list[psutil.Process]:
    """The fork server's children."""
    try:
        return [worker for server in consumer.children() for worker in server.children()]
    except psutil.NoSuchProcess:
        return []


def _compare(folder: Path, report: Report) -> None:
    passes: dict[int, list[str]] = {}
    for line in (folder / "log").read_text().splitlines():
        number, what = line.split(" ", 1)
        passes.setdefault(int(number), []).append(what)
    report.passes = len(passes)
    if sorted(passes) != list(range(len(passes))):
        report.faults.append(f"passes {sorted(passes)}")
    for number, reference in enumerate(expected(report.kind, report.seed, len(passes))):
        got = passes.get(number, [])
        report.datapoints += sum(len(what.split()[0].split(",")) for what in got)
        if report.kind == "sharded runner":
            got, reference = sorted(got), sorted(reference)
        if got != reference:
            report.faults.append(f"pass {number}: {_difference(got, reference)}")


def _difference(got: list[str], reference: list[str]) -> str:
    numbers = [[int(n) for what in lines for n in what.split()[0].split(",")] for lines in (got, reference)]
    lost = sorted(set(numbers[1]) - set(numbers[0]))
    doubled = sorted(n for n in set(numbers[0]) if numbers[0].count(n) > 1)
    first = next(
        (i for i, (a, b) in enumerate(zip(got, reference, strict=False)) if a != b), min(map(len, (got, reference)))
    )
    return f"lost {lost}, doubled {doubled}, first difference at {first} of {len(reference)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each seed and pipeline")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=["mapper"])
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for kind in arguments.pipelines:
            folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
            report = disturb(kind, seed, arguments.seconds, folder)
            print(report, flush=True)
            failed += bool(report.faults)
    return int(failed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--consume"]:
        consume(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
    else:
        sys.exit(main())
