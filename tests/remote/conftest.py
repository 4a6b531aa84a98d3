"""Fixtures of the tests of flows over the network."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from senders import Start, Threads, end, reserved_port
from strangers import Stranger

from headrace.remote.security import write_keys

PROGRAMS = Path(__file__).parent / "remote_programs.py"


@pytest.fixture
def address() -> Iterator[str]:
    """A free port on the loopback interface."""
    with reserved_port() as port:
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture
def threads() -> Iterator[Threads]:
    senders = Threads()
    yield senders
    senders.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a function of remote_programs.py in a process of its own; it is killed at the end."""
    with contextlib.ExitStack() as stack:

        def begin(function: str, **arguments: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAMS), function, json.dumps(arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
            stack.callback(end, process)
            return process

        yield begin


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with keys for "receiver", "sender" and "stranger"."""
    folder = tmp_path / "keys"
    write_keys(folder, ["receiver", "sender", "stranger"])
    os.mkdir(folder / "known")
    os.link(folder / "sender.key", folder / "known" / "sender.key")
    return folder


@pytest.fixture
def stranger(address: str) -> Iterator[Stranger]:
    one = Stranger(address)
    yield one
    one.close()
