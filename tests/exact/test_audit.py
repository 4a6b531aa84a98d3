"""The books that `headrace.audit` keeps."""

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
