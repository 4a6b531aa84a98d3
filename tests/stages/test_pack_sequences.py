import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same

STRATEGIES = ["first_fit", "best_fit"]


def sequences(*lengths):
    """Tokens that tell to which sequence they belong, and where."""
    return hr.DataFromList([np.arange(n) + 100 * i for i, n in enumerate(lengths, 1)], shuffle=False)


def unpack(row):
    """The sequences of a row, found by the segment numbers."""
    segments = row["segment_ids"]
    return [row["tokens"][segments == s] for s in range(1, segments.max() + 1)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("num_bins", [1, 3, 64])
def test_each_sequence_is_in_one_row_whole_and_contiguous(strategy, num_bins):
    lengths = np.random.default_rng(1).integers(1, 33, 400).tolist()
    rows = list(hr.PackSequences(sequences(*lengths), 32, strategy, num_bins))
    found = []
    for row in rows:
        assert all(a.shape == (32,) and a.dtype == np.int32 for k, a in row.items() if k != "tokens")
        used = int((row["segment_ids"] > 0).sum())
        assert (np.diff(row["segment_ids"][:used]) >= 0).all()
        assert not row["segment_ids"][used:].any()
        assert not row["tokens"][used:].any()
        parts = unpack(row)
        assert row["positions"][:used].tolist() == [p for part in parts for p in range(len(part))]
        assert [part[0] for part in parts] == sorted(part[0] for part in parts)
        found.extend(parts)
    found.sort(key=lambda part: part[0])
    assert same(found, list(sequences(*lengths)))


def test_many_bins_waste_little():
    lengths = np.random.default_rng(2).integers(1, 1025, 2000).tolist()
    least = -(-sum(lengths) // 2048)
    for strategy in STRATEGIES:
        assert len(list(hr.PackSequences(sequences(*lengths), 2048, strategy))) <= 1.03 * least
    assert len(list(hr.PackSequences(sequences(*lengths), 2048, num_bins=1))) > 1.1 * least


@pytest.mark.parametrize(("strategy", "expected"), [("first_fit", [[5, 2], [7]]), ("best_fit", [[5], [7, 2]])])
def test_the_strategies_differ(strategy, expected):
    rows = hr.PackSequences(sequences(5, 7, 2), 10, strategy)
    assert [[len(part) for part in unpack(row)] for row in rows] == expected


@pytest.mark.parametrize(("strategy", "expected"), [("first_fit", [[3], [8], [9]]), ("best_fit", [[8], [3], [9]])])
def test_which_row_is_closed_when_there_are_too_many(strategy, expected):
    rows = hr.PackSequences(sequences(3, 8, 9), 10, strategy, num_bins=2)
    assert [[len(part) for part in unpack(row)] for row in rows] == expected


def test_a_full_row_is_given_at_once():
    flow = hr.PackSequences(sequences(4, 6, 10, 3), 10)
    running = iter(flow)
    assert [len(p) for p in unpack(next(running))] == [4, 6]
    assert [len(p) for p in unpack(next(running))] == [10]


def test_dicts_of_aligned_sequences_with_a_pad_value_each():
    ds = hr.DataFromList([{"input_ids": [5, 6], "labels": [6, 7]}, {"input_ids": [8], "labels": [9]}], shuffle=False)
    (row,) = hr.PackSequences(ds, 4, pad_value={"labels": -100})
    assert {k: v.tolist() for k, v in row.items()} == {
        "input_ids": [5, 6, 8, 0],
        "labels": [6, 7, 9, -100],
        "segment_ids": [1, 1, 2, 0],
        "positions": [0, 1, 0, 0],
    }


def test_dtypes_are_kept_and_lists_of_ints_are_int32():
    (row,) = hr.PackSequences([np.array([1, 2], np.uint16)], 4)
    assert row["tokens"].dtype == np.uint16
    (row,) = hr.PackSequences([[1, 2], [3]], 4)
    assert same(row["tokens"], np.array([1, 2, 3, 0], np.int32))


def test_overlong_sequences():
    with pytest.raises(ValueError, match="has 9 tokens, more than pack_length, 4; overlong='split'"):
        list(hr.PackSequences(sequences(9), 4))
    rows = list(hr.PackSequences(sequences(9, 2), 4, overlong="split"))
    assert [row["tokens"].tolist() for row in rows] == [[100, 101, 102, 103], [104, 105, 106, 107], [108, 200, 201, 0]]


def test_empty_sequences_leave_no_trace():
    assert same(list(hr.PackSequences([[], [1], []], 2)), list(hr.PackSequences([[1]], 2)))


def test_a_state_belongs_to_the_pad_values():
    state = hr.PackSequences(sequences(1), 4, pad_value={"tokens": 1}).state_dict()
    with pytest.raises(hr.StateError, match="another pipeline"):
        hr.PackSequences(sequences(1), 4, pad_value={"tokens": 2}).load_state_dict(state)


def test_bad_input():
    for arguments, message in [
        ({"pack_length": 0}, "pack_length must be at least 1"),
        ({"strategy": "worst_fit"}, "strategy must be"),
        ({"num_bins": 0}, "num_bins must be at least 1"),
        ({"overlong": "cut"}, "overlong must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            hr.PackSequences(sequences(1), **{"pack_length": 4, **arguments})
    with pytest.raises(ValueError, match=r"of one length, got \{'a': 1, 'b': 2\}"):
        list(hr.PackSequences([{"a": [1], "b": [1, 2]}], 4))
    with pytest.raises(ValueError, match="adds the keys"):
        list(hr.PackSequences([{"positions": [1]}], 4))
    with pytest.raises(ValueError, match=r"datapoints of one row have the keys \['a'\] and \['b'\]"):
        list(hr.PackSequences([{"a": [1]}, {"b": [1]}], 4))
    with pytest.raises(ValueError, match=r"pad_value has the keys \['b'\], the rows have \['a'\]"):
        list(hr.PackSequences([{"a": [1]}], 4, pad_value={"b": 1}))
    with pytest.raises(TypeError, match="or dicts of them, got str under 'a'"):
        list(hr.PackSequences([{"a": "xyz"}], 4))
    for bad in ("abc", np.zeros((2, 2)), ["a"], 3):
        with pytest.raises(TypeError, match="takes 1-D arrays or lists of numbers"):
            list(hr.PackSequences(hr.DataFromList([bad]), 4))
    with pytest.raises(hr.NoLengthError):
        len(hr.PackSequences(sequences(1), 4))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resumes(strategy):
    data = [np.arange(n) for n in (3, 9, 2, 5, 1, 12, 4, 4, 2)]
    check_resume(lambda: hr.PackSequences(hr.DataFromList(data), 6, strategy, 2, overlong="split"))
