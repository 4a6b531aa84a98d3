"""Fixtures of the parallel tests: each contract is written once, and runs over every face it holds for."""

from __future__ import annotations

from collections.abc import Iterator

import contracts
import pytest

from headrace.parallel.executors.zygote import Zygote


def _every(faces: dict[str, contracts.Face]) -> list[object]:
    return [pytest.param(face, id=name) for name, face in faces.items()]


@pytest.fixture(params=_every(contracts.MAPPERS))
def mapper(request: pytest.FixtureRequest) -> contracts.Face:
    return request.param


@pytest.fixture(params=_every(contracts.PROCESS_MAPPERS))
def process_mapper(request: pytest.FixtureRequest) -> contracts.Face:
    return request.param


@pytest.fixture(params=_every({**contracts.MAPPERS, **contracts.OTHER_STARTS}))
def any_mapper(request: pytest.FixtureRequest) -> contracts.Face:
    """Also over fork and spawn."""
    return request.param


@pytest.fixture(params=_every(contracts.BATCHERS))
def batcher(request: pytest.FixtureRequest) -> contracts.Face:
    return request.param


@pytest.fixture(params=_every(contracts.RUNNERS))
def runner(request: pytest.FixtureRequest) -> contracts.Face:
    return request.param


@pytest.fixture(params=_every(contracts.PROCESS_RUNNERS))
def process_runner(request: pytest.FixtureRequest) -> contracts.Face:
    return request.param


@pytest.fixture(params=_every({**contracts.RUNNERS, **contracts.OTHER_RUNNER_STARTS}))
def any_runner(request: pytest.FixtureRequest) -> contracts.Face:
    """Also over fork and spawn."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def _one_fork_server() -> Iterator[None]:
    """Keep the fork server over all tests, as a process with several flows does: each start of one costs 0.3 s."""
    zygote = Zygote.acquire()
    yield
    zygote.release()
