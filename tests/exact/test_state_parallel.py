"""Every parallel flow can be saved between any two datapoints, and goes on anywhere: exactly, and without doing again
what was delivered."""

from __future__ import annotations

import copy
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import square

import headrace as hr
from headrace.testing import check_resume, same

pytestmark = pytest.mark.filterwarnings('ignore:start_method="fork" copies')

FORK = {"start_method": "fork"}


def numbers(count: int, shuffle: bool = False) -> hr.DataFlow:
    return hr.DataFromList(range(count), shuffle=shuffle)


def noise(n: int, *, rng: np.random.Generator) -> tuple[int, int]:
    return n, int(rng.integers(1 << 30))


def odd_or_none(n: int) -> int | None:
    return n if n % 3 else None


class Generated(hr.DataFlow):
    """A user's flow, without length, state or [i]."""

    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[int]:
        yield from range(self.count)


# -- deterministic flows: at every datapoint, twice in a row, through JSON

DETERMINISTIC: dict[str, Callable[[], hr.DataFlow]] = {
    "mapper": lambda: hr.MultiProcessMapData(numbers(5, True), 2, noise, **FORK),
    "mapper, forkserver": lambda: hr.MultiProcessMapData(numbers(3), 2, square),
    "small buffer": lambda: hr.MultiProcessMapData(numbers(5, True), 2, square, buffer_size=1, **FORK),
    "discards": lambda: hr.MultiProcessMapData(numbers(7), 2, odd_or_none, **FORK),
    "endless": lambda: hr.MultiThreadMapData(numbers(5, True), 2, noise, strict=False),
    "threads": lambda: hr.MultiThreadMapData(numbers(9, True), 3, noise),
    "one unordered thread": lambda: hr.MultiThreadMapData(numbers(9, True), 1, noise, ordered=False),
    "map and batch": lambda: hr.MultiProcessMapAndBatchData(numbers(7, True), 2, noise, 2, **FORK),
    "map and batch, rest": lambda: hr.MultiProcessMapAndBatchData(numbers(7), 2, square, 3, remainder=True, **FORK),
    "map and batch, endless": lambda: hr.MultiProcessMapAndBatchData(numbers(5), 2, square, 2, strict=False, **FORK),
    "runner zmq": lambda: hr.MultiProcessRunnerZMQ(numbers(5, True), 1, **FORK),
    "runner pipes": lambda: hr.MultiProcessRunner(numbers(5, True), 3, 1, **FORK),
    "runner threads": lambda: hr.MultiThreadRunner(lambda: numbers(9, True), 4, 1),
    "runner without length": lambda: hr.MultiThreadRunner(lambda: Generated(5), 4, 1),
    "runner of random stages": lambda: hr.MultiThreadRunner(
        lambda: hr.LocallyShuffleData(hr.MapData(numbers(9, True), noise), 3), 4, 1
    ),
    "sharded": lambda: hr.MultiProcessRunnerZMQ(hr.MapData(numbers(5, True), noise), 1, shard=True, **FORK),
    "sharded threads": lambda: hr.MultiThreadRunner(lambda: numbers(9, True), 4, 1, shard=True),
    "over user code": lambda: hr.MultiThreadMapData(Generated(7), 2, square),
    "over random stages": lambda: hr.MultiThreadMapData(hr.LocallyShuffleData(numbers(7, True), 3), 2, square),
    "batches over a mapper": lambda: hr.BatchData(hr.MultiThreadMapData(numbers(9, True), 2, noise), 2),
    "mapper over a mapper": lambda: hr.MultiThreadMapData(hr.MultiThreadMapData(numbers(7, True), 2, square), 2, noise),
    "mapper over a runner": lambda: hr.MultiThreadMapData(
        hr.MultiThreadRunner(lambda: numbers(7, True), 3, 1), 2, square
    ),
    "runner over a mapper": lambda: hr.MultiThreadRunner(
        lambda: hr.MultiThreadMapData(numbers(7, True), 2, noise), 3, 1
    ),
    "shuffled results": lambda: hr.LocallyShuffleData(hr.MultiThreadMapData(numbers(7, True), 2, noise), 3),
    "joined": lambda: hr.JoinData(
        [hr.MultiThreadMapData(numbers(6, True), 2, noise), hr.MultiThreadMapData(numbers(6), 1, odd_or_none)]
    ),
    "repeated": lambda: hr.RepeatedData(hr.MultiThreadMapData(numbers(4, True), 2, noise), 2),
    "cut": lambda: hr.FixedSizeData(hr.MultiThreadMapData(numbers(6, True), 2, noise), 4),
}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_resumes_at_every_datapoint(name: str) -> None:
    check_resume(DETERMINISTIC[name], limit=12)


# -- unordered, and several copies: the right set, at every datapoint

SETS: dict[str, Callable[[], hr.DataFlow]] = {
    "unordered": lambda: hr.MultiProcessMapData(numbers(9, True), 3, noise, ordered=False, **FORK),
    "unordered threads": lambda: hr.MultiThreadMapData(numbers(9, True), 3, noise, ordered=False),
    "sharded": lambda: hr.MultiProcessRunnerZMQ(hr.MapData(numbers(9, True), noise), 3, shard=True, **FORK),
    "sharded pipes": lambda: hr.MultiProcessRunner(hr.MapData(numbers(9, True), noise), 9, 2, shard=True, **FORK),
    "sharded threads": lambda: hr.MultiThreadRunner(lambda: hr.MapData(numbers(9, True), noise), 4, 3, shard=True),
    "sharded user code": lambda: hr.MultiThreadRunner(lambda: hr.MapData(Generated(9), noise), 4, 3, shard=True),
}


def saved(flow: hr.DataFlow) -> Any:
    return json.loads(json.dumps(flow.state_dict()))


def loaded(make: Callable[[], hr.DataFlow], state: Any) -> hr.DataFlow:
    flow = make()
    flow.load_state_dict(state)
    return flow


def begun(make: Callable[[], hr.DataFlow], count: int, seed: int = 4) -> tuple[list[Any], Any]:
    """The first datapoints, and the state after them."""
    hr.seed(seed)
    with make() as flow:
        running = iter(flow)
        got = list(itertools.islice(running, count))
        state = saved(flow)
        del running
    hr.seed(None)
    return got, state


def passes(flow: hr.DataFlow, count: int) -> list[list[Any]]:
    with flow:
        return [list(flow) for _ in range(count)]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("taken", [0, 4, 9])
def test_no_order_still_means_each_datapoint_once(name: str, taken: int) -> None:
    hr.seed(4)
    expected = [sorted(one) for one in passes(SETS[name](), 2)]
    got, state = begun(SETS[name], taken)
    rest, following = passes(loaded(SETS[name], state), 2)
    assert sorted(got + rest) == expected[0]
    assert sorted(following) == expected[1]


@pytest.mark.parametrize("name", SETS)
def test_no_order_resumed_at_each_datapoint_in_turn(name: str) -> None:
    got, state = begun(SETS[name], 1)
    for _ in range(8):
        with loaded(SETS[name], state) as flow:
            assert same(saved(flow), state)
            running = iter(flow)
            got.append(next(running))
            state = saved(flow)
            del running
    assert passes(loaded(SETS[name], state), 1) == [[]]
    assert len(set(got)) == len(got) == 9


def test_independent_copies_go_on_where_each_was() -> None:
    class Mine(hr.DataFlow):
        def __iter__(self) -> Iterator[tuple[int, int]]:
            info = hr.worker_info()
            assert info is not None
            yield from ((info.index, n) for n in range(7))

    make = lambda: hr.MultiThreadRunner(Mine, 6, 3)  # noqa: E731
    got, state = begun(make, 10)
    with loaded(make, state) as flow:
        got += itertools.islice(flow, 25)
    for index in range(3):
        mine = [n for i, n in got if i == index]
        assert mine == [n % 7 for n in range(len(mine))]


# -- elsewhere: other numbers of workers, other executors

MAPPERS: dict[str, Callable[..., hr.DataFlow]] = {
    "1 process": lambda **kw: hr.MultiProcessMapData(numbers(20, True), 1, noise, **kw),
    "4 processes": lambda **kw: hr.MultiProcessMapData(numbers(20, True), 4, noise, buffer_size=7, **kw),
    "2 threads": lambda **kw: hr.MultiThreadMapData(numbers(20, True), 2, noise, **kw),
}


@pytest.mark.parametrize(("here", "there"), list(itertools.permutations(MAPPERS, 2)))
@pytest.mark.parametrize("ordered", [True, False])
def test_a_mapper_goes_on_with_other_workers(here: str, there: str, ordered: bool) -> None:
    hr.seed(4)
    expected = passes(MAPPERS[here](), 2)
    got, state = begun(lambda: MAPPERS[here](ordered=ordered), 9)
    rest, following = passes(loaded(lambda: MAPPERS[there](ordered=ordered), state), 2)
    if not ordered:
        got, rest, following, expected = sorted(got + rest), [], sorted(following), [sorted(one) for one in expected]
    assert got + rest == expected[0]
    assert following == expected[1]


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (3, 1), (1, 3)])
def test_map_and_batch_goes_on_with_other_workers(before: int, after: int) -> None:
    def make(count: int) -> hr.DataFlow:
        return hr.MultiProcessMapAndBatchData(numbers(22, True), count, noise, 3, remainder=True)

    hr.seed(4)
    expected = passes(make(2), 2)
    got, state = begun(lambda: make(before), 3)
    rest, following = passes(loaded(lambda: make(after), state), 2)
    assert same([got + rest, following], expected)


RUNNERS: dict[str, Callable[[int], hr.DataFlow]] = {
    "zmq": lambda n: hr.MultiProcessRunnerZMQ(hr.MapData(numbers(20, True), noise), n, 4, shard=True),
    "pipes": lambda n: hr.MultiProcessRunner(hr.MapData(numbers(20, True), noise), 6, n, shard=True),
    "threads": lambda n: hr.MultiThreadRunner(lambda: hr.MapData(numbers(20, True), noise), 6, n, shard=True),
    "no length": lambda n: hr.MultiThreadRunner(lambda: hr.MapData(Generated(20), noise), 6, n, shard=True),
}


@pytest.mark.parametrize("name", RUNNERS)
@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (3, 1)])
@pytest.mark.parametrize("taken", [7, 20])
def test_a_sharded_runner_is_elastic(name: str, before: int, after: int, taken: int) -> None:
    make = RUNNERS[name]
    hr.seed(4)
    expected = [sorted(one) for one in passes(make(before), 2)]
    got, state = begun(lambda: make(before), taken)
    rest, following = passes(loaded(lambda: make(after), state), 2)
    assert sorted(got + rest) == expected[0]
    assert sorted(following) == expected[1]


def test_a_sharded_runner_goes_on_with_another_executor() -> None:
    hr.seed(4)
    (expected,) = passes(RUNNERS["zmq"](3), 1)
    got, state = begun(lambda: RUNNERS["zmq"](3), 4)
    for name, workers in (("pipes", 2), ("threads", 4), ("zmq", 1)):
        with loaded(lambda name=name, workers=workers: RUNNERS[name](workers), state) as flow:
            running = iter(flow)
            got += itertools.islice(running, 4)
            state = saved(flow)
            del running
    got += passes(loaded(lambda: RUNNERS["pipes"](3), state), 1)[0]
    assert sorted(got) == sorted(expected)


def test_more_copies_than_threads_do_not_share_a_flow() -> None:
    """Copy 0 is in the middle of its share when another thread begins copy 2."""
    begun_2 = threading.Event()

    def f(n: int) -> int:
        if resumed and n % 3 == 2:
            begun_2.set()
        if resumed and n % 3 == 0 and n > 20:
            begun_2.wait(20)
        return n

    def make(count: int) -> hr.DataFlow:
        mapped = lambda: hr.MultiThreadMapData(numbers(30), 1, f, buffer_size=1)  # noqa: E731
        return hr.MultiThreadRunner(mapped, 3, count, shard=True)

    resumed = False
    got, state = begun(lambda: make(3), 4)
    resumed = True
    (rest,) = passes(loaded(lambda: make(2), state), 1)
    assert begun_2.is_set()
    assert sorted(got + rest) == list(range(30))


def test_a_runner_inside_of_a_sharded_runner_begins_each_pass_anew() -> None:
    inner = lambda: hr.MultiThreadRunner(lambda: numbers(5), 3, 1)  # noqa: E731
    flow = hr.MultiThreadRunner(inner, 4, 1, shard=True)
    assert passes(flow, 3) == [list(range(5))] * 3


# -- the same flow again


@pytest.mark.parametrize("name", [*SETS, "mapper", "map and batch", "runner zmq", "runner pipes", "runner threads"])
def test_a_state_can_be_loaded_into_the_flow_that_has_run(name: str) -> None:
    """After whole passes, or after one that was left; its workers are there already."""
    make = SETS.get(name) or DETERMINISTIC[name]
    hr.seed(4)
    with make() as flow:
        running = iter(flow)
        got = list(itertools.islice(running, 2))
        state = saved(flow)
        rest = list(running)
        list(flow)
        flow.load_state_dict(state)
        assert sorted(map(repr, list(flow))) == sorted(map(repr, rest))
        for _ in flow:
            break
        flow.load_state_dict(state)
        assert sorted(map(repr, list(flow))) == sorted(map(repr, rest))
        assert len(got) == 2


@pytest.mark.parametrize("name", [*SETS, "mapper", "map and batch", "over random stages", "batches over a mapper"])
def test_a_pass_that_was_left_can_be_saved(name: str) -> None:
    make = SETS.get(name) or DETERMINISTIC[name]
    hr.seed(4)
    with make() as flow:
        expected = list(itertools.islice(flow, 3)) if name == "over random stages" else list(flow)
    hr.seed(4)
    with make() as flow:
        for dp in flow:
            first = dp
            break
        state = saved(flow)
    with loaded(make, state) as flow:
        rest = list(itertools.islice(flow, len(expected) - 1))
    assert sorted(map(repr, [first, *rest])) == sorted(map(repr, expected))


@pytest.mark.parametrize("name", [*SETS, "mapper", "map and batch", "runner zmq", "runner pipes"])
def test_loading_under_a_live_iterator_is_refused(name: str) -> None:
    make = SETS.get(name) or DETERMINISTIC[name]
    with make() as flow:
        running = iter(flow)
        next(running)
        state = saved(flow)
        with pytest.raises(hr.StateError, match="is being iterated"):
            flow.load_state_dict(state)
        running.close()
        flow.load_state_dict(state)
        list(flow)


# -- what is refused


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.update(version=99), "version 99"),
        (lambda s: s["flow"]["run"]["own"]["intake"].update(first=1), "edited"),
        (lambda s: s["flow"]["run"]["own"].pop("intake"), "edited or truncated"),
        (lambda s: s.pop("checksum"), "edited or truncated"),
    ],
)
def test_a_damaged_state_is_refused(edit: Callable[[Any], Any], message: str) -> None:
    _, state = begun(MAPPERS["2 threads"], 3)
    edit(damaged := copy.deepcopy(state))
    with MAPPERS["2 threads"]() as flow, pytest.raises(hr.StateError, match=message):
        flow.load_state_dict(damaged)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda: hr.MultiThreadMapData(numbers(20, True), 2, noise, ordered=False), "ordered=False"),
        (lambda: hr.MultiThreadMapData(numbers(20, True), 2, noise, strict=False), "strict=False"),
        (lambda: hr.MultiThreadMapData(numbers(21, True), 2, noise), "21 datapoints"),
        (lambda: hr.MultiThreadMapData(numbers(20), 2, noise), "shuffle=False"),
        (lambda: hr.MultiProcessMapAndBatchData(numbers(20, True), 2, noise, 2), "batch_size=2"),
        (lambda: hr.MultiThreadRunner(lambda: numbers(20, True), 2, 2), "Runner"),
    ],
)
def test_another_pipeline_is_refused_with_the_difference(other: Callable[[], hr.DataFlow], named: str) -> None:
    _, state = begun(MAPPERS["2 threads"], 3)
    with pytest.raises(hr.StateError, match="saved:") as error:
        other().load_state_dict(state)
    assert any("here:" in line and named in line for line in str(error.value).splitlines())


# -- what a resume costs


class CountingList:
    """Tells which elements were read."""

    def __init__(self, count: int):
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.read.append(index)
        return index


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("taken", [0, 500, 9_990])
def test_an_indexable_source_is_read_near_its_position_only(ordered: bool, taken: int) -> None:
    def make(elements: CountingList) -> hr.DataFlow:
        return hr.MultiThreadMapData(
            hr.DataFromList(elements, shuffle=False), 2, square, buffer_size=50, ordered=ordered
        )

    _, state = begun(lambda: make(CountingList(10_000)), taken)
    again = CountingList(10_000)
    with loaded(lambda: make(again), state) as flow:
        running = iter(flow)
        next(running)
        del running
    assert len(again.read) <= 120
    assert max(again.read) <= taken + 120
    if ordered:  # if not, one that a thread has long been busy with may lie far behind
        assert min(again.read) == taken


def test_the_state_of_a_long_list_is_small() -> None:
    files = [f"/data/train/class{n % 10}/image{n:08}.jpg" for n in range(10_000)]
    big = {
        "mapper": lambda: hr.MultiProcessMapData(hr.DataFromList(files), 2, str, buffer_size=200),
        "unordered": lambda: hr.MultiProcessMapData(hr.DataFromList(files), 2, str, buffer_size=200, ordered=False),
        "batches": lambda: hr.MultiProcessMapAndBatchData(hr.DataFromList(files), 2, len, 32, buffer_size=200),
        "over a stage": lambda: hr.MultiThreadMapData(hr.MapData(hr.DataFromList(files), str), 2, str, buffer_size=200),
        "sharded": lambda: hr.MultiProcessRunnerZMQ(hr.MapData(hr.DataFromList(files), str), 3, shard=True),
        "default buffer": lambda: hr.MultiProcessMapData(hr.DataFromList(files), 2, str),
    }
    sizes = {name: len(json.dumps(begun(make, 150)[1])) for name, make in big.items()}
    assert max(sizes.values()) < 100_000, sizes
    assert sizes["mapper"] < 5_000


class Notes:
    """A map function that writes down what it was called with, over all processes."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, n: int) -> int:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{n}\n".encode())
        os.close(fd)
        return n

    def read(self) -> list[int]:
        return [int(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


MAPS: dict[str, Callable[[Any], hr.DataFlow]] = {
    "mapper": lambda f: hr.MultiProcessMapData(numbers(40, True), 2, f),
    "unordered": lambda f: hr.MultiProcessMapData(numbers(40, True), 2, f, ordered=False),
    "threads": lambda f: hr.MultiThreadMapData(numbers(40, True), 2, f, buffer_size=5),
    "over user code": lambda f: hr.MultiThreadMapData(Generated(40), 2, f),
    "map and batch": lambda f: hr.MultiProcessMapAndBatchData(numbers(40, True), 2, f, 4),
}


@pytest.mark.parametrize("name", MAPS)
def test_what_was_delivered_is_not_mapped_again(name: str, tmp_path: Path) -> None:
    got, state = begun(lambda: MAPS[name](Notes(tmp_path / "first")), 7)
    delivered = {int(n) for dp in got for n in np.atleast_1d(dp)}
    notes = Notes(tmp_path / "second")
    (rest,) = passes(loaded(lambda: MAPS[name](notes), state), 1)
    remaining = {int(n) for dp in rest for n in np.atleast_1d(dp)}
    assert delivered | remaining == set(range(40))
    assert not delivered & remaining
    assert not delivered & set(notes.read())
    assert len(notes.read()) == len(remaining)


# -- a new process after kill -9

CONSUMER = """
import json, os, sys
import headrace as hr

path, workers, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
f = lambda n, *, rng: [n, int(rng.integers(1 << 30))]
files = hr.DataFromList(range(60))
if kind == "mapper":
    flow = hr.BatchData(hr.MultiProcessMapData(files, workers, f), 4)
else:
    flow = hr.MultiProcessMapAndBatchData(files, workers, f, 4)
got = []
if os.path.exists(path):
    saved = json.load(open(path))
    flow.load_state_dict(saved["state"])
    got = saved["got"]
else:
    hr.seed(5)
while True:
    for numbers, draws in flow:
        got.append([numbers.tolist(), draws.tolist()])
        with open(path + ".new", "w") as file:
            json.dump({"state": flow.state_dict(), "got": got}, file)
        os.replace(path + ".new", path)
        print(len(got), flush=True)
"""


@pytest.mark.parametrize("kind", ["mapper", "map and batch"])
def test_a_new_process_goes_on_after_kill_9(kind: str, tmp_path: Path) -> None:
    """Twice, within two passes, each time with another number of workers."""
    script = tmp_path / "consumer.py"
    script.write_text(CONSUMER)
    path = tmp_path / "saved.json"

    def run(workers: int, until: int) -> None:
        process = subprocess.Popen(
            [sys.executable, script, path, str(workers), kind], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if int(line) >= until:
                    break
            process.send_signal(signal.SIGKILL)
        process.wait()

    for workers, until in ((2, 4), (3, 19), (1, 30)):
        run(workers, until)
    got = json.loads(path.read_text())["got"]

    f = lambda n, *, rng: [n, int(rng.integers(1 << 30))]  # noqa: E731
    hr.seed(5)
    flow = hr.BatchData(hr.MapData(hr.DataFromList(range(60)), f), 4)
    expected = [[numbers.tolist(), draws.tolist()] for _ in range(4) for numbers, draws in flow]
    assert len(got) >= 30
    assert got == expected[: len(got)]


# -- a state of this release, for the releases to come

GOLDEN = Path(__file__).parent / "golden" / "state-v1.json"


def golden_flow() -> hr.DataFlow:
    mapped = hr.MultiThreadMapData(numbers(30, True), 2, noise, buffer_size=6)
    return hr.LocallyShuffleData(hr.BatchData(mapped, 2), 3)


def golden_events(flow: hr.DataFlow, count: int) -> list[Any]:
    with flow:
        return [[part.tolist() for part in dp] for dp in itertools.islice(flow, count)]


def write_golden() -> None:
    _, state = begun(golden_flow, 6, seed=2026)
    rest = golden_events(loaded(golden_flow, state), 20)
    GOLDEN.write_text(json.dumps({"state": state, "rest": rest}, indent=1) + "\n")


def test_the_golden_state_still_loads() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden_events(loaded(golden_flow, golden["state"]), 20) == golden["rest"]


if __name__ == "__main__":  # only for a new version of the format
    write_golden()


@pytest.mark.parametrize("shard", [True, False])
@pytest.mark.parametrize(
    "stage",
    [
        lambda ds: hr.Take(ds, 3),
        lambda ds: hr.FixedSizeData(ds, 3, keep_state=False),
        lambda ds: hr.JoinData([ds, numbers(3)]),
    ],
    ids=["take", "fixed size", "join"],
)
def test_a_runner_whose_pass_is_left_by_the_stage_above_begins_anew_after_a_resume(stage: Any, shard: bool) -> None:
    check_resume(lambda: stage(hr.MultiThreadRunner(lambda: numbers(7, True), 4, 1, shard=shard)), limit=12)
