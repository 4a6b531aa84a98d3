"""A short version of `make chaos`, and the same by small steps: random sequences of what a user and fate can do."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import chaos
import hypothesis.strategies as st
import pytest
from crashes import kill, noise, worker_pids
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import headrace as hr


@pytest.mark.parametrize("kind", chaos.PIPELINES)
def test_chaos_is_survived_exactly(kind: str, tmp_path: Path) -> None:
    report = chaos.disturb(kind, 11, 3.5, tmp_path, consumer_lives_s=(0.9, 1.6))
    assert not report.faults, f"{report}\n{(tmp_path / 'stderr').read_text()[-2000:]}"
    assert report.workers_killed >= 2
    assert report.consumers_killed >= 1
    assert report.datapoints >= chaos.COUNT


def test_chaos_would_notice(tmp_path: Path) -> None:
    """A lost, a doubled, a changed and a displaced datapoint."""
    good = [next(iter(chaos.expected("mapper", 0, 1)))]
    for damage in (
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0][:-1] + "x", *lines[1:]],
    ):
        (tmp_path / "log").write_text("".join(f"0 {line}\n" for line in damage(good[0])))
        report = chaos.Report("mapper", 0)
        chaos._compare(tmp_path, report)
        assert report.faults


# -- step by step

COUNT = 17


def source() -> hr.DataFlow:
    return hr.DataFromList(range(COUNT), shuffle=True)


def reference(passes: int) -> list[list[Any]]:
    hr.seed(99)
    flow = hr.MapData(source(), noise)
    try:
        return [list(flow) for _ in range(passes)]
    finally:
        hr.seed(None)


PASSES = reference(60)


class Position:
    """What the next iteration gives: where a pass goes on, and which pass comes after it."""

    def __init__(self, pass_index: int, taken: int):
        self.pass_index, self.taken = pass_index, taken


class MapperMachine(RuleBasedStateMachine):
    """The model is two numbers: the pass, and how many of its datapoints were delivered."""

    flow: Any = None

    @initialize(workers=st.integers(1, 3), threads=st.booleans(), buffer_size=st.integers(1, 9))
    def start(self, workers: int, threads: bool, buffer_size: int) -> None:
        hr.seed(99)
        self.running: Any = None
        self.at = Position(0, 0)  # of the iterator, or of the next one
        self.left: Position | None = None  # a pass that was left, until the next one begins
        self.saved: list[tuple[Any, Position]] = []
        self.flow = self.make(workers, threads, buffer_size)

    def make(self, workers: int, threads: bool, buffer_size: int) -> Any:
        if threads:
            return hr.MultiThreadMapData(source(), workers, noise, buffer_size=buffer_size)
        return hr.MultiProcessMapData(source(), workers, noise, buffer_size=buffer_size, max_retries=1000)

    def drop(self) -> None:
        """Leave the pass, as `break` does."""
        if self.running is not None:
            self.running.close()
            self.running = None
            self.left, self.at = self.at, Position(self.at.pass_index + 1, 0)

    @rule(count=st.integers(1, COUNT + 2))
    def read(self, count: int) -> None:
        for _ in range(count):
            if self.running is None:
                self.running = iter(self.flow)
                self.left = None
            dp = next(self.running, None)
            expected = PASSES[self.at.pass_index]
            if dp is None:
                assert self.at.taken == COUNT
                self.running = None
                self.at = Position(self.at.pass_index + 1, 0)
                return
            assert dp == expected[self.at.taken]
            self.at = Position(self.at.pass_index, self.at.taken + 1)

    @rule()
    def save(self) -> None:
        state = json.loads(json.dumps(self.flow.state_dict()))
        self.saved.append((state, self.left or self.at))

    @rule()
    def leave(self) -> None:
        self.drop()

    @rule()
    def kill_a_worker(self) -> None:
        if isinstance(self.flow, hr.MultiProcessMapData) and self.flow._runtime.pool and not self.closed:
            kill(worker_pids(self.flow)[:1])

    @rule()
    def kill_all_workers(self) -> None:
        if isinstance(self.flow, hr.MultiProcessMapData) and self.flow._runtime.pool and not self.closed:
            kill(worker_pids(self.flow))

    @property
    def closed(self) -> bool:
        return self.flow._runtime.pool.closed

    @rule()
    def close(self) -> None:
        """Between passes; the workers start again with the next one."""
        self.drop()
        self.flow.close()

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def load_here(self, data: Any) -> None:
        self.drop()
        state, self.at = data.draw(st.sampled_from(self.saved))
        self.flow.load_state_dict(state)
        self.left = None

    @precondition(lambda self: self.saved)
    @rule(data=st.data(), workers=st.integers(1, 4), threads=st.booleans(), buffer_size=st.integers(1, 9))
    def load_elsewhere(self, data: Any, workers: int, threads: bool, buffer_size: int) -> None:
        self.drop()
        self.flow.close()
        hr.seed(None)  # a state brings its seed
        self.flow = self.make(workers, threads, buffer_size)
        state, self.at = data.draw(st.sampled_from(self.saved))
        self.flow.load_state_dict(state)
        self.left = None

    def teardown(self) -> None:
        if self.flow is not None:
            with contextlib.suppress(Exception):
                self.drop()
            self.flow.close()
            self.flow = None
        hr.seed(None)


MapperMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)


class TestAnySequenceOfSteps(MapperMachine.TestCase):
    """next, save, load here or elsewhere, kill, close, leave: always the reference."""
