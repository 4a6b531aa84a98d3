"""Distribute tasks to workers: the flows that map in parallel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .._checks import check_count, known_length
from .._deprecation import renamed
from ..flow import as_flow
from ..mapping import MapFunction
from ..observe.machine import available_cores
from ..seeding import check_seed
from ..state import Running, State
from .autosize import AutoSize
from .distribute import BatchConversation, MapConversation
from .faces import Default, ParallelFlow, check_choice, check_seconds, check_start_method, process_pool, thread_pool
from .pace import Pace
from .policy import Errors, OnError, OnErrorChoice, check_max_errors, check_on_error
from .pool import Pool
from .programs import MapAndBatchProgram, MapProgram

__all__ = [
    "MultiProcessMapAndBatchData",
    "MultiProcessMapAndBatchDataZMQ",
    "MultiProcessMapData",
    "MultiProcessMapDataZMQ",
    "MultiThreadMapData",
]

BUFFER_SIZE = Default(200)
AUTO: Literal["auto"] = "auto"

_MOST_PROCESSES, _MOST_THREADS = 32, 64
"""The most workers that ``"auto"`` makes, unless there are more processors."""


def check_workers(name: str, value: Any) -> tuple[int, bool]:
    """How many workers there are at first, and whether that may change.

    Raises:
        TypeError: ``value`` is neither an integer nor ``"auto"``.
        ValueError: it is too small.
    """
    if isinstance(value, str):
        if value != AUTO:
            raise TypeError(f'{name} must be an integer or "auto", got str: {value!r:.60}')
        return AutoSize.first(), True
    return check_count(name, value), False


class _Mapper(ParallelFlow):
    """What the mappers share; the arguments are explained at `MultiProcessMapDataZMQ`."""

    item_timeout_s: float | None = None
    max_items_per_worker: int | None = None
    buffer_bytes: int | None = None
    max_retries: int = 3
    elementwise = True

    def __init__(
        self,
        ds: Any,
        workers: tuple[str, Any],
        map_func: Callable[..., Any] | None,
        buffer_size: int,
        strict: bool,
        ordered: bool,
        on_error: OnErrorChoice,
        max_errors: int | float | None,
        seed: int | None,
    ):
        self.ds = as_flow(ds)
        self._workers, self._auto = check_workers(*workers)
        self._function = MapFunction(map_func)  # type: ignore[arg-type]  # None is refused there
        self.map_func = map_func
        self._elastic = isinstance(buffer_size, Default)
        self.buffer_size = check_count("buffer_size", buffer_size)
        self.strict = check_choice("strict", strict, (True, False))
        self.ordered = check_choice("ordered", ordered, (True, False))
        self.on_error = check_on_error(on_error)
        self.max_errors = check_max_errors(max_errors, self.on_error)
        self._seed = check_seed(seed)

    def __len__(self) -> int:
        return len(self.ds)

    @property
    def errors(self) -> Errors:
        """The datapoints of the current (or last) pass that failed and were skipped or replaced."""
        errors: Errors = self.__dict__.setdefault("_errors", Errors())
        return errors

    def run(self, source: Any, state: State) -> Running:
        """One pass; see `DataFlow.run`."""
        conversation = MapConversation(
            self._pool(), self._pace(), type(self).__name__, state, source, **self._how(state)
        )
        return conversation.run(keep=self)

    def _pace(self) -> Pace:
        return Pace(
            self._workers,
            self.buffer_size,
            elastic=self._elastic,
            limit_bytes=self.buffer_bytes,
            single=self.item_timeout_s is not None,
        )

    def _pool(self) -> Pool:
        pool = super()._pool()
        if self._auto and pool.autosize is None:
            most = _MOST_THREADS if isinstance(self, MultiThreadMapData) else _MOST_PROCESSES
            pool.autosize = AutoSize(pool.counters, max(most, available_cores()))
        if self._auto:
            self._workers = pool.size
        return pool

    def _how(self, state: State) -> dict[str, Any]:
        """The arguments of `MapConversation` that all mappers give."""
        self._errors = Errors()
        if "errors" in state:
            self._errors.restore(state["errors"])
        state["errors"] = self._errors
        length = known_length(self.ds) if self.strict else None
        return {
            # A copy of a runner is replaced and resumed by count, so its order has to be the same each time.
            "ordered": self.ordered or bool(state.place.copy),
            "max_retries": self.max_retries,
            "endless": not self.strict,
            "length": length,
            "on_error": OnError(self.on_error, self.max_errors, length, self._errors, type(self).__name__),
            "item_timeout_s": self.item_timeout_s,
            "max_items": self.max_items_per_worker,
            "books": self._audit.begin(type(self).__name__, state.pass_index) if self._audit is not None else None,
        }

    def _limits(
        self,
        item_timeout_s: float | None,
        max_items_per_worker: int | None,
        buffer_bytes: int | None,
        max_retries: int,
    ) -> None:
        """Check what only processes can honour."""
        if item_timeout_s is not None:
            self.item_timeout_s = check_seconds("item_timeout_s", item_timeout_s)
        if max_items_per_worker is not None:
            self.max_items_per_worker = check_count("max_items_per_worker", max_items_per_worker)
        if buffer_bytes is not None:
            self.buffer_bytes = check_count("buffer_bytes", buffer_bytes)
        self.max_retries = check_count("max_retries", max_retries)

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: another number or kind of workers, or buffer, makes no difference."""
        return f"ParallelMap(strict={self.strict}, ordered={self.ordered})"


class MultiProcessMapDataZMQ(_Mapper):
    """Apply a function to the datapoints of a flow, in worker processes.

    The input flow is read by this process (make it quick: let it give file names, not images), the function runs in
    the workers. Large arrays in the results travel through shared memory and are copied once.

    Args:
        ds: the input flow, or any iterable.
        num_proc: number of worker processes, at least 1; or ``"auto"``: as many as it takes that the consumer need not
            wait, found out while it runs, and changed as the work changes. Functions that compute get no more than
            there are processors (as cgroup and affinity allow), functions that wait get up to 32.
        map_func: called as ``map_func(dp)``; or with the components, as ``map_func(*dp)``, if it requires two or more
            positional parameters (``**dp`` for a dict); with ``rng=...``, a `numpy.random.Generator` of the
            datapoint's own, if it has that keyword-only parameter. ``None`` discards the datapoint. Lambdas, closures
            and functions of the main script are fine.
        buffer_size: the most datapoints between the input and the consumer. If it is not given, tiny datapoints may be
            more, as many as it takes to keep the workers busy.
        strict: whether a pass ends when the input's does (default, unlike tensorpack's). False: an endless stream over
            passes of the input.
        ordered: whether results keep the order of the input; if not, they come as they are done (except in the copies
            of a runner, which have to give the same each time).
        on_error: what happens to a datapoint that fails: ``"raise"`` its exception, ``"skip"`` it, or call a function
            with the exception, whose result takes its place (None: nothing does). What failed is listed in ``errors``.
        max_errors: how many bad datapoints of a pass are too many (`TooManyErrors`): a count, or a fraction of the
            pass; default: any number.
        item_timeout_s: kill a worker that is busy with one datapoint for so long, log its Python stack, and treat the
            datapoint as failed with `ItemTimeoutError`. Default: a slow datapoint is never an error.
        max_items_per_worker: replace a worker after so many datapoints, without losing any: for functions that leak.
        buffer_bytes: the most bytes of results between workers and consumer, as far as the sizes seen so far tell; one
            datapoint always fits. Default: 64 MiB, or two datapoints for each worker if that is more.
        max_retries: how many workers may die on one datapoint before it counts as failed, with `WorkerDied`.
        seed: fixes the random numbers of this flow and those below it; see `seed`.
        start_method: ``"forkserver"``, ``"spawn"`` or ``"fork"``; default: what ``multiprocessing.set_start_method``
            was given, else ``"forkserver"``, which is safe beside threads and needs no ``__main__`` guard.

    Order and integrity: each pass gives exactly the mapped datapoints of one pass of the input: none lost, none
    doubled, also when workers are killed (what they held is done again). Arrays are ordinary, writable, and yours.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        SerializationError: the function, a datapoint or a result cannot be pickled; names the part at fault.
        WorkerDied: a datapoint has ended ``max_retries`` workers in a row.
        Exception: what the function or the input raised, with the worker's traceback as its cause and a note that
            names the datapoint.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[1, 2], [3, 4], [5, 6]], shuffle=False)
        >>> with hr.MultiProcessMapDataZMQ(ds, 2, lambda a, b: a * b) as flow:
        ...     list(flow)
        [2, 12, 30]
    """

    @renamed(nr_proc="num_proc")
    def __init__(
        self,
        ds: Any,
        num_proc: int | Literal["auto"] | None = None,
        map_func: Callable[..., Any] | None = None,
        *,
        buffer_size: int = BUFFER_SIZE,
        strict: bool = True,
        ordered: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
        item_timeout_s: float | None = None,
        max_items_per_worker: int | None = None,
        buffer_bytes: int | None = None,
        max_retries: int = 3,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        super().__init__(ds, ("num_proc", num_proc), map_func, buffer_size, strict, ordered, on_error, max_errors, seed)
        self.num_proc = AUTO if self._auto else self._workers
        self.start_method = check_start_method(start_method)
        self._limits(item_timeout_s, max_items_per_worker, buffer_bytes, max_retries)

    def _make_pool(self) -> Pool:
        program = MapProgram(self._function, in_process=True)
        return process_pool(program, self._workers, self.start_method)


MultiProcessMapData = MultiProcessMapDataZMQ


class MultiThreadMapData(_Mapper):
    """Apply a function to the datapoints of a flow, in threads of this process.

    Take it when the function releases the GIL (decoding, compression, numpy on large arrays, waiting for disk or
    network), or on free-threaded Python. Nothing is pickled or copied.

    Args:
        ds: the input flow, or any iterable.
        num_thread: number of threads, at least 1; or ``"auto"``, see `MultiProcessMapDataZMQ` (up to 64).
        map_func: see `MultiProcessMapDataZMQ`. List and dict datapoints are copied first (not deeply).
        buffer_size: see `MultiProcessMapDataZMQ`.
        strict: see `MultiProcessMapDataZMQ`.
        ordered: see `MultiProcessMapDataZMQ`.
        on_error: see `MultiProcessMapDataZMQ`.
        max_errors: see `MultiProcessMapDataZMQ`.
        seed: see `MultiProcessMapDataZMQ`.

    Order and integrity: as `MultiProcessMapDataZMQ`.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        Exception: what the function or the input raised.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList(["a", "bb", "ccc"], shuffle=False)
        >>> with hr.MultiThreadMapData(ds, 2, len) as flow:
        ...     list(flow)
        [1, 2, 3]
    """

    @renamed(nr_thread="num_thread")
    def __init__(
        self,
        ds: Any,
        num_thread: int | Literal["auto"] | None = None,
        map_func: Callable[..., Any] | None = None,
        *,
        buffer_size: int = BUFFER_SIZE,
        strict: bool = True,
        ordered: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
        seed: int | None = None,
    ):
        super().__init__(
            ds, ("num_thread", num_thread), map_func, buffer_size, strict, ordered, on_error, max_errors, seed
        )
        self.num_thread = AUTO if self._auto else self._workers

    def _make_pool(self) -> Pool:
        return thread_pool(MapProgram(self._function, in_process=False), self._workers)


class MultiProcessMapAndBatchDataZMQ(_Mapper):
    """Apply a function to the datapoints of a flow and batch the results, both in worker processes.

    Equal to ``BatchData(MultiProcessMapDataZMQ(...), batch_size)``, but each worker makes whole batches, straight in
    shared memory: one message for a batch.

    Args:
        ds: the input flow, or any iterable.
        num_proc: see `MultiProcessMapDataZMQ`.
        map_func: see `MultiProcessMapDataZMQ`.
        batch_size: datapoints in a batch, at least 1.
        buffer_size: the most datapoints between the input and the consumer, at least one batch; default: three batches
            for each worker.
        remainder: whether the last, shorter batch of a pass is delivered; if not, it is dropped, as by `BatchData`.
        strict: see `MultiProcessMapDataZMQ`. Upstream is always endless.
        ordered: whether batches keep the order of the input.
        on_error: see `MultiProcessMapDataZMQ`; it is the datapoint that is skipped, not its batch.
        max_errors: see `MultiProcessMapDataZMQ`.
        item_timeout_s: see `MultiProcessMapDataZMQ`; for a whole batch first, then for each of its datapoints.
        max_items_per_worker: see `MultiProcessMapDataZMQ`.
        buffer_bytes: see `MultiProcessMapDataZMQ`.
        max_retries: see `MultiProcessMapDataZMQ`.
        seed: see `MultiProcessMapDataZMQ`.
        start_method: see `MultiProcessMapDataZMQ`.

    Order and integrity: each datapoint of the input is in exactly one batch (less the dropped remainder). Where the
    function discards datapoints, batches are filled up from the next ones, so all have the same size; a batch with
    such a gap is delivered when it is full.

    Raises:
        BatchError: results that cannot be stacked; names the component and the shapes.
        Exception: see `MultiProcessMapDataZMQ`.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[i] for i in range(6)], shuffle=False)
        >>> with hr.MultiProcessMapAndBatchDataZMQ(ds, 2, lambda dp: [dp[0] * 10], 3) as flow:
        ...     [batch[0].tolist() for batch in flow]
        [[0, 10, 20], [30, 40, 50]]
    """

    @renamed(nr_proc="num_proc")
    def __init__(
        self,
        ds: Any,
        num_proc: int | Literal["auto"],
        map_func: Callable[..., Any],
        batch_size: int,
        buffer_size: int | None = None,
        *,
        remainder: bool = False,
        strict: bool = True,
        ordered: bool = True,
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
        item_timeout_s: float | None = None,
        max_items_per_worker: int | None = None,
        buffer_bytes: int | None = None,
        max_retries: int = 3,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        self.batch_size = check_count("batch_size", batch_size)
        workers, auto = check_workers("num_proc", num_proc)
        workers = max(workers, available_cores()) if auto else workers
        size = 3 * self.batch_size * workers if buffer_size is None else buffer_size
        super().__init__(ds, ("num_proc", num_proc), map_func, size, strict, ordered, on_error, max_errors, seed)
        self.num_proc = AUTO if self._auto else self._workers
        self.remainder = check_choice("remainder", remainder, (True, False))
        self.start_method = check_start_method(start_method)
        self._limits(item_timeout_s, max_items_per_worker, buffer_bytes, max_retries)
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size must hold a batch of {self.batch_size} datapoints, got {self.buffer_size}")
        length = known_length(self.ds)
        if not remainder and strict and length is not None and 0 < length < self.batch_size:
            raise ValueError(
                f"batch_size is {self.batch_size}, but the flow has only {length} datapoints, so there would never "
                "be a batch; use remainder=True"
            )

    def __len__(self) -> int:
        batches, rest = divmod(len(self.ds), self.batch_size)
        return batches + (1 if rest and self.remainder else 0)

    def _make_pool(self) -> Pool:
        program = MapAndBatchProgram(self._function, self.batch_size, in_process=True)
        return process_pool(program, self._workers, self.start_method)

    def run(self, source: Any, state: State) -> Running:
        """One pass; see `DataFlow.run`."""
        conversation = BatchConversation(
            self._pool(),
            self._pace(),
            type(self).__name__,
            state,
            source,
            batch_size=self.batch_size,
            remainder=self.remainder,
            **self._how(state),
        )
        return conversation.run(keep=self)

    def _pace(self) -> Pace:
        return Pace(
            self._workers,
            self.buffer_size,
            elastic=False,
            limit_bytes=self.buffer_bytes,
            grain=self.batch_size,
            single=self.item_timeout_s is not None,
        )

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`."""
        return (
            f"ParallelMapAndBatch(batch_size={self.batch_size}, remainder={self.remainder}, strict={self.strict}, "
            f"ordered={self.ordered})"
        )


MultiProcessMapAndBatchData = MultiProcessMapAndBatchDataZMQ
