"""Workers that are Ray actors, on whatever node of the cluster Ray finds room for them.

::

    parent (a Ray driver)                                     actor (a process, on some node)
    ─────────────────────                                     ───────────────────────────────
    work(program)       ──── the worker's whole life ────>    "life":      worker.work(...)
                        <─── how it has ended                                ^ inbox   │ outbox
    tell(message)       ──── one call for each message ──>    "messages":  RayChannel.exchange
                        <─── its answer
    void, stack, place  ─────────────────────────────────>    "control":   answers while the worker is busy, too

Each of the three is a Ray concurrency group of one thread, so messages keep their order. (So user code does not run in
the actor's main thread.)

Who ends what. The call ``work`` is the sentinel: it returns when the worker leaves, and fails when the actor or its
node is gone. Ray restarts nothing by itself: the pool starts another actor, and the ledger knows what is to be done
again. An actor ends with its handle, with the driver, or by ``ray.kill``; what it has started itself (a nested flow's
workers) sees that its parent is gone, and leaves.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import SerializationError
from ..pickling import dumps_program
from ..programs import Program
from ..transports.base import Address
from ..transports.ray import Frames, RayAddress, RayChannel
from ..worker import work
from .ray_session import RaySession, resource_text

__all__ = ["RayExecutor", "Sentinel", "dumps_for_actors", "loads_there"]

_STACK_S = 1.0
_CAUSE_S = 1.0
_AGAIN_S = 0.05
_OWN_NAMES = {"GPU": "num_gpus", "memory": "memory"}
"""Resources for which Ray has arguments."""

_GROUPS = {"life": 1, "messages": 1, "control": 1}


class _StreamThere:
    """See `Signal`, in the actor: what the parent has said, or what a message that has come is newer than."""

    def __init__(self, channel: RayChannel):
        self._channel = channel
        self._said = 0

    def get(self) -> int:
        return self._said if self._said < 0 else max(self._said, self._channel.newest)

    def set(self, stream: int) -> None:
        self._said = stream


class RayWorker:
    """The actor.

    Args:
        address: where its messages come from.
    """

    def __init__(self, address: RayAddress):
        self._channel = address.connect([])
        self._stream = _StreamThere(self._channel)
        self._thread = 0

    def work(self, code: bytes, path: list[str]) -> str:
        """Be a worker until told to stop.

        Args:
            code: the program.
            path: the parent's ``sys.path``.

        Returns:
            How it has ended, for people.
        """
        self._thread = threading.get_ident()
        try:
            work(self._channel, lambda: loads_there(code, path), self._stream, alone=True)
        except SystemExit as error:  # user code called sys.exit
            return f"left with exit code {error.code if isinstance(error.code, int) else int(error.code is not None)}"
        return "left with exit code 0"

    def tell(self, frames: Frames | None) -> Frames | None:
        """Take a message; its answer, if there is to be one."""
        return self._channel.exchange(frames)

    def void(self, stream: int) -> None:
        """Tasks of earlier streams are void from now on."""
        self._stream.set(stream)

    def place(self) -> tuple[int, str]:
        """Its process, and the address of its node."""
        import ray

        return os.getpid(), str(ray.util.get_node_ip_address())

    def stack(self) -> str:
        """Where the worker is at the moment."""
        frame = sys._current_frames().get(self._thread)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(the worker has ended)"


class Sentinel(NamedTuple):
    """What the transport is given of an actor.

    Attributes:
        life: the call that lasts as long as the worker.
        tell: calls the actor with a message; gives the answer to come.
        request: the resources it asks for, for people.
    """

    life: Any
    tell: Callable[[Frames | None], Any]
    request: str


class RayHandle:
    """See `Handle`.

    Args:
        session: the connection.
        actor: Ray's handle.
        life: the call that lasts as long as the worker.
        request: the resources it asks for, for people.
    """

    def __init__(self, session: RaySession, actor: Any, life: Any, request: str):
        self.sentinel = Sentinel(life, actor.tell.options(concurrency_group="messages").remote, request)
        self.began = True
        self._session = session
        self._actor = actor
        self._place = self.control("place")

    def control(self, method: str, *args: Any) -> Any:
        """Call the actor beside its work; gives the answer to come."""
        return getattr(self._actor, method).options(concurrency_group="control").remote(*args)

    @property
    def name(self) -> str:
        """See `Handle`."""
        try:
            if self._session.alive:
                return "process {} on node {}".format(*self._session.ray.get(self._place, timeout=0))
        except Exception:  # it has no place yet, or had none when it died
            pass
        return f"actor {self._actor._actor_id.hex()}"

    @property
    def pid(self) -> int:
        """Its process, on its node."""
        return int(self._session.ray.get(self._place)[0])

    def ended(self, timeout_s: float) -> bool:
        """See `Handle`."""
        if not self._session.alive:
            return True
        return bool(self._session.ray.wait([self.sentinel.life], timeout=max(0.0, timeout_s))[0])

    def cause(self) -> str:
        """See `Handle`."""
        if not self._session.alive:
            return "ended with the connection to Ray"
        ray = self._session.ray
        try:
            return str(ray.get(self.sentinel.life, timeout=_CAUSE_S))
        except ray.exceptions.GetTimeoutError:
            return "cannot be reached"
        except ray.exceptions.RayError as error:
            # While Ray has yet to notice that a node is gone, it takes new actors there, and gives them up at once.
            self.began = "The actor never ran" not in str(error)
            if not self.began:
                time.sleep(_AGAIN_S)
            return f"has died: {str(error).strip().splitlines()[-1]:.200}"
        finally:
            self.kill(True)

    def stack(self) -> str:
        """See `Handle`."""
        if not self._session.alive:
            return "(the connection to Ray was closed)"
        try:
            return str(self._session.ray.get(self.control("stack"), timeout=_STACK_S))
        except self._session.ray.exceptions.RayError:
            return "(it did not say where it is)"

    def kill(self, hard: bool) -> bool:
        """See `Handle`. Ray has one way only."""
        if self._session.alive:
            self._session.ray.kill(self._actor)
        return True


class _StreamHere:
    """See `Signal`, in the parent: all actors are told."""

    def __init__(self, session: RaySession):
        self.handles: weakref.WeakSet[RayHandle] = weakref.WeakSet()
        self._session = session
        self._stream = 0

    def get(self) -> int:
        return self._stream

    def set(self, stream: int) -> None:
        self._stream = stream
        if self._session.alive:
            for handle in self.handles:
                handle.control("void", stream)


class RayExecutor:
    """See `Executor`.

    Args:
        session: the connection to the cluster.
        num_cpus: CPUs that each worker asks for.
        resources: what else it asks for, by name.
    """

    def __init__(self, session: RaySession, num_cpus: float, resources: dict[str, float]):
        self._session = session
        self._request = resource_text({"CPU": num_cpus, **resources})
        others = {name: amount for name, amount in resources.items() if name not in _OWN_NAMES}
        own = {_OWN_NAMES[name]: amount for name, amount in resources.items() if name in _OWN_NAMES}
        self._actors = session.ray.remote(
            num_cpus=num_cpus,
            resources=others,
            **own,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups=_GROUPS,
        )(RayWorker)
        self._code: Any = None
        self.signal = _StreamHere(session)

    def start(self, program: Program, worker: int, address: Address) -> RayHandle:
        """See `Executor`.

        Raises:
            RuntimeError: the connection to Ray was closed.
        """
        if not self._session.alive:
            raise RuntimeError("ray.shutdown() was called while a flow had workers; begin a new pass")
        if self._code is None:
            self._code = self._session.ray.put(dumps_for_actors(program))
        actor = self._actors.remote(address)
        life = actor.work.options(concurrency_group="life").remote(self._code, sys.path)
        handle = RayHandle(self._session, actor, life, self._request)
        self.signal.handles.add(handle)
        return handle

    def close(self) -> None:
        """See `Executor`."""
        self._code = None


def loads_there(code: bytes, path: list[str]) -> Any:
    """What was pickled, in a process of the cluster.

    Args:
        code: it.
        path: where its modules were, in the process it comes from; folders that are not here do no harm.
    """
    sys.path.extend(folder for folder in path if folder not in sys.path)
    return pickle.loads(code)


def dumps_for_actors(program: Program) -> bytes:
    """See `dumps_program`; also refuses what is tied to this machine."""
    code, fds = dumps_program(program, 'use a flow with processes and start_method="fork", or with threads')
    if fds:
        raise SerializationError(
            f"{program.subject_name} holds a queue, pipe or value of multiprocessing, which exists on this machine "
            "only, so it cannot be sent to a Ray actor; use what Ray has instead (ray.util.queue.Queue, an actor)"
        )
    return code
