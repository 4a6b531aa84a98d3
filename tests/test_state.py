"""Saving and loading: what fits, what is refused, and what a seed decides."""

import collections
import copy
import enum
import itertools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace as hr
from headrace.state import Cursor, Rows, decode, encode
from headrace.testing import same


def pipeline(n=10, batch=3):
    return hr.BatchData(hr.DataFromList(list(range(n))), batch)


def state_after(flow, count):
    running = iter(flow)
    for _ in range(count):
        next(running)
    return flow.state_dict()


# -- what is refused


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s["flow"]["inputs"][0]["run"]["own"].update(position=1), "checksum does not match: it was edited"),
        (lambda s: s.update(seed=5), "edited or truncated"),
        (lambda s: s.pop("flow"), "edited or truncated"),
        (lambda s: s.pop("checksum"), "edited or truncated"),
        (lambda s: s.update(version=99), "version 99, this headrace reads version 1"),
        (lambda s: s.pop("version"), "not a state of headrace"),
    ],
)
def test_a_damaged_state_is_refused(edit, message):
    state = copy.deepcopy(state_after(pipeline(), 1))
    edit(state)
    flow = pipeline()
    with pytest.raises(hr.StateError, match=message):
        flow.load_state_dict(state)
    assert len(list(flow)) == 3


@pytest.mark.parametrize("what", [None, [], "state", {}])
def test_what_is_no_state_is_refused(what):
    with pytest.raises(hr.StateError, match=r"not a state of headrace.*state_dict\(\)"):
        pipeline().load_state_dict(what)


@pytest.mark.parametrize(
    ("other", "saved", "here"),
    [
        (lambda: pipeline(batch=4), "batch_size=3", "batch_size=4"),
        (lambda: pipeline(n=11), "10 datapoints", "11 datapoints"),
        (lambda: pipeline().ds, "BatchData", "DataFromList"),
        (lambda: hr.RepeatedData(pipeline(), 2), "BatchData", "RepeatedData"),
    ],
)
def test_a_state_of_another_pipeline_is_refused_with_the_difference(other, saved, here):
    state = state_after(pipeline(), 1)
    with pytest.raises(hr.StateError) as error:
        other().load_state_dict(state)
    lines = str(error.value).splitlines()
    assert any("saved:" in line and saved in line for line in lines)
    assert any("here:" in line and here in line for line in lines)


def test_loading_under_a_live_iterator_is_refused():
    flow = pipeline()
    state = flow.state_dict()
    running = iter(flow)
    next(running)
    with pytest.raises(hr.StateError, match=r"BatchData is being iterated: load a state before iter\(\)"):
        flow.load_state_dict(state)
    running.close()
    flow.load_state_dict(state)
    assert len(list(flow)) == 3


def test_probabilities_belong_to_the_fingerprint():
    def choose(p):
        return hr.RandomChooseData([(hr.DataFromList([1, 2]), p), (hr.DataFromList([3]), 1 - p)])

    with pytest.raises(hr.StateError, match=r"0\.25"):
        choose(0.5).load_state_dict(choose(0.25).state_dict())


# -- what a state is


def test_it_is_small_plain_data():
    state = state_after(hr.DataFromList(list(range(100_000))), 50_000)
    assert len(json.dumps(state)) < 1000
    assert state["version"] == 1


def test_it_does_not_change_when_the_flow_goes_on():
    flow = hr.LocallyShuffleData(hr.DataFromList([[i] for i in range(10)]), 4)
    running = iter(flow)
    next(running)
    state = flow.state_dict()
    text = json.dumps(state)
    for _ in range(20):
        next(running)
    assert json.dumps(state) == text


def test_between_the_last_datapoint_and_the_end_the_rest_is_empty():
    flow = hr.DataFromList([1, 2], shuffle=False)
    running = iter(flow)
    assert [next(running), next(running)] == [1, 2]
    again = hr.DataFromList([1, 2], shuffle=False)
    again.load_state_dict(flow.state_dict())
    assert [list(again), list(again)] == [[], [1, 2]]
    assert next(running, None) is None
    again.load_state_dict(flow.state_dict())
    assert list(again) == [1, 2]


def test_a_pass_that_was_left_can_be_saved_until_the_next_one_begins():
    hr.seed(5)
    expected = [repr(batch) for batch in pipeline()]
    flow = pipeline()
    for _ in flow:
        break
    left = flow.state_dict()
    whole = list(flow)
    after = flow.state_dict()
    hr.seed(None)

    again = pipeline()
    again.load_state_dict(left)
    assert [repr(batch) for batch in again] == expected[1:]
    again.load_state_dict(after)
    assert len(list(again)) == len(whole) == len(expected)


def test_another_process_goes_on(tmp_path):
    code = (
        "import headrace as hr, json, os, sys\n"
        "flow = hr.BatchData(hr.LocallyShuffleData(hr.DataFromList(list(range(20))), 5), 3)\n"
        "if sys.argv[2] == 'load': flow.load_state_dict(json.load(open(sys.argv[1])))\n"
        "running = iter(flow)\n"
        "print(json.dumps([next(running).tolist() for _ in range(4)]))\n"
        "json.dump(flow.state_dict(), open(sys.argv[1], 'w'))\n"
        "if sys.argv[2] == 'save': print(json.dumps([next(running).tolist() for _ in range(4)]))\n"
        "sys.stdout.flush(); os._exit(0)\n"
    )
    path = str(tmp_path / "state.json")

    def run(what):
        command = [sys.executable, "-c", code, path, what]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()

    assert run("save")[1] == run("load")[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_user_code_is_replayed_by_count(n):
    begun = []

    class Mine(hr.DataFlow):
        def __iter__(self):
            begun.append(1)
            yield from range(3)

    again = Mine()
    again.load_state_dict(state_after(Mine(), n))
    assert list(again) == list(range(n, 3))


def test_user_code_that_gives_less_on_replay():
    class Mine(hr.DataFlow):
        count = 3

        def __iter__(self):
            yield from range(self.count)

    state = state_after(Mine(), 3)
    again = Mine()
    again.count = 2
    again.load_state_dict(state)
    with pytest.raises(hr.StateError, match="replaying its first 3 datapoints, but gave only 2"):
        list(again)


def test_a_resumed_stage_does_not_map_delivered_datapoints_again():
    mapped = []
    make = lambda: hr.MapData(hr.DataFromList(list(range(10)), shuffle=False), lambda x: mapped.append(x) or x)  # noqa: E731
    state = state_after(make(), 6)
    mapped.clear()
    again = make()
    again.load_state_dict(state)
    assert list(again) == mapped == [6, 7, 8, 9]


# -- seeds


def test_without_a_seed_everything_differs():
    assert list(hr.DataFromList(list(range(50)))) != list(hr.DataFromList(list(range(50))))


def test_stages_and_passes_have_random_numbers_of_their_own():
    hr.seed(0)
    flow = hr.JoinData([hr.DataFromList(list(range(30))), hr.DataFromList(list(range(30)))])
    first, second = zip(*flow, strict=True)
    assert first != second
    assert list(zip(*flow, strict=True)) != [first, second]


def test_a_state_brings_its_seed_for_all_passes_to_come():
    hr.seed(1)
    flow = hr.DataFromList(list(range(20)))
    running = iter(flow)
    next(running)
    state = flow.state_dict()
    rest = [list(running), list(flow), list(flow)]
    hr.seed(2)
    again = hr.DataFromList(list(range(20)))
    list(again)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert [list(again), list(again), list(again)] == rest


def test_a_seed_after_loading_counts_from_the_next_pass():
    hr.seed(1)
    state = state_after(hr.DataFromList(list(range(20))), 20)
    again = hr.DataFromList(list(range(20)))
    again.load_state_dict(state)
    hr.seed(2)
    assert list(again) == []
    second = list(again)
    hr.seed(2)
    flow = hr.DataFromList(list(range(20)))
    list(flow)
    assert list(flow) == second


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), ("7", TypeError), (True, TypeError)])
def test_bad_seeds(value, error):
    with pytest.raises(error, match="a seed is a non-negative integer or None"):
        hr.seed(value)


def test_numpy_integers_are_seeds():
    hr.seed(np.int64(3))
    first = list(hr.DataFromList(list(range(9))))
    hr.seed(3)
    assert list(hr.DataFromList(list(range(9)))) == first


# -- how datapoints in buffers are saved


class Color(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "a", True],
        (1, (2,)),
        b"\x00\xff",
        {"a": {"$tuple": [1]}},
        {1: "a", (2, 3): b"b"},
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.zeros((0, 3), "float32"),
        np.array("text"),
        np.array(["2020-01-01"], "M8[D]"),
        np.float32(1.5),
        np.str_("x"),
        2**200,
        float("inf"),
    ],
)
def test_plain_values_survive_json(value):
    assert same(decode(json.loads(json.dumps(encode(value)))), value)


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2),
        Color.RED,
        collections.OrderedDict({(1, 2): 3}),
        {1, 2},
        np.array([{}], object),
        np.zeros(1, [("a", int)]),
    ],
)
def test_other_values_survive_pickle_and_never_change_in_json(value):
    saved = encode([value])
    assert same(decode(pickle.loads(pickle.dumps(saved))), [value])
    with pytest.raises(TypeError):
        json.dumps(saved)


@pytest.mark.parametrize(
    ("kind", "add"),
    [(set, set.add), (collections.deque, collections.deque.append), (collections.Counter, lambda c, n: c.update([n]))],
)
def test_containers_in_a_state_are_copied(kind, add):
    class Seen(hr.ProxyDataFlow):
        def run(self, source, state):
            seen = state.setdefault("seen", kind())
            for n in source:
                add(seen, n)
                yield len(seen)

    flow = Seen([1, 2, 3, 4])
    running = iter(flow)
    next(running)
    state = flow.state_dict()
    assert list(running) == [2, 3, 4]
    for _ in range(2):  # whoever is loaded does not change it either
        again = Seen([1, 2, 3, 4])
        again.load_state_dict(state)
        assert list(again) == [2, 3, 4]


def test_any_datapoint_can_wait_in_a_buffer():
    rows = [Point(1, Color.RED), {"x": {1, 2}}, collections.OrderedDict({(1, 2): 3, "a": 1}), object]
    flow = hr.LocallyShuffleData(hr.DataFromList(rows, shuffle=False), 3)
    running = iter(flow)
    next(running)
    again = hr.LocallyShuffleData(hr.DataFromList(rows, shuffle=False), 3)
    again.load_state_dict(pickle.loads(pickle.dumps(flow.state_dict())))
    resumed = iter(again)
    assert [next(resumed) for _ in range(8)] == [next(running) for _ in range(8)]


def test_arrays_that_were_loaded_can_be_written():
    array = decode(encode(np.zeros(3)))
    array[0] = 1
    assert array.tolist() == [1, 0, 0]


def test_state_dict_works_before_iteration_and_after_fork():
    flow = pipeline()
    hr.seed(1)
    state = flow.state_dict()
    pid = os.fork()
    if pid == 0:
        again = pipeline()
        again.load_state_dict(state)
        os._exit(0 if len(list(again)) == 3 else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize(
    "make",
    [
        pipeline,
        lambda: hr.MultiThreadMapData(hr.DataFromList(list(range(9))), 2, lambda n: n),
        lambda: hr.MultiThreadRunner(lambda: hr.DataFromList(list(range(9))), 4, 2, shard=True),
    ],
    ids=["stages", "mapper", "runner"],
)
def test_an_iterator_that_is_dropped_before_it_is_read_loses_no_loaded_state(make):
    hr.seed(3)
    with make() as flow:
        taken = [repr(dp) for dp in itertools.islice(flow, 2)]
        state = flow.state_dict()
        flow.load_state_dict(state)
        iter(flow).close()
        del_me = iter(flow)
        del del_me
        assert flow.state_dict() == state
        rest = [repr(dp) for dp in flow]
        following = [repr(dp) for dp in flow]
    with make() as flow:
        assert sorted(taken + rest) == sorted(repr(dp) for dp in flow)
        assert sorted(following) == sorted(repr(dp) for dp in flow)
    hr.seed(None)


def test_a_state_before_the_first_datapoint_of_an_iterator():
    hr.seed(3)
    flow = pipeline()
    first = [repr(dp) for dp in flow]
    hr.seed(3)
    flow = pipeline()
    running = iter(flow)
    states = [flow.state_dict()]
    running.close()
    states.append(flow.state_dict())
    hr.seed(None)
    for state in states:
        again = pipeline()
        again.load_state_dict(state)
        assert [repr(dp) for dp in again] == first


@pytest.mark.parametrize("other", [lambda flow: next(iter(flow)), list], ids=["a look", "a whole pass"])
def test_another_iterator_in_between_does_not_move_the_state(other):
    flow, again = (hr.BatchData(hr.DataFromList(list(range(8)), shuffle=False), 2) for _ in range(2))
    running = iter(flow)
    next(running)
    other(flow)
    next(running)
    state = flow.state_dict()
    with pytest.raises(hr.StateError, match="is being iterated"):
        flow.load_state_dict(state)
    again.load_state_dict(state)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in running] == [[4, 5], [6, 7]]
    assert len(list(flow)) == 4


@pytest.mark.parametrize("hold", [lambda flow: {"a": flow}, lambda flow: [(flow, 0.5)], lambda flow: [flow]])
def test_flows_that_user_code_keeps_in_containers_are_found(hold):
    class Reads(hr.DataFlow):
        def __init__(self):
            self.held = hold(hr.DataFromList(range(20)))

        def __iter__(self):
            for held in self.held.values() if isinstance(self.held, dict) else self.held:
                yield from held if isinstance(held, hr.DataFlow) else held[0]

    flow, again = Reads(), Reads()
    assert repr(flow) == "Reads()\n└─ DataFromList(20 datapoints, shuffle=True)"
    begun = list(itertools.islice(flow, 8))
    again.load_state_dict(flow.state_dict())
    assert sorted(begun + list(again)) == list(range(20))


# -- ranges, taken without making their numbers


@given(
    st.builds(range, st.integers(-50, 50), st.integers(-50, 50), st.integers(-3, 3).filter(bool)),
    st.lists(st.one_of(st.none(), st.integers(1, 30)), max_size=30),
)
def test_a_range_is_taken_in_pieces_and_one_by_one(numbers, asked):
    state = {}

    def rows():
        cursor = state["cursor"] = Cursor(numbers)
        yield cursor.iterator

    left, flow = list(numbers), Rows.of(rows())
    assert not flow.take_range(1)  # it has not begun
    for count in asked:
        if count is None:
            assert list(itertools.islice(flow, 1)) == left[:1]
            del left[:1]
        else:
            taken = flow.take_range(count)
            assert len(taken) in (0, count)
            assert list(taken) == left[: len(taken)]
            del left[: len(taken)]
        if state:
            assert state["cursor"].position == len(numbers) - len(left)
    assert list(flow) == left


def test_only_a_range_is_taken_as_one():
    flow = Rows.of(iter(row) for row in ([1, 2, 3], range(9)))
    assert next(flow) == 1
    assert not flow.take_range(1)
    assert list(itertools.islice(flow, 3)) == [2, 3, 0]
    assert flow.take_range(3) == range(1, 4)
    assert not flow.take_range(6)
    assert list(flow) == [4, 5, 6, 7, 8]
