"""Run identical copies of a flow: the flows that replicate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from typing import Any

from .._checks import check_count, known_length
from .._deprecation import renamed
from ..flow import DataFlow, as_flow
from ..passes import is_live
from ..seeding import check_seed
from ..state import Node, Running, State
from .faces import Default, ParallelFlow, check_choice, check_start_method, process_pool, thread_pool
from .pace import Pace
from .pool import Pool
from .programs import ReplicateProgram
from .replicate import Copies, CopyConversation

__all__ = [
    "MultiProcessPrefetchData",
    "MultiProcessRunner",
    "MultiProcessRunnerZMQ",
    "MultiThreadPrefetchData",
    "MultiThreadRunner",
    "PrefetchData",
    "PrefetchDataZMQ",
]

HWM = Default(50)


class _Runner(ParallelFlow):
    """What the runners share; see `MultiProcessRunnerZMQ`."""

    keeps = True
    max_retries: int = 3

    def __init__(self, ds: DataFlow, copies: int, limit: int, elastic: bool, shard: bool, seed: int | None):
        self.ds = ds
        self._copies = copies
        self._limit = limit
        self._elastic = elastic
        self.shard = self.takes_share = check_choice("shard", shard, (True, False))
        self._seed = check_seed(seed)

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """None: it is the copies that are read, elsewhere. So the flow is not reset in this process either."""
        return ()

    @property
    def children(self) -> tuple[DataFlow, ...]:
        """The flow that is copied."""
        return (self.ds,)

    def __len__(self) -> int:
        return len(self.ds)

    def _program(self, flows: Sequence[DataFlow], *, in_process: bool) -> ReplicateProgram:
        return ReplicateProgram(flows, shard=self.shard, in_process=in_process)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`.

        Without shards the copies never end. A pass is as long as the flow; the next one goes on in the same stream,
        with what the copies have made in the meantime. A pass that is left early ends the stream.
        """
        length = None if self.shard else known_length(self.ds)
        if length == 0:
            return
        runtime = self._runtime
        conversation = None
        stream, runtime.stream = runtime.stream, None
        if stream is None or runtime.pool is None or runtime.pool.closed:
            conversation = self._open_stream(state)
            stream = conversation.run()
        state.kept["inside"] = True  # of a pass: if it is left, a loaded table of copies is not for the next one
        done = state.get("done", 0)
        state["done"] = _Count(state.kept["copies"], done)
        if self._audit is not None:
            state.kept["copies"].begin_books(self._audit.begin(type(self).__name__, state.pass_index, "copy"))
        try:
            yield from itertools.islice(stream, None if length is None else length - done)
            if conversation is not None and length is not None:
                conversation.hear_all()
            state.kept["copies"].end_books()
        except GeneratorExit:
            runtime.left = state  # the table of copies stays, for saving
            stream.close()
            raise
        except BaseException:
            state.kept.pop("copies", None)
            stream.close()
            raise
        del state.kept["inside"]
        if self.shard:
            del state.kept["copies"]
        else:
            runtime.stream = stream

    def _begin(self, node: Node | None = None) -> tuple[Running, State]:
        runtime = self._runtime
        saved = node if node is not None else runtime.restored
        goes_on = saved is not None and "run" in saved
        if runtime.stream is None and not is_live(runtime):
            left_here = isinstance(runtime.kept.get("copies"), Copies)
            left_before = runtime.kept.pop("inside", False) and not goes_on
            if left_here or left_before:
                runtime.kept.pop("copies", None)
        return super()._begin(node)

    def _open_stream(self, state: State) -> CopyConversation:
        saved = state.kept.get("copies")
        copies = Copies(self._copies, shard=self.shard, pass_index=state.pass_index, saved=saved)
        state.kept["copies"] = copies
        return CopyConversation(
            self._pool(),
            self._pace(),
            type(self).__name__,
            state,
            max_retries=self.max_retries,
            copies=copies,
            shard=self.shard,
        )

    def _pace(self) -> Pace:
        return Pace(self._copies, self._limit, elastic=self._elastic)

    def close(self) -> None:
        """End the workers now. A new pass starts new ones."""
        super().close()
        stream, self._runtime.stream = self._runtime.stream, None
        if stream is not None:
            stream.close()
            self._runtime.kept.pop("copies", None)

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: another number or kind of workers makes no difference."""
        return f"Runner(shard={self.shard})"


class _Count:
    """How many datapoints of a pass the consumer has been given, read off the table of copies when it is saved."""

    def __init__(self, copies: Copies, done: int):
        self._copies = copies
        self._base = copies.total - done

    def snapshot(self) -> int:
        return self._copies.total - self._base


class MultiProcessRunnerZMQ(_Runner):
    """Run copies of a flow in worker processes, and merge what they give.

    The whole flow runs in the workers, so nothing is sent to them and the flow may be slow. Large arrays travel
    through shared memory.

    Args:
        ds: the flow to copy. It (and its functions) is pickled by cloudpickle; ``reset_state()`` runs in the worker.
        num_proc: number of copies, at least 1.
        hwm: the most datapoints that each copy may be ahead of the consumer. If it is not given, tiny datapoints may
            be more.
        shard: False: the copies are independent, and each runs the flow for ever. True: each copy gives its share of
            one and the same pass, and the pass ends when all have ended. The share is taken at the sources, or where
            the flow does something that needs all datapoints; a flow that asks `worker_info` takes it by itself. A
            runner with shards in a copy of another one divides the share of that copy.
        max_retries: how many workers may die on one copy, in a row and without giving anything.
        seed: fixes the random numbers of the copies (each has its own) and of flows below.
        start_method: see `MultiProcessMapDataZMQ`.

    Order and integrity: one copy keeps the order; several are merged as they come. **Without** ``shard``, the copies
    are *identical* flows: shuffle them, or each gives the same datapoints. A pass is ``len(ds)`` datapoints (endless
    if the flow has no length), of which some may be duplicates and others missing: statistically, not exactly, one
    pass of the data. A pass that is left early starts afresh. A worker that dies is replaced, and its copy goes on
    after the last datapoint that came from it (a flow without state by replaying so many).

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        SerializationError: the flow or a datapoint cannot be pickled; names the part at fault.
        WorkerDied: a copy has ended ``max_retries`` workers in a row.
        Exception: what the flow raised, with the worker's traceback as its cause.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([10, 20, 30], shuffle=False)
        >>> with hr.MultiProcessRunnerZMQ(ds, num_proc=1) as flow:
        ...     list(flow), list(flow)
        ([10, 20, 30], [10, 20, 30])
    """

    @renamed(nr_proc="num_proc")
    def __init__(
        self,
        ds: Any,
        num_proc: int = 1,
        hwm: int = HWM,
        *,
        shard: bool = False,
        max_retries: int = 3,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        self.num_proc = check_count("num_proc", num_proc)
        self.hwm = check_count("hwm", hwm)
        elastic = isinstance(hwm, Default)
        super().__init__(as_flow(ds), self.num_proc, self.hwm * self.num_proc, elastic, shard, seed)
        self.start_method = check_start_method(start_method)
        self.max_retries = check_count("max_retries", max_retries)

    def _make_pool(self) -> Pool:
        return process_pool(self._program([self.ds], in_process=True), self.num_proc, self.start_method)


class MultiProcessRunner(_Runner):
    """Run copies of a flow in worker processes that send by pipes instead of ZeroMQ.

    Args:
        ds: see `MultiProcessRunnerZMQ`.
        num_prefetch: the most datapoints that all copies together may be ahead of the consumer (at least one each).
        num_proc: number of copies, at least 1.
        shard: see `MultiProcessRunnerZMQ`.
        max_retries: see `MultiProcessRunnerZMQ`.
        seed: see `MultiProcessRunnerZMQ`.
        start_method: see `MultiProcessRunnerZMQ`.

    Order, integrity and errors: as `MultiProcessRunnerZMQ`.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([10, 20, 30], shuffle=False)
        >>> with hr.MultiProcessRunner(ds, 5, 1) as flow:
        ...     list(flow)
        [10, 20, 30]
    """

    @renamed(nr_prefetch="num_prefetch", nr_proc="num_proc")
    def __init__(
        self,
        ds: Any,
        num_prefetch: int,
        num_proc: int,
        *,
        shard: bool = False,
        max_retries: int = 3,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        self.num_prefetch = check_count("num_prefetch", num_prefetch)
        self.num_proc = check_count("num_proc", num_proc)
        super().__init__(as_flow(ds), self.num_proc, max(self.num_prefetch, self.num_proc), False, shard, seed)
        self.start_method = check_start_method(start_method)
        self.max_retries = check_count("max_retries", max_retries)

    def _make_pool(self) -> Pool:
        program = self._program([self.ds], in_process=True)
        return process_pool(program, self.num_proc, self.start_method, zmq=False)


class MultiThreadRunner(_Runner):
    """Run several flows in threads of this process, and merge what they give.

    Args:
        get_df: a function without arguments that makes a flow; called once for each thread, at construction.
        num_prefetch: the most datapoints that all threads together may be ahead of the consumer (at least one each).
        num_thread: number of threads, at least 1.
        shard: see `MultiProcessRunnerZMQ`.
        seed: see `MultiProcessRunnerZMQ`.

    Order, integrity and errors: as `MultiProcessRunnerZMQ`.

    Raises:
        TypeError: at construction, ``get_df`` is not callable or does not return a `DataFlow`.

    Example:
        >>> import headrace as hr
        >>> with hr.MultiThreadRunner(lambda: hr.DataFromList([1, 2, 3], shuffle=False), 5, 1) as flow:
        ...     list(flow)
        [1, 2, 3]
    """

    @renamed(nr_prefetch="num_prefetch", nr_thread="num_thread")
    def __init__(
        self,
        get_df: Callable[[], DataFlow],
        num_prefetch: int,
        num_thread: int,
        *,
        shard: bool = False,
        seed: int | None = None,
    ):
        if not callable(get_df):
            raise TypeError(f"get_df must be a function that makes a DataFlow, got {type(get_df).__name__}")
        self.get_df = get_df
        self.num_prefetch = check_count("num_prefetch", num_prefetch)
        self.num_thread = check_count("num_thread", num_thread)
        self._flows = [_flow_from(get_df) for _ in range(self.num_thread)]
        super().__init__(self._flows[0], num_thread, max(self.num_prefetch, num_thread), False, shard, seed)

    def _make_pool(self) -> Pool:
        return thread_pool(self._program(self._flows, in_process=False), self.num_thread)


def _flow_from(get_df: Callable[[], DataFlow]) -> DataFlow:
    flow = get_df()
    if not isinstance(flow, DataFlow):
        raise TypeError(f"get_df must return a DataFlow, got {type(flow).__name__}: {flow!r:.100}")
    return flow


PrefetchData = MultiProcessPrefetchData = MultiProcessRunner
PrefetchDataZMQ = MultiProcessRunnerZMQ
MultiThreadPrefetchData = MultiThreadRunner
