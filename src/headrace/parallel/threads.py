"""Libraries that bring their own threads, in workers: one each, unless the user says otherwise.

OpenMP, BLAS, OpenCV and torch start a thread for each processor. In a pool of workers that is the square of it, and
they slow each other down. So a worker process begins with these environment variables set to 1, where the user has not
set them (who sets ``OMP_NUM_THREADS`` sets them all); and libraries that a forked worker has inherited are told so.
``HEADRACE_WORKER_THREADS`` is another number for all of them; 0 leaves everything as it is. (A BLAS that was loaded
before a *fork* keeps its threads.)
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping

__all__ = ["VARIABLES", "limit_loaded", "limited", "threads_for_workers"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "RAYON_NUM_THREADS",
)
"""What these libraries read when they are loaded. (torch goes by the first and the third, polars and tokenizers by the
last.)"""


def threads_for_workers(environment: Mapping[str, str] = os.environ) -> int:
    """How many threads each library may have in a worker; 0: as many as it likes.

    Raises:
        ValueError: ``HEADRACE_WORKER_THREADS`` is not a number of at least 0.
    """
    text = environment.get("HEADRACE_WORKER_THREADS", "1")
    if not text.isdecimal():
        raise ValueError(f"HEADRACE_WORKER_THREADS must be a number of threads, or 0 for no limit, got {text!r}")
    return int(text)


def limited(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for workers."""
    threads = threads_for_workers(environment)
    if not threads:
        return dict(environment)
    return {**dict.fromkeys(VARIABLES, environment.get("OMP_NUM_THREADS", str(threads))), **environment}


def limit_loaded() -> None:
    """Tell the libraries that are loaded already, as in a forked worker."""
    threads = threads_for_workers()
    if not threads:
        return
    if "OPENCV_FOR_THREADS_NUM" not in os.environ and (cv2 := sys.modules.get("cv2")) is not None:
        with contextlib.suppress(AttributeError):
            cv2.setNumThreads(threads)
    if "OMP_NUM_THREADS" not in os.environ and (torch := sys.modules.get("torch")) is not None:
        with contextlib.suppress(AttributeError):
            torch.set_num_threads(threads)
