import itertools
import threading

import pytest

import headrace as hr
from headrace.testing import check_resume


def L(*values):
    return hr.DataFromList(list(values), shuffle=False)


def shard(name):
    """A shard as a flow that shuffles, with as many datapoints as its name says."""
    return hr.DataFromList([f"{name}{i}" for i in range(int(name[1:]))])


def test_takes_turns():
    flow = hr.Interleave(L("a3", "b1", "c2"), lambda n: [f"{n[0]}{i}" for i in range(int(n[1:]))], cycle_length=2)
    assert list(flow) == ["a0", "b0", "a1", "c0", "a2", "c1"]


def test_blocks():
    flow = hr.Interleave(L(0, 10, 20), lambda n: range(n, n + 4), cycle_length=2, block_length=3)
    assert list(flow) == [0, 1, 2, 10, 11, 12, 3, 20, 21, 22, 13, 23]


def test_one_at_a_time_is_one_after_the_other():
    assert list(hr.Interleave(L(2, 0, 3), range, cycle_length=1)) == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("cycle", [1, 2, 5, 50])
@pytest.mark.parametrize("block", [1, 3])
def test_each_datapoint_once(cycle, block):
    flow = hr.Interleave(hr.DataFromList([f"s{n}" for n in (3, 0, 5, 1, 0, 4)]), shard, cycle, block)
    expected = [f"s{n}{i}" for n in (3, 5, 1, 4) for i in range(n)]
    assert sorted(flow) == sorted(flow) == sorted(expected)


def test_only_so_many_shards_are_open():
    now, most = [], []

    def opened(name):
        now.append(name)
        most.append(len(now))
        yield from range(5)
        now.remove(name)

    assert len(list(hr.Interleave(L(*"abcdefg"), opened, cycle_length=3))) == 35
    assert max(most) == 3


def test_no_shards():
    assert list(hr.Interleave(L(), shard)) == []
    assert list(hr.Interleave(L("a0", "b0"), shard)) == []


def test_shuffling_shards_is_decided_by_the_seed_and_differs_from_pass_to_pass():
    def flow():
        return hr.Interleave(L("a9", "a9"), shard, cycle_length=1)

    hr.seed(3)
    running = flow()
    first, second = list(running), list(running)
    assert first == list(flow())
    assert first != second
    assert first[:9] != first[9:]


def test_shards_with_workers():
    def opened(n):
        return hr.MultiThreadMapData(hr.DataFromList(range(n, n + 20), shuffle=False), 2, lambda v: v)

    assert sorted(hr.Interleave(L(0, 100, 200), opened, 2)) == [*range(20), *range(100, 120), *range(200, 220)]


def test_shares_of_a_runner_are_shares_of_the_shards():
    def pipeline():
        return hr.Interleave(hr.DataFromList([f"s{n}" for n in (3, 1, 4, 2, 5)], shuffle=False), shard, 2)

    with hr.MultiThreadRunner(pipeline, 4, 2, shard=True) as flow:
        assert sorted(flow) == sorted(pipeline())


def test_bad_input():
    with pytest.raises(TypeError, match="open_shard must be callable"):
        hr.Interleave(L(1), "open")
    with pytest.raises(TypeError, match=r"open_shard gets no rng, but .*<lambda>\(\) wants one; return a flow"):
        hr.Interleave(L(1), lambda n, *, rng: [n])
    with pytest.raises(ValueError, match="cycle_length must be at least 1"):
        hr.Interleave(L(1), shard, 0)
    with pytest.raises(ValueError, match="block_length must be at least 1"):
        hr.Interleave(L(1), shard, 1, 0)
    with pytest.raises(TypeError, match="expected a DataFlow or another iterable, got int"):
        list(hr.Interleave(L(1), lambda n: n))
    with pytest.raises(hr.NoLengthError):
        len(hr.Interleave(L(1), shard))


def test_a_flow_may_be_opened_again_but_not_twice_at_a_time():
    flows = {n: L(*range(n)) for n in (2, 3)}
    assert list(hr.Interleave(L(2, 3, 2), flows.get, 1)) == [0, 1, 0, 1, 2, 0, 1]
    check_resume(lambda: hr.Interleave(hr.DataFromList([2, 3, 2]), {n: L(*range(n)) for n in (2, 3)}.get, 1))
    with pytest.raises(
        ValueError, match="the same DataFromList for two shards that are open at a time, the second is 2"
    ):
        list(hr.Interleave(L(2, 3, 2), flows.get, 3))


@pytest.mark.parametrize("left", [False, True])
def test_close_ends_the_workers_of_open_shards(left):
    threads = threading.active_count()
    flow = hr.Interleave(L(1, 2, 3), lambda n: hr.MultiThreadMapData(L(4, 5, 6), 1, lambda x: x), 2)
    running = iter(flow)
    next(running)
    assert threading.active_count() > threads
    if left:
        del running
    flow.close()
    assert threading.active_count() == threads


@pytest.mark.parametrize(("cycle", "block"), [(1, 1), (2, 1), (2, 2), (9, 3)])
def test_resumes(cycle, block):
    names = [f"s{n}" for n in (3, 0, 2, 4, 1)]
    check_resume(lambda: hr.Interleave(hr.DataFromList(names), shard, cycle, block))
    check_resume(lambda: hr.Interleave(hr.DataFromList(names), lambda n: map(str, range(int(n[1:]))), cycle, block))


def test_resuming_reads_nothing_of_a_shard_again():
    read = []

    class Rows:
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            read.append(index)
            return index

    def make():
        return hr.Interleave(L("a"), lambda name: hr.DataFromList(Rows(), shuffle=False))

    flow = make()
    running = iter(flow)
    list(itertools.islice(running, 900))
    state = flow.state_dict()
    del read[:]
    again = make()
    again.load_state_dict(state)
    assert next(iter(again)) == 900
    assert read == [900]
