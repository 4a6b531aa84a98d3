"""MultiProcessMapAndBatchData equals BatchData over MapData."""

# ruff: noqa: PT012 - what came before the exception is looked at, too

from __future__ import annotations

import itertools
from typing import Any

import functions
import numpy as np
import pytest
from contracts import Face, ints

import headrace as hr


def image(n: int) -> Any:
    return [np.full((40, 50, 3), n % 251, np.uint8), n, n / 3, f"name {n}", np.float64(n), n % 2 == 0]


def as_dict(n: int) -> Any:
    return {"image": np.full((5, 7), n, np.float32), "label": n, "inner": {"box": [n, n + 1]}}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, dict):
        return type(a) is type(b) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("remainder", [False, True])
@pytest.mark.parametrize(("count", "batch", "workers"), [(100, 8, 3), (64, 16, 2), (7, 7, 2), (50, 1, 4), (130, 60, 1)])
@pytest.mark.parametrize("function", [image, as_dict, functions.square])
def test_equals_batches_of_mapdata(
    batcher: Face, function: Any, count: int, batch: int, workers: int, remainder: bool
) -> None:
    alone = hr.BatchData(hr.MapData(ints(count), function), batch, remainder=remainder)
    expected = list(alone)

    with batcher(ints(count), workers, function, batch, remainder=remainder) as flow:
        assert len(flow) == len(alone)
        for _ in range(2):
            assert equal(list(flow), expected)


@pytest.mark.parametrize("buffer_size", [4, 5, 40, 1000])
@pytest.mark.parametrize("remainder", [False, True])
def test_tiny_datapoints_in_any_buffer(batcher: Face, buffer_size: int, remainder: bool) -> None:
    """Here a task is many batches; the last one of a pass has a rest."""
    expected = [b.tolist() for b in hr.BatchData(ints(1003), 4, remainder=remainder)]
    with batcher(ints(1003), 2, functions.same, 4, buffer_size, remainder=remainder) as flow:
        for _ in range(4):
            assert [b.tolist() for b in flow] == expected


def test_shorter_than_a_batch_with_remainder(batcher: Face) -> None:
    with batcher(ints(3), 2, functions.same, 10, remainder=True) as flow:
        assert [b.tolist() for b in flow] == [[0, 1, 2]]
    with batcher(functions.Counting(3), 2, functions.same, 10) as flow:
        assert list(flow) == []
    with batcher(ints(0), 2, functions.same, 10) as flow:
        assert [list(flow), list(flow)] == [[], []]


def test_unordered_gives_each_datapoint_once(batcher: Face) -> None:
    with batcher(ints(100), 3, functions.same, 8, ordered=False, remainder=True) as flow:
        for _ in range(3):
            batches = [b.tolist() for b in flow]
            assert sorted(n for b in batches for n in b) == list(range(100))
            assert sorted(map(len, batches)) == [4] + [8] * 12


def test_discards_are_filled_up(batcher: Face) -> None:
    with batcher(ints(100), 3, functions.odd_only, 8) as flow:
        batches = [b.tolist() for b in flow]
    assert [len(b) for b in batches] == [8] * 6
    got = [n for b in batches for n in b]
    assert len(set(got)) == 48
    assert set(got) <= set(range(1, 100, 2))
    with batcher(ints(100), 3, functions.odd_only, 8, remainder=True) as flow:
        batches = [b.tolist() for b in flow]
    assert sorted(n for b in batches for n in b) == list(range(1, 100, 2))
    assert [len(b) for b in batches] == [8] * 6 + [2]


def test_rare_discards_leave_the_other_batches_in_order(batcher: Face) -> None:
    with batcher(ints(80), 2, lambda n: None if n == 21 else n, 8, remainder=True) as flow:
        batches = [b.tolist() for b in flow]
    assert batches[:2] == [list(range(8)), list(range(8, 16))]
    assert sorted(n for b in batches for n in b) == [n for n in range(80) if n != 21]
    assert sorted(map(len, batches)) == [7] + [8] * 9


def test_a_pass_after_break_has_nothing_of_the_one_before(batcher: Face) -> None:
    with batcher(ints(50), 2, functions.odd_only, 4, remainder=True) as flow:
        for _ in range(3):
            next(iter(flow))
            assert sorted(n for b in flow for n in b.tolist()) == list(range(1, 50, 2))


def test_endless_batches_are_full_across_passes(batcher: Face) -> None:
    with batcher(ints(10), 2, functions.same, 4, strict=False) as flow:
        batches = [b.tolist() for b in itertools.islice(flow, 50)]
    assert {len(b) for b in batches} == {4}
    counts = np.bincount([n for b in batches for n in b], minlength=10)
    assert counts.min() >= 17


def test_ragged_results_name_the_component(batcher: Face) -> None:
    def ragged(n: int) -> Any:
        return {"image": np.zeros((3, 4 if n == 13 else 5)), "label": n}

    got = []
    with batcher(ints(40), 2, ragged, 8) as flow, pytest.raises(hr.BatchError, match=r"'image'.*\(3, 4\), \(3, 5\)"):
        for batch in flow:
            got.append(batch["label"].tolist())
    assert got == [list(range(8))]


def test_results_that_cannot_be_stacked_name_the_component(batcher: Face) -> None:
    with batcher(ints(4), 1, lambda n: [n, None], 2) as flow, pytest.raises(hr.BatchError, match=r"\[1\] is None"):
        list(flow)
    with (
        batcher(ints(4), 1, lambda n: [n] * (n + 1), 2) as flow,
        pytest.raises(hr.BatchError, match="different lengths"),
    ):
        list(flow)


def test_an_exception_names_its_datapoint(batcher: Face) -> None:
    got = []
    with batcher(ints(40), 2, functions.raise_at(19, ValueError), 4) as flow, pytest.raises(ValueError) as caught:  # noqa: PT011
        for batch in flow:
            got.append(batch.tolist())
    assert caught.value.args == (19,)
    assert "datapoint 19 " in caught.value.__notes__[-1]
    assert got == [[n, n + 1, n + 2, n + 3] for n in range(0, 16, 4)]


def test_batches_are_writable_private_and_stay_as_they_are(batcher: Face) -> None:
    with batcher(ints(160), 2, lambda n: np.full(3000, n), 8) as flow:
        kept = []
        for batch in flow:
            assert batch.flags.writeable
            batch += 1
            kept.append(batch)
    for number, batch in enumerate(kept):
        assert batch[:, 0].tolist() == list(range(8 * number + 1, 8 * number + 9))
        assert (batch == batch[:, :1]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": None}, TypeError, "batch_size.*NoneType"),
        ({"batch_size": 2.0}, TypeError, "batch_size.*2.0"),
        ({"batch_size": 11}, ValueError, "batch_size is 11.*only 10.*remainder=True"),
        ({"batch_size": 4, "buffer_size": 3}, ValueError, "buffer_size must hold a batch of 4 datapoints, got 3"),
        ({"batch_size": 4, "buffer_size": "a"}, TypeError, "buffer_size"),
        ({"batch_size": 4, "remainder": 1}, ValueError, "remainder"),
    ],
)
def test_bad_arguments_are_named_at_construction(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hr.MultiProcessMapAndBatchData(ints(10), 2, functions.same, **arguments)


def test_upstream_call_with_positional_arguments() -> None:
    with hr.MultiProcessMapAndBatchData(ints(10), 2, functions.same, 5, 20) as flow:
        assert [b.tolist() for b in flow] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
