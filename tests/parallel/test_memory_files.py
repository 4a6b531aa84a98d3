"""A flow that is closed gives all shared memory back, also if it is kept."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import functions
import numpy as np
import pytest
from contracts import Face, ints

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')


def shared_memory() -> list[str]:
    """The memory files of ours that this process has open, and those that it maps."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    found += Path("/proc/self/maps").read_text().splitlines()
    return [entry for entry in found if "memfd:headrace" in entry]


def test_a_mapper_that_is_closed_and_kept_holds_none(any_mapper: Face) -> None:
    flow = any_mapper(ints(1000), 2, functions.same, buffer_size=10)
    for _ in range(2):
        it = iter(flow)
        next(it)
        assert bool(shared_memory()) == any_mapper.in_process
        flow.close()
        assert shared_memory() == []
        del it  # a pass that is left has the last word, after its workers are gone
    assert list(flow) == list(range(1000))
    flow.close()
    assert shared_memory() == []


@pytest.mark.filterwarnings("ignore:.*begin with the same datapoints:RuntimeWarning")
def test_a_runner_that_is_closed_and_kept_holds_none(any_runner: Face) -> None:
    flow = any_runner(functions.Counting(None), 2)
    for _ in range(2):
        it = iter(flow)
        next(it)
        assert bool(shared_memory()) == any_runner.in_process
        flow.close()
        assert shared_memory() == []
        del it


def test_arrays_that_are_kept_hold_theirs(process_mapper: Face) -> None:
    flow = process_mapper(ints(3), 1, lambda n: np.full(100_000, n))
    arrays = list(flow)
    flow.close()
    assert shared_memory()
    assert [int(array.sum()) for array in arrays] == [0, 100_000, 200_000]
    arrays.clear()
    assert shared_memory() == []
