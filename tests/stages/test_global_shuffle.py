import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


@pytest.mark.parametrize("count", [*range(40), 63, 64, 65, 1000, 4095, 4096, 4097, 100_003])
def test_gives_each_element_once(count):
    assert sorted(hr.GlobalShuffle(range(count))) == list(range(count))


def test_each_pass_has_an_order_of_its_own_and_the_seed_decides():
    hr.seed(1)
    flow = hr.GlobalShuffle(range(100))
    first, second = list(flow), list(flow)
    assert first != second
    assert list(hr.GlobalShuffle(range(100))) == first
    hr.seed(2)
    assert list(hr.GlobalShuffle(range(100))) != first


def test_all_orders_of_a_few_elements_are_equally_likely():
    hr.seed(0)
    flow = hr.GlobalShuffle(range(4))
    counts = Counter(tuple(flow) for _ in range(4800))
    assert len(counts) == 24
    chi_squared = sum((n - 200) ** 2 / 200 for n in counts.values())
    assert chi_squared < 50  # 23 degrees of freedom: p < 0.001


def test_each_element_is_equally_likely_everywhere():
    hr.seed(0)
    flow = hr.GlobalShuffle(range(23))
    counts = np.zeros((23, 23))
    for _ in range(2300):
        counts[np.arange(23), list(flow)] += 1
    chi_squared = float(((counts - 100) ** 2 / 100).sum())
    assert abs(chi_squared - 22 * 22) < 5 * (2 * 22 * 22) ** 0.5


def test_neighbours_are_not_neighbours_any_more():
    hr.seed(0)
    order = np.array(list(hr.GlobalShuffle(range(50_000))))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(50_000))[0, 1]) < 0.02
    assert (np.abs(np.diff(order)) == 1).sum() < 20  # 2 are expected


def test_memory_does_not_grow_with_the_length():
    tracemalloc.start()
    assert len(set(itertools.islice(hr.GlobalShuffle(range(10**15)), 10_000))) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_what_a_mapper_holds_is_saved_as_numbers():
    class Rows:
        def __len__(self):
            return 50

        def __getitem__(self, index):
            return "x" * 10_000 + str(index)

    def make():
        return hr.MultiThreadMapData(hr.GlobalShuffle(Rows()), 2, len)

    hr.seed(1)
    with make() as flow:
        expected = list(flow)
    with make() as flow:
        running = iter(flow)
        first = [next(running) for _ in range(20)]
        state = flow.state_dict()
    assert len(str(state)) < 5000
    with make() as flow:
        flow.load_state_dict(state)
        assert first + list(flow) == expected


def test_shares_of_a_runner():
    with hr.MultiThreadRunner(lambda: hr.GlobalShuffle(range(101)), 4, 3, shard=True) as flow:
        assert sorted(flow) == list(range(101))


def test_bad_input():
    for bad in (iter([1]), {1: 2}, 3):
        with pytest.raises(TypeError, match=r"expected what has len\(\) and \[i\]"):
            hr.GlobalShuffle(bad)


def test_a_sequence_that_became_shorter():
    rows = list(range(10))
    flow = hr.GlobalShuffle(rows)
    list(itertools.islice(iter(flow), 8))
    state = flow.state_dict()
    del rows[5:]
    with pytest.raises(hr.StateError, match="another pipeline"):
        hr.GlobalShuffle(rows).load_state_dict(state)


def test_resumes():
    check_resume(lambda: hr.GlobalShuffle(range(11)))
    check_resume(lambda: hr.GlobalShuffle([]))
