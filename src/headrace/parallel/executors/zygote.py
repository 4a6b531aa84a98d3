"""The zygote: a clean process that has imported headrace once, and forks the workers of the main process.

The two talk over a pair of sockets, one question at a time. ``start``, with the descriptors of a new worker, is
answered by its pid. A pid is answered by the exit status of that worker, which is reaped then and not before. The
zygote leaves when the socket closes, or when it sees itself orphaned, and takes its workers with it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading

from ...errors import WorkerDied
from .ctrl_c import ctrl_c_held_back, ignore_ctrl_c
from .interpreter import start_interpreter
from .worker_process import arrive

__all__ = ["Zygote", "serve_forks"]


class Zygote:
    """The fork server of this process, shared by all its pools, gone with the last of them."""

    _current: Zygote | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        import socket

        self._owner = os.getpid()
        self._users = 0
        self._mutex = threading.Lock()  # one question at a time
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = theirs.fileno()
        self._process = start_interpreter(f"from {__name__} import serve_forks; serve_forks({fd}, {self._owner})", [fd])
        theirs.close()

    @classmethod
    def acquire(cls) -> Zygote:
        """The one there is, or a new one; to be released."""
        with cls._lock:
            zygote = cls._current
            if zygote is None or zygote._owner != os.getpid() or zygote._process.poll() is not None:
                zygote = cls._current = cls()
            zygote._users += 1
            return zygote

    def release(self) -> None:
        """It is needed no longer by who acquired it; the last one ends it."""
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

    def start(self, fds: list[int]) -> int:
        """Fork a worker that has these descriptors, see `arrive`; its pid.

        Raises:
            WorkerDied: the zygote has been killed, or could not start.
        """
        import socket

        with self._mutex, ctrl_c_held_back():  # each question is answered before the next
            try:
                socket.send_fds(self._socket, [b"start"], fds)
                return int(struct.unpack("<q", self._socket.recv(8))[0])
            except (OSError, struct.error) as error:
                if type(self)._current is self:
                    type(self)._current = None  # it may take a moment to be dead
                raise WorkerDied(
                    f"the fork server (process {self._process.pid}) is gone, with exit code {self._process.poll()}"
                ) from error

    def reap(self, pid: int) -> int | None:
        """The exit status of a worker that has ended; None if the zygote is gone as well."""
        with self._mutex, ctrl_c_held_back():
            try:
                self._socket.send(struct.pack("<q", pid))
                return int(struct.unpack("<q", self._socket.recv(8))[0])
            except (OSError, struct.error):
                return None


def serve_forks(fd: int, parent: int) -> None:
    """Be the zygote.

    Args:
        fd: of its end of the pair of sockets.
        parent: pid of the main process.
    """
    import gc
    import select
    import socket

    from .. import mappers, runners  # noqa: F401 - workers find loaded what their programs and flows are made of

    ignore_ctrl_c()
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
                arrive(fds, me)
            for passed in fds:
                os.close(passed)
            answer = pid
        else:
            answer = os.waitpid(struct.unpack("<q", question)[0], 0)[1]
        with contextlib.suppress(ConnectionError):  # if nobody listens any more, the next poll will say so
            questions.send(struct.pack("<q", answer))
    os._exit(0)
