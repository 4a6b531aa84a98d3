"""What passes between processes arrives bit for bit, is the receiver's own, and stays as it is."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions
import numpy as np
import payloads
import psutil
import pytest
from contracts import Face, ints, pids

import headrace as hr
from headrace.parallel.arena import LARGE_BYTES

PAYLOADS = payloads.make()
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")


def differences(got: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {got[name]!r:.300}, was {expected[name]!r:.300}" for name in expected if got[name] != expected[name]
    ]


@pytest.mark.parametrize("wrap", [payloads.as_list, payloads.as_dict], ids=["list", "dict"])
def test_results_of_all_kinds_arrive_bit_for_bit(process_mapper: Face, wrap: Any) -> None:
    with process_mapper(hr.DataFromList(list(PAYLOADS), shuffle=False), 2, wrap) as flow:
        got = dict(zip(PAYLOADS, flow, strict=True))
    assert (
        differences(
            {name: payloads.form(dp) for name, dp in got.items()},
            {name: payloads.form(wrap(name)) for name in PAYLOADS},
        )
        == []
    )
    assert [name for name, dp in got.items() if not all(a.flags.writeable for a in payloads.arrays_in(dp))] == []


@pytest.mark.parametrize("wrap", [payloads.as_list, payloads.as_dict], ids=["list", "dict"])
def test_inputs_of_all_kinds_arrive_bit_for_bit(process_mapper: Face, wrap: Any) -> None:
    rows = [wrap(name) for name in PAYLOADS]
    with process_mapper(hr.DataFromList(rows, shuffle=False), 2, payloads.form_of_input) as flow:
        got = dict(zip(PAYLOADS, flow, strict=True))
    assert (
        differences(
            {name: form for name, (form, _) in got.items()}, {name: payloads.form(wrap(name)) for name in PAYLOADS}
        )
        == []
    )
    assert [name for name, (_, writable) in got.items() if not writable] == []


@pytest.mark.parametrize("name", ["forkserver", "fork", "spawn"])
@pytest.mark.filterwarnings('ignore:start_method="fork" copies:RuntimeWarning')
def test_there_and_back_as_bare_datapoints(name: str) -> None:
    rows = list(PAYLOADS.values())
    with hr.MultiProcessMapData(hr.DataFromList(rows, shuffle=False), 2, lambda dp: dp, start_method=name) as flow:
        got = dict(zip(PAYLOADS, flow, strict=True))
    assert (
        differences(
            {name: payloads.form(dp) for name, dp in got.items()},
            {name: payloads.form(p) for name, p in PAYLOADS.items()},
        )
        == []
    )


def test_datapoints_of_copies_arrive_bit_for_bit(process_runner: Face) -> None:
    copied = hr.MapData(hr.DataFromList(list(PAYLOADS), shuffle=False), payloads.as_list)
    with process_runner(copied, 1) as flow:
        got = dict(flow)
    assert (
        differences(
            {name: payloads.form(p) for name, p in got.items()},
            {name: payloads.form(p) for name, p in PAYLOADS.items()},
        )
        == []
    )


def test_what_is_the_same_object_stays_the_same_object(process_mapper: Face) -> None:
    def aliases(n: int) -> Any:
        a, small, shared = np.full(5000, n), np.arange(3), [n]
        return {"a": a, "again": [a, (a,)], "small": [small, small], "shared": [shared, shared], "other": a.copy()}

    with process_mapper(ints(20), 2, aliases) as flow:
        for dp in flow:
            assert dp["a"] is dp["again"][0] is dp["again"][1][0]
            assert dp["small"][0] is dp["small"][1]
            assert dp["shared"][0] is dp["shared"][1]
            assert dp["other"] is not dp["a"]
            dp["a"][:] = -1
            assert (dp["other"] >= 0).all()


def test_arrays_are_private(process_mapper: Face) -> None:
    """Writing into one changes neither another one nor the source."""
    source = [np.full(5000, n) for n in range(40)]
    with process_mapper(hr.DataFromList(source, shuffle=False), 2, lambda a: a, buffer_size=8) as flow:
        kept = []
        for number, array in enumerate(flow):
            assert (array == number).all()
            array += 1000
            kept.append(array)
    assert all((a == n + 1000).all() for n, a in enumerate(kept))
    assert all((a == n).all() for n, a in enumerate(source))


def test_datapoints_that_share_an_object_arrive_apart(process_mapper: Face) -> None:
    """Whether two of them travel in one message must make no difference."""
    table = [np.zeros(5), np.zeros(5000), [0]]

    def f(n: int) -> Any:
        return table

    def increment(row: Any) -> Any:
        for part in row:
            part[0] += 1
        return [int(part[0]) for part in row]

    with process_mapper(ints(200), 2, f) as flow:
        for a, b, c in flow:
            assert (a[0], b[0], c[0]) == (0, 0, 0)
            a[0] = b[0] = c[0] = 1
    row = [np.zeros(5), np.zeros(5000), [0]]
    with process_mapper(hr.DataFromList([row] * 200, shuffle=False), 2, increment) as flow:
        assert list(flow) == [[1, 1, 1]] * 200


def test_a_worker_may_reuse_its_output_buffer(process_mapper: Face) -> None:
    class Reuses:
        def __init__(self) -> None:
            self.buffer = np.zeros(10_000)
            self.small = np.zeros(5)

        def __call__(self, n: int) -> Any:
            self.buffer[:] = n
            self.small[:] = n
            return [self.buffer, self.small]

    with process_mapper(ints(300), 2, Reuses(), buffer_size=50) as flow:
        got = list(flow)
    assert [(a[0], a[-1], s[0]) for a, s in got] == [(n, n, n) for n in range(300)]


def test_a_copied_flow_may_reuse_its_output_buffer(process_runner: Face) -> None:
    class Reuses(hr.DataFlow):
        def __iter__(self) -> Iterator[Any]:
            buffer = np.zeros(10_000)
            for n in range(200):
                buffer[:] = n
                yield [buffer]

    with process_runner(Reuses, 1) as flow:
        kept = []
        for number, (array,) in zip(range(200), flow, strict=False):
            kept.append(array)
            assert array[0] == number
    assert [a[-1] for a in kept] == list(range(200))


# -- received arrays never change


@pytest.mark.parametrize("nbytes", [800, LARGE_BYTES, 100_000])
def test_arrays_that_are_kept_stay_as_they_are(process_mapper: Face, nbytes: int) -> None:
    count = nbytes // 8
    with process_mapper(ints(1300), 2, lambda n: np.full(count, n), buffer_size=20) as flow:
        kept = []
        for number, array in enumerate(flow):
            if number % 4 == 0 and len(kept) < 300:
                kept.append((number, array))
        assert len(kept) == 300
        assert all((a == n).all() for n, a in kept)
        for pid in pids(flow):
            os.kill(pid, signal.SIGKILL)
        list(flow)
        assert all((a == n).all() for n, a in kept)
    assert all((a == n).all() for n, a in kept)
    del flow
    gc.collect()
    assert all((a == n).all() for n, a in kept)


def test_views_and_buffers_keep_their_array(process_mapper: Face) -> None:
    with process_mapper(ints(400), 1, lambda n: {"a": np.full(5000, n), "n": n}, buffer_size=4) as flow:
        kept: list[Any] = []
        for dp in flow:
            n, a = dp["n"], dp["a"]
            kept.append((n, (a[10:20], a.reshape(50, 100).T, memoryview(a), a.view(np.uint8), iter(a), a[::-2])[n % 6]))
            del dp, a
            kept = kept[-40:]
            for number, view in kept:
                if not hasattr(view, "__next__"):
                    assert np.asarray(view).flat[0] == np.full(1, number).view(np.asarray(view).dtype)[0]
    for number, view in kept:
        if hasattr(view, "__next__"):
            assert next(view) == number


def test_batches_that_are_kept_stay_as_they_are(batcher: Face) -> None:
    with batcher(ints(800), 2, lambda n: np.full(2000, n), 8) as flow:
        kept = list(flow)
    assert all((b == np.arange(8 * k, 8 * k + 8)[:, None]).all() for k, b in enumerate(kept))


# -- memory and descriptors


def memory_kb(name: str) -> int:
    """Memory of our arenas that is in use (pages of memfds count once, however often they are mapped)."""
    total = 0
    with open("/proc/self/smaps") as maps:
        ours = False
        for line in maps:
            if "-" in line.split(" ")[0]:
                ours = name in line
            elif ours and line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def test_a_result_is_unpickled_when_its_turn_comes_and_no_earlier(process_mapper: Face) -> None:
    functions.arrived.clear()
    with process_mapper(ints(5000), 2, functions.Announced) as flow:
        for delivered, value in enumerate(flow, start=1):
            assert value.number == delivered - 1
            assert functions.arrived == [value.number]
            functions.arrived.clear()


def test_memory_is_used_again(process_mapper: Face) -> None:
    """3,000 datapoints of 1 MB, each dropped in its turn, in a few tens of megabytes."""
    process = psutil.Process()
    with process_mapper(ints(3000), 2, lambda n: np.full(1 << 20, n % 251, np.uint8), buffer_size=8) as flow:
        for number, array in enumerate(flow):
            assert array[0] == array[-1] == number % 251
            if number == 300:
                rss, workers = process.memory_info().rss, [psutil.Process(p).memory_info().rss for p in pids(flow)]
        assert process.memory_info().rss - rss < 50 << 20
        grown = [psutil.Process(p).memory_info().rss - w for p, w in zip(pids(flow), workers, strict=True)]
        assert max(grown) < 50 << 20
        assert memory_kb("memfd:headrace-arena") < 100 << 10


def test_a_consumer_that_hoards_makes_memory_grow_and_nothing_else(process_mapper: Face) -> None:
    with process_mapper(ints(200), 2, lambda n: np.full(1 << 20, n, np.uint8), buffer_size=8) as flow:
        hoard = list(flow)
    assert all(a[0] == a[-1] == n for n, a in enumerate(hoard))
    assert sum(a.nbytes for a in hoard) == 200 << 20


def test_small_datapoints_leave_no_memory(process_mapper: Face) -> None:
    process = psutil.Process()
    with process_mapper(ints(20_000), 2, lambda n: [n, "text", {"k": n}]) as flow:
        list(flow)
        rss = process.memory_info().rss
        for _ in range(5):
            for _ in flow:
                pass
        assert process.memory_info().rss - rss < 50 << 20


def test_descriptors_go_with_the_workers_not_with_the_datapoints(process_mapper: Face) -> None:
    with process_mapper(ints(500), 3, lambda n: np.full(5000, n), buffer_size=30) as flow:
        list(flow)
        while not all(worker.ready for worker in flow._runtime.pool.workers.values()):
            list(flow)  # a worker that is still starting has yet to open its own
        it = iter(flow)
        next(it)
        process = psutil.Process()
        started, workers = process.num_fds(), [psutil.Process(p).num_fds() for p in pids(flow)]
        hoard = list(it)
        assert process.num_fds() <= started + 1
        assert max(workers) <= 40
        later = [psutil.Process(p).num_fds() for p in pids(flow)]
        assert all(after <= before + 1 for after, before in zip(later, workers, strict=True))
        assert len(hoard) == 499


def test_descriptors_stay_flat_over_thirty_flows(process_mapper: Face) -> None:
    def cycle() -> int:
        with process_mapper(ints(10), 2, lambda n: np.full(5000, n)) as flow:
            list(flow)
        return psutil.Process().num_fds()

    first = cycle()
    assert max(cycle() for _ in range(30)) <= first


def test_nothing_is_left_in_shared_memory_or_in_temporary_files(process_mapper: Face, tmp_path: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    with process_mapper(ints(10), 2, lambda n: np.full(50_000, n)) as flow:
        it = iter(flow)
        next(it)
        assert not {n for n in set(os.listdir("/dev/shm")) - before if "headrace" in n}
        list(it)


def test_a_forked_child_does_not_free_its_parents_arrays(process_mapper: Face) -> None:
    with process_mapper(ints(300), 1, lambda n: np.full(5000, n), buffer_size=4) as flow:
        it = iter(flow)
        kept = [next(it) for _ in range(50)]
        pid = os.fork()
        if pid == 0:
            del kept
            gc.collect()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        rest = list(it)
    assert all((a == n).all() for n, a in enumerate(kept + rest))


def test_huge_messages_pass_both_ways(process_mapper: Face) -> None:
    """Far more than a socket's buffer: bytes do not go through the arena."""
    rows = [bytes([n]) * 8_000_000 for n in range(6)]
    with process_mapper(hr.DataFromList(rows, shuffle=False), 2, lambda dp: dp + dp) as flow:
        assert [(len(dp), dp[0]) for dp in flow] == [(16_000_000, n) for n in range(6)]


def test_deep_nesting_is_refused_with_a_reason_not_with_a_crash(process_mapper: Face) -> None:
    def deep(n: int) -> Any:
        value: Any = n
        for _ in range(100_000 if n == 5 else 10):
            value = [value]
        return value

    with process_mapper(ints(10), 2, deep, on_error="skip") as flow:
        assert len(list(flow)) == 9
        assert [e.index for e in flow.errors] == [5]
