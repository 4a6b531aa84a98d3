import json
import re

import numpy as np
import pytest

import headrace as hr
from headrace.observe.speed import count_bytes
from headrace.testing import check_resume


def test_measures_after_the_warm_up(capsys):
    read = []
    flow = hr.MapData(hr.DataFromList([np.zeros(1000, "uint8")] * 100), lambda dp: read.append(1) or [dp, "label"])
    result = hr.TestDataSpeed(flow, size=50, warmup=10).start()
    assert len(read) == 60
    assert result.count == 50
    assert result.complete
    assert result.datapoints_per_s == pytest.approx(50 / result.seconds)
    assert result.megabytes_per_s == pytest.approx(50 * 1005e-6 / result.seconds)
    assert 0 < result.p50_ms <= result.p90_ms <= result.p99_ms <= result.max_ms
    assert result.first_s > 0
    assert json.loads(json.dumps(result.to_dict()))["count"] == 50
    assert "datapoints/s" in str(result)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(r"100%\|.*\| 60/60 \[.*[0-9.]+k?dp/s\]\n$", shown.err)


def test_the_progress_bar_can_be_switched_off(capsys):
    for progress in (True, False):
        hr.TestDataSpeed(hr.FakeData([(2,)], size=10), size=5, progress=progress).start()
        assert ("dp/s" in capsys.readouterr().err) == progress


def test_a_shorter_flow_ends_early():
    result = hr.TestDataSpeed(hr.FakeData([(2,)], size=10), size=100, warmup=4).start()
    assert (result.count, result.complete) == (6, False)
    assert "the flow ended early" in str(result)


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="nothing to measure: the flow is empty"):
        hr.TestDataSpeed([]).start()
    with pytest.raises(ValueError, match="ended after 3 datapoints, within the warm-up of 3"):
        hr.TestDataSpeed([1, 2, 3], warmup=3).start()


def test_iterating_measures_and_then_gives_the_data(capsys):
    flow = hr.TestDataSpeed(hr.DataFromList([1, 2, 3], shuffle=False), size=2)
    assert list(flow) == [1, 2, 3]
    assert "datapoints/s" in capsys.readouterr().out
    assert len(flow) == 3


def test_where_there_is_nothing_to_measure_the_data_is_given_all_the_same(capsys):
    assert list(hr.TestDataSpeed([])) == []
    assert "TestDataSpeed: nothing to measure: the flow is empty\n" in capsys.readouterr().out
    assert list(hr.TestDataSpeed([1, 2, 3], warmup=3)) == [1, 2, 3]
    assert "nothing to measure: the flow ended after 3 datapoints" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError):
        list(hr.TestDataSpeed(hr.MapData([0], lambda x: 1 / x)))


def test_it_does_not_matter_whether_the_flow_was_reset():
    flow = hr.FakeData([(2,)], size=5)
    flow.reset_state()
    test = hr.TestDataSpeed(flow, size=5)
    test.reset_state()
    assert test.start().count == test.start().count == 5


def test_an_error_of_the_flow_arrives_as_it_is():
    with pytest.raises(ZeroDivisionError):
        hr.TestDataSpeed(hr.MapData([1, 0], lambda x: 1 / x)).start()


def test_bytes():
    array = np.zeros(10, "float64")
    assert count_bytes([array, b"abc", "abcd", {"x": (array, 5, None)}, memoryview(b"12")]) == 80 + 3 + 4 + 80 + 2
    assert count_bytes(np.float32(1)) == 4


@pytest.mark.parametrize("arguments", [{"size": 0}, {"warmup": -1}])
def test_bad_input(arguments):
    with pytest.raises(ValueError, match="must be at least"):
        hr.TestDataSpeed([1], **arguments)


def test_resumes(capsys):
    check_resume(lambda: hr.TestDataSpeed(hr.DataFromList([1, 2, 3]), size=2))
