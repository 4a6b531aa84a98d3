"""What a machine, a container and the installed libraries mean for pipelines, and what to do about it."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from typing import Any, Literal

from .machine import available_cores, cgroup_cores, cgroup_memory_bytes
from .units import bytes_text

__all__ = ["Finding", "examine"]

_FDS_FOR_EACH = 8
_SMALL_FDS = 1024
_SMALL_MEMORY_BYTES = 2 << 30
_ZYGOTE_LINUX = (5, 3)
_FIGHTERS = {
    "cv2": "OpenCV",
    "torch": "torch",
    "sklearn": "scikit-learn (OpenMP)",
    "numexpr": "numexpr",
    "tensorflow": "TensorFlow",
    "polars": "polars",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        value: how it is.
        level: ``"ok"``, ``"note"`` (worth knowing), or ``"problem"``.
        remedy: what to do; empty: nothing.
    """

    name: str
    value: str
    level: Literal["ok", "note", "problem"] = "ok"
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)


def examine() -> list[Finding]:
    """Look at everything.

    Example:
        >>> [finding.name for finding in examine()][:3]
        ['system', 'python', 'cores']
    """
    return [*_system(), *_cores(), *_memory(), *_descriptors(), _start_method(), *_threads()]


def _system() -> Iterator[Finding]:
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    linux = sys.platform == "linux"
    if linux and version >= _ZYGOTE_LINUX:
        yield Finding("system", f"Linux {release}")
    else:
        remedy = "flows with processes need Linux 5.3 or later; those with threads work everywhere"
        yield Finding("system", f"{platform.system()} {release}", "problem", remedy)
    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    yield Finding("python", platform.python_version() + (", free-threaded" if free_threaded else ""))


def _cores() -> Iterator[Finding]:
    there, allowed, quota = os.cpu_count() or 1, len(os.sched_getaffinity(0)), cgroup_cores()
    text = f"{there} there, affinity to {allowed}, " + ("no limit by cgroup" if quota is None else f"cgroup: {quota:g}")
    usable = available_cores()
    if usable < there:
        remedy = f'take num_proc from what may be used, {usable}, not from os.cpu_count(); num_proc="auto" does'
        yield Finding("cores", text, "note", remedy)
    else:
        yield Finding("cores", text)
    if usable == 1:
        remedy = "functions that compute gain nothing from workers; functions that wait gain from threads"
        yield Finding("one core", "all workers share it", "note", remedy)
    load = os.getloadavg()[0]
    if load > usable:
        remedy = "others use the processors: figures measured now are not those of a quiet machine"
        yield Finding("load", f"{load:.1f} processes want {usable} cores", "note", remedy)


def _memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup_memory_bytes()
    usable = total if limit is None else min(limit, total)
    text = bytes_text(total) + (f", limited by cgroup to {bytes_text(usable)}" if usable < total else "")
    if usable < _SMALL_MEMORY_BYTES:
        remedy = "few workers, small batches; buffer_bytes= bounds results under way"
        yield Finding("memory", text, "note", remedy)
    else:
        yield Finding("memory", text)
    memfd = hasattr(os, "memfd_create")
    shm = bytes_text(shutil.disk_usage("/dev/shm").total) if os.path.isdir("/dev/shm") else "missing"
    if memfd:
        yield Finding("shared memory", f"memfd, which counts as memory; /dev/shm ({shm}) is not used")
    else:
        yield Finding("shared memory", "no memfd", "problem", "flows with processes need it: Linux 5.3 or later")


def _descriptors() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} (may be raised to {hard})" if soft < hard else str(soft)
    if soft < _SMALL_FDS:
        workers = max(0, soft // _FDS_FOR_EACH - 2)
        remedy = f"a worker takes up to {_FDS_FOR_EACH}: enough for about {workers} workers; ulimit -n 4096"
        yield Finding("descriptors", text, "problem" if soft < 128 else "note", remedy)
    else:
        yield Finding("descriptors", text)


def _start_method() -> Finding:
    from ..parallel.executors.process import default_start_method

    method = default_start_method()
    if method == "fork":
        remedy = 'a lock that another thread holds stays locked in the copy; "forkserver" (the default) is safe'
        return Finding("start method", "fork", "note", remedy)
    return Finding("start method", method)


def _threads() -> Iterator[Finding]:
    from ..parallel.threads import VARIABLES, threads_for_workers

    threads = threads_for_workers()
    if threads == 0:
        remedy = "libraries in workers start a thread for each core each; unset HEADRACE_WORKER_THREADS"
        yield Finding("threads in workers", "no limit (HEADRACE_WORKER_THREADS=0)", "note", remedy)
    else:
        yield Finding("threads in workers", f"{threads} for each library that asks the environment")
    for name in VARIABLES:
        value = os.environ.get(name)
        if value is not None and value != "1":
            remedy = f"each of n workers may start so many; unset {name} for workers of one thread"
            yield Finding(name, value, "note", remedy)
    for module, name in _FIGHTERS.items():
        if importlib.util.find_spec(module) is not None:
            yield _fighter(module, name)


def _fighter(module: str, name: str) -> Finding:
    if module == "tensorflow":
        remedy = "it ignores the environment: call tf.config.threading.set_*_parallelism_threads(1) in the workers"
        return Finding("library", f"{name} is installed", "note", remedy)
    remedy = ""
    if module in ("cv2", "torch") and module in sys.modules:
        remedy = "threads of this process share it: with MultiThreadMapData, set its threads to 1 here as well"
    return Finding("library", f"{name} is installed; one thread in each worker process", remedy=remedy)
