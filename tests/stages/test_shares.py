"""Stages that say that shares of their input give shares of them: under a runner, nothing is lost or doubled."""

import numpy as np
import pytest

import headrace as hr


def sequences():
    return hr.DataFromList([np.full(n % 7 + 1, n) for n in range(40)], shuffle=False)


def tokens(row):
    return row["tokens"][row["segment_ids"] > 0] if isinstance(row, dict) else row[row >= 0]


@pytest.mark.parametrize(
    "stage",
    [
        lambda ds: hr.Filter(ds, len),
        lambda ds: hr.FlatMap(ds, lambda a: np.split(a, len(a))),
        lambda ds: hr.Unbatch(hr.MapData(ds, lambda a: a[:, None])),
        lambda ds: hr.BucketBatch(ds, 3, [3, 5], pad_value=-1),
        lambda ds: hr.TokenBudgetBatch(ds, 20, pad_value=-1),
        lambda ds: hr.PackSequences(ds, 10, num_bins=2),
    ],
    ids=["filter", "flat_map", "unbatch", "bucket_batch", "token_budget_batch", "pack_sequences"],
)
def test_shares_make_up_the_whole(stage):
    assert stage(sequences()).elementwise
    with hr.MultiThreadRunner(lambda: stage(sequences()), 4, 3, shard=True) as flow:
        found = np.concatenate([tokens(row) for row in flow])
    assert sorted(found.tolist()) == sorted(np.concatenate(list(sequences())).tolist())
