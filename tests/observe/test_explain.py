"""The verdict names the bottleneck, wherever it is."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pipelines import MANY, BigArrays, SlowSource, numbers, quick, slow, spin

import headrace as hr
from headrace.observe.explain import verdict_of
from headrace.observe.observation import Observation


def explain(flow: hr.DataFlow, **kwargs) -> hr.Verdict:
    with flow:
        return hr.explain(flow, seconds=1.0, progress=False, **kwargs)


def test_a_slow_source_is_named_and_more_workers_are_not_advised() -> None:
    source = SlowSource()
    verdict = explain(hr.BatchData(hr.MultiProcessMapData(source, 2, quick), 4))

    assert (verdict.kind, verdict.flow) == ("source", source)
    assert verdict.workers_needed is None
    assert "more workers will not help" in verdict.text
    assert "SlowSource takes" in verdict.text
    assert verdict.busy > 0.5


def test_a_source_that_waits_for_others_is_not_to_be_read_in_copies(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/socket"

    def send() -> None:
        with pytest.raises(hr.PeerLost):  # once the receiver has seen enough
            hr.send_dataflow_zmq(hr.MapData(hr.DataFromList([1, 2, 3]), slow), address, timeout_s=2)

    sender = threading.Thread(target=send)
    sender.start()
    remote = hr.RemoteDataZMQ(address, timeout_s=30)
    verdict = explain(hr.BatchData(remote, 2))
    sender.join()

    assert (verdict.kind, verdict.flow) == ("source", remote)
    assert "waits for its senders" in verdict.text
    assert "copies" not in verdict.text


def test_a_slow_stage_of_this_process_is_named_and_should_move_to_workers() -> None:
    stage = hr.MapData(hr.MultiThreadMapData(numbers(), 1, quick), slow)
    verdict = explain(hr.BatchData(stage, 4))

    assert (verdict.kind, verdict.flow) == ("stage", stage)
    assert "Move it to workers: MultiProcessMapData(ds, " in verdict.text
    assert "slow" in verdict.text


def test_on_one_core_it_does_not_advise_a_single_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.observe.explain.available_cores", lambda: 1)
    here = explain(hr.MapData(numbers(), slow))
    in_workers = explain(hr.MultiProcessMapData(numbers(), 2, spin))
    assert "Move it to workers: MultiProcessMapData(ds, 2, slow)" in here.text
    assert "The only core it may use is in use: more workers will not help here." in in_workers.text


@pytest.mark.parametrize("mapper", [hr.MultiProcessMapData, hr.MultiThreadMapData])
def test_a_slow_worker_pool_is_named_with_how_many_workers_would_do(mapper) -> None:
    pool = mapper(numbers(), 2, slow)
    verdict = explain(hr.BatchData(pool, 4), consumer_ms=4)

    assert (verdict.kind, verdict.flow) == ("stage", pool)
    assert verdict.busy > 0.6
    assert verdict.workers_needed is not None
    assert verdict.workers_needed > 2
    assert verdict.headroom is not None
    assert verdict.headroom < 1
    assert "its 2 workers are busy" in verdict.text
    assert f"{verdict.workers_needed} would reach" in verdict.text
    assert "A perfect loader would make your loop" in verdict.text


def test_threads_that_wait_for_the_interpreter_are_named_though_they_are_not_busy() -> None:
    pool = hr.MultiThreadMapData(numbers(), 3, lambda n: sum(range(20_000)))
    verdict = explain(pool)

    assert (verdict.kind, verdict.flow) == ("stage", pool)
    assert "they wait for the interpreter's lock" in verdict.text
    assert "processes will" in verdict.text


def test_of_two_pools_the_slower_one_is_named() -> None:
    slower = hr.MultiThreadMapData(numbers(), 2, slow)
    verdict = explain(hr.MultiThreadMapData(slower, 2, quick))
    assert verdict.flow is slower


@pytest.mark.parametrize("copied", [hr.MultiProcessRunnerZMQ, hr.MultiThreadRunner])
def test_slow_copies_of_a_runner_are_named_and_what_is_slow_in_them(copied) -> None:
    def make() -> hr.DataFlow:
        return hr.MapData(hr.MapData(numbers(), slow), quick)

    runner = copied(make(), 2, shard=True) if copied is hr.MultiProcessRunnerZMQ else copied(make, 5, 2, shard=True)
    verdict = explain(runner)

    assert (verdict.kind, verdict.flow) == ("stage", runner)
    assert isinstance(verdict.inside, hr.MapData)
    assert verdict.inside.func is slow
    assert "In each copy, MapData (slow) limits: it is busy" in verdict.text
    assert verdict.to_dict()["inside"] == "MapData"


def test_copies_that_cannot_be_looked_into_are_judged_as_a_whole_and_the_note_says_why(tmp_path) -> None:
    class Exclusive(hr.DataFlow):
        """Refuses a third copy."""

        def __iter__(self) -> Iterator[int]:
            for number in range(3):
                try:
                    os.close(os.open(tmp_path / str(number), os.O_CREAT | os.O_EXCL))
                    break
                except FileExistsError:
                    pass
            if number == 2:
                raise PermissionError("two readers are all that is allowed")
            yield from map(slow, range(MANY))

    runner = hr.MultiProcessRunnerZMQ(Exclusive(), 2, shard=True)
    verdict = explain(runner)

    assert (verdict.kind, verdict.flow, verdict.inside) == ("stage", runner, None)
    assert "one more of them gave PermissionError: two readers are all" in verdict.note


def test_sending_large_arrays_is_named_as_transport() -> None:
    mapper = hr.MultiProcessMapData(numbers(), 2, BigArrays())
    verdict = explain(mapper)

    assert (verdict.kind, verdict.flow) == ("transport", mapper)
    assert "datapoints of 10 MB limit" in verdict.text
    assert "batch in the workers" in verdict.text


def test_sending_large_tasks_is_named_as_transport() -> None:
    array = np.ones(10_000_000, np.uint8)
    mapper = hr.MultiProcessMapData(hr.MapData(numbers(), lambda _: array), 2, len)
    verdict = explain(mapper)
    assert (verdict.kind, verdict.flow) == ("transport", mapper)


def test_a_slow_consumer_is_the_limit_and_the_headroom_is_said() -> None:
    verdict = explain(hr.MultiProcessMapData(numbers(), 2, quick), consumer_ms=20)

    assert (verdict.kind, verdict.flow) == ("consumer", None)
    assert verdict.headroom is not None
    assert verdict.headroom > 2
    assert re.match(r"your loop is the limit: it takes \d+ % of the time; the pipeline has .*x headroom", verdict.text)


@pytest.mark.parametrize("mapper", [hr.MultiProcessMapData, hr.MultiThreadMapData])
def test_after_ctrl_c_the_workers_are_judged_as_they_were_before_it(mapper) -> None:
    class Interrupted(hr.DataFlow):
        def __iter__(self) -> Iterator[int]:
            yield from range(400)
            raise KeyboardInterrupt  # as if it came while the pipeline reads its input; it ends the pool

    # With a small buffer, so that most have been delivered by then.
    observation = Observation(mapper(Interrupted(), 2, slow, buffer_size=20), 600, progress=False)
    with observation.flow, pytest.raises(KeyboardInterrupt):
        observation.run()
    verdict = verdict_of(observation)

    assert verdict.kind == "stage"
    assert "its 2 workers are busy" in verdict.text
    assert "interrupted" in verdict.note
    assert verdict.stats.flows[-1].pool.workers == 2


def test_a_verdict_is_plain_data_and_a_table() -> None:
    flow = hr.MultiThreadMapData(numbers(), 2, slow)
    verdict = explain(flow)

    plain = json.loads(json.dumps(verdict.to_dict()))
    assert plain["kind"] == "stage"
    assert plain["flow"] == "MultiThreadMapData"
    assert {part["kind"] for part in plain["parts"]} == {"wait", "transport", "source"}
    assert sum(part["fraction"] for part in plain["parts"]) <= 1.01
    assert str(verdict) == verdict.text
    assert verdict.headroom is None


def test_a_short_flow_is_read_pass_after_pass_and_is_as_before_afterwards() -> None:
    flow = hr.MapData(hr.DataFromList([1, 2, 3], shuffle=False), slow)
    verdict = explain(flow)

    assert verdict.flow is flow
    assert list(flow) == [1, 2, 3]
    assert flow.stats().flows[-1].datapoints is None, "it is no longer measured"


def test_a_one_shot_flow_that_ends_early_is_judged_by_what_there_was() -> None:
    verdict = explain(hr.MapData(iter(range(20)), slow))
    assert verdict.kind == "stage"
    assert "the warm-up" in verdict.note or "ended before" in verdict.note


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1, 2],), TypeError, "expected a DataFlow, got list"),
        ((hr.DataFromList([1]), 0), ValueError, "seconds must be positive and finite, got 0"),
        ((hr.DataFromList([1]), float("nan")), ValueError, "seconds must be positive"),
        ((hr.DataFromList([1]), "10"), TypeError, "seconds must be a number, got str"),
        ((hr.DataFromList([]), 1), ValueError, "nothing to measure: the flow is empty"),
        ((hr.DataFromIterable(iter([1])), 0.2), ValueError, "the flow gave 1 datapoints"),
    ],
)
def test_bad_input(arguments, error, text) -> None:
    with pytest.raises(error, match=text):
        hr.explain(*arguments, progress=False)


def test_a_bad_consumer_is_refused() -> None:
    with pytest.raises(ValueError, match="consumer_ms must be positive"):
        hr.explain(hr.DataFromList([1]), 1, consumer_ms=-1)


def test_an_error_of_the_pipeline_arrives_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        hr.explain(hr.MapData([1, 0], lambda x: 1 / x), 1, progress=False)
