import itertools
from collections import Counter

import pytest

import headrace as hr
from headrace.testing import check_resume

RULES = ["first_exhausted", "all_exhausted", "all_exhausted_without_replacement", "never"]


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def test_draws_by_weight():
    hr.seed(0)
    flow = hr.WeightedMix([L("a"), L("b"), L("c")], [6, 3, 1], stop="never")
    counts = Counter(itertools.islice(flow, 10_000))
    assert [round(counts[k], -3) for k in "abc"] == [6000, 3000, 1000]


def test_without_weights_all_are_alike():
    hr.seed(0)
    counts = Counter(itertools.islice(hr.WeightedMix([L("a"), L("b")], stop="never"), 10_000))
    assert abs(counts["a"] - 5000) < 200


def test_the_order_of_each_flow_is_kept():
    mixed = list(hr.WeightedMix([L(*range(50)), L(*range(100, 150))], stop="all_exhausted_without_replacement"))
    assert [v for v in mixed if v < 100] == list(range(50))
    assert sorted(mixed) == [*range(50), *range(100, 150)]
    assert mixed != sorted(mixed)


@pytest.mark.parametrize("seed", range(10))
def test_the_first_to_end_ends_the_pass(seed):
    hr.seed(seed)
    mixed = list(hr.WeightedMix([L(1, 2), L(*range(10, 1000))]))
    assert [v for v in mixed if v < 10] == [1, 2]


@pytest.mark.parametrize("seed", range(10))
def test_all_exhausted_gives_each_datapoint_at_least_once_and_stops_with_the_last(seed):
    hr.seed(seed)
    mixed = list(hr.WeightedMix([L(1, 2), L(*range(10, 40))], stop="all_exhausted"))
    assert [v for v in mixed if v >= 10] == list(range(10, 40))
    few = [v for v in mixed if v < 10]
    assert few == list(itertools.islice(itertools.cycle([1, 2]), len(few)))
    assert len(few) > 2


def test_length():
    flows = [L(1, 2), L(3)]
    assert len(hr.WeightedMix(flows, stop="all_exhausted_without_replacement")) == 3
    for rule in set(RULES) - {"all_exhausted_without_replacement"}:
        with pytest.raises(hr.NoLengthError, match=rule):
            len(hr.WeightedMix(flows, stop=rule))


def test_empty_flows():
    assert list(hr.WeightedMix([L(), L(1)], stop="all_exhausted_without_replacement")) == [1]
    assert list(hr.WeightedMix([L()], stop="all_exhausted")) == []
    with pytest.raises(hr.EmptySourceError, match="flow 0, DataFromList"):
        list(hr.WeightedMix([L(), L(1)], stop="never"))


def test_each_pass_is_drawn_anew():
    flow = hr.WeightedMix([L(*range(20)), L(*range(50, 70))], stop="all_exhausted_without_replacement")
    assert list(flow) != list(flow)


def test_a_state_belongs_to_the_weights():
    state = hr.WeightedMix([L(1)] * 2, [1, 2.5]).state_dict()
    hr.WeightedMix([L(1)] * 2, [1, 2.5]).load_state_dict(state)
    with pytest.raises(hr.StateError, match="another pipeline"):
        hr.WeightedMix([L(1)] * 2, [1, 3]).load_state_dict(state)


def test_bad_input():
    with pytest.raises(ValueError, match="as many as the flows, 2, got 1"):
        hr.WeightedMix([L(1), L(2)], [1])
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive and finite"):
            hr.WeightedMix([L(1)], [weight])
    with pytest.raises(TypeError, match="weights must be a list of numbers, got int: 5"):
        hr.WeightedMix([L(1)], 5)
    with pytest.raises(TypeError, match="a weight must be a number"):
        hr.WeightedMix([L(1)], ["x"])
    with pytest.raises(ValueError, match="stop must be one of"):
        hr.WeightedMix([L(1)], stop="soon")


@pytest.mark.parametrize("rule", RULES)
def test_resumes(rule):
    check_resume(lambda: hr.WeightedMix([hr.DataFromList([1, 2]), hr.DataFromList(range(10, 16))], [1, 2], rule), 30)
