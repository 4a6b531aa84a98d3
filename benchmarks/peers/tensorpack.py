"""tensorpack 0.11, the library that headrace re-creates.

Its dataflow half still imports on Python 3.11 without TensorFlow (it says "Failed to import tensorflow."
and goes on). Two of its own limits are worked around below, so that it can be measured at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer

ENVIRONMENT = Environment(
    "tensorpack",
    (
        "tensorpack==0.11",
        NUMPY,
        OPENCV,
        "pyzmq==27.3.0",
        "msgpack==1.2.4",
        "msgpack-numpy==0.4.8",
        "psutil==7.2.2",
        "six==1.17.0",
        "tabulate==0.10.0",
        "termcolor==3.3.0",
        "tqdm==4.70.1",
    ),
)


@contextmanager
def running(flow: Any, parallel: Any = None) -> Iterator[Any]:
    """Start it as its tutorial says; it has no close(), the ``__del__`` of the parallel stage ends the workers."""
    flow.reset_state()
    try:
        yield flow
    finally:
        (parallel or flow).__del__()


def source(data: Any) -> Any:
    from tensorpack import dataflow as df

    if isinstance(data, list):
        return df.DataFromList(data, shuffle=False)  # it is shuffled already, for all systems alike
    return df.DataFromIterable(data)


def mapper_that_loses_nothing(*arguments: Any, **options: Any) -> Any:
    """Its mapper, with a longer queue for replies.

    A worker's socket holds back as many replies as ``2 * buffer_size / num_proc``, and drops the next one
    without a word (a ZeroMQ REP socket does). One worker may have all of ``buffer_size`` to answer, so with two
    workers and a consumer that is slower than they are, replies are lost and the pass waits for ever: with
    150 kB arrays five runs of seven hung.
    """
    from tensorpack import dataflow as df

    class Mapper(df.MultiProcessMapDataZMQ):  # type: ignore[misc, name-defined]
        def _create_worker(self, identity: bytes, pipe: str, hwm: int) -> Any:
            return super()._create_worker(identity, pipe, max(hwm, 2 * self._buffer_size))

    return Mapper(*arguments, **options)


class Tensorpack(Peer):
    name = "tensorpack"
    environment = "tensorpack"
    libraries = ("tensorpack.dataflow",)
    inexact: ClassVar[dict[str, str]] = {
        "map_and_batch": "endless: its dispatcher repeats the source, and batches mix passes"
    }

    def map(self, job: Job) -> Any:
        # strict: without it a pass never ends and the delivery could not be checked
        return running(mapper_that_loses_nothing(source(job.tasks), job.workers, job.function, strict=True))

    def copies(self, job: Job) -> Any:
        from tensorpack import dataflow as df

        return running(df.MultiProcessRunnerZMQ(source(job.source), job.workers))

    def map_and_batch(self, job: Job) -> Any:
        from tensorpack import dataflow as df

        # A longer source than is consumed: after its end tensorpack begins again, and ids would come twice.
        more = range(job.tasks.start, job.tasks.stop + 40 * job.workers * job.batch)
        # The documented default of buffer_size (10 batches) fails an assert, so it is spelled out.
        flow = df.MultiProcessMapAndBatchDataZMQ(
            df.DataFromIterable(more), job.workers, job.function, job.batch, buffer_size=10 * job.batch
        )
        return running(flow)


class TensorpackThreads(Peer):
    name = "tensorpack-threads"
    environment = "tensorpack"
    kind = "thread"
    libraries = ("tensorpack.dataflow",)
    only = ("sleep_10ms", "jpeg_to_batches", "million_paths_mapper")

    def map(self, job: Job) -> Any:
        from tensorpack import dataflow as df

        return running(df.MultiThreadMapData(source(job.tasks), job.workers, job.function, strict=True))

    def map_and_batch(self, job: Job) -> Any:
        from tensorpack import dataflow as df

        mapped = df.MultiThreadMapData(source(job.tasks), job.workers, job.function, strict=True)
        return running(df.BatchData(mapped, job.batch), mapped)


class TensorpackMapThenBatch(Peer):
    """Its mapper in processes, batches stacked by the consumer's process."""

    name = "tensorpack-map-then-batch"
    environment = "tensorpack"
    libraries = ("tensorpack.dataflow",)
    only = ("jpeg_to_batches",)

    def map_and_batch(self, job: Job) -> Any:
        from tensorpack import dataflow as df

        mapped = mapper_that_loses_nothing(source(job.tasks), job.workers, job.function, strict=True)
        return running(df.BatchData(mapped, job.batch), mapped)


PEERS = [Tensorpack(), TensorpackThreads(), TensorpackMapThenBatch()]
