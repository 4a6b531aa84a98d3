"""Workers that are threads of this process."""

from __future__ import annotations

import copy
import sys
import threading
import traceback

from ..programs import Program
from ..transports.base import Address
from ..worker import work

__all__ = ["ThreadExecutor"]


class _Variable:
    """See `Signal`."""

    def __init__(self) -> None:
        self._stream = 0

    def get(self) -> int:
        return self._stream

    def set(self, stream: int) -> None:
        self._stream = stream


class ThreadHandle:
    """See `Handle`."""

    began = True

    def __init__(self, thread: threading.Thread):
        self.name = f"thread {thread.name}"
        self.sentinel = None
        self._thread = thread

    def ended(self, timeout_s: float) -> bool:
        """See `Handle`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def cause(self) -> str:
        """See `Handle`."""
        return "the thread has ended"

    def stack(self) -> str:
        """See `Handle`."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(the thread has ended)"

    def kill(self, hard: bool) -> bool:
        """A thread cannot be killed. It leaves when user code returns, or with the process."""
        return False


class ThreadExecutor:
    """See `Executor`. The threads are daemons, so that one that never returns does not keep the process alive."""

    def __init__(self) -> None:
        self.signal = _Variable()

    def start(self, program: Program, worker: int, address: Address) -> ThreadHandle:
        """See `Executor`. Each worker has its own copy of the program, all share the user's function."""
        mine = copy.copy(program)
        channel = address.connect([])

        def main() -> None:
            try:
                work(channel, lambda: mine, self.signal, alone=False)
            finally:
                channel.leave()

        thread = threading.Thread(target=main, name=f"headrace-{worker}", daemon=True)
        thread.start()
        return ThreadHandle(thread)

    def close(self) -> None:
        """See `Executor`."""
