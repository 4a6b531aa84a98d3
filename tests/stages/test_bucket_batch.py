import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same

LENGTHS = [3, 12, 5, 4, 25, 11, 1, 9, 30, 10]


def sequences(lengths=LENGTHS):
    return hr.DataFromList([[np.full(n, n, np.int32), n] for n in lengths], shuffle=False)


def test_batches_hold_one_bucket_and_little_padding():
    batches = list(hr.BucketBatch(sequences(), 2, [10, 20]))
    assert [lengths.tolist() for _, lengths in batches] == [[3, 5], [12, 11], [4, 1], [25, 30], [9], [10]]
    for tokens, lengths in batches:
        assert tokens.shape == (len(lengths), max(lengths))
        for row, length in zip(tokens, lengths, strict=True):
            assert row[:length].tolist() == [length] * length
            assert not row[length:].any()


def test_a_batch_size_for_each_bucket():
    batches = list(hr.BucketBatch(sequences(), [4, 3, 1], [10, 20]))
    assert [lengths.tolist() for _, lengths in batches] == [[25], [3, 5, 4, 1], [30], [12, 11, 10], [9]]


def test_without_the_remainder_full_batches_only():
    batches = list(hr.BucketBatch(sequences(), 2, [10, 20], remainder=False))
    assert [len(lengths) for _, lengths in batches] == [2, 2, 2, 2]


def test_pads_with_the_value_and_keeps_dtype_and_other_dimensions():
    ds = hr.DataFromList([{"x": np.ones((n, 2), np.float16), "y": "ab"[:n]} for n in (1, 2)], shuffle=False)
    (batch,) = hr.BucketBatch(ds, 2, [5], pad_value=-1)
    assert same(batch["x"], np.array([[[1, 1], [-1, -1]], [[1, 1], [1, 1]]], np.float16))
    assert batch["y"].tolist() == ["a", "ab"]


def test_the_length_may_be_a_function():
    ds = hr.DataFromList([{"a": 1, "n": n} for n in (1, 9, 2)], shuffle=False)
    batches = hr.BucketBatch(ds, 2, [5], length=lambda dp: dp["n"])
    assert [b["n"].tolist() for b in batches] == [[1, 2], [9]]


def test_bad_input():
    for boundaries in ([], [3, 3], [4, 2]):
        with pytest.raises(ValueError, match="boundaries must be increasing"):
            hr.BucketBatch(sequences(), 2, boundaries)
    with pytest.raises(ValueError, match="3 buckets need as many sizes, got 2"):
        hr.BucketBatch(sequences(), [1, 2], [3, 5])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        hr.BucketBatch(sequences(), 0, [3])
    with pytest.raises(TypeError, match="length must be a function"):
        hr.BucketBatch(sequences(), 2, [3], length=5)
    with pytest.raises(TypeError, match=r"length gets no rng, but .* wants one; draw in a MapData below"):
        hr.BucketBatch(sequences(), 2, [3], length=lambda dp, *, rng: 1)
    for length, error, message in (
        (lambda dp: None, TypeError, "length must return a number, got NoneType: None"),
        (lambda dp: -1, ValueError, "length must return a number of at least 0, got -1"),
    ):
        with pytest.raises(error, match=message):
            list(hr.BucketBatch(sequences(), 2, [3], length=length))
        with pytest.raises(error, match=message):
            list(hr.TokenBudgetBatch(sequences(), 20, length=length))
    with pytest.raises(TypeError, match="boundaries must be a list of lengths, got int: 3"):
        hr.BucketBatch(sequences(), 2, 3)
    with pytest.raises(TypeError, match="a int has no length"):
        list(hr.BucketBatch([[1]], 2, [3]))
    with pytest.raises(hr.NoLengthError):
        len(hr.BucketBatch(sequences(), 2, [3]))
    with pytest.raises(hr.BatchError, match="different shapes"):
        list(hr.BucketBatch([[np.ones((1, 2))], [np.ones((1, 3))]], 2, [3]))


@pytest.mark.parametrize(
    ("dtype", "pad_value", "fits"),
    [
        *[("u1", -1, False), ("i4", 0.5, False), ("i4", float("nan"), False), ("?", 2, False)],
        *[("u1", 255, True), ("i4", -1.0, True), ("f4", 0.1, True), ("f4", float("nan"), True), ("?", True, True)],
    ],
)
def test_a_pad_value_must_fit(dtype, pad_value, fits):
    two = [np.ones(1, dtype), np.ones(2, dtype)]
    for make in (
        lambda: hr.BucketBatch(two, 2, [5], pad_value=pad_value),
        lambda: hr.TokenBudgetBatch(two, 4, pad_value=pad_value),
        lambda: hr.PackSequences(two, 4, pad_value=pad_value),
    ):
        if fits:
            (batch,) = make()
            array = batch["tokens"] if isinstance(batch, dict) else batch
            assert array.dtype == dtype
            assert np.array_equal(
                array.ravel()[-1 if array.ndim == 1 else 1], np.array(pad_value, dtype), equal_nan=True
            )
        else:
            with pytest.raises(ValueError, match=f"pad_value {pad_value} does not fit into arrays of "):
                list(make())
    with pytest.raises(TypeError, match="pad_value must be a number, got str: 'x'"):
        hr.BucketBatch(two, 2, [5], pad_value="x")


def test_a_state_belongs_to_all_boundaries():
    many = list(range(10, 200, 10))
    state = hr.BucketBatch(sequences(), 2, many).state_dict()
    hr.BucketBatch(sequences(), 2, many).load_state_dict(state)
    with pytest.raises(hr.StateError, match="another pipeline"):
        hr.BucketBatch(sequences(), 2, [*many[:-1], 191]).load_state_dict(state)


@pytest.mark.parametrize("remainder", [True, False])
def test_resumes(remainder):
    make = hr.BucketBatch
    data = [[np.full(n, n), n] for n in LENGTHS]
    check_resume(lambda: make(hr.DataFromList(data), 2, [10, 20], remainder=remainder))
