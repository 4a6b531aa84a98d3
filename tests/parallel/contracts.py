"""What the parallel tests share: every face over every executor and transport, scripts, waiting."""

from __future__ import annotations

import dataclasses
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import headrace as hr
from headrace.parallel.faces import process_pool
from headrace.parallel.pool import Pool
from headrace.parallel.programs import MapAndBatchProgram, MapProgram


class PipeMapData(hr.MultiProcessMapDataZMQ):
    """The mapper over pipes: not public, but the same promises hold for it."""

    def _make_pool(self) -> Pool:
        program = MapProgram(self._function, in_process=True)
        return process_pool(program, self._workers, self.start_method, zmq=False)


class PipeMapAndBatchData(hr.MultiProcessMapAndBatchDataZMQ):
    """The same for whole batches."""

    def _make_pool(self) -> Pool:
        program = MapAndBatchProgram(self._function, self.batch_size, in_process=True)
        return process_pool(program, self._workers, self.start_method, zmq=False)


@dataclasses.dataclass(frozen=True)
class Face:
    """A class of flows with the place where its workers live.

    ``tells_how``: whether it is known by what signal, or with which exit code, a worker has ended.
    """

    cls: Callable[..., Any]
    in_process: bool
    start_method: str | None = None
    tells_how: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.start_method is not None:
            kwargs.setdefault("start_method", self.start_method)
        return self.cls(*args, **kwargs)


MAPPERS = {
    "threads": Face(hr.MultiThreadMapData, False),
    "zmq": Face(hr.MultiProcessMapDataZMQ, True, "forkserver"),
    "pipe": Face(PipeMapData, True, "forkserver"),
}
# Each with one transport: they are made before anything is sent.
OTHER_STARTS = {
    "zmq-fork": Face(hr.MultiProcessMapDataZMQ, True, "fork"),
    "pipe-spawn": Face(PipeMapData, True, "spawn"),
}
PROCESS_MAPPERS = {name: face for name, face in MAPPERS.items() if face.in_process}
BATCHERS = {
    "zmq": Face(hr.MultiProcessMapAndBatchDataZMQ, True, "forkserver"),
    "pipe": Face(PipeMapAndBatchData, True, "forkserver"),
}


def _thread_runner(ds: Any, copies: int, **kwargs: Any) -> Any:
    # Each thread needs a flow of its own: give a function that makes one, or a flow, which is then shared by name.
    make = ds if callable(ds) and not isinstance(ds, hr.DataFlow) else lambda: ds
    return hr.MultiThreadRunner(make, kwargs.pop("buffer", 8), copies, **kwargs)


def _made(ds: Any) -> Any:
    return ds() if callable(ds) and not isinstance(ds, hr.DataFlow) else ds


def _zmq_runner(ds: Any, copies: int, **kwargs: Any) -> Any:
    if "buffer" in kwargs:
        kwargs["hwm"] = kwargs.pop("buffer")
    return hr.MultiProcessRunnerZMQ(_made(ds), copies, **kwargs)


def _pipe_runner(ds: Any, copies: int, **kwargs: Any) -> Any:
    return hr.MultiProcessRunner(_made(ds), kwargs.pop("buffer", 8), copies, **kwargs)


RUNNERS = {
    "threads": Face(_thread_runner, False),
    "zmq": Face(_zmq_runner, True, "forkserver"),
    "pipe": Face(_pipe_runner, True, "forkserver"),
}
OTHER_RUNNER_STARTS = {
    "zmq-fork": Face(_zmq_runner, True, "fork"),
    "pipe-spawn": Face(_pipe_runner, True, "spawn"),
}
PROCESS_RUNNERS = {name: face for name, face in RUNNERS.items() if face.in_process}
"""Called with a function that makes a flow, the number of copies, and ``buffer=`` (datapoints ahead, roughly)."""


def ints(count: int) -> hr.DataFlow:
    """The flow 0, 1, ..."""
    return hr.DataFromList(range(count), shuffle=False)


def pids(flow: Any) -> list[int]:
    """The worker processes of a parallel flow, now."""
    return [worker.handle.pid for worker in flow._runtime.pool.workers.values()]


def wait_until(condition: Callable[[], Any], timeout_s: float = 15) -> None:
    """Wait for something that sends no event."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not so after {timeout_s} s: {condition}"
        select.select([], [], [], 0.01)


def wait_for_ends(processes: list[psutil.Process], timeout_s: float = 20) -> None:
    """Wait until none of these runs. Whether it has been collected by its parent is not asked."""
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes), timeout_s)


def pause(seconds: float) -> None:
    """Let time pass, for what can only show in time."""
    select.select([], [], [], seconds)


def close_under_a_reader(flow: Any) -> None:
    """Close an endless flow while another thread reads it, which has to end that."""
    reading = threading.Event()
    ends: list[BaseException] = []

    def read() -> None:
        try:
            for _ in flow:
                reading.set()
        except BaseException as error:
            ends.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(30)
    flow.close()
    reader.join(30)
    text = f"{type(flow).__name__} was closed while it was being iterated"
    assert [(type(end), str(end)) for end in ends] == [(hr.DataFlowTerminated, text)]


class Script:
    """A script that runs in a session of its own, so that whatever it leaves behind is found."""

    def __init__(self, folder: Path, text: str, *args: str):
        file = folder / "script.py"
        file.write_text(text)
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self._shm = set(os.listdir("/dev/shm"))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        self.process = subprocess.Popen(
            [sys.executable, str(file), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
            env={**env, "TMPDIR": str(self.tmp)},
        )
        self.out = self.err = ""

    def read_line(self, expected: str) -> None:
        """Wait for a line of output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == expected + "\n", (line, self.process.stderr.read() if not line and self.process.stderr else "")

    def end(self, timeout_s: float = 15) -> int:
        """Wait for its end, which has to come; and for that of all it started. Nothing else may be left either."""
        try:
            self.out, self.err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_all()
            self.out, self.err = self.process.communicate()
            raise AssertionError(f"still running after {timeout_s} s\n{self.out}\n{self.err}") from None
        self.assert_nothing_left()
        return self.process.returncode

    def assert_nothing_left(self) -> None:
        """No process, no file."""
        try:
            wait_until(lambda: not self.session(), 5)
        finally:
            left = [(p.pid, p.name(), p.status()) for p in self.session()]
            self.kill_all()
            assert not left, f"processes left: {left}"
        assert os.listdir(self.tmp) == []
        ours = {n for n in set(os.listdir("/dev/shm")) - self._shm if n.startswith("headrace")}  # others use it, too
        assert not ours

    def session(self) -> list[psutil.Process]:
        """All processes of the session that are not dead."""
        found = []
        for pid in psutil.pids():
            try:
                process = psutil.Process(pid)
                if os.getsid(pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                pass
        return found

    def kill_all(self) -> None:
        """For a test that has failed."""
        for process in self.session():
            process.kill()


def run_script(folder: Path, text: str, *args: str, timeout_s: float = 30) -> Script:
    """Run a script to its end."""
    script = Script(folder, text, *args)
    script.end(timeout_s)
    return script
