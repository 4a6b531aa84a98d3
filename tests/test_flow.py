"""The base class: how passes begin and end, and what a subclass may leave out."""

import gc
import itertools
import os
import pickle

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


class Old(hr.DataFlow):
    """tensorpack's first interface."""

    def get_data(self):
        yield from ([i] for i in range(3))

    def size(self):
        return 3


class Resets(hr.DataFlow):
    """Counts its resets, as a user's flow that opens a file would."""

    def __init__(self):
        self.resets = 0

    def reset_state(self):
        super().reset_state()
        self.resets += 1

    def __iter__(self):
        assert self.resets
        yield from range(3)


class NoInit(hr.RNGDataFlow):
    """Does not call super().__init__(), like many in the wild."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        for _ in range(self.n):
            yield int(self.rng.randint(10**6))


# -- old and new names


def test_old_style_flows_work_and_answer_to_the_new_names():
    flow = Old()
    assert list(flow) == list(flow.get_data()) == [[0], [1], [2]]
    assert len(flow) == flow.size() == 3
    assert [b[0].tolist() for b in hr.BatchData(flow, 3)] == [[0, 1, 2]]


def test_new_style_flows_answer_to_the_old_names():
    flow = hr.DataFromList([1, 2], shuffle=False)
    assert list(flow.get_data()) == [1, 2]
    assert flow.size() == 2


def test_old_style_subclasses_may_call_super():
    class Twice(hr.BatchData):
        def get_data(self):
            for batch in super().get_data():
                yield 2 * batch

        def size(self):
            return super().size()

    class Thrice(Twice):
        def get_data(self):
            for batch in super().get_data():
                yield 3 * batch

        def size(self):
            return super().size() + 1

    make = lambda: Thrice(hr.DataFromList([1, 2, 3, 4], shuffle=False), 2)  # noqa: E731
    assert (
        [batch.tolist() for batch in make()] == [batch.tolist() for batch in make().get_data()] == [[6, 12], [18, 24]]
    )
    assert len(make()) == make().size() == 3
    check_resume(make)


def test_old_style_stages_chain_through_get_data():
    class OldStage(hr.ProxyDataFlow):
        def get_data(self):
            for dp in self.ds.get_data():
                yield [*dp, "stage"]

    class Older(OldStage):
        def get_data(self):
            for dp in super().get_data():
                yield [*dp, "subclass"]

    assert next(iter(Older(Old()))) == [0, "stage", "subclass"]
    assert next(Older(Old()).get_data()) == [0, "stage", "subclass"]


# -- reset_state


def test_reset_state_happens_by_itself_once():
    flow = Resets()
    assert list(flow) == list(flow) == [0, 1, 2]
    assert flow.resets == 1


def test_reset_state_may_be_called_any_number_of_times():
    flow = Resets()
    top = hr.MapData(flow, str)
    top.reset_state()
    top.reset_state()
    flow.reset_state()
    assert list(top) == ["0", "1", "2"]
    assert flow.resets == 1


def test_a_failed_reset_is_tried_again():
    class Fails(Resets):
        def reset_state(self):
            super().reset_state()
            if self.resets == 1:
                raise OSError("not yet")

    flow = Fails()
    with pytest.raises(OSError, match="not yet"):
        list(flow)
    assert list(flow) == [0, 1, 2]
    assert flow.resets == 2


def test_each_process_resets_once():
    flow = Resets()
    list(flow)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        list(flow)
        list(flow)
        os.write(write, b"%d" % flow.resets)
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"2"
    os.close(read)
    os.close(write)


def test_reset_state_without_super():
    class Rude(hr.RNGDataFlow):
        def reset_state(self):
            self.opened = True

        def __iter__(self):
            yield self.opened, self.rng.randint(1)

    assert list(Rude()) == [(True, 0)]


# -- subclasses


def test_init_need_not_call_super():
    hr.seed(3)
    flow = NoInit(4)
    first = list(flow)
    assert len(set(first)) == 4
    assert list(flow) != first
    hr.seed(3)
    assert list(NoInit(4)) == first


def test_rng_is_there_after_reset_state():
    flow = NoInit(1)
    flow.reset_state()
    assert isinstance(flow.rng, np.random.RandomState)


def test_iter_may_call_super():
    class Base(hr.ProxyDataFlow):
        def __iter__(self):
            for dp in super().__iter__():
                yield dp, "base"

    class Derived(Base):
        def __iter__(self):
            yield "first"
            yield from super().__iter__()

    flow = Derived(hr.DataFromList([1, 2], shuffle=False))
    assert list(flow) == list(flow) == ["first", (1, "base"), (2, "base")]


@pytest.mark.parametrize(
    ("base", "arguments", "expected"),
    [
        (hr.BatchData, (2,), 1),
        (hr.FixedSizeData, (2,), 2),
        (hr.RandomMixData, (), 3),
        (hr.ConcatData, (), 3),
    ],
)
def test_iter_may_call_super_of_any_stage(base, arguments, expected):
    class Mine(base):
        def __iter__(self):
            for dp in super().__iter__():
                yield "mine", dp

    ds = hr.DataFromList([1, 2, 3], shuffle=False)
    flow = Mine([ds] if base in (hr.RandomMixData, hr.ConcatData) else ds, *arguments)
    assert len(list(flow)) == len(list(flow)) == expected


def test_iter_may_come_from_a_mixin():
    class Mixin:
        def __iter__(self):
            yield from self.values()

    class Mine(Mixin, hr.RNGDataFlow):
        def values(self):
            for _ in range(5):
                yield int(self.rng.randint(1000))

    hr.seed(1)
    flow = Mine()
    running = iter(flow)
    first = [next(running), next(running)]
    again = Mine()
    again.load_state_dict(flow.state_dict())
    rest = list(again)
    hr.seed(1)
    assert first + rest == list(Mine())


def test_a_stage_that_keeps_its_input_twice_reads_it_once():
    class Mine(hr.MapData):
        def __init__(self, ds):
            self.original = ds
            super().__init__(ds, str)

    assert list(Mine(hr.DataFromList([1, 2], shuffle=False))) == ["1", "2"]


def test_a_flow_that_defines_nothing_says_so():
    class Nothing(hr.DataFlow):
        pass

    with pytest.raises(TypeError, match="Nothing defines neither __iter__ nor run"):
        list(Nothing())


def test_flows_pickle_without_what_runs():
    flow = hr.BatchData(hr.DataFromList([1, 2, 3], shuffle=False), 2)
    running = iter(flow)
    next(running)
    copy = pickle.loads(pickle.dumps(flow))
    assert [b.tolist() for b in copy] == [[1, 2]]


# -- length, truth, text


def test_flows_without_length_are_true_and_can_be_listed():
    flow = hr.DataFromGenerator(lambda: iter([1, 2]))
    for error in (TypeError, NotImplementedError, hr.DataFlowError):
        with pytest.raises(error, match="no length"):
            len(flow)
    assert list(flow) == [1, 2]
    assert tuple(flow) == (1, 2)
    assert bool(flow)
    assert bool(hr.DataFromList([]))


def test_repr_is_the_pipeline_as_a_tree():
    def decode(dp):
        return dp

    left = hr.BatchData(hr.MapData(hr.DataFromList([1, 2], shuffle=False), decode), 2)
    assert repr(hr.ConcatData([left, hr.RepeatedData(hr.FakeData([(2,)], size=3), -1)])) == (
        "ConcatData()\n"
        "├─ BatchData(batch_size=2, remainder=False, use_list=False)\n"
        "│  └─ MapData(func=test_repr_is_the_pipeline_as_a_tree.decode)\n"
        "│     └─ DataFromList(2 datapoints, shuffle=False)\n"
        "└─ RepeatedData(num=-1)\n"
        "   └─ FakeData(shapes=[(2,)], size=3, random=True, dtype=[float32], domain=[(0, 1)])"
    )


def test_repr_of_a_flow_that_is_read_twice():
    flow = hr.DataFromList([1], shuffle=False)
    assert repr(hr.JoinData([flow, flow])) == (
        "JoinData()\n├─ DataFromList(1 datapoints, shuffle=False)\n└─ DataFromList(1 datapoints, shuffle=False)"
    )


def test_walk_gives_inputs_first_and_each_once():
    ds = hr.DataFromList([1])
    flow = hr.JoinData([ds, hr.MapData(ds, str)])
    assert [type(f).__name__ for f in hr.walk(flow)] == ["DataFromList", "MapData", "JoinData"]


def test_what_is_not_iterable_is_refused():
    with pytest.raises(TypeError, match="expected a DataFlow or another iterable, got int: 3"):
        hr.RepeatedData(3, 2)


# -- iterators


def test_a_flow_may_be_its_own_iterator():
    class Countdown(hr.DataFlow):
        def __iter__(self):
            self.left = 3
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

    flow = Countdown()
    assert list(flow) == list(hr.MapData(flow, lambda n: n)) == [2, 1, 0]
    check_resume(Countdown)


def test_run_must_be_a_generator():
    class Mapped(hr.ProxyDataFlow):
        def run(self, source, state):
            return map(str, source)

    with pytest.raises(TypeError, match=r"Mapped\.run must be a generator \(have a yield\), but returned <map>"):
        list(Mapped([1]))


def test_two_iterators_of_a_random_flow_have_streams_of_their_own():
    class Noise(hr.RNGDataFlow):
        def __iter__(self):
            for _ in range(3):
                yield int(self.rng.randint(1000))

    hr.seed(1)
    side_by_side = list(zip(*(lambda flow: hr.JoinData([flow, flow]))(Noise()), strict=True))
    hr.seed(1)
    flow = hr.ConcatData([noise := Noise(), noise])
    assert [*side_by_side[0], *side_by_side[1]] == list(flow)
    hr.seed(None)
    check_resume(lambda: (lambda flow: hr.JoinData([flow, flow]))(Noise()))


@pytest.mark.parametrize("base", [hr.DataFromList, hr.FakeData, hr.RandomMixData, hr.RandomChooseData])
def test_subclasses_of_random_flows_have_an_rng(base):
    class Mine(base):
        def __iter__(self):
            yield int(self.rng.randint(1000))

    make = lambda: Mine([[1]])  # noqa: E731
    assert make().rng is None
    hr.seed(2)
    first = list(make())
    hr.seed(2)
    assert list(make()) == first
    hr.seed(None)


def test_two_iterators_of_one_flow():
    hr.seed(1)
    flow = hr.DataFromList(list(range(10)))
    a, b = iter(flow), iter(flow)
    first, second = [], []
    for x, y in zip(a, b, strict=True):
        first.append(x)
        second.append(y)
    assert sorted(first) == sorted(second) == list(range(10))
    hr.seed(1)
    again = hr.DataFromList(list(range(10)))
    assert (list(again), list(again)) == (first, second)  # passes 0 and 1, however they are read


@pytest.mark.parametrize("end", ["exhaust", "close", "drop", "fail"])
def test_a_guarded_flow_is_free_again_when_its_iterator_has_ended(end):
    flow = hr.CacheData(hr.MapData(hr.DataFromList([1, 2, 0], shuffle=False), lambda x: 1 / x if end == "fail" else x))
    running = iter(flow)
    next(running)
    with pytest.raises(hr.NotReentrantError, match="not reentrant"):
        iter(flow)
    if end == "exhaust":
        list(running)
    elif end == "close":
        running.close()
    elif end == "drop":
        del running
    else:
        with pytest.raises(ZeroDivisionError) as kept:
            list(running)
        assert kept.traceback  # the frames are alive
    assert next(iter(flow)) == 1


def test_an_iterator_that_was_dropped_in_a_cycle_does_not_block():
    flow = hr.CacheData(hr.DataFromList([1, 2], shuffle=False))
    gc.disable()
    try:
        cycle = [iter(flow)]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        assert list(flow) == [1, 2]
    finally:
        gc.enable()


def test_break_and_begin_again():
    flow = hr.BatchData(hr.DataFromList(list(range(6)), shuffle=False), 2)
    for _ in flow:
        break
    assert [b.tolist() for b in flow] == [[0, 1], [2, 3], [4, 5]]


def test_with_and_close():
    with hr.MapData(hr.DataFromList([1], shuffle=False), str) as flow:
        assert list(flow) == ["1"]
    flow.close()
    flow.close()
    assert list(flow) == ["1"]


def test_the_generators_below_are_closed_with_the_iterator():
    closed = []

    def numbers():
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    running = iter(hr.MapData(hr.RepeatedData(hr.DataFromGenerator(numbers), 2), str))
    next(running)
    running.close()
    del running
    assert closed == [True]


def test_large_lists_in_a_flow_are_not_searched_for_inputs():
    class Touchy:
        def __len__(self):
            raise AssertionError

    flow = hr.DataFromIterable([Touchy()] * 3)
    assert flow.inputs == ()
    assert len(list(flow)) == 3
    repr(flow)


def test_pipe_writes_a_pipeline_in_the_order_of_the_data():
    def doubled(ds, times):
        return hr.MapData(ds, lambda n: n * times)

    flow = hr.DataFromList([1, 2, 3], shuffle=False).pipe(doubled, times=2).pipe(hr.BatchData, 2, remainder=True)
    assert isinstance(flow, hr.BatchData)
    assert [batch.tolist() for batch in flow] == [[2, 4], [6]]
