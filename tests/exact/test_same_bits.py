"""Random numbers depend on the seed and the datapoint, never on who draws them."""

from __future__ import annotations

import itertools
import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import first_time, kill, worker_pids

import headrace as hr
from headrace.testing import same

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies')

COUNT = 48


class Noise:
    """A map function with a generator of the datapoint's own; draws in several ways, and unequally often."""

    def __init__(self, folder: Path | None = None):
        self.marker = folder / "died" if folder is not None else None

    def __call__(self, n: int, *, rng: np.random.Generator) -> Any:
        if self.marker is not None and n == 11 and first_time(self.marker):
            kill_myself()
        draws = [rng.standard_normal() for _ in range(n % 4)]
        return [n, float(np.sum(draws)), rng.integers(0, 1 << 40, 3)]


def kill_myself() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def source(shuffle: bool = True) -> hr.DataFlow:
    return hr.DataFromList(range(COUNT), shuffle=shuffle)


def two_passes(flow: hr.DataFlow) -> list[Any]:
    with flow:
        return [dp for _ in range(2) for dp in flow]


def undisturbed(seed: int = 7) -> list[Any]:
    hr.seed(seed)
    return two_passes(hr.MapData(source(), Noise()))


def flat(batches: list[Any]) -> list[Any]:
    return [[int(n), s, row] for numbers, sums, rows in batches for n, s, row in zip(numbers, sums, rows, strict=True)]


PLACES = {
    "thread": lambda f: hr.MultiThreadMapData(source(), 1, f),
    "4 threads": lambda f: hr.MultiThreadMapData(source(), 4, f),
    "16 threads": lambda f: hr.MultiThreadMapData(source(), 16, f),
    "process": lambda f: hr.MultiProcessMapData(source(), 1, f),
    "3 processes": lambda f: hr.MultiProcessMapData(source(), 3, f),
    "16 processes": lambda f: hr.MultiProcessMapData(source(), 16, f),
    "small buffer": lambda f: hr.MultiProcessMapData(source(), 2, f, buffer_size=2),
    "restarts": lambda f: hr.MultiProcessMapData(source(), 2, f, max_items_per_worker=20),
    "fork": lambda f: hr.MultiProcessMapData(source(), 2, f, start_method="fork"),
    "spawn": lambda f: hr.MultiProcessMapData(source(), 2, f, start_method="spawn"),
}


@pytest.mark.parametrize("place", PLACES)
def test_same_draws_wherever_the_function_runs(place: str) -> None:
    expected = undisturbed()
    hr.seed(7)
    assert same(two_passes(PLACES[place](Noise())), expected)


@pytest.mark.parametrize("place", ["thread", "3 processes"])
def test_unordered_each_datapoint_has_its_own_draws(place: str) -> None:
    expected = undisturbed()
    hr.seed(7)
    flow = PLACES[place](Noise())
    flow.ordered = False
    with flow:
        for k in range(2):
            got = sorted(flow, key=lambda dp: dp[0])
            assert same(got, sorted(expected[k * COUNT : (k + 1) * COUNT], key=lambda dp: dp[0]))


def test_map_and_batch_equals_batches_of_the_mapped() -> None:
    hr.seed(7)
    expected = two_passes(hr.BatchData(hr.MapData(source(), Noise()), 8))
    hr.seed(7)
    assert same(two_passes(hr.MultiProcessMapAndBatchData(source(), 3, Noise(), 8)), expected)
    assert len(flat(expected)) == 2 * COUNT


def test_same_draws_after_a_kill(tmp_path: Path) -> None:
    expected = undisturbed()
    hr.seed(7)
    assert same(two_passes(hr.MultiProcessMapData(source(), 2, Noise(tmp_path))), expected)
    assert (tmp_path / "died").exists()


def test_same_draws_after_many_kills() -> None:
    expected = undisturbed()
    hr.seed(7)
    got = []
    with hr.MultiProcessMapData(source(), 3, Noise(), max_retries=100) as flow:
        for dp in itertools.chain(flow, flow):
            got.append(dp)
            if len(got) % 10 == 0:
                kill(worker_pids(flow)[:2])
    assert same(got, expected)


@pytest.mark.parametrize("taken", [0, 17, COUNT - 1])
@pytest.mark.parametrize("place", ["4 threads", "process"])
def test_same_draws_after_a_resume_elsewhere(place: str, taken: int) -> None:
    expected = undisturbed()
    hr.seed(7)
    with PLACES["3 processes"](Noise()) as flow:
        running = iter(flow)
        got = list(itertools.islice(running, taken))
        state = flow.state_dict()
        del running
    hr.seed(None)
    again = PLACES[place](Noise())
    again.load_state_dict(state)
    assert same(got + two_passes(again), expected)


RUNNERS = {
    "zmq": lambda flow, n: hr.MultiProcessRunnerZMQ(flow, n, shard=True),
    "pipes": lambda flow, n: hr.MultiProcessRunner(flow, 8, n, shard=True),
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_same_draws_in_shares(runner: str, count: int) -> None:
    """The shares of a runner are of one and the same pass, with its shuffling and its draws."""

    def two(workers: int) -> list[Any]:
        hr.seed(7)
        with RUNNERS[runner](hr.MapData(source(), Noise()), workers) as flow:
            return [sorted(flow, key=lambda dp: dp[0]) for _ in range(2)]

    reference = two(1)
    assert [len(one) for one in reference] == [COUNT, COUNT]
    assert same(two(count), reference)
    assert not same(reference[0], reference[1])


def test_same_draws_in_shares_of_threads() -> None:
    def one(workers: int) -> list[Any]:
        hr.seed(7)
        with hr.MultiThreadRunner(lambda: hr.MapData(source(), Noise()), 8, workers, shard=True) as flow:
            return sorted(flow, key=lambda dp: dp[0])

    hr.seed(7)
    with RUNNERS["zmq"](hr.MapData(source(), Noise()), 2) as flow:
        processes = sorted(flow, key=lambda dp: dp[0])
    assert same(one(3), one(1))
    assert same(one(2), processes)


def test_a_mapper_inside_of_a_sharded_runner_draws_the_same() -> None:
    def one(workers: int) -> list[Any]:
        hr.seed(7)
        with RUNNERS["zmq"](hr.MultiThreadMapData(source(), 2, Noise()), workers) as flow:
            return sorted(flow, key=lambda dp: dp[0])

    assert same(one(3), one(1))


# -- what decides


def test_another_seed_place_or_pass_gives_other_draws() -> None:
    first, other = undisturbed(7), undisturbed(8)
    assert not same(first, other)
    by_pass = [{dp[0]: dp[2].tolist() for dp in first[k * COUNT : (k + 1) * COUNT]} for k in range(2)]
    assert not any(by_pass[0][n] == by_pass[1][n] for n in range(COUNT))
    hr.seed(7)
    stacked = hr.MapData(hr.MapData(source(False), Draw()), Both())
    assert all(a != b for a, b in stacked)


class Draw:
    def __call__(self, n: int, *, rng: np.random.Generator) -> int:
        return int(rng.integers(1 << 60))


class Both:
    def __call__(self, n: int, *, rng: np.random.Generator) -> tuple[int, int]:
        return n, int(rng.integers(1 << 60))


@pytest.mark.parametrize("make", [hr.MultiProcessMapData, hr.MultiThreadMapData])
def test_the_seed_argument_wins_over_the_global_seed(make: Any) -> None:
    def one(seed: int | None, everywhere: int | None) -> list[int]:
        hr.seed(everywhere)
        with make(source(), 2, Draw(), seed=seed) as flow:
            return list(flow)

    assert one(3, 1) == one(3, 2) == one(3, None)
    assert one(3, None) != one(4, None)
    assert one(None, 1) != one(None, 2)


def test_without_a_seed_every_run_differs() -> None:
    def one() -> list[int]:
        with hr.MultiThreadMapData(source(False), 2, Draw()) as flow:
            return list(flow)

    assert one() != one()


def test_a_function_that_fails_or_discards_does_not_shift_the_draws_of_others() -> None:
    def run(every: int) -> dict[int, int]:
        def f(n: int, *, rng: np.random.Generator) -> Any:
            drawn = int(rng.integers(1 << 60))
            if every and n % every == 0:
                if n % 2:
                    raise ValueError(n)
                return None
            return n, drawn

        hr.seed(7)
        with hr.MultiProcessMapData(source(False), 2, f, on_error="skip") as flow:
            return dict(flow)

    everything, some = run(0), run(5)
    assert some == {n: drawn for n, drawn in everything.items() if n % 5}


# -- `random` and `numpy.random` in workers


def draws_globally(n: int) -> tuple[int, float, float]:
    import os

    return os.getpid(), random.random(), float(np.random.random())


def drawn_by(make: Any) -> list[tuple[float, float]]:
    """The first draw in each of the workers."""
    with make() as flow:
        first: dict[int, tuple[float, float]] = {}
        for pid, a, b in itertools.chain.from_iterable(itertools.repeat(flow)):
            first.setdefault(pid, (a, b))
            if len(first) == 3:
                return list(first.values())
    raise AssertionError("unreachable")


GLOBALS = {
    "mapper": lambda: hr.MultiProcessMapData(source(), 3, draws_globally),
    "mapper, fork": lambda: hr.MultiProcessMapData(source(), 3, draws_globally, start_method="fork"),
    "runner": lambda: hr.MultiProcessRunnerZMQ(hr.MapData(source(), draws_globally), 3),
}


@pytest.mark.parametrize("make", GLOBALS)
def test_the_global_generators_differ_between_workers_and_runs(make: str) -> None:
    both = [drawn_by(GLOBALS[make]), drawn_by(GLOBALS[make])]
    for kind in (0, 1):
        assert len({draw[kind] for draws in both for draw in draws}) == 6


@pytest.mark.parametrize("make", GLOBALS)
def test_the_global_generators_differ_between_workers_under_a_seed_too(make: str) -> None:
    hr.seed(3)
    draws = drawn_by(GLOBALS[make])
    assert len(set(draws)) == 3


@pytest.mark.parametrize("make", GLOBALS)
def test_random_and_numpy_random_do_not_give_the_same_numbers(make: str) -> None:
    assert all(a != b for a, b in drawn_by(GLOBALS[make]))


def test_the_global_generators_of_a_copy_are_decided_by_the_seed() -> None:
    def one() -> list[Any]:
        hr.seed(3)
        with hr.MultiProcessRunnerZMQ(hr.MapData(source(), lambda n: draws_globally(n)[1:]), 1) as flow:
            return list(flow)

    assert one() == one()


def test_the_global_generators_of_this_process_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    hr.seed(9)
    with hr.MultiThreadMapData(source(), 2, abs) as flow:
        list(flow)
    with hr.MultiProcessMapData(source(), 2, abs) as flow:
        list(flow)
    assert (random.random(), np.random.random()) == expected


class FakeTorch(types.ModuleType):
    seeded: list[int]


def seeds_of_torch(n: int) -> tuple[int, ...]:
    return tuple(sys.modules["torch"].seeded)


def test_torch_is_seeded_in_workers_that_have_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stood in for by a module of that name that writes down its seeds: torch itself takes a second to import."""
    torch = FakeTorch("torch")
    torch.seeded = []
    torch.manual_seed = torch.seeded.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with hr.MultiProcessMapData(source(), 2, seeds_of_torch, start_method="fork") as flow:
        seeds = {seed for seeds in flow for seed in seeds}
    assert len(seeds) >= 1
    assert not torch.seeded


# -- other stages with a function


def test_a_function_of_a_component_draws_by_datapoint_too() -> None:
    def one() -> list[Any]:
        hr.seed(3)
        return list(hr.MapDataComponent(hr.DataFromList([[n] for n in range(9)], shuffle=False), Draw(), 0))

    assert one() == one()
    assert len({drawn for (drawn,) in one()}) == 9
