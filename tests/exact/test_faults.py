"""Messages that are lost, doubled, damaged or late on their way: healed, never a hang, never wrong data."""

import pytest

import headrace as hr

KINDS = ("drop", "duplicate", "corrupt", "delay")


def numbers(count):
    return hr.DataFromList(list(range(count)), shuffle=False)


def twice(x):
    return [x, 2 * x]


FLOWS = {
    "mapper": lambda: hr.MultiProcessMapData(numbers(100), 2, twice),
    "runner": lambda: hr.MultiProcessRunnerZMQ(hr.MapData(numbers(100), twice), 1),
    "runner by pipes": lambda: hr.MultiProcessRunner(hr.MapData(numbers(100), twice), 10, 1),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("side", ["parent", "worker"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_disturbed_message_changes_nothing(name, side, kind, number, monkeypatch):
    monkeypatch.setenv("HEADRACE_FAULT", f"{side}:{kind}:{number}")
    with FLOWS[name]() as flow:
        assert list(flow) == [twice(x) for x in range(100)]


def test_the_last_answer_of_a_pass_may_be_lost(monkeypatch):
    """Nothing follows it by itself: the ping makes its absence known."""
    monkeypatch.setenv("HEADRACE_FAULT", "worker:drop:1")
    with hr.MultiProcessMapData(numbers(1), 1, twice) as flow:
        assert list(flow) == [[0, 0]]


def test_a_misspelt_fault_is_an_error(monkeypatch):
    monkeypatch.setenv("HEADRACE_FAULT", "worker:eat:1")
    with pytest.raises(ValueError, match="HEADRACE_FAULT must be like"):
        list(hr.MultiProcessMapData(numbers(1), 1, twice))
