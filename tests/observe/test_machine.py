"""What the machine allows, and libraries' threads in workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import headrace as hr
from headrace.observe.doctor import examine
from headrace.observe.machine import available_cores, cgroup_cores, cgroup_memory_bytes, process_memory_bytes
from headrace.parallel.threads import VARIABLES, limited


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_limits_of_cgroups_version_2_hold_from_top_to_bottom(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc": "0::/pod/task\n",
            "fs/pod/cpu.max": "150000 100000\n",
            "fs/pod/task/cpu.max": "max 100000\n",
            "fs/pod/memory.max": "max\n",
            "fs/pod/task/memory.max": "1073741824\n",
        },
    )
    assert cgroup_cores(tmp_path / "proc", tmp_path / "fs") == 1.5
    assert cgroup_memory_bytes(tmp_path / "proc", tmp_path / "fs") == 1 << 30


def test_limits_of_cgroups_version_1(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc": "5:memory:/job\n4:cpu,cpuacct:/job\n",
            "fs/cpu/job/cpu.cfs_quota_us": "200000\n",
            "fs/cpu/job/cpu.cfs_period_us": "100000\n",
            "fs/cpu/cpu.cfs_quota_us": "-1\n",
            "fs/cpu/cpu.cfs_period_us": "100000\n",
            "fs/memory/job/memory.limit_in_bytes": "500000000\n",
            "fs/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cgroup_cores(tmp_path / "proc", tmp_path / "fs") == 2
    assert cgroup_memory_bytes(tmp_path / "proc", tmp_path / "fs") == 500_000_000


def test_in_a_container_the_limits_lie_at_the_top_of_what_is_mounted(tmp_path: Path) -> None:
    lay(tmp_path, {"proc": "0::/host/path/of/the/pod\n", "fs/cpu.max": "50000 100000\n"})
    assert cgroup_cores(tmp_path / "proc", tmp_path / "fs") == 0.5


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path / "none", tmp_path) is None
    assert cgroup_memory_bytes(tmp_path / "none", tmp_path) is None


def test_a_quota_and_the_affinity_bound_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.observe import machine

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, cores in ((None, 8), (2.5, 3), (0.2, 1), (100.0, 8)):
        monkeypatch.setattr(machine, "cgroup_cores", lambda quota=quota: quota)
        assert available_cores() == cores


def test_memory_of_a_process() -> None:
    assert process_memory_bytes(os.getpid()) > 1_000_000
    assert process_memory_bytes(2**22 + 1) == 0


# -- threads of libraries


def variables(_: int) -> list[str | None]:
    return [os.environ.get(name) for name in VARIABLES]


@pytest.mark.filterwarnings("ignore:start_method=.fork. copies a process:RuntimeWarning")
@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_libraries_get_one_thread_in_each_worker(start_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with hr.MultiProcessMapData([0], 1, variables, start_method=start_method) as flow:
        assert list(flow) == [["1"] * len(VARIABLES)]
    assert variables(0) == [None] * len(VARIABLES), "this process keeps its own"


def test_what_the_user_has_set_stays() -> None:
    environment = limited({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "2"})
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("4", "2")
    assert environment["OPENBLAS_NUM_THREADS"] == "4"
    assert limited({"HEADRACE_WORKER_THREADS": "0"}) == {"HEADRACE_WORKER_THREADS": "0"}
    assert limited({"HEADRACE_WORKER_THREADS": "3"})["OMP_NUM_THREADS"] == "3"
    with pytest.raises(ValueError, match="HEADRACE_WORKER_THREADS must be a number of threads"):
        limited({"HEADRACE_WORKER_THREADS": "many"})


def test_the_doctor_sees_limits_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from headrace.observe import doctor, machine

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for module in (doctor, machine):
        monkeypatch.setattr(module, "cgroup_cores", lambda: 1.0)
        monkeypatch.setattr(module, "cgroup_memory_bytes", lambda: 1 << 30)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 4096))
    monkeypatch.setattr("multiprocessing.get_start_method", lambda allow_none: "fork")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")

    found = {finding.name: finding for finding in examine()}

    assert "take num_proc from what may be used, 1" in found["cores"].remedy
    assert "limited by cgroup to 1.07 GB" in found["memory"].value
    assert (found["descriptors"].level, "ulimit" in found["descriptors"].remedy) == ("problem", True)
    assert found["start method"].level == "note"
    assert found["OMP_NUM_THREADS"].level == "note"
    assert found["one core"].level == "note"
