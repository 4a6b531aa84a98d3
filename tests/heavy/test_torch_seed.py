"""Workers have torch's random numbers seeded, if the map function's module imports torch."""

from __future__ import annotations

from typing import Any

import torch

import headrace as hr


def draw(dp: Any) -> list[float]:
    return [dp, float(torch.rand(()))]


def values(seed: int | None, workers: int) -> list[list[float]]:
    with hr.MultiProcessMapData(hr.DataFromList(range(8), shuffle=False), workers, draw, seed=seed) as flow:
        return list(flow)


def test_one_worker_draws_the_same_under_the_same_seed() -> None:
    assert values(7, 1) == values(7, 1)


def test_without_a_seed_runs_differ() -> None:
    assert values(None, 1) != values(None, 1)


def test_workers_do_not_share_a_stream() -> None:
    drawn = [value for _, value in values(7, 2)]
    assert len(set(drawn)) == len(drawn)
