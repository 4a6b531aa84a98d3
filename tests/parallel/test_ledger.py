"""The ledger: whatever happens to its rows, each datapoint is delivered once, and in its turn."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.parallel.ledger import Ledger


@given(
    sizes=st.lists(st.integers(1, 9), min_size=0, max_size=30),
    workers=st.integers(1, 5),
    ordered=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_each_datapoint_is_delivered_once_and_in_its_turn(
    sizes: list[int], workers: int, ordered: bool, seed: int
) -> None:
    chance = random.Random(seed)  # of one number: hypothesis gives up on examples that take thousands
    ledger = Ledger(3, ordered=ordered)
    numbers = itertools.count()
    to_open = [[next(numbers) for _ in range(size)] for size in sizes]
    total = sum(sizes)
    held: list[list[Any]] = [[] for _ in range(workers)]
    delivered: list[int] = []
    first = 0
    while len(delivered) < total:
        assert ledger.in_flight == sum(t.count for t in ledger.undelivered())
        assert sorted([*delivered, *(n for t in ledger.undelivered() for n in t.items)]) == list(range(first))
        choice = chance.random()
        if choice < 0.4:  # give something out
            if ledger.first_waiting:
                task = ledger.next_waiting(chance.randint(1, 9))
            elif to_open:
                items = to_open.pop(0)
                task = ledger.open(items, len(items), 0, first)
                first += len(items)
            else:
                task = None
            if task is not None:
                chance.choice(held).append(task)
        elif choice < 0.7:  # an answer
            worker = chance.choice(held)
            if worker:
                task = worker.pop(0)
                if task.count > 1 and chance.random() < 0.3:  # of its first datapoints only
                    ledger.cut(task, chance.randint(1, task.count - 1))
                ledger.complete(task, [-n for n in task.items], nbytes=8 * task.count)
        elif choice < 0.8:  # a death
            worker = chance.choice(held)
            for task in reversed(worker):
                ledger.put_back(task, 1 if task is worker[0] else task.count)
            worker.clear()
        else:
            task = ledger.next_ready()
            if task is not None:
                assert task.items == list(range(task.first, task.first + task.count))
                taken = chance.randint(0, task.count)
                ledger.taken = lambda taken=taken: taken  # the consumer is in the middle of it
                rest = [n for row in ledger.undelivered() for n in row.items]
                assert not set(rest) & set(task.items[:taken])
                assert set(task.items[taken:]) <= set(rest)
                delivered += [-v for v in task.values]
                ledger.close(task)
    assert ledger.in_flight == ledger.done_items == ledger.done_bytes == len(ledger) == 0
    assert ledger.next_ready() is None
    assert (delivered if ordered else sorted(delivered)) == list(range(total))


@given(st.integers(1, 50), st.integers(1, 60))
def test_pieces_of_a_row_are_the_row(count: int, size: int) -> None:
    ledger = Ledger(1, ordered=True)
    ledger.open(["before"], 1)
    pieces = ledger.open(list(range(count)), count, 2, 7).split(size)
    assert [n for p in pieces for n in p.items] == list(range(count))
    assert [p.index for p in pieces] == [1 + n for n in range(0, count, size)]
    assert [p.first for p in pieces] == [7 + n for n in range(0, count, size)]
    assert {p.pass_index for p in pieces} == {2}
    assert max(p.count for p in pieces) <= size


def test_a_discarded_row_is_as_if_it_had_not_been() -> None:
    ledger = Ledger(1, ordered=False)
    a, b = ledger.open(None, 5), ledger.open(None, 3)
    ledger.discard(a)
    assert (len(ledger), ledger.in_flight) == (1, 3)
    ledger.complete(b, [1, 2, 3])
    assert ledger.next_ready() is b
    ledger.close(b)
    assert (len(ledger), ledger.in_flight, ledger.next_ready()) == (0, 0, None)
