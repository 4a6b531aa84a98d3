"""How many datapoints make a task: never more than the limit, never none for ever."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.parallel.ledger import Ledger
from headrace.parallel.pace import Pace

measured = st.lists(st.tuples(st.floats(1e-9, 2), st.integers(0, 1 << 24), st.floats(0, 1)), max_size=20)


def filled(ledger: Ledger, pace: Pace) -> int:
    """Give out as much as the pace allows."""
    while count := pace.next_size(ledger):
        ledger.open(list(range(count)), count)
    return ledger.in_flight


@given(measured, st.integers(1, 16), st.integers(1, 300))
def test_a_chosen_buffer_is_never_exceeded_and_always_used(measured: Any, workers: int, limit: int) -> None:
    pace = Pace(workers, limit, elastic=False)
    for item_s, nbytes, away_s in measured:
        pace.worked(1, item_s, nbytes)
        pace.was_away(away_s)
    assert 1 <= filled(Ledger(1, ordered=True), pace) <= limit
    assert pace.depth >= 2


@given(measured, st.integers(1, 16), st.integers(1, 40), st.integers(1, 400))
def test_tasks_are_whole_batches(measured: Any, workers: int, grain: int, limit: int) -> None:
    pace = Pace(workers, limit, elastic=False, grain=grain)
    for item_s, nbytes, _ in measured:
        pace.worked(grain, item_s * grain, nbytes)
        size = pace.next_size(Ledger(1, ordered=True))
        assert size > 0
        assert size % grain == 0
    assert filled(Ledger(1, ordered=True), pace) % grain == 0


@given(measured, st.integers(1, 8), st.integers(1, 1 << 24))
def test_a_byte_budget_lets_one_datapoint_through_and_no_second_one_too_many(
    measured: Any, workers: int, limit_bytes: int
) -> None:
    pace = Pace(workers, 100, elastic=False, limit_bytes=limit_bytes)
    largest = 0
    for item_s, nbytes, _ in measured:
        pace.worked(1, item_s, nbytes)
        largest = nbytes if largest == 0 else max(largest, nbytes)
    in_flight = filled(Ledger(1, ordered=True), pace)
    assert in_flight >= 1
    if measured and in_flight > 1:
        assert in_flight * min(m[1] for m in measured) <= 2 * limit_bytes + largest


def test_slow_datapoints_travel_alone_and_fast_ones_together() -> None:
    slow, fast = Pace(2, 200, elastic=True), Pace(2, 200, elastic=True)
    for _ in range(30):
        slow.worked(1, 0.05, 100)
        fast.worked(1, 1e-7, 8)
    assert slow.next_size(Ledger(1, ordered=True)) == 1
    assert fast.next_size(Ledger(1, ordered=True)) > 1000


def test_one_lucky_measurement_does_not_make_a_long_task() -> None:
    pace = Pace(2, 200, elastic=True)
    pace.worked(1, 1e-9, 8)
    assert pace.next_size(Ledger(1, ordered=True)) <= 2


def test_a_slow_input_is_not_read_for_long_at_a_time() -> None:
    pace = Pace(2, 200, elastic=True)
    for _ in range(30):
        pace.pulled(10, 0.02)
        pace.worked(1, 1e-7, 8)
    assert 2 <= pace.next_size(Ledger(1, ordered=True)) <= 20


def test_large_inputs_make_small_tasks_as_large_results_do() -> None:
    pace = Pace(2, 200, elastic=True)
    for _ in range(30):
        pace.worked(10, 1e-5, 80, 10 << 20)
    assert 2 <= pace.next_size(Ledger(1, ordered=True)) <= 16


def test_a_consumer_that_goes_away_for_long_leaves_more_work_behind() -> None:
    pace = Pace(2, 200, elastic=False)
    for _ in range(10):
        pace.worked(1, 0.01, 8)
    before = pace.depth
    pace.was_away(0.3)
    assert pace.depth > before


@given(st.integers(1, 32), st.integers(1, 10**6), st.integers(1, 70), st.booleans())
def test_towards_the_end_tasks_get_smaller_and_not_too_many(workers: int, left: int, grain: int, large: bool) -> None:
    pace = Pace(workers, 10**7, elastic=False, grain=grain)
    for _ in range(40):
        pace.worked(grain, grain * 1e-5, grain << 20 if large else grain)
    sizes = []
    while left > 0:
        sizes.append(min(left, pace.next_size(Ledger(1, ordered=True), left)))
        left -= sizes[-1]
    whole = [size for size in sizes[:-1] if size < pace.task_size]
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert all(size % grain == 0 for size in sizes[:-1])
    assert all(size >= min(grain, pace.task_size // 16) for size in whole)
    assert len(whole) <= 16 * workers


def test_a_worker_that_stands_idle_is_given_a_large_datapoint_beyond_what_is_useful_otherwise() -> None:
    pace, ledger = Pace(2, 200, elastic=True), Ledger(1, ordered=True)
    pace.worked(1, 0.01, 10 << 20)
    useful = filled(ledger, pace)
    while pace.next_size(ledger, idle=True):
        ledger.open([0], 1)
    assert useful == 4
    assert ledger.in_flight == 6  # 64 MiB
