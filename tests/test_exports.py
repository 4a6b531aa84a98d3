import inspect

import pytest

import headrace as hr

PUBLIC = [getattr(hr, name) for name in hr.__all__ if not name.startswith("__")]


def test_every_name_exists_once():
    assert len(hr.__all__) == len(set(hr.__all__))
    assert [name for name in hr.__all__ if not hasattr(hr, name)] == []


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_every_public_thing_is_documented_with_an_example(thing):
    doc = inspect.getdoc(thing)
    assert doc
    if inspect.isclass(thing) and (issubclass(thing, BaseException) or thing is hr.WorkerInfo):
        return
    assert "Example:" in doc
    assert ">>> " in doc


@pytest.mark.parametrize("thing", [t for t in PUBLIC if inspect.isclass(t)], ids=lambda thing: thing.__name__)
def test_every_public_method_is_documented(thing):
    for name, member in vars(thing).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, (staticmethod, property))):
            assert inspect.getdoc(getattr(thing, name)), f"{thing.__name__}.{name}"


UPSTREAM = """
    DataFlow ProxyDataFlow RNGDataFlow DataFlowTerminated TestDataSpeed PrintData BatchData BatchDataByShape
    FixedSizeData
    MapData MapDataComponent RepeatedData RepeatedDataPoint RandomChooseData RandomMixData ConcatData JoinData
    SelectComponent LocallyShuffleData CacheData FakeData DataFromQueue DataFromList DataFromGenerator DataFromIterable
"""


def test_the_names_of_tensorpack_are_there():
    assert set(UPSTREAM.split()) - set(hr.__all__) == set()
