"""A process and all that descend from it, read from /proc (Linux).

Workers need not be our children: headrace's are started by a fork server, and joblib's by a helper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
# multiprocessing's fork server and resource tracker live until the interpreter ends, by design: they hold no
# work, so "all workers are gone" leaves them out. A fork server's children share its command line, hence
# only direct children of the measured process count as helpers.
HELPERS = (b"multiprocessing.forkserver", b"resource_tracker", b"semaphore_tracker")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # the process or the thread ended between the listing and this read
        return b""


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Direct children of any of its threads."""
    lines = (_read(f"/proc/{pid}/task/{thread}/children") for thread in _threads(pid))
    return [int(child) for line in lines for child in line.split()]


def descendants(pid: int) -> Iterator[int]:
    """Every process below ``pid``, parents first."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def _stat(pid: int) -> list[bytes]:
    # the command name is in parentheses and may hold spaces, so split after the last one
    return _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()


def alive(pid: int) -> bool:
    """False for a zombie: it has ended and only waits to be asked about."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in (b"Z", b"X")


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, with that of the children already waited for."""
    ticks = 0
    for member in (pid, *descendants(pid)):
        fields = _stat(member)
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks * TICK


def workers(pid: int) -> list[int]:
    """Living descendants, the interpreter's own helpers left out."""
    direct = set(children(pid))
    return [member for member in descendants(pid) if alive(member) and not (member in direct and _is_helper(member))]


def _is_helper(pid: int) -> bool:
    command = _read(f"/proc/{pid}/cmdline")
    return any(name in command for name in HELPERS)


def pss_bytes(pid: int) -> int:
    """Proportional set size of the tree: a page that n processes map counts once, not n times."""
    total = 0
    for member in (pid, *descendants(pid)):
        for line in _read(f"/proc/{member}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024
                break
    return total


def marked(marker: str) -> list[int]:
    """Living processes whose environment carries ``marker``, also those whose parents are gone."""
    wanted = marker.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and wanted in _read(f"{entry}/environ").split(b"\0") and alive(int(entry.name)):
            found.append(int(entry.name))
    return found
