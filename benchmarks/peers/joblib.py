"""joblib with its default backend (loky), results taken as a generator, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.environments import NUMPY, OPENCV, Environment
from benchmarks.model import Job, Peer
from benchmarks.peers._batches import make_batch, spans

ENVIRONMENT = Environment("joblib", ("joblib==1.6.0", NUMPY, OPENCV))


@contextmanager
def parallel(workers: int, function: Any, tasks: Any, **options: Any) -> Iterator[Any]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    call = delayed(function)
    results = Parallel(n_jobs=workers, return_as="generator", **options)(call(task) for task in tasks)
    yield results
    results.close()
    # joblib keeps its workers for the next call on purpose; this is the documented way to send them home
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


class Joblib(Peer):
    name = "joblib"
    environment = "joblib"
    libraries = ("joblib",)
    ahead = 8

    def map(self, job: Job) -> Any:
        return parallel(job.workers, job.function, job.tasks)

    def map_and_batch(self, job: Job) -> Any:
        return parallel(job.workers, partial(make_batch, job.function), spans(job))


class JoblibTuned(Joblib):
    name = "joblib-tuned"

    def why_not(self, workload: Any) -> str | None:
        return super().why_not(workload) if workload.chunk > 1 else ""

    def map(self, job: Job) -> Any:
        ahead = 8 * job.workers * job.chunk  # in tasks: keeps eight chunks for each worker under way
        return parallel(job.workers, job.function, job.tasks, batch_size=job.chunk, pre_dispatch=ahead)


PEERS = [Joblib(), JoblibTuned()]
