import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def test_repeats_each_datapoint():
    flow = hr.RepeatedDataPoint(hr.DataFromList([0, 1], shuffle=False), 2)
    assert list(flow) == [0, 0, 1, 1]
    assert len(flow) == 4


@pytest.mark.parametrize(("num", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_bad_num(num, error):
    with pytest.raises(error, match="num must be"):
        hr.RepeatedDataPoint([1], num)


@pytest.mark.parametrize("num", [1, 3])
def test_resumes(num):
    check_resume(lambda: hr.RepeatedDataPoint(hr.DataFromList([np.full(3, i) for i in range(3)]), num))
