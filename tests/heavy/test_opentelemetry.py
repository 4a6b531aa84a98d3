"""OpenTelemetry collects the counters, with the real SDK."""

from __future__ import annotations

import gc
import sys

import pytest

import headrace as hr
from headrace.observe import opentelemetry

export = pytest.importorskip("opentelemetry.sdk.metrics.export")
from opentelemetry import metrics  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402


def flow_of(count: int) -> hr.DataFlow:
    return hr.BatchData(hr.MultiThreadMapData(hr.DataFromList(list(range(count))), 2, abs), 5)


@pytest.fixture
def reader():
    return export.InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def collected(reader) -> dict[tuple[str, str], object]:
    """Value and unit by instrument and pipeline."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data is not None else []:
        for scope in resource.scope_metrics:
            assert scope.scope.name == "headrace"
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    assert point.attributes["flow"] == "MultiThreadMapData"
                    assert point.attributes["number"] == 1
                    found[metric.name, point.attributes["pipeline"]] = (point.value, metric.unit)
    return found


def test_a_collection_reads_the_counters_as_they_stand(provider, reader) -> None:
    with flow_of(100) as flow:
        opentelemetry.register(flow, meter_provider=provider)
        assert collected(reader) == {}, "nothing has begun"
        list(flow)
        first = collected(reader)
        list(flow)
        second = collected(reader)
    assert first["headrace.datapoints_delivered", ""] == (100, "1")
    assert second["headrace.datapoints_delivered", ""] == (200, "1")
    assert second["headrace.workers", ""] == (2, "1")
    assert second["headrace.wait_seconds", ""][0] > 0
    assert second["headrace.wait_seconds", ""][1] == "s"
    assert second["headrace.result_bytes", ""][1] == "By"


def test_counters_are_cumulative_and_monotonic_and_gauges_are_gauges(provider, reader) -> None:
    with flow_of(100) as flow:
        opentelemetry.register(flow, meter_provider=provider)
        list(flow)
        made = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    kinds = {metric.name: metric.data for metric in made}
    assert kinds["headrace.tasks"].is_monotonic
    assert isinstance(kinds["headrace.workers"], export.Gauge)


def test_two_pipelines_share_the_instruments_and_one_that_is_gone_is_forgotten(provider, reader) -> None:
    with flow_of(100) as train:
        opentelemetry.register(train, "train", meter_provider=provider)
        test = flow_of(10)
        with test:
            opentelemetry.register(test, "test", meter_provider=provider)
            list(train), list(test)
            found = collected(reader)
            with pytest.raises(ValueError, match="another flow is registered as 'test'"):
                opentelemetry.register(flow_of(5), "test", meter_provider=provider)
        assert found["headrace.datapoints_delivered", "train"][0] == 100
        assert found["headrace.datapoints_delivered", "test"][0] == 10
        del test
        gc.collect()
        assert {name for _, name in collected(reader)} == {"train"}
        opentelemetry.register(flow_of(5), "test", meter_provider=provider)


def test_the_default_is_the_provider_of_the_program(provider, reader, monkeypatch) -> None:
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    with flow_of(20) as flow:
        opentelemetry.register(flow)
        list(flow)
        assert collected(reader)["headrace.datapoints_delivered", ""][0] == 20


@pytest.mark.parametrize(
    ("arguments", "text"), [(([1],), "expected a DataFlow"), ((hr.DataFromList([1]), 5), "name must be a str, got int")]
)
def test_bad_arguments(arguments, text, provider) -> None:
    with pytest.raises(TypeError, match=text):
        opentelemetry.register(*arguments, meter_provider=provider)


def test_without_the_package_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"headrace\[opentelemetry\]"):
        opentelemetry.register(flow_of(5))
