"""Senders for the tests: in threads of this process, or as processes that can be killed."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import headrace as hr

Start = Callable[..., "subprocess.Popen[str]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Threads:
    """Senders in threads; what each returned or raised is in ``done``."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self._threads: list[threading.Thread] = []

    def send(self, *args: Any, timeout_s: float = 20, **options: Any) -> None:
        def work() -> None:
            try:
                self.done.append(hr.send_dataflow_zmq(*args, timeout_s=timeout_s, **options))
            except Exception as error:
                self.done.append(error)

        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def wait_for(self, kind: type) -> None:
        """Until a sender has ended with an error of this kind."""
        deadline = time.monotonic() + 20
        while not any(isinstance(d, kind) for d in self.done):
            assert time.monotonic() < deadline, self.done
            time.sleep(0.01)

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(25)
            assert not thread.is_alive(), "a sender has not ended"
        return self.done


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Kill a process, if it still runs, and read what it has left to say."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    if process.stdout is None or process.stdout.closed:
        process.wait()
        return "", ""
    return process.communicate()
