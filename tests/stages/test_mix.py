import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


class Claims(hr.ProxyDataFlow):
    """A flow with a length that is not true."""

    def __init__(self, ds, length):
        super().__init__(ds)
        self.length = length

    def __len__(self):
        return self.length


def test_gives_each_datapoint_once():
    flow = hr.RandomMixData([L(0, 1), L(0, 1, 2)])
    assert len(flow) == 5
    assert sorted(flow) == [0, 0, 1, 1, 2]


def test_each_pass_is_mixed_anew_and_keeps_the_order_of_each_flow():
    hr.seed(2)
    flow = hr.RandomMixData([L(*range(20)), L(*range(100, 120))])
    first, second = list(flow), list(flow)
    assert first != second
    assert [v for v in first if v < 100] == list(range(20))


def test_empty_flows_and_wrong_lengths_lose_nothing():
    assert list(hr.RandomMixData([L(1), L()])) == [1]
    assert list(hr.RandomMixData([L(), L(1)])) == [1]
    assert sorted(hr.RandomMixData([Claims(L(1, 2, 3), 1), Claims(L(4), 3)])) == [1, 2, 3, 4]


def test_every_flow_sees_its_end():
    ends = []

    def numbers():
        yield 1
        ends.append(1)

    class Source(hr.DataFlow):
        def __iter__(self):
            return numbers()

        def __len__(self):
            return 1

    list(hr.RandomMixData([Source(), Source()]))
    assert ends == [1, 1]


def test_bad_input():
    with pytest.raises(ValueError, match="at least one flow"):
        hr.RandomMixData([])
    with pytest.raises(hr.NoLengthError, match=r"flow 1 has none \(DataFromGenerator has no length\)"):
        hr.RandomMixData([L(1), hr.DataFromGenerator(lambda: [1])])


def test_a_length_may_be_known_only_after_reset_state():
    class Late(hr.DataFlow):
        def reset_state(self):
            super().reset_state()
            self.rows = [1, 2]

        def __len__(self):
            return len(self.rows)

        def __iter__(self):
            return iter(self.rows)

    flow = hr.RandomMixData([Late(), L(3)])
    flow.reset_state()
    assert sorted(flow) == [1, 2, 3]


def test_resumes():
    check_resume(lambda: hr.RandomMixData([hr.DataFromList([1, 2, 3]), hr.DataFromList([]), hr.DataFromList([10, 20])]))
    check_resume(lambda: hr.RandomMixData([Claims(L(1, 2, 3), 1), Claims(L(4), 3), L(5, 6)]))
