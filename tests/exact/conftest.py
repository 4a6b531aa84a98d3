"""What makes the many short-lived pools of these tests quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import headrace as hr


@pytest.fixture(autouse=True, scope="session")
def _warm_fork_server() -> Iterator[None]:
    """An idle flow keeps the fork server alive between tests: it costs a quarter of a second to start."""
    with hr.MultiProcessMapData([0], 1, abs, start_method="forkserver") as flow:
        list(flow)
        yield
