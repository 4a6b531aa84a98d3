"""Workers that are processes, started in one of three ways.

* ``forkserver`` (the default): a clean helper process imports headrace once and forks the workers (`zygote`). Safe
  beside threads, and quick after the first worker. Workers do not import the main script.
* ``spawn``: a new interpreter for each worker. The cleanest and the slowest.
* ``fork``: a copy of this process. Everything is there, also locks that another thread held: a possible hang.

Who ends what. A worker ignores Ctrl-C, which is the parent's to handle. It is killed by the kernel when its parent
dies (``PR_SET_PDEATHSIG``); the zygote leaves when its socket to the main process closes, or when it sees itself
orphaned, and takes its workers with it. The parent waits for a worker's death on a pidfd, in the same poll as for its
messages. Nobody reaps a worker before its parent has taken leave of it, so its number cannot be reused too early. A
zygote that was killed, and its workers with it, is replaced when the next worker is started.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

from ...errors import WorkerDied
from ..pickling import dumps_program, number_classes
from ..programs import Program
from ..threads import limit_loaded, limited
from ..transports.base import Address
from .ctrl_c import ctrl_c_held_back
from .interpreter import start_interpreter
from .memfd import SharedNumber, make_memfd, open_memfds, read_memfd
from .worker_process import STACK_SIGNAL, Luggage, arrive, be_worker, program_arrives, this_parent
from .zygote import Zygote

__all__ = ["START_METHODS", "ProcessExecutor", "default_start_method"]

START_METHODS = ("forkserver", "spawn", "fork")

_STACK_S = 1.0
_ZYGOTE_TRIES = 4


def default_start_method() -> str:
    """What the user has set with ``multiprocessing.set_start_method``, else ``forkserver``."""
    return multiprocessing.get_start_method(allow_none=True) or "forkserver"


class ProcessHandle:
    """See `Handle`.

    Args:
        pid: of the worker.
        reap: waits for it, which is over, and gives its status as ``os.waitpid`` does; None if nobody knows.
        stack_fd: where it writes its stack when it gets the signal `STACK_SIGNAL`.
    """

    began = True

    def __init__(self, pid: int, reap: Callable[[], int | None], stack_fd: int):
        self._stack_fd = stack_fd
        self.pid = pid
        self.name = f"process {pid}"
        self.sentinel = os.pidfd_open(pid)
        self._reap = reap

    def ended(self, timeout_s: float) -> bool:
        """See `Handle`."""
        import select

        poll = select.poll()
        poll.register(self.sentinel, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def cause(self) -> str:
        """See `Handle`."""
        os.close(self.sentinel)
        os.close(self._stack_fd)
        status = self._reap()
        if status is None:
            return "ended together with the fork server"
        code = os.waitstatus_to_exitcode(status)
        return f"left with exit code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"

    def stack(self) -> str:
        """See `Handle`. The worker's `faulthandler` writes it without the help of its interpreter, which may hang."""
        os.ftruncate(self._stack_fd, 0)
        os.lseek(self._stack_fd, 0, os.SEEK_SET)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.sentinel, STACK_SIGNAL)
        deadline = time.monotonic() + _STACK_S
        text = b""
        while time.monotonic() < deadline and not self.ended(0.01):
            before, text = text, read_memfd(self._stack_fd)
            if text and text == before:
                break
        return text.decode(errors="replace") or "(it did not say where it is)"

    def kill(self, hard: bool) -> bool:
        """See `Handle`."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.sentinel, signal.SIGKILL if hard else signal.SIGTERM)
        return True


class ProcessExecutor:
    """See `Executor`.

    Args:
        start_method: one of `START_METHODS`.
    """

    def __init__(self, start_method: str):
        if program_arrives():
            raise RuntimeError(
                "a module starts workers while it is imported, and a worker has to import it: they would start workers "
                'in their turn, without end. Read the flow in a function, or below if __name__ == "__main__"'
            )
        if not (hasattr(os, "pidfd_open") and hasattr(os, "memfd_create")):
            raise RuntimeError("worker processes need Linux 5.3 or later; the classes with threads work everywhere")
        _open_standard_streams()
        self.start_method = start_method
        self._signal_fd = make_memfd(bytes(mmap.PAGESIZE))
        self.signal = SharedNumber(self._signal_fd)
        self._zygote = Zygote.acquire() if start_method == "forkserver" else None
        self._pickled: tuple[bytes, list[int]] | None = None

    def start(self, program: Program, worker: int, address: Address) -> ProcessHandle:
        """See `Executor`."""
        with ctrl_c_held_back():
            return self._start(program, address)

    def _start(self, program: Program, address: Address) -> ProcessHandle:
        if self.start_method == "fork":
            return self._fork(program, address)
        if self._pickled is None:
            self._pickled = dumps_program(program)
        code, code_fds = self._pickled
        with open_memfds(code, pickle.dumps(Luggage(address))) as (code_fd, luggage_fd):
            stack_fd = make_memfd(b"")
            fds = [luggage_fd, code_fd, self._signal_fd, stack_fd, *address.fds(), *code_fds]
            try:
                return self._fork_from_zygote(fds, stack_fd) if self._zygote is not None else _spawn(fds, stack_fd)
            except BaseException:
                os.close(stack_fd)
                raise

    def _fork_from_zygote(self, fds: list[int], stack_fd: int) -> ProcessHandle:
        """From a new one, if it was killed. (Its workers went with it, which the engine sees by itself.)"""
        assert self._zygote is not None
        for _ in range(_ZYGOTE_TRIES - 1):
            try:
                return _forked_by(self._zygote, fds, stack_fd)
            except (WorkerDied, ProcessLookupError):  # before, or just after it has forked
                gone, self._zygote = self._zygote, Zygote.acquire()
                gone.release()
        return _forked_by(self._zygote, fds, stack_fd)

    def _fork(self, program: Program, address: Address) -> ProcessHandle:
        if threading.active_count() > 1:
            warnings.warn(
                'start_method="fork" copies a process with running threads; a lock that one of them holds stays locked '
                'for ever in the copy. Use "forkserver" (the default) if workers hang.',
                RuntimeWarning,
                stacklevel=2,
            )
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as where it was closed when the interpreter started
                stream.flush()
        number_classes()
        parent = this_parent()
        stack_fd = make_memfd(b"")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own words for the same; we said ours
            pid = os.fork()
            if pid == 0:
                limit_loaded()
                os.environ.update(limited(os.environ))
                # Duplicates, because objects of the parent that die here close the originals.
                fds = [os.dup(fd) for fd in address.fds()]
                stack_fd = os.dup(stack_fd)
                be_worker(lambda: program, address, fds, self._signal_fd, stack_fd, parent)
        return ProcessHandle(pid, lambda: os.waitpid(pid, 0)[1], stack_fd)

    def close(self) -> None:
        """See `Executor`."""
        self.signal.close()
        os.close(self._signal_fd)
        if self._zygote is not None:
            self._zygote.release()
            self._zygote = None


def _open_standard_streams() -> None:
    """Of stdin, stdout and stderr, open on /dev/null what is closed: else something of ours would take its number.

    A worker would then lose it to its own stdin, or somebody would print into it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _forked_by(zygote: Zygote, fds: list[int], stack_fd: int) -> ProcessHandle:
    pid = zygote.start(fds)
    return ProcessHandle(pid, lambda: zygote.reap(pid), stack_fd)


def _spawn(fds: list[int], stack_fd: int) -> ProcessHandle:
    process = start_interpreter(f"from {arrive.__module__} import arrive; arrive({fds}, None)", fds)

    def reap() -> int | None:
        code = process.wait()
        return -code if code < 0 else code << 8  # as waitpid has it

    return ProcessHandle(process.pid, reap, stack_fd)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
