"""How a process becomes a worker: what it takes over from its parent, what it dies with, and how it ends.

A forked worker begins with `be_worker`. Others, which are no copies of their parent, `arrive` from a few descriptors.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from ..pickling import PassedFd
from ..threads import limited
from ..transports.base import Address
from ..worker import work
from .ctrl_c import ignore_ctrl_c
from .interpreter import working_directory
from .memfd import SharedNumber, read_memfd

__all__ = ["STACK_SIGNAL", "Luggage", "arrive", "be_worker", "program_arrives", "this_parent"]

STACK_SIGNAL = getattr(signal, "SIGRTMIN", 0) + 7
"""Tells a worker to write its stack."""

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 128 << 20


class Luggage:
    """What a worker that is no copy of its parent takes over from it, besides its program."""

    def __init__(self, address: Address):
        self.address = address
        self.parent = this_parent()
        self.directory = working_directory()
        self.environment = limited(os.environ)
        self.path = sys.path
        self.argv = sys.argv

    def unpack(self) -> None:
        """Make this process like the parent."""
        if self.directory is not None:  # else it stays where its fork server was started
            os.chdir(self.directory)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[:] = self.path
        sys.argv[:] = self.argv


def arrive(fds: list[int], zygote: int | None) -> NoReturn:
    """Become a worker from the descriptors that `ProcessExecutor.start` lists.

    Args:
        fds: the descriptors.
        zygote: pid of the parent, if that is the zygote.
    """
    luggage_fd, code_fd, signal_fd, stack_fd, *rest = fds
    luggage: Luggage = pickle.loads(read_memfd(luggage_fd))
    luggage.unpack()
    count = len(luggage.address.fds())
    PassedFd.table[:] = rest[count:]
    be_worker(
        lambda: _load_program(code_fd),
        luggage.address,
        rest[:count],
        signal_fd,
        stack_fd,
        luggage.parent if zygote is None else zygote,
    )


_program_arrives = False


def program_arrives() -> bool:
    """Whether this process is a worker that imports what its program is made of."""
    return _program_arrives


def _load_program(fd: int) -> Any:
    global _program_arrives
    _program_arrives = True
    try:
        return pickle.loads(read_memfd(fd))
    finally:
        _program_arrives = False


def be_worker(
    load: Callable[[], Any], address: Address, fds: list[int], signal_fd: int, stack_fd: int, parent: int | None
) -> NoReturn:
    """Be a worker, and leave.

    Args:
        load: makes the program.
        address: where the parent is.
        fds: the descriptors of the address.
        signal_fd: of the `SharedNumber`.
        stack_fd: where to write the stack at a `STACK_SIGNAL`.
        parent: see `this_parent`.
    """
    code = 1
    try:
        ignore_ctrl_c()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.register(STACK_SIGNAL, stack_fd, all_threads=True)
        if parent is not None:
            _die_with_parent(parent)
        _empty_stdin()
        _keep_memory()
        channel = address.connect(fds)  # alive until the end: what it holds goes with the process
        work(channel, load, SharedNumber(signal_fd), alone=True)
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


def this_parent() -> int | None:
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


def _empty_stdin() -> None:
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)


def _keep_memory() -> None:
    """Have glibc keep what is freed, up to `_KEPT_BYTES`, and use it again.

    The results of a task live until all of them are done. By default their memory would then go back to the system,
    and each page of the next results would be a page fault: twice the time of a 150 kB image.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
