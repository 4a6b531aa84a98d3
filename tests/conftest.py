"""What holds for every test: nothing is left behind, and no seed leaks into the next one."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

import headrace as hr

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that: the tests of Ctrl-C would mean
# nothing there.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _quick_collections() -> None:
    gc.collect()
    gc.freeze()  # what was imported need not be looked at after each test


@pytest.fixture(autouse=True)
def _no_seed() -> Iterator[None]:
    hr.seed(None)
    yield
    hr.seed(None)


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process, a thread, a file descriptor or shared memory of ours."""
    processes, threads, files, maps = _children(), set(threading.enumerate()), _files(), _maps()
    yield
    gc.collect()
    new_processes = [p for p in _children() if p not in processes]
    _, alive = psutil.wait_procs(new_processes, timeout=5)
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    left = {
        "processes": [_describe(p) for p in alive],
        "threads": [t.name for t in set(threading.enumerate()) - threads],
        "file descriptors": list((_files() - files).elements()),
        "shared memory": list((_maps() - maps).elements()),
    }
    for process in alive:
        process.kill()
    assert not any(left.values()), f"{request.node.name} left behind { ({k: v for k, v in left.items() if v}) }"


# multiprocessing keeps these for the life of the process, once something has started them.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "headrace-forkserver")


def _children() -> set[psutil.Process]:
    return {p for p in psutil.Process().children(recursive=True) if not any(h in _describe(p) for h in _HELPERS)}


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid}: gone"


def _files() -> Counter[str]:
    """What our descriptors point to, by kind: numbers of sockets and pipes change, their count must not."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[os.readlink(f"/proc/self/fd/{fd}").split(":[")[0]] += 1
        except OSError:
            pass
    return kinds


def _maps() -> Counter[str]:
    with open("/proc/self/maps") as maps:
        return Counter(line.split(maxsplit=5)[5].strip() for line in maps if "memfd:headrace" in line)
