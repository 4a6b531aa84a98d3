import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def sequences(*lengths):
    return hr.DataFromList([np.full(n, n, np.int32) for n in lengths], shuffle=False)


def test_no_batch_holds_more_than_the_budget_and_none_could_take_the_next_one():
    lengths = np.random.default_rng(0).integers(1, 50, 300).tolist()
    batches = list(hr.TokenBudgetBatch(sequences(*lengths), 200))
    rows = [row[row > 0].tolist() for batch in batches for row in batch]
    assert rows == [[n] * n for n in lengths]
    at = 0
    for batch in batches:
        assert batch.size <= 200
        at += len(batch)
        if at < len(lengths):
            assert (len(batch) + 1) * max(batch.shape[1], lengths[at]) > 200


def test_a_datapoint_that_fills_the_budget():
    assert [b.shape for b in hr.TokenBudgetBatch(sequences(8, 8, 1), 8)] == [(1, 8), (1, 8), (1, 1)]


def test_the_length_may_be_a_function():
    ds = hr.DataFromList([3, 4, 5], shuffle=False)
    assert [b.tolist() for b in hr.TokenBudgetBatch(ds, 8, length=lambda n: n)] == [[3, 4], [5]]


def test_bad_input():
    with pytest.raises(ValueError, match="a datapoint has 9 tokens, more than max_tokens, 8"):
        list(hr.TokenBudgetBatch(sequences(1, 9), 8))
    with pytest.raises(ValueError, match="max_tokens must be at least 1"):
        hr.TokenBudgetBatch(sequences(1), 0)
    with pytest.raises(hr.NoLengthError):
        len(hr.TokenBudgetBatch(sequences(1), 8))
    assert list(hr.TokenBudgetBatch(sequences(), 8)) == []


def test_resumes():
    data = [np.full(n, n) for n in (3, 1, 7, 2, 2, 8, 1)]
    check_resume(lambda: hr.TokenBudgetBatch(hr.DataFromList(data), 8))
