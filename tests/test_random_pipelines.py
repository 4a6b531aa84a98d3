"""Pipelines put together at random, each saved and resumed at every point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.testing import check_resume

MakeFlow = Callable[[], hr.DataFlow]


class Counting(hr.DataFlow):
    """A user's flow with __iter__ only."""

    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Any:
        for i in range(self.count):
            yield [i, "text"]

    def __len__(self) -> int:
        return self.count


class Noise(hr.RNGDataFlow):
    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Any:
        for _ in range(self.count):
            yield [int(self.rng.randint(1000))]

    def __len__(self) -> int:
        return self.count


class EveryOther(hr.ProxyDataFlow):
    """A user's stage with __iter__ only, over another flow."""

    def __iter__(self) -> Any:
        for number, dp in enumerate(self.ds):
            if number % 2 == 0:
                yield dp


class Summing(hr.MapData):
    """A user's stage that calls super().__iter__()."""

    def __init__(self, ds: Any):
        super().__init__(ds, lambda dp: [dp])

    def __iter__(self) -> Any:
        for number, dp in enumerate(super().__iter__()):
            yield [number, dp]


class Numbered(hr.ProxyDataFlow):
    """A user's stage with state."""

    def run(self, source: Any, state: Any) -> Any:
        for dp in source:
            state["count"] = state.get("count", 0) + 1
            yield [state["count"], dp]


def rows(count: int) -> list[list[Any]]:
    return [[i, str(i)] for i in range(count)]


sources = st.one_of(
    st.builds(lambda n, shuffle: lambda: hr.DataFromList(rows(n), shuffle=shuffle), st.integers(1, 6), st.booleans()),
    st.builds(lambda n: lambda: hr.DataFromIterable(rows(n)), st.integers(1, 6)),
    st.builds(lambda n: lambda: hr.DataFromGenerator(lambda: iter(rows(n))), st.integers(1, 6)),
    st.builds(lambda n, r: lambda: hr.FakeData([(2,), ()], size=n, random=r), st.integers(1, 6), st.booleans()),
    st.builds(lambda n: lambda: Counting(n), st.integers(1, 6)),
    st.builds(lambda n: lambda: Noise(n), st.integers(1, 6)),
)


def spread(dp: Any, *, rng: np.random.Generator) -> Any:
    return [dp, int(rng.integers(1000))]


def one_input(make: MakeFlow) -> st.SearchStrategy[MakeFlow]:
    small = st.integers(2, 4)
    return st.one_of(
        st.just(lambda: hr.MapData(make(), lambda dp: [dp])),
        st.just(lambda: hr.MapData(make(), spread)),
        st.just(lambda: hr.MapDataComponent(hr.MapData(make(), lambda dp: [dp]), lambda c: (c, 1))),
        st.just(lambda: hr.SelectComponent(hr.MapData(make(), lambda dp: (dp, 0)), [1, 0])),
        st.just(lambda: hr.PrintData(make(), num=0)),
        st.just(lambda: EveryOther(make())),
        st.just(lambda: Summing(make())),
        st.just(lambda: Numbered(make())),
        st.builds(lambda n: lambda: hr.BatchData(hr.MapData(make(), lambda dp: [dp]), n, True, True), small),
        st.builds(
            lambda n: (
                lambda: hr.BatchDataByShape(
                    hr.MapData(make(), lambda dp, *, rng: [np.zeros(rng.integers(1, 3))]), n, idx=0
                )
            ),
            st.integers(1, 2),
        ),
        st.builds(lambda n, keep: lambda: hr.FixedSizeData(make(), n, keep), st.integers(1, 8), st.booleans()),
        st.builds(lambda n: lambda: hr.RepeatedData(make(), n), st.sampled_from([-1, 1, 2])),
        st.builds(lambda n: lambda: hr.RepeatedDataPoint(make(), n), st.integers(1, 3)),
        st.builds(
            lambda size, reuse, interval: lambda: hr.LocallyShuffleData(make(), size, reuse, interval),
            small,
            st.integers(1, 2),
            st.integers(1, 3),
        ),
        st.builds(lambda shuffle: lambda: hr.CacheData(hr.FixedSizeData(make(), 4), shuffle), st.booleans()),
        st.builds(lambda shuffle: lambda: hr.CacheData(hr.FixedSizeData(make(), 3, False), shuffle), st.booleans()),
    )


def two_inputs(a: MakeFlow, b: MakeFlow) -> st.SearchStrategy[MakeFlow]:
    finite = lambda make: hr.FixedSizeData(make(), 3)  # noqa: E731
    shared = lambda make: lambda both: both(make())  # noqa: E731
    return st.sampled_from(
        [
            lambda: hr.ConcatData([finite(a), b()]),
            lambda: hr.JoinData([a(), b()]),
            lambda: hr.RandomChooseData([a(), b()]),
            lambda: hr.RandomChooseData([(a(), 0.25), (b(), 0.75)]),
            lambda: hr.RandomMixData([finite(a), finite(b)]),
            lambda: shared(a)(lambda ds: hr.ConcatData([hr.FixedSizeData(ds, 2, False), ds])),
        ]
    )


pipelines: st.SearchStrategy[MakeFlow] = st.recursive(
    sources,
    lambda below: st.one_of(below.flatmap(one_input), st.tuples(below, below).flatmap(lambda ab: two_inputs(*ab))),
    max_leaves=3,
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(pipelines)
def test_any_pipeline_resumes_exactly_anywhere(make_flow: MakeFlow) -> None:
    note(repr(make_flow()))
    try:
        check_resume(make_flow, limit=12)
    except hr.EmptySourceError:
        assume(False)  # an endless stage over one that gives nothing for long enough
