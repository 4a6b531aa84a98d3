"""Runs every system in turn, each run in a fresh process, and watches its memory from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from benchmarks import proctree
from benchmarks.environments import ROOT, Environment
from benchmarks.model import Measurement, Peer, Workload

MARKER = "HEADRACE_BENCHMARK_RUN"
SAMPLE_S = 0.05
# Reading a process's memory map costs it time (its lock is held) and us a core, so never more than 1/20 of both.
SAMPLING_SHARE = 20
LEFT_BEHIND_S = 3.0
FIRST_RUN_S = 0.3


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int = 5
    seconds: float = 3.0
    quick: bool = False
    timeout_s: float = 180.0
    busy: int = 0


@dataclass
class Comparison:
    """All runs of one workload, with the systems that could not take part and why."""

    workload: Workload
    runs: dict[str, list[Measurement]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


Say = Callable[[str], None]


def compare(
    workload: Workload, systems: list[Peer], environments: dict[str, Environment], plan: Plan, say: Say
) -> Comparison:
    """Run ``workload`` on ``systems``, interleaved: a drift of the machine meets all of them alike."""
    result = Comparison(workload)
    counts = {}
    for peer in _able(systems, workload, result):
        say(f"{workload.name}: {peer.name}, first run")
        first = _first_run(peer, workload, environments[peer.environment], plan)
        if first.failure:
            result.absent[peer.name] = first.failure
        elif plan.quick:
            result.runs[peer.name] = [first]
        else:
            counts[peer.name] = _count(workload, first, plan.seconds)
    taking_part = [peer for peer in systems if peer.name in counts]
    for number, peer in _turns(taking_part, 0 if plan.quick else plan.rounds):
        say(f"{workload.name}: {peer.name}, round {number} of {plan.rounds}")
        measured = run_once(peer, workload, counts[peer.name], environments[peer.environment], plan.timeout_s, number)
        result.runs.setdefault(peer.name, []).append(measured)
    return result


def _first_run(peer: Peer, workload: Workload, environment: Environment, plan: Plan) -> Measurement:
    """Find out how fast it is, roughly: a run shorter than a few chunks says nothing, so go on with longer ones."""
    count = workload.least
    while True:
        first = run_once(peer, workload, count, environment, plan.timeout_s)
        longer = min(count * 10, workload.most)
        told = first.failure or workload.leaves_early or first.timed_s > FIRST_RUN_S or longer == count
        if plan.quick or told:
            return first
        count = longer


def _able(systems: list[Peer], workload: Workload, result: Comparison) -> Iterator[Peer]:
    for peer in systems:
        reason = peer.why_not(workload)
        if reason is None:
            yield peer
        elif reason:
            result.absent[peer.name] = reason


def _count(workload: Workload, first: Measurement, seconds: float) -> int:
    """As many timed deliveries as take about ``seconds``, judged by the first run."""
    if workload.leaves_early:
        return workload.least
    wanted = int(first.rate / workload.per_delivery * seconds)
    return min(max(wanted, workload.least), workload.most)


def _turns(systems: list[Peer], rounds: int) -> Iterator[tuple[int, Peer]]:
    for number in range(rounds):
        start = number % len(systems) if systems else 0  # nobody always goes first
        for peer in systems[start:] + systems[:start]:
            yield number + 1, peer


def run_once(
    peer: Peer, workload: Workload, count: int, environment: Environment, timeout_s: float, number: int = 0
) -> Measurement:
    """One measurement in a fresh process. A failure is a result too, with its reason."""
    mark = uuid.uuid4().hex
    command = [str(environment.python), "-m", "benchmarks.worker", peer.name, workload.name, str(count)]
    variables = {**os.environ, MARKER: mark, "PYTHONPATH": str(ROOT)}
    # Files, not pipes: a worker that is left behind would keep a pipe open, and us waiting for its end.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=out, stderr=err, start_new_session=True)
        try:
            peak = _watch(process, timeout_s)
        finally:
            left = _end_all(process, f"{MARKER}={mark}")
        measured = _read(out, err, process.returncode, peer, workload)
    measured.round, measured.peak_mb, measured.left_behind = number, peak / 1e6, left
    return measured


def _watch(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """Sample the tree's memory until it ends; past ``timeout_s`` leave it to be killed."""
    peak, began = 0, time.monotonic()
    while process.poll() is None and time.monotonic() - began < timeout_s:
        before = time.monotonic()
        peak = max(peak, proctree.pss_bytes(process.pid))
        spent = time.monotonic() - before
        try:
            process.wait(max(SAMPLE_S, spent * SAMPLING_SHARE))
        except subprocess.TimeoutExpired:
            pass
    return peak


def _end_all(process: subprocess.Popen[bytes], mark: str) -> int:
    """End what the run left running; return how many there were after a time of grace."""
    hung = process.poll() is None
    if hung:
        process.kill()
        process.wait()
    deadline = time.monotonic() + LEFT_BEHIND_S
    while (left := proctree.marked(mark)) and not hung and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return 0 if hung else len(left)


def _read(out: IO[str], err: IO[str], code: int | None, peer: Peer, workload: Workload) -> Measurement:
    out.seek(0)
    err.seek(0)
    line, trouble = out.read().strip(), err.read().strip()
    if code == 0 and line:
        return Measurement(**json.loads(line))
    reason = "hung, killed" if code == -signal.SIGKILL else _reason(trouble) or f"exit status {code}"
    return Measurement(workload.name, peer.name, 0, failure=reason)


def _reason(trouble: str) -> str:
    """The last line that names an exception; workers may have printed after it."""
    # multiprocessing's resource tracker complains about blocks (/psm_...) long after the exception that ended the run
    lines = [line for line in trouble.splitlines() if line and not line[0].isspace() and "/psm_" not in line]
    named = [line for line in lines if line.partition(":")[0].rpartition(".")[2].endswith(("Error", "Delivery"))]
    return (named or lines or [""])[-1][:300]
