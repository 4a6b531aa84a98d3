"""What the machine allows this process: processors, memory, descriptors."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path

__all__ = [
    "available_cores",
    "cgroup_cores",
    "cgroup_memory_bytes",
    "process_memory_bytes",
    "run_delay_s",
    "threads_run_delay_s",
]

_UNLIMITED_BYTES = 1 << 60  # version 1 writes a huge number for "no limit"


def available_cores() -> int:
    """Processors that this process may keep busy: at least 1, no more than its affinity and its cgroup allow.

    Example:
        >>> import os
        >>> 1 <= available_cores() <= os.cpu_count()
        True
    """
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup_cores()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_cores(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The limit of processor time that cgroups set, in processors; None: no limit.

    A cgroup is limited by those above it, too, so the smallest counts. Version 2: ``cpu.max``; version 1:
    ``cpu.cfs_quota_us`` (https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/).
    """
    limits = []
    for folder in _folders(proc, root, "cpu"):
        quota, period = (_read(folder / "cpu.max") or "max 100000").split()
        old, old_period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota != "max":
            limits.append(int(quota) / int(period))
        elif old is not None and old_period is not None and int(old) > 0:
            limits.append(int(old) / int(old_period))
    return min(limits, default=None)


def cgroup_memory_bytes(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The limit of memory that cgroups set; None: no limit."""
    limits = []
    for folder in _folders(proc, root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
            if text is not None and text != "max" and int(text) < _UNLIMITED_BYTES:
                limits.append(int(text))
    return min(limits, default=None)


def _folders(proc: Path, root: Path, controller: str) -> list[Path]:
    """The folders of this process's cgroup for a controller, and of those above it."""
    folders = []
    for line in (_read(proc) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        if controllers and not top.exists():
            top = root / controller
        own = top / path.lstrip("/")
        # In a container the path may be that of the host, and what is mounted here is our own.
        while True:
            folders.append(own)
            if own == top or top not in own.parents:
                break
            own = own.parent
    return folders


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def run_delay_s(pid: int) -> float:
    """How long a process (its first thread) was ready to run and had no processor, since it began; 0 if unknown.

    From ``/proc/<pid>/schedstat`` (https://docs.kernel.org/scheduler/sched-stats.html).
    """
    return _delay_s(Path(f"/proc/{pid}/schedstat"))


def threads_run_delay_s() -> float:
    """The same for all threads of this process that are alive, together."""
    return sum(_delay_s(task / "schedstat") for task in Path("/proc/self/task").iterdir())


def _delay_s(path: Path) -> float:
    fields = (_read(path) or "").split()
    return int(fields[1]) / 1e9 if len(fields) == 3 else 0.0


def process_memory_bytes(pid: int) -> int:
    """Memory of a process without what it shares with others; 0 if there is no such process."""
    text = _read(Path(f"/proc/{pid}/statm"))
    if text is None:
        return 0
    _, resident, shared, *_ = map(int, text.split())
    return (resident - shared) * mmap.PAGESIZE
