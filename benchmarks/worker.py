"""One measurement in a process of its own: ``python -m benchmarks.worker SYSTEM WORKLOAD COUNT``.

Runs under the interpreter of the peer's environment and prints one line of JSON.

The order of things, and what the clock sees of it::

    import | build, first item | margin | timed part | margin | close
    import_s     first_s         warm-up      rate     untimed   close_s

A buffer that was filled before the timed part would make a slow pipeline look fast; with a margin after it
that is longer than the buffer, the buffer is just as full when the clock stops. CPU is taken from the first
item to the last, over all of them: a pipeline that runs ahead has then worked for all that it delivered.
One that has no bound (``Peer.unbounded``) is timed from before its construction to its last item: any part of its
pass might have been done before.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import sys
import time
from dataclasses import asdict
from itertools import islice
from typing import TextIO

from benchmarks import proctree, registry
from benchmarks.model import Measurement, Peer, Workload, WrongDelivery

clock = time.perf_counter
GONE_TIMEOUT_S = 20.0


def margin(peer: Peer, workload: Workload, count: int) -> int:
    """Deliveries before and after the timed part: longer than buffers, also where items come in chunks."""
    return max(min(workload.margin, peer.ahead * workload.workers), count // 10)


def measure(peer: Peer, workload: Workload, count: int) -> Measurement:
    """Run ``workload`` on ``peer`` with ``count`` timed deliveries."""
    result = Measurement(workload.name, peer.name, 0)
    began = clock()
    for library in (*peer.libraries, *workload.libraries):
        importlib.import_module(library)
    result.import_s = clock() - began
    result.versions = _versions((*peer.libraries, *workload.libraries))
    if workload.leaves_early:
        _leave_early(peer, workload, count, result)
    else:
        _run_pass(peer, workload, count, result)
    return result


def _run_pass(peer: Peer, workload: Workload, count: int, result: Measurement) -> None:
    side = margin(peer, workload, count)
    count += -count % workload.workers  # Grain's workers batch a slice each: a whole number of batches for every one
    total = count + 2 * side
    exact = workload.pattern not in peer.inexact
    job, tally = workload.job(total), workload.tally(total, exact)
    began, cpu = clock(), proctree.cpu_seconds(os.getpid())
    with getattr(peer, workload.pattern)(job) as flow:
        items = iter(flow)
        workload.consume(islice(items, 1), tally)
        result.first_s = clock() - began
        result.processes = len(proctree.workers(os.getpid()))
        if not peer.unbounded:
            cpu = proctree.cpu_seconds(os.getpid())
        workload.consume(islice(items, side - 1), tally)
        if not peer.unbounded:
            began = clock()
        workload.consume(islice(items, count), tally)
        if not peer.unbounded:
            result.timed_s = clock() - began
        # a pass with an end is followed to it: too many items are as wrong as too few
        finite = exact and workload.pattern != "copies"
        workload.consume(items if finite else islice(items, side), tally)
        cpu = proctree.cpu_seconds(os.getpid()) - cpu
        if peer.unbounded:
            result.timed_s, count = clock() - began, total
        began = clock()
        del items, flow  # an iterator that is still referred to keeps its workers
    result.close_s = _seconds_until_gone(began)
    workload.verify(tally, total)
    units = workload.per_delivery
    result.rate = count * units / result.timed_s
    result.cpu_us_per_item = cpu / ((total - 1) * units) * 1e6
    result.delivered = total * units


def _leave_early(peer: Peer, workload: Workload, count: int, result: Measurement) -> None:
    job, tally = workload.job(workload.most), workload.tally(workload.most, exact=False)
    began = clock()
    with getattr(peer, workload.pattern)(job) as flow:
        items = iter(flow)
        workload.consume(islice(items, 1), tally)
        result.first_s = clock() - began
        result.processes = len(proctree.workers(os.getpid()))
        workload.consume(islice(items, count - 1), tally)
        began = clock()
        del items, flow
    result.close_s = _seconds_until_gone(began)
    workload.verify(tally, count)
    result.delivered = count


def _seconds_until_gone(began: float) -> float:
    while proctree.workers(os.getpid()):
        if clock() - began > GONE_TIMEOUT_S:
            raise WrongDelivery(f"workers still alive {GONE_TIMEOUT_S:.0f} s after the close")
        time.sleep(0.001)
    return clock() - began


def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    shown = {"python": sys.version.split()[0]}
    installed_by = importlib.metadata.packages_distributions()  # spdl comes from spdl_core, cv2 from OpenCV's wheel
    for name in ("numpy", *libraries):
        for package in installed_by.get(name.partition(".")[0], ()):  # none for the standard library
            shown[package] = importlib.metadata.version(package)
    return shown


def _private_stdout() -> TextIO:
    """Keep stdout for the one line; what libraries print (tensorpack does) goes to stderr."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("system")
    parser.add_argument("workload")
    parser.add_argument("count", type=int)
    chosen = parser.parse_args()
    out = _private_stdout()
    peer = registry.peers()[chosen.system]
    workload = registry.workloads()[chosen.workload]
    print(json.dumps(asdict(measure(peer, workload, chosen.count))), file=out, flush=True)


if __name__ == "__main__":
    main()
