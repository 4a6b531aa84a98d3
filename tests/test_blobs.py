"""Large bytes objects, as tasks and as results."""

import pytest

import headrace as hr
from headrace.parallel.arena import LARGE_BYTES

PAYLOADS = [
    [b"x" * LARGE_BYTES, 1],
    (b"y" * (LARGE_BYTES - 1), b"z" * (LARGE_BYTES + 1), "text"),
    {"file": b"w" * 50_000, "nested": [b"v" * 50_000], "name": "a"},
    b"bare" * 20_000,
    [bytearray(b"u" * 50_000)],
    [],
    b"",
]


@pytest.mark.parametrize("ordered", [True, False])
def test_they_arrive_as_they_were(ordered):
    datapoints = PAYLOADS * 30
    ds = hr.DataFromList(datapoints, shuffle=False)
    with hr.MultiProcessMapData(ds, 2, lambda dp: (dp, type(dp)), ordered=ordered) as flow:
        got = list(flow)
    assert all(type(dp) is kind for dp, kind in got)
    if ordered:
        assert [dp for dp, _ in got] == datapoints
    else:
        assert sorted(map(repr, (dp for dp, _ in got))) == sorted(map(repr, datapoints))
