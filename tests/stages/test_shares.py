"""Stages that say that shares of their input give shares of them: under a runner, nothing is lost or doubled."""

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


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


class Counting:
    """A sequence that notes what is read."""

    def __init__(self, count):
        self.count = count
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        return index


@pytest.mark.parametrize(
    "make",
    [lambda lst: hr.DataFromList(lst, shuffle=False), hr.DataFromList, hr.GlobalShuffle],
    ids=["in order", "shuffled", "global shuffle"],
)
def test_a_share_reads_its_own_elements_only(make):
    lst = Counting(11)
    with hr.MultiThreadRunner(lambda: make(lst), 4, 3, shard=True) as flow:
        assert sorted(flow) == list(range(11))
    assert sorted(lst.read) == list(range(11))

    parts = []
    for rank in range(2):
        part = hr.Shard(make(lst), rank, 2, uneven="pad", seed=1)
        running = iter(part)
        parts.append([next(running), next(running)])
        state = part.state_dict()
        lst.read.clear()
        again = hr.Shard(make(lst), rank, 2, uneven="pad", seed=1)
        again.load_state_dict(state)
        parts[-1] += list(again)
        assert lst.read == parts[-1][2 : 6 - rank]
    assert sorted(parts[0] + parts[1][:-1]) == list(range(11))
    check_resume(lambda: hr.Shard(make(Counting(11)), 1, 2, uneven="pad"))


def test_a_share_of_fake_data_makes_its_own_datapoints_only():
    hr.seed(1)
    with hr.MultiThreadRunner(lambda: hr.FakeData([()], size=7), 2, 3, shard=True) as flow:
        found = sorted(float(x) for (x,) in flow)
    hr.seed(1)
    with hr.MultiThreadRunner(lambda: hr.FakeData([()], size=7), 2, 1, shard=True) as flow:
        assert sorted(float(x) for (x,) in flow) == found
    hr.seed(None)
    assert len(set(found)) == 7
