"""The books that `headrace.audit` keeps."""

import numpy as np
import pytest

import headrace as hr
from headrace.parallel.ledger import Ledger


def numbers(count):
    return hr.DataFromList(list(range(count)), shuffle=False)


def test_the_books_of_each_pass_and_stage_balance():
    inner = hr.MultiThreadMapData(numbers(50), 2, lambda x: x if x % 2 else None)
    flow = hr.MultiThreadMapData(inner, 3, lambda x: x, ordered=False)
    record = hr.audit(flow)
    with flow:
        list(flow)
        list(flow)

    assert sorted((p.pass_index, p.taken, p.delivered) for p in record.passes) == [
        (0, 25, 25),
        (0, 50, 50),
        (1, 25, 25),
        (1, 50, 50),
    ]
    assert all(p.complete and p.taken_hash == p.delivered_hash for p in record.passes)


def test_a_pass_that_is_left_is_not_compared():
    with hr.MultiThreadMapData(numbers(50), 2, lambda x: x) as flow:
        record = hr.audit(flow)
        for x in flow:
            if x == 10:
                break
        list(flow)

    assert [p.complete for p in record.passes] == [False, True]


def test_bad_and_batched_datapoints_are_accounted_for():
    flow = hr.MultiProcessMapAndBatchData(numbers(30), 2, lambda x: [1 // (x % 7)], 4, remainder=True, on_error="skip")
    record = hr.audit(flow)
    with flow:
        assert sum(len(batch[0]) for batch in flow) == 25

    (books,) = record.passes
    assert books.complete
    assert books.taken == books.delivered == 30


def test_a_resumed_pass_accounts_for_its_rest():
    with hr.MultiThreadMapData(numbers(20), 2, lambda x: x) as flow:
        for x in flow:
            if x == 7:
                break
        saved = flow.state_dict()
    with hr.MultiThreadMapData(numbers(20), 2, lambda x: x) as flow:
        flow.load_state_dict(saved)
        record = hr.audit(flow)
        assert list(flow) == list(range(8, 20))

    (books,) = record.passes
    assert books.complete
    assert books.taken == books.delivered == 12


def test_a_lost_datapoint_is_named(monkeypatch):
    close = Ledger.close

    def lose_the_next_one(self, task):
        close(self, task)
        following = self._rows.get(self._next_delivery)
        if following is not None and following.first == 5 and self.ordered:
            close(self, following)

    monkeypatch.setattr(Ledger, "close", lose_the_next_one)
    with hr.MultiThreadMapData(numbers(20), 2, lambda x: x, buffer_size=2) as flow:
        hr.audit(flow)
        with pytest.raises(hr.AuditError, match=r"lost: 5 of pass 0; doubled.*none"):
            list(flow)


def test_something_else_than_a_flow_is_refused():
    with pytest.raises(TypeError, match="expected a DataFlow, got list"):
        hr.audit([1, 2])


def sharded(cls):
    arguments = {
        hr.MultiProcessRunnerZMQ: (numbers(100), 3),
        hr.MultiProcessRunner: (numbers(100), 8, 3),
        hr.MultiThreadRunner: (lambda: numbers(100), 8, 3),
    }
    return cls(*arguments[cls], shard=True)


@pytest.mark.parametrize("cls", [hr.MultiProcessRunnerZMQ, hr.MultiProcessRunner, hr.MultiThreadRunner])
def test_the_books_of_runners_balance(cls):
    with sharded(cls) as flow:
        record = hr.audit(flow)
        assert sorted(flow) == sorted(flow) == list(range(100))

    assert [(p.stage, p.pass_index, p.taken, p.delivered) for p in record.passes] == [
        (cls.__name__, 0, 100, 100),
        (cls.__name__, 1, 100, 100),
    ]
    assert all(p.complete and p.taken_hash == p.delivered_hash for p in record.passes)


@pytest.mark.parametrize("hwm", [3, 50])
@pytest.mark.parametrize("large", [False, True])
def test_what_a_runner_has_for_the_next_pass_is_in_the_books_of_that(hwm, large):
    source = hr.MapData(numbers(10), lambda n: np.full(9000 if large else 1, n))
    with hr.MultiProcessRunnerZMQ(source, 1, hwm) as flow:
        assert [int(array[0]) for array in flow] == list(range(10))  # before anybody keeps books
        record = hr.audit(flow)
        for _ in range(20):
            assert [int(array[0]) for array in flow] == list(range(10))
        next(iter(flow))

    assert [(p.taken, p.delivered, p.complete) for p in record.passes[:20]] == [(10, 10, True)] * 20
    assert not record.passes[20].complete


@pytest.mark.parametrize("shard", [False, True])
def test_a_lost_datapoint_of_a_runner_is_named(monkeypatch, shard):
    rows = hr.MapData(numbers(20), lambda n: np.full(300_000, n))  # a row each
    next_ready = Ledger.next_ready
    lost = []

    def lose_one(self):
        task = next_ready(self)
        if task is None or task.first != 5 or lost:
            return task
        lost.append(task)
        self.close(task)
        return next_ready(self)

    monkeypatch.setattr(Ledger, "next_ready", lose_one)
    with hr.MultiProcessRunnerZMQ(rows, 1, 4, shard=shard) as flow:
        hr.audit(flow)
        with pytest.raises(hr.AuditError, match=r"lost: 5 of copy 0; doubled.*none"):
            list(flow)
