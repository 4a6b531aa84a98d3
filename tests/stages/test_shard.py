"""Each rank has its part: exact, of one length, the same order everywhere, together with the shares of runners."""

from __future__ import annotations

import itertools
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

import headrace as hr
from headrace.testing import check_resume


def ranks(make: Callable[[], Any], world_size: int, **how: Any) -> list[list[Any]]:
    """What the processes of a job get: each has a flow of its own."""
    return [list(hr.Shard(make(), rank, world_size, **how)) for rank in range(world_size)]


def rows(count: int, shuffle: bool = False) -> hr.DataFlow:
    return hr.DataFromList(list(range(count)), shuffle=shuffle)


class Whole(hr.ProxyDataFlow):
    """A flow that may do anything, so that a share is taken from what it gives."""

    def run(self, source: Any, state: Any) -> Any:
        yield from source


@pytest.mark.parametrize("wrap", [lambda ds: ds, lambda ds: hr.MapData(ds, lambda n: n), Whole])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("count", "world_size"), [(12, 3), (1, 1), (0, 2), (8, 8)])
def test_even_parts_are_exact(wrap: Any, shuffle: bool, count: int, world_size: int) -> None:
    parts = ranks(lambda: wrap(rows(count, shuffle)), world_size)
    assert sorted(itertools.chain(*parts)) == list(range(count))
    assert {len(part) for part in parts} == {count // world_size}


@pytest.mark.parametrize("wrap", [lambda ds: ds, Whole])
def test_uneven_parts(wrap: Any) -> None:
    ds = wrap(rows(11))
    assert ranks(lambda: ds, 3, uneven="drop") == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert ranks(lambda: ds, 3, uneven="pad") == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 8]]
    assert [len(hr.Shard(ds, 2, 3, uneven=how)) for how in ("drop", "pad")] == [3, 4]
    with pytest.raises(ValueError, match="11 datapoints cannot be split evenly among 3 processes; choose uneven="):
        list(hr.Shard(ds, 0, 3))
    with pytest.raises(hr.EmptySourceError, match="rank 2 has no datapoint to pad with"):
        ranks(lambda: wrap(rows(2)), 3, uneven="pad")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda ds: hr.BatchData(ds, 2, remainder=True),
        lambda ds: hr.RepeatedData(ds, 2),
        lambda ds: hr.ConcatData([ds, rows(3)]),
        lambda ds: hr.FixedSizeData(ds, 13),
    ],
)
@pytest.mark.parametrize("uneven", ["drop", "pad"])
def test_parts_of_stages_that_change_the_count_have_one_length(wrap: Any, uneven: str) -> None:
    ds = wrap(rows(7))
    parts = ranks(lambda: ds, 3, uneven=uneven)
    assert {len(part) for part in parts} == {len(hr.Shard(ds, 0, 3, uneven=uneven))}


@pytest.mark.parametrize("uneven", ["drop", "pad"])
@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("wrap", [lambda ds: ds, Whole])
def test_together_with_the_shares_of_a_runner(uneven: str, copies: int, wrap: Any) -> None:
    hr.seed(4)
    parts = []
    for rank in range(3):
        make = lambda rank=rank: hr.Shard(wrap(rows(31, shuffle=True)), rank, 3, uneven=uneven)  # noqa: E731
        with hr.MultiThreadRunner(make, 10, copies, shard=True) as flow:
            parts.append(list(flow))
    everything = list(itertools.chain(*parts))
    assert {len(part) for part in parts} == {10 if uneven == "drop" else 11}
    assert len(set(everything)) == (30 if uneven == "drop" else 31)


def test_in_processes() -> None:
    got: list[int] = []
    for rank in range(2):
        mapped = hr.MultiProcessMapData(hr.Shard(rows(12, shuffle=True), rank, 2), 1, lambda n: n)
        with hr.MultiProcessRunnerZMQ(mapped, 1, shard=True) as flow:
            got += flow
    assert sorted(got) == list(range(12))


def test_all_ranks_shuffle_alike_without_a_word_and_each_pass_anew() -> None:
    def make() -> hr.DataFlow:
        return rows(20, shuffle=True)

    flows = [hr.Shard(rows(20, shuffle=True), rank, 2) for rank in range(2)]
    first, second = [list(f) for f in flows], [list(f) for f in flows]
    assert sorted(first[0] + first[1]) == sorted(second[0] + second[1]) == list(range(20))
    assert first != second
    assert ranks(make, 2, seed=9) == ranks(make, 2, seed=9)
    assert ranks(make, 2, seed=9) != first


def test_random_numbers_above_differ_from_rank_to_rank_and_below_do_not() -> None:
    def noise(n: int, *, rng: Any) -> tuple[int, int]:
        return n, int(rng.integers(1 << 40))

    def above(rank: int) -> list[Any]:
        return list(hr.MapData(hr.Shard(hr.DataFromList([7] * 8), rank, 2), noise))

    def below(rank: int) -> list[Any]:
        return list(hr.Shard(hr.MapData(hr.DataFromList(list(range(8)), shuffle=False), noise), rank, 2))

    assert above(0) == above(0)
    assert not set(above(0)) & set(above(1))
    whole = list(hr.Shard(hr.MapData(hr.DataFromList(list(range(8)), shuffle=False), noise), 0, 1))
    assert sorted(below(0) + below(1)) == sorted(whole)


@pytest.mark.parametrize("wrap", [lambda ds: ds, Whole])
@pytest.mark.parametrize("uneven", ["drop", "pad"])
@pytest.mark.parametrize("rank", [0, 2])
def test_resumes(wrap: Any, uneven: str, rank: int) -> None:
    check_resume(lambda: hr.Shard(wrap(rows(8, shuffle=True)), rank, 3, uneven=uneven))


def test_the_state_of_one_rank_fits_the_others() -> None:
    flow = hr.Shard(rows(12, shuffle=True), 0, 3)
    running = iter(flow)
    begun = [next(running), next(running)]
    saved = flow.state_dict()
    parts = [begun + list(running)]
    for rank in (1, 2):
        again = hr.Shard(rows(12, shuffle=True), rank, 3)
        first = list(itertools.islice(again, 2))
        again = hr.Shard(rows(12, shuffle=True), rank, 3)
        again.load_state_dict(saved)
        parts.append(first + list(again))
    assert sorted(itertools.chain(*parts)) == list(range(12))


def test_only_the_part_is_read() -> None:
    read = []
    list(hr.Shard(hr.MapData(rows(10), lambda n: read.append(n) or n), 1, 2))
    assert read == [1, 3, 5, 7, 9]


# -- who am I?


def test_the_rank_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    shard = hr.Shard(rows(8))
    assert (shard.rank, shard.world_size, list(shard)) == (2, 4, [2, 6])
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(ValueError, match="RANK='two' and WORLD_SIZE='4'"):
        hr.Shard(rows(8))


def test_the_rank_of_libraries_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    jax = types.SimpleNamespace(
        distributed=types.SimpleNamespace(is_initialized=lambda: True),
        process_index=lambda: 1,
        process_count=lambda: 2,
    )
    monkeypatch.setitem(sys.modules, "jax", jax)
    assert list(hr.Shard(rows(4))) == [1, 3]
    torch = types.SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 0, get_world_size=lambda: 2
    )
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)
    assert list(hr.Shard(rows(4))) == [0, 2]


def test_a_process_that_does_not_know_its_rank_reads_nothing() -> None:
    assert "RANK" not in os.environ
    with pytest.raises(ValueError, match="the rank of this process is not known"):
        hr.Shard(rows(4))


# -- what is refused


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0, None), "give both, or none"),
        ((2, 2), "rank must be less than world_size=2, got 2"),
        ((-1, 2), "rank must be at least 0"),
        ((0, 0), "world_size must be at least 1"),
        ((0, 2, "ignore"), "uneven must be one of 'raise', 'drop', 'pad', got 'ignore'"),
    ],
)
def test_bad_arguments(args: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        hr.Shard(rows(4), *args)


def test_flows_in_another_order_on_each_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="Shard: the order of MultiThreadRunner below it differs"):
        hr.Shard(hr.MultiThreadRunner(lambda: rows(4), 4, 2), 0, 2)
    loose = hr.MultiThreadMapData(rows(4), 1, lambda n: n, ordered=False)
    with pytest.raises(ValueError, match="the order of MultiThreadMapData"):
        hr.Shard(Whole(loose), 0, 2)
    with loose:
        assert sorted(hr.Shard(loose, 0, 2)) == [0, 2]


def test_a_flow_without_length_or_with_a_wrong_one_is_told() -> None:
    with pytest.raises(hr.NoLengthError, match="Shard needs a length"):
        list(hr.Shard(hr.DataFromGenerator(lambda: iter([1, 2])), 0, 2))
    discarding = hr.MapData(rows(8), lambda n: n if n < 4 else None)
    with pytest.raises(hr.DataFlowError, match="rank 1 got 2 datapoints of MapData, its length promised 4"):
        list(hr.Shard(discarding, 1, 2))


def test_asking_for_the_worker_outside_of_one_changes_nothing() -> None:
    assert hr.worker_info() is None
    assert list(hr.Shard(rows(4), 1, 2)) == list(hr.Shard(rows(4), 1, 2)) == [1, 3]
