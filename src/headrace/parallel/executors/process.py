"""Workers that are processes, started in one of three ways.

* ``forkserver`` (the default): a clean helper process, the *zygote*, imports headrace once and forks the workers.
  Safe beside threads, and quick after the first worker. Workers do not import the main script.
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
import ctypes
import faulthandler
import mmap
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ...errors import WorkerDied
from ..pickling import PassedFd, dumps_program, number_classes
from ..programs import Program
from ..threads import limit_loaded, limited
from ..transports.base import Address
from ..worker import work

__all__ = ["START_METHODS", "ProcessExecutor", "default_start_method"]

START_METHODS = ("forkserver", "spawn", "fork")

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 128 << 20
_STACK_SIGNAL = getattr(signal, "SIGRTMIN", 0) + 7
_STACK_S = 1.0
_ZYGOTE_TRIES = 4


def default_start_method() -> str:
    """What the user has set with ``multiprocessing.set_start_method``, else ``forkserver``."""
    return multiprocessing.get_start_method(allow_none=True) or "forkserver"


class _SharedNumber:
    """See `Signal`: eight bytes of shared memory."""

    def __init__(self, fd: int):
        self._map = mmap.mmap(fd, mmap.PAGESIZE)

    def get(self) -> int:
        return int(struct.unpack_from("<q", self._map)[0])

    def set(self, stream: int) -> None:
        struct.pack_into("<q", self._map, 0, stream)


class ProcessHandle:
    """See `Handle`.

    Args:
        pid: of the worker.
        reap: waits for it, which is over, and gives its status as ``os.waitpid`` does; None if nobody knows.
        stack_fd: where it writes its stack when it gets the signal `_STACK_SIGNAL`.
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
            signal.pidfd_send_signal(self.sentinel, _STACK_SIGNAL)
        deadline = time.monotonic() + _STACK_S
        text = b""
        while time.monotonic() < deadline and not self.ended(0.01):
            before, text = text, _read_memfd(self._stack_fd)
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
        if _program_arrives:
            raise RuntimeError(
                "a module starts workers while it is imported, and a worker has to import it: they would start workers "
                'in their turn, without end. Read the flow in a function, or below if __name__ == "__main__"'
            )
        if not (hasattr(os, "pidfd_open") and hasattr(os, "memfd_create")):
            raise RuntimeError("worker processes need Linux 5.3 or later; the classes with threads work everywhere")
        _open_standard_streams()
        self.start_method = start_method
        self._signal_fd = _memfd(bytes(mmap.PAGESIZE))
        self.signal = _SharedNumber(self._signal_fd)
        self._zygote = _Zygote.acquire() if start_method == "forkserver" else None
        self._pickled: tuple[bytes, list[int]] | None = None

    def start(self, program: Program, worker: int, address: Address) -> ProcessHandle:
        """See `Executor`. Ctrl-C waits, so that nobody is started of whom nobody knows."""
        handle = None
        try:
            with _ctrl_c_held_back():
                handle = self._start(program, address)
        except BaseException:
            if handle is not None:
                handle.kill(True)
                handle.cause()
            raise
        return handle

    def _start(self, program: Program, address: Address) -> ProcessHandle:
        if self.start_method == "fork":
            return self._fork(program, address)
        if self._pickled is None:
            self._pickled = dumps_program(program)
        code, code_fds = self._pickled
        with _open_memfds(code, pickle.dumps(_Luggage(address))) as (code_fd, luggage_fd):
            stack_fd = _memfd(b"")
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
                return self._zygote.start(fds, stack_fd)
            except (WorkerDied, ProcessLookupError):  # before, or just after it has forked
                gone, self._zygote = self._zygote, _Zygote.acquire()
                gone.release()
        return self._zygote.start(fds, stack_fd)

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
        parent = _this_parent()
        stack_fd = _memfd(b"")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own words for the same; we said ours
            with _ctrl_c_held_back():
                pid = os.fork()
                if pid == 0:
                    limit_loaded()
                    os.environ.update(limited(os.environ))
                    # Duplicates, because objects of the parent that die here close the originals.
                    fds = [os.dup(fd) for fd in address.fds()]
                    stack_fd = os.dup(stack_fd)
                    _be_worker(lambda: program, address, fds, self._signal_fd, stack_fd, parent)
        return ProcessHandle(pid, lambda: os.waitpid(pid, 0)[1], stack_fd)

    def close(self) -> None:
        """See `Executor`."""
        os.close(self._signal_fd)
        if self._zygote is not None:
            self._zygote.release()
            self._zygote = None


class _Luggage:
    """What a worker that is no copy of its parent takes over from it, besides its program."""

    def __init__(self, address: Address):
        self.address = address
        self.parent = _this_parent()
        self.directory = _working_directory()
        self.environment = limited(os.environ)
        self.path = sys.path
        self.argv = sys.argv

    def unpack(self) -> None:
        if self.directory is not None:
            os.chdir(self.directory)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[:] = self.path
        sys.argv[:] = self.argv


def _a_directory() -> str:
    """Where an interpreter can start: Python 3.13.0 cannot in a directory that was deleted."""
    return _working_directory() or os.sep


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted; a worker is wherever its fork server was started
        return None


def _arrive(fds: list[int], zygote: int | None) -> NoReturn:
    """Become a worker from the descriptors that `ProcessExecutor.start` lists.

    Args:
        fds: the descriptors.
        zygote: pid of the parent, if that is the zygote.
    """
    luggage_fd, code_fd, signal_fd, stack_fd, *rest = fds
    luggage: _Luggage = pickle.loads(_read_memfd(luggage_fd))
    luggage.unpack()
    count = len(luggage.address.fds())
    PassedFd.table[:] = rest[count:]
    _be_worker(
        lambda: _load_program(code_fd),
        luggage.address,
        rest[:count],
        signal_fd,
        stack_fd,
        luggage.parent if zygote is None else zygote,
    )


_program_arrives = False


def _load_program(fd: int) -> Any:
    global _program_arrives
    _program_arrives = True
    try:
        return pickle.loads(_read_memfd(fd))
    finally:
        _program_arrives = False


def _be_worker(
    load: Callable[[], Any], address: Address, fds: list[int], signal_fd: int, stack_fd: int, parent: int | None
) -> NoReturn:
    code = 1
    try:
        _ignore_ctrl_c()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.register(_STACK_SIGNAL, stack_fd, all_threads=True)
        if parent is not None:
            _die_with_parent(parent)
        _empty_stdin()
        _keep_memory()
        channel = address.connect(fds)  # alive until the end: what it holds goes with the process
        work(channel, load, _SharedNumber(signal_fd), alone=True)
        code = 0
    except SystemExit as error:  # user code called sys.exit: the parent will say so
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except EOFError:
        pass  # the parent is gone
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Ctrl-C in here is handled afterwards. A process that starts in here ignores it before it can be told of it.

    Blocking the signal is not enough for this process, which may have threads (of numpy's) that take it: Python then
    handles it at once.
    """
    handler = signal.getsignal(signal.SIGINT)
    late: list[tuple[Any, ...]] = []
    defers = callable(handler) and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        if defers:
            signal.signal(signal.SIGINT, lambda *args: late.append(args))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if defers:
            signal.signal(signal.SIGINT, handler)
        if late and callable(handler):
            handler(*late[0])


def _ignore_ctrl_c() -> None:
    """It is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _this_parent() -> int | None:
    """This process, as the parent of a worker it is about to start.

    None in other threads than the main one: the kernel would take the end of the *thread* for the parent's death. Such
    a worker leaves when it is idle and sees itself orphaned, see `Coder.idle`.
    """
    return os.getpid() if threading.current_thread() is threading.main_thread() else None


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, which may have happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _keep_memory() -> None:
    """Have glibc keep what is freed, up to `_KEPT_BYTES`, and use it again.

    The results of a task live until all of them are done. By default their memory would then go back to the system,
    and each page of the next results would be a page fault: twice the time of a 150 kB image.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _open_standard_streams() -> None:
    """Of stdin, stdout and stderr, open on /dev/null what is closed: else something of ours would take its number.

    A worker would then lose it to its own stdin, or somebody would print into it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _empty_stdin() -> None:
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)


def _spawn(fds: list[int], stack_fd: int) -> ProcessHandle:
    command = f"from headrace.parallel.executors.process import _arrive; _arrive({fds}, None)"
    with _ctrl_c_held_back():
        process = subprocess.Popen(
            _interpreter(command), pass_fds=fds, stdin=subprocess.DEVNULL, env=limited(os.environ), cwd=_a_directory()
        )

    def reap() -> int | None:
        code = process.wait()
        return -code if code < 0 else code << 8  # as waitpid has it

    return ProcessHandle(process.pid, reap, stack_fd)


def _interpreter(command: str) -> list[str]:
    """The arguments that run a command in an interpreter like this one, with the same path."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return [sys.executable, *flags, "-c", f"import sys; sys.path[:] = {sys.path!r}; {command}"]


class _Zygote:
    """The fork server of this process, shared by all its pools, gone with the last of them."""

    _current: _Zygote | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        import socket

        self._owner = os.getpid()
        self._users = 0
        self._mutex = threading.Lock()  # one question at a time
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (
            f"from headrace.parallel.executors.process import _serve_forks; _serve_forks({theirs.fileno()}, "
            f"{self._owner})"
        )
        with _ctrl_c_held_back():
            self._process = subprocess.Popen(
                _interpreter(command),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=limited(os.environ),
                cwd=_a_directory(),
            )
        theirs.close()

    @classmethod
    def acquire(cls) -> _Zygote:
        with cls._lock:
            zygote = cls._current
            if zygote is None or zygote._owner != os.getpid() or zygote._process.poll() is not None:
                zygote = cls._current = cls()
            zygote._users += 1
            return zygote

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._owner != os.getpid():
                return
            if type(self)._current is self:
                type(self)._current = None
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)  # a forked child may hold a copy, which closing would not end
        self._socket.close()
        self._process.wait()

    def start(self, fds: list[int], stack_fd: int) -> ProcessHandle:
        """Fork a worker that has these descriptors.

        Raises:
            WorkerDied: the zygote has been killed, or could not start.
        """
        import socket

        with self._mutex, _ctrl_c_held_back():  # each question is answered before the next
            try:
                socket.send_fds(self._socket, [b"start"], fds)
                pid = int(struct.unpack("<q", self._socket.recv(8))[0])
            except (OSError, struct.error) as error:
                if type(self)._current is self:
                    type(self)._current = None  # it may take a moment to be dead
                raise WorkerDied(
                    f"the fork server (process {self._process.pid}) is gone, with exit code {self._process.poll()}"
                ) from error
        return ProcessHandle(pid, lambda: self.reap(pid), stack_fd)

    def reap(self, pid: int) -> int | None:
        """The exit status of a worker that has ended; None if the zygote is gone as well."""
        with self._mutex, _ctrl_c_held_back():
            try:
                self._socket.send(struct.pack("<q", pid))
                return int(struct.unpack("<q", self._socket.recv(8))[0])
            except (OSError, struct.error):
                return None


def _serve_forks(fd: int, parent: int) -> None:
    """Be the zygote."""
    import gc
    import select
    import socket

    from .. import mappers, runners  # noqa: F401 - workers find loaded what their programs and flows are made of

    _ignore_ctrl_c()
    questions = socket.socket(fileno=fd)
    poll = select.poll()
    poll.register(questions, select.POLLIN)
    gc.freeze()  # what is here now is shared by all workers
    me = os.getpid()
    while os.getppid() == parent:
        # The timeout serves the one case in which a closed socket is not seen: another child of the main process
        # holds a copy of its end.
        if not poll.poll(500):
            continue
        try:
            question, fds, _, _ = socket.recv_fds(questions, 64, 253)
        except ConnectionError:  # it died with an answer unread
            break
        if not question:
            break
        if question == b"start":
            pid = os.fork()
            if pid == 0:
                questions.close()
                _arrive(fds, me)
            for passed in fds:
                os.close(passed)
            answer = pid
        else:
            answer = os.waitpid(struct.unpack("<q", question)[0], 0)[1]
        with contextlib.suppress(ConnectionError):  # if nobody listens any more, the next poll will say so
            questions.send(struct.pack("<q", answer))
    os._exit(0)


def _memfd(data: bytes) -> int:
    fd = os.memfd_create("headrace", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _read_memfd(fd: int) -> bytes:
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


@contextlib.contextmanager
def _open_memfds(*contents: bytes) -> Iterator[list[int]]:
    fds = [_memfd(data) for data in contents]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
