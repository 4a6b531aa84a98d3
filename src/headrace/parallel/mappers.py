"""Distribute tasks to workers: the flows that map in parallel."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .._checks import check_count, known_length
from .._deprecation import renamed
from ..flow import as_flow
from ..mapping import MapFunction
from ..seeding import check_seed
from ..state import State
from .engine import BatchConversation, MapConversation
from .faces import Default, ParallelFlow, check_choice, check_start_method, process_pool, thread_pool
from .pace import Pace
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


class _Mapper(ParallelFlow):
    """What the mappers share; the arguments are explained at `MultiProcessMapDataZMQ`."""

    def __init__(
        self,
        ds: Any,
        workers: tuple[str, Any],
        map_func: Callable[..., Any] | None,
        buffer_size: int,
        strict: bool,
        ordered: bool,
        seed: int | None,
    ):
        self.ds = as_flow(ds)
        self._workers = check_count(*workers)
        self._function = MapFunction(map_func)  # type: ignore[arg-type]  # None is refused there
        self.map_func = map_func
        self._elastic = isinstance(buffer_size, Default)
        self.buffer_size = check_count("buffer_size", buffer_size)
        self.strict = check_choice("strict", strict, (True, False))
        self.ordered = check_choice("ordered", ordered, (True, False))
        self._seed = check_seed(seed)

    def __len__(self) -> int:
        return len(self.ds)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        pace = Pace(self._workers, self.buffer_size, elastic=self._elastic)
        return MapConversation(
            self._pool(),
            pace,
            type(self).__name__,
            state,
            source,
            ordered=self.ordered,
            endless=not self.strict,
        ).run()

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: another number or kind of workers, or buffer, makes no difference."""
        return f"ParallelMap(strict={self.strict}, ordered={self.ordered})"


class MultiProcessMapDataZMQ(_Mapper):
    """Apply a function to the datapoints of a flow, in worker processes.

    The input flow is read by this process (make it quick: let it give file names, not images), the function runs in
    the workers. Large arrays in the results travel through shared memory and are copied once.

    Args:
        ds: the input flow, or any iterable.
        num_proc: number of worker processes, at least 1.
        map_func: called as ``map_func(dp)``; or with the components, as ``map_func(*dp)``, if it requires two or more
            positional parameters (``**dp`` for a dict); with ``rng=...``, a `numpy.random.Generator` of the
            datapoint's own, if it has that keyword-only parameter. ``None`` discards the datapoint. Lambdas, closures
            and functions of the main script are fine.
        buffer_size: the most datapoints between the input and the consumer. If it is not given, tiny datapoints may be
            more, as many as it takes to keep the workers busy.
        strict: whether a pass ends when the input's does (default, unlike tensorpack's). False: an endless stream over
            passes of the input.
        ordered: whether results keep the order of the input; if not, they come as they are done.
        seed: fixes the random numbers of this flow and those below it; see `seed`.
        start_method: ``"forkserver"``, ``"spawn"`` or ``"fork"``; default: what ``multiprocessing.set_start_method``
            was given, else ``"forkserver"``, which is safe beside threads and needs no ``__main__`` guard.

    Order and integrity: each pass gives exactly the mapped datapoints of one pass of the input: none lost, none
    doubled, also when workers are killed (what they held is done again). Arrays are ordinary, writable, and yours.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        SerializationError: the function, a datapoint or a result cannot be pickled; names the part at fault.
        WorkerDied: a datapoint has ended more than three workers in a row.
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
        num_proc: int | None = None,
        map_func: Callable[..., Any] | None = None,
        *,
        buffer_size: int = BUFFER_SIZE,
        strict: bool = True,
        ordered: bool = True,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        super().__init__(ds, ("num_proc", num_proc), map_func, buffer_size, strict, ordered, seed)
        self.num_proc = self._workers
        self.start_method = check_start_method(start_method)

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
        num_thread: number of threads, at least 1.
        map_func: see `MultiProcessMapDataZMQ`. List and dict datapoints are copied first (not deeply).
        buffer_size: see `MultiProcessMapDataZMQ`.
        strict: see `MultiProcessMapDataZMQ`.
        ordered: see `MultiProcessMapDataZMQ`.
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
        num_thread: int | None = None,
        map_func: Callable[..., Any] | None = None,
        *,
        buffer_size: int = BUFFER_SIZE,
        strict: bool = True,
        ordered: bool = True,
        seed: int | None = None,
    ):
        super().__init__(ds, ("num_thread", num_thread), map_func, buffer_size, strict, ordered, seed)
        self.num_thread = self._workers

    def _make_pool(self) -> Pool:
        return thread_pool(MapProgram(self._function, in_process=False), self._workers)


class MultiProcessMapAndBatchDataZMQ(_Mapper):
    """Apply a function to the datapoints of a flow and batch the results, both in worker processes.

    Equal to ``BatchData(MultiProcessMapDataZMQ(...), batch_size)``, but each worker makes whole batches, straight in
    shared memory: one message for a batch.

    Args:
        ds: the input flow, or any iterable.
        num_proc: number of worker processes, at least 1.
        map_func: see `MultiProcessMapDataZMQ`.
        batch_size: datapoints in a batch, at least 1.
        buffer_size: the most datapoints between the input and the consumer, at least one batch; default: three batches
            for each worker.
        remainder: whether the last, shorter batch of a pass is delivered; if not, it is dropped, as by `BatchData`.
        strict: see `MultiProcessMapDataZMQ`. Upstream is always endless.
        ordered: whether batches keep the order of the input.
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
        num_proc: int,
        map_func: Callable[..., Any],
        batch_size: int,
        buffer_size: int | None = None,
        *,
        remainder: bool = False,
        strict: bool = True,
        ordered: bool = True,
        seed: int | None = None,
        start_method: str | None = None,
    ):
        self.batch_size = check_count("batch_size", batch_size)
        size = 3 * self.batch_size * check_count("num_proc", num_proc) if buffer_size is None else buffer_size
        super().__init__(ds, ("num_proc", num_proc), map_func, size, strict, ordered, seed)
        self.num_proc = self._workers
        self.remainder = check_choice("remainder", remainder, (True, False))
        self.start_method = check_start_method(start_method)
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

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        pace = Pace(self._workers, self.buffer_size, elastic=False, grain=self.batch_size)
        return BatchConversation(
            self._pool(),
            pace,
            type(self).__name__,
            state,
            source,
            ordered=self.ordered,
            endless=not self.strict,
            batch_size=self.batch_size,
            remainder=self.remainder,
        ).run()

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`."""
        return (
            f"ParallelMapAndBatch(batch_size={self.batch_size}, remainder={self.remainder}, strict={self.strict}, "
            f"ordered={self.ordered})"
        )


MultiProcessMapAndBatchData = MultiProcessMapAndBatchDataZMQ
