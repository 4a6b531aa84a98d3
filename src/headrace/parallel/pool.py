"""A pool: the workers of one flow, kept over its passes.

It starts them, replaces them, knows which tasks each one holds (in the order in which it will answer), and ends them.
What the tasks mean is the engine's business.

How it ends. ``close()`` makes all tasks void (`Signal`), asks each worker to stop, and waits; whoever has not left
after a second is terminated, after another half killed. ``abort()``, after something like Ctrl-C that can strike
between any two steps, asks nobody who can be terminated: perhaps half a message has been sent. While it waits it goes
on receiving, so that no worker is stuck in sending, and another Ctrl-C has to wait. It is called by the flow, by its
finalizer (garbage collection, interpreter exit), or after an error; in a forked child it does nothing, since nothing
there belongs to the child.

It may be called from another thread than the one that reads the flow. What talks to workers takes the pool's *turn*, so
the two do not meet in a socket. The reader then finds the pool closed, which is a `DataFlowTerminated`.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import DataFlowTerminated
from ..observe.counters import Counters
from .autosize import AutoSize
from .decoder import Unread
from .executors.base import Executor, Handle
from .executors.ctrl_c import ctrl_c_deferred
from .ledger import Task
from .messages import Message, Ping, Ready, Stop, Work
from .programs import Program
from .transports.base import Event, Transport

__all__ = ["Pool", "Worker"]

_ASK_S, _TERMINATE_S, _KILL_S = 1.0, 0.5, 5.0

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _in_turn(
    verb: Callable[Concatenate[Pool, Arguments], Result],
) -> Callable[Concatenate[Pool, Arguments], Result]:
    """What talks to workers: one thread at a time, and none but the one that closes the pool once it is closed."""

    @functools.wraps(verb)
    def talk(self: Pool, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with self._turn:
            self._check_open()
            return verb(self, *args, **kwargs)

    return talk


class Worker:
    """The parent's record of one worker.

    Attributes:
        number: unique in the pool; a replacement has another one.
        slot: which place in the pool it fills; under a runner, which copy it is.
        tasks: what it holds, in the order in which it will answer.
        ready: whether it has started.
        given: how many datapoints it has been given.
        busy_since: when it came to the task it is at (`time.monotonic`).
        retired: it was told to leave.
    """

    def __init__(self, number: int, slot: int):
        self.number = number
        self.slot = slot
        self.tasks: collections.deque[Task] = collections.deque()
        self.ready = False
        self.given = 0
        self.busy_since = 0.0
        self.retired = False
        self.handle: Handle
        self.outbox: list[tuple[Message, Any]] = []  # until it is ready

    @property
    def name(self) -> str:
        """For people."""
        return f"worker {self.slot} ({self.handle.name})"

    def __str__(self) -> str:
        return self.name

    def answered(self) -> Task:
        """It is done with its first task."""
        self.busy_since = time.monotonic()
        return self.tasks.popleft()


class Pool:
    """See the module.

    Args:
        executor: where the workers live.
        transport: how they are talked to.
        program: what they run.
        size: how many they are.

    Attributes:
        flow_name: whose workers they are, for messages. The flow says so.
    """

    def __init__(self, executor: Executor, transport: Transport, program: Program, size: int):
        self.closed = False
        self.flow_name = "the flow"
        self.counters = Counters()
        self.autosize: AutoSize | None = None
        self.stream = 0
        self.workers: dict[int, Worker] = {}
        self._executor = executor
        self._transport = transport
        self._program = program
        self._numbers = itertools.count()
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._closed_by = 0  # a thread
        self._unheard: list[Event] = []
        try:
            for slot in range(size):
                self.start(slot)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many workers there are, without those that were told to leave."""
        return sum(not worker.retired for worker in self.workers.values())

    @_in_turn
    def start(self, slot: int) -> Worker:
        """Start a worker; it is sent nothing before it is ready."""
        with ctrl_c_deferred():  # between two of these lines it would leave a worker that nobody knows, or half knows
            worker = Worker(next(self._numbers), slot)
            address = self._transport.add(worker.number)
            try:
                worker.handle = self._executor.start(self._program, worker.number, address)
            except BaseException:
                self._transport.remove(worker.number)
                raise
            self.workers[worker.number] = worker
            self._transport.watch(worker.number, worker.handle.sentinel)
            return worker

    def next_stream(self) -> int:
        """Begin a new conversation: tasks of earlier ones are void from now on."""
        if os.getpid() != self._pid:  # a forked child drops its copy of an iterator
            return self.stream
        self.stream += 1
        self._executor.signal.set(self.stream)
        return self.stream

    @_in_turn
    def give(self, worker: Worker, task: Task) -> None:
        """Give a task to a worker. Raises what pickling the items raises; then it was not given."""
        work = Work(task.stream, task.index, task.count, task.pass_index, task.first)
        if worker.ready:
            self._transport.send(worker.number, work, task.items)
        else:
            worker.outbox.append((work, task.items))
        task.worker = worker
        worker.given += task.count
        if not worker.tasks:
            worker.busy_since = time.monotonic()
        worker.tasks.append(task)

    def receive(self, timeout_s: float | None) -> list[tuple[Worker, Event]]:
        """What workers have said, and who died; see `Transport.receive`."""
        with self._turn:
            self._check_open()
            heard, self._unheard = self._unheard, []
            if not heard:
                heard = list(self._transport.receive(timeout_s))
            if self.closed and threading.get_ident() != self._closed_by:  # meanwhile: they are for who closes it
                self._unheard = heard
                self._check_open()
            return [(self.workers[e.worker], e) for e in heard if e.worker in self.workers]

    def _check_open(self) -> None:
        if self.closed and threading.get_ident() != self._closed_by:
            raise self.terminated()

    def terminated(self) -> BaseException:
        """What ends a pass whose workers are gone."""
        exiting = not threading.main_thread().is_alive()
        if exiting and threading.current_thread() is not threading.main_thread():
            return SystemExit()  # of a daemon thread, silently, as Python ends such threads
        return DataFlowTerminated(f"{self.flow_name} was closed while it was being iterated")

    def check_process(self) -> None:
        """Refuse to work in a forked child."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"this iterator belongs to process {self._pid}, whose workers cannot serve its forked child "
                f"{os.getpid()}; begin a new one there with iter(flow)"
            )

    @_in_turn
    def welcome(self, worker: Worker) -> None:
        """A worker is ready: send what has waited for that."""
        worker.ready = True
        worker.busy_since = time.monotonic()
        outbox, worker.outbox = worker.outbox, []
        for message, body in outbox:
            self._transport.send(worker.number, message, body)

    @_in_turn
    def open(self, worker: Worker, body: Any) -> Unread | list[Any]:
        """See `Transport.open`."""
        return self._transport.open(worker.number, body)

    @_in_turn
    def drop(self, worker: Worker, body: Any) -> None:
        """See `Transport.drop`."""
        self._transport.drop(worker.number, body)

    @_in_turn
    def bury(self, worker: Worker) -> str:
        """Forget a worker that is dead; how it ended, for people."""
        del self.workers[worker.number]
        self.counters.buried(worker.number)
        self._transport.remove(worker.number)
        return worker.handle.cause()

    @_in_turn
    def end(self, worker: Worker) -> None:
        """Kill a worker, and forget it."""
        worker.handle.kill(True)
        worker.handle.ended(_KILL_S)
        self.bury(worker)

    @_in_turn
    def ping(self, worker: Worker) -> None:
        """Ask for a sign of life, also one that has not said it is ready: that message may be the one that was lost."""
        self._transport.send(worker.number, Ping(), None)

    def retire(self, worker: Worker) -> Worker:
        """Give a worker no more; another one takes its slot, and is returned. See `dismiss`."""
        worker.retired = True
        return self.start(worker.slot)

    def grow(self) -> Worker:
        """Start one more worker."""
        taken = {worker.slot for worker in self.workers.values()}
        return self.start(next(slot for slot in itertools.count() if slot not in taken))

    @_in_turn
    def shrink(self) -> None:
        """Give the worker that holds least no more; it leaves when it has answered for what it holds."""
        staying = [worker for worker in self.workers.values() if not worker.retired]
        worker = min(staying, key=lambda w: len(w.tasks))
        worker.retired = True
        if not worker.tasks:
            self.dismiss(worker)

    def dismiss(self, worker: Worker) -> None:
        """Have a retired worker leave, now that all its words have been received: what is under way dies with it."""
        self.post(worker, Stop())

    @_in_turn
    def post(self, worker: Worker, message: Message) -> None:
        """Say something to a worker, now or when it has started."""
        if worker.ready:
            self._transport.send(worker.number, message, None)
        else:
            worker.outbox.append((message, None))

    def close(self) -> None:
        """End all workers, see the module. Does nothing the second time."""
        with ctrl_c_deferred():
            if not self._void_all():
                return
            if self._turn.acquire(blocking=False):
                try:
                    self._end_all(ask=True)
                finally:
                    self._turn.release()
                return
            for worker in list(self.workers.values()):  # another thread may be waiting for them: this is what it sees
                worker.handle.kill(False)
        with self._turn, ctrl_c_deferred():
            self._end_all(ask=False)

    def abort(self) -> None:
        """End all workers; no word is exchanged with those that can be ended without. Does nothing the second time."""
        with self._turn, ctrl_c_deferred():
            if self._void_all():
                self._end_all(ask=False)

    def _void_all(self) -> bool:
        """Make all tasks void; False if that has been done, or is not ours to do."""
        if self.closed or os.getpid() != self._pid:
            return False
        self._closed_by = threading.get_ident()
        self.closed = True
        with contextlib.suppress(Exception):
            self._executor.signal.set(-1)
        return True

    def _end_all(self, *, ask: bool) -> None:
        try:
            if ask:
                self._ask_all()
        finally:
            self._end_mortal()
            if not ask:
                self._ask_all()  # threads
            self._give_back()

    def _ask_all(self) -> None:
        for worker in self.workers.values():
            self.post(worker, Stop())
        self._wait_for_all(_ASK_S)

    def _end_mortal(self) -> None:
        for hard, patience_s in ((False, _TERMINATE_S), (True, _KILL_S)):
            deadline = time.monotonic() + patience_s
            for worker in [w for w in self.workers.values() if w.handle.kill(hard)]:
                if worker.handle.ended(max(0.0, deadline - time.monotonic())):
                    self.bury(worker)

    def _give_back(self) -> None:
        self._transport.close()
        self._executor.close()

    def _wait_for_all(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while self.workers and (left_s := deadline - time.monotonic()) > 0:
            for worker, event in self.receive(left_s):
                if event.message is None:
                    self.bury(worker)
                elif isinstance(event.message, Ready):
                    self.welcome(worker)
                else:
                    self.drop(worker, event.body)
