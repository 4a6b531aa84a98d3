"""What sender and receiver promise, over loopback TCP and sockets on disk, whichever side binds."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from senders import EchoServer, Proxy, Threads, reserved_port

import headrace as hr
from headrace.remote.in_turn import InTurn
from headrace.testing import check_resume

Make = Callable[[], str]


@pytest.fixture(params=["tcp", "ipc", "abstract"])
def any_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with reserved_port() as port:
        yield {
            "tcp": f"tcp://127.0.0.1:{port}",
            "ipc": f"ipc://{tmp_path}/socket",
            "abstract": f"ipc://@{tmp_path.name}-{port}",
        }[request.param]


def five() -> hr.DataFlow:
    return hr.DataFromList([0, 1, 2, 3, 4], shuffle=False)


# -- tensorpack's meaning


@pytest.mark.parametrize("bind", [True, False])
def test_one_sender_is_repeated_for_ever_in_order(any_address: str, bind: bool, threads: Threads) -> None:
    threads.send(five(), any_address, bind=not bind, timeout_s=0.5)

    with hr.RemoteDataZMQ(any_address, bind=bind) as remote:
        assert list(itertools.islice(remote, 12)) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
        assert (remote.cnt1, remote.cnt2) == (12, 0)
    assert [type(d) for d in threads.join()] == [hr.PeerLost]


@pytest.mark.parametrize("bind", [True, False])
def test_a_socket_on_disk_is_removed_in_the_end(
    tmp_path: Path, bind: bool, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads.send(five(), "ipc://socket", passes=1, bind=not bind)
    with hr.RemoteDataZMQ("ipc://socket", bind=bind, passes=1, num_senders=1, timeout_s=20) as remote:
        list(remote)
        monkeypatch.chdir("/")
        threads.join()
    assert not list(tmp_path.iterdir())


def test_a_socket_that_has_taken_the_place_of_ours_is_left_alone(tmp_path: Path, threads: Threads) -> None:
    address = f"ipc://{tmp_path}/socket"
    threads.send(five(), address, timeout_s=0.5)
    with hr.RemoteDataZMQ(address) as first:
        next(iter(first))
        (tmp_path / "socket").unlink()
        with hr.RemoteDataZMQ(address) as second:
            threads.send(five(), address, timeout_s=0.5)
            next(iter(second))
            first.close()
            assert (tmp_path / "socket").exists()


def test_two_addresses_are_counted_apart(address: str, tmp_path: Path, threads: Threads) -> None:
    second = f"ipc://{tmp_path}/socket"
    threads.send(hr.DataFromList(["one"] * 10), address, passes=1)
    threads.send(hr.DataFromList(["two"] * 20), second, passes=1)

    with hr.RemoteDataZMQ(address, second, passes=1, num_senders=2, timeout_s=20) as remote:
        got = list(remote)

    assert (got.count("one"), got.count("two")) == (10, 20)
    assert (remote.cnt1, remote.cnt2) == (10, 20)


def test_it_has_no_length_and_one_live_iterator(address: str) -> None:
    remote = hr.RemoteDataZMQ(address, timeout_s=0.05)
    with pytest.raises(hr.NoLengthError):
        len(remote)
    with remote, pytest.raises(hr.PeerLost, match=rf"no sender has come to {address} for 0.05 s; start one"):
        next(iter(remote))


# -- passes


@pytest.mark.parametrize("bind", [True, False])
def test_a_pass_ends_when_all_senders_have_said_so(address: str, bind: bool, threads: Threads) -> None:
    count = 3 if bind else 1
    for sender in range(count):
        threads.send(hr.DataFromList(range(100)), address, passes=1, name=f"s{sender}", bind=not bind)

    with hr.RemoteDataZMQ(address, passes=1, num_senders=count, bind=bind, timeout_s=20) as remote:
        got = list(remote)
        done = threads.join()

    assert sorted(got) == sorted(list(range(100)) * count)
    assert [(d.datapoints, d.passes, d.resent, d.lost) for d in done] == [(100, 1, 0, 0)] * count
    assert sorted((s.name, s.datapoints, s.ended) for s in remote.senders) == [
        (f"s{n}", 100, True) for n in range(count)
    ]


def test_a_pass_waits_for_senders_that_come_a_little_later(address: str, threads: Threads) -> None:
    """Nobody said how many there are. Those that were there before the receiver come up to a second after it."""
    for sender in range(3):
        threads.send(hr.DataFromList([sender] * 5), address, passes=1)
    time.sleep(0.7)  # by then they try again at growing intervals: the time that passes is what this is about
    with hr.RemoteDataZMQ(address, passes=1, timeout_s=20) as remote:
        it = iter(remote)
        got = [next(it)]
        threads.send(hr.DataFromList([3] * 5), address, passes=1)
        got += it
    assert sorted(got) == sorted([0, 1, 2, 3] * 5)
    assert all(d.passes == 1 for d in threads.join())


def test_a_pass_waits_for_the_sender_of_each_address(address: str, tmp_path: Path, threads: Threads) -> None:
    second = f"ipc://{tmp_path}/socket"
    threads.send([1], address, passes=1, bind=True)
    with hr.RemoteDataZMQ(address, second, bind=False, passes=1, timeout_s=20) as remote:
        it = iter(remote)
        assert next(it) == 1
        threads.send([2], second, passes=1, bind=True)
        assert list(it) == [2]


def test_each_pass_of_the_receiver_is_one_of_each_sender(address: str, threads: Threads) -> None:
    for sender in range(2):
        threads.send(hr.DataFromList([[sender, n] for n in range(20)]), address, passes=3)

    with hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=20) as remote:
        passes = [list(remote) for _ in range(3)]

    assert all(sorted(p) == [[s, n] for s in range(2) for n in range(20)] for p in passes)
    assert [d.passes for d in threads.join()] == [3, 3]


def test_a_pass_that_was_left_is_passed_over(address: str, threads: Threads) -> None:
    threads.send(five(), address, passes=3)

    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        assert list(itertools.islice(remote, 2)) == [0, 1]
        assert list(remote) == [0, 1, 2, 3, 4]
        assert list(remote) == [0, 1, 2, 3, 4]
    assert threads.join()[0].passes == 3


def test_after_all_have_ended_a_pass_waits_for_new_senders(address: str, threads: Threads) -> None:
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        threads.send(five(), address, passes=1)
        assert len(list(remote)) == 5
        threads.send(five(), address, passes=1)
        assert len(list(remote)) == 5
    assert remote.cnt1 == 10


def test_an_empty_flow_is_a_pass_and_not_an_endless_one(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList([]), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        assert list(remote) == []
        threads.send(hr.DataFromList([]), address)
        with pytest.raises(hr.SenderFailed, match="EmptySourceError"):
            list(remote)
    assert "EmptySourceError" in [type(d).__name__ for d in threads.join()]


# -- datapoints


def test_arrays_are_the_consumers_own(address: str, threads: Threads) -> None:
    buffer = np.zeros((64, 64), np.float32)

    def reused() -> Any:
        for n in range(20):
            buffer[:] = n
            yield {"image": buffer, "label": n}

    threads.send(hr.DataFromGenerator(reused), address, passes=1, hwm=20)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        got = list(remote)

    assert [(d["image"] == d["label"]).all() for d in got] == [True] * 20
    got[0]["image"] += 1
    assert (got[1]["image"] == 1).all()


def test_arrays_of_one_size_do_not_mix_when_their_memory_is_used_again(address: str, threads: Threads) -> None:
    """At the sender, messages that have arrived are written again; at the receiver nothing may change."""
    count = 1500

    def images() -> Any:
        for n in range(count):
            yield [n, np.full((100, 100, 3), n % 251, np.uint8)]

    threads.send(hr.DataFromGenerator(images), address, passes=1)
    kept = []
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        for n, (number, image) in enumerate(remote):
            assert (n, image.min(), image.max()) == (number, n % 251, n % 251)
            kept += [(n, image)] if n % 10 == 0 else []
    assert all((image == n % 251).all() for n, image in kept)
    assert threads.join()[0].datapoints == count


def test_what_was_made_is_not_held_back_while_the_flow_pauses(address: str, threads: Threads) -> None:
    """Quick datapoints travel together, so some are still held when the flow stops to wait for the consumer."""
    goes_on = threading.Event()

    def in_bursts() -> Any:
        for burst in range(5):
            for n in range(37):
                yield burst, n
            assert goes_on.wait(20), "the consumer has not got the whole burst"
            goes_on.clear()

    threads.send(hr.DataFromGenerator(in_bursts), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        for _, n in remote:
            if n == 36:
                goes_on.set()
    assert threads.join()[0].datapoints == 5 * 37


def test_a_large_datapoint_passes_a_small_buffer(address: str, threads: Threads) -> None:
    large = np.arange(3 << 20, dtype=np.uint8)
    threads.send(hr.DataFromList([large] * 3, shuffle=False), address, passes=1, buffer_bytes=1000)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, buffer_bytes=1000, timeout_s=20) as remote:
        assert all((a == large).all() for a in remote)


def test_objects_need_permission_on_both_sides(address: str, threads: Threads) -> None:
    flow = hr.DataFromList([{1, 2}, {3}], shuffle=False)
    threads.send(flow, address, passes=1, allow_pickle=True)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, allow_pickle=True, timeout_s=20) as remote:
        assert list(remote) == [{1, 2}, {3}]
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=0.3) as remote:
        threads.send(flow, address, passes=1, allow_pickle=True)
        with pytest.raises(hr.PeerLost, match="rejected were: the sender has allow_pickle=True, the receiver has not"):
            list(remote)
    assert "the sender has allow_pickle=True, the receiver has not" in str(threads.join())


def test_an_object_that_cannot_be_sent_is_named_on_both_sides(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList([1, {2}, 3], shuffle=False), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        it = iter(remote)
        assert next(it) == 1
        with pytest.raises(hr.SenderFailed, match=r"failed after 1 datapoints: SerializationError: .* it is a set"):
            next(it)
    assert isinstance(threads.join()[0], hr.SerializationError)


class Unreadable:
    """An object that pickles, and does not unpickle."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_an_object_that_cannot_be_read_is_an_error_and_the_stream_goes_on(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList([1, Unreadable(), 3], shuffle=False), address, allow_pickle=True, timeout_s=0.3)
    with hr.RemoteDataZMQ(address, allow_pickle=True, timeout_s=20) as remote:
        it = iter(remote)
        assert next(it) == 1
        with pytest.raises(hr.SerializationError, match="cannot be read here"):
            next(it)
        assert list(itertools.islice(remote, 2)) == [3, 1]


# -- fairness and backpressure


def test_senders_are_taken_from_in_turn(address: str, threads: Threads) -> None:
    for sender in range(2):
        threads.send(hr.DataFromList([sender]), address, timeout_s=0.3, hwm=10)

    with hr.RemoteDataZMQ(address, hwm=10) as remote:
        it = iter(remote)
        got = [next(it)]
        while got[-1] == got[0]:
            got.append(next(it))
        turns = []
        for _ in range(100):
            time.sleep(0.002)  # a slow consumer: both have something waiting
            turns.append(next(it))

    assert sum(a == b for a, b in itertools.pairwise(turns)) <= 10


@pytest.mark.parametrize("options", [{"hwm": 5}, {"buffer_bytes": 60_000}], ids=["by items", "by bytes"])
@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_a_sender_stops_when_the_consumer_does(
    address: str, side: str, options: dict[str, int], threads: Threads
) -> None:
    made: list[int] = []
    ahead = threading.Event()

    def endless() -> Any:
        for n in itertools.count():
            made.append(n)
            if len(made) == 6:
                ahead.set()
            yield np.full(10_000, n % 256, np.uint8)

    threads.send(hr.DataFromGenerator(endless), address, timeout_s=0.3, **(options if side == "sender" else {}))
    with hr.RemoteDataZMQ(address, **(options if side == "receiver" else {})) as remote:
        it = iter(remote)
        next(it)
        assert ahead.wait(10)
        threading.Event().wait(0.2)  # time in which it could run ahead
        assert len(made) <= 1 + 5 + 2


# -- coming and going


def test_senders_may_come_before_the_receiver_and_after(address: str, threads: Threads) -> None:
    threads.send(five(), address, passes=1, name="early")
    with hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=20) as remote:
        it = iter(remote)
        first = [next(it) for _ in range(5)]
        threads.send(five(), address, passes=1, name="late")
        assert [first, list(it)] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("bind", [True, False])
def test_whoever_is_connected_to_itself_tries_again(address: str, bind: bool, threads: Threads) -> None:
    """TCP does that now and then to those who wait for a port of this machine on which nobody listens yet."""
    echo = EchoServer(address, connections=2)
    threads.send(five(), address, passes=1, bind=not bind, after=echo.join if not bind else None)
    if bind:
        echo.join()
    with hr.RemoteDataZMQ(address, bind=bind, passes=1, num_senders=1, timeout_s=20) as remote:
        assert list(remote) == [0, 1, 2, 3, 4]
        assert not remote.rejected
    assert [d.lost for d in threads.join()] == [0]


def test_a_tunnel_without_a_receiver_at_its_end_is_waited_for(address: str, threads: Threads) -> None:
    tunnel = EchoServer(address, connections=7, deaf=True)
    threads.send(five(), address, passes=1)
    tunnel.join()
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        assert list(remote) == [0, 1, 2, 3, 4]


def test_a_server_that_sends_back_what_it_hears_is_no_receiver(address: str, threads: Threads) -> None:
    echo = EchoServer(address, connections=5)
    threads.send(five(), address)
    assert [type(d) for d in threads.join()] == [hr.ProtocolError]
    echo.join()


def test_a_server_that_sends_back_what_it_hears_is_no_sender(address: str) -> None:
    echo = EchoServer(address, connections=5)
    with hr.RemoteDataZMQ(address, bind=False, timeout_s=1) as remote, pytest.raises(hr.PeerLost):
        list(remote)
    assert sum(remote.rejected.values()) == 1
    echo.join()


@pytest.mark.parametrize("bind", [True, False])
def test_without_ack_a_receiver_that_begins_anew_misses_at_most_hwm(
    address: str, bind: bool, threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    threads.send(hr.DataFromList(range(1000), shuffle=False), address, passes=1, hwm=10, bind=not bind)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, bind=bind, timeout_s=20) as first:
        got = list(itertools.islice(first, 100))
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, bind=bind, timeout_s=20) as second:
        rest = list(second)

    (result,) = threads.join()
    assert got == list(range(100))
    assert rest == list(range(1000))[-len(rest) :]
    missing = 1000 - len(got) - len(rest)
    assert 0 <= missing <= result.lost <= 10
    assert second.senders[0].lost == result.lost
    assert f"{result.lost} were lost so far" in caplog.text


@pytest.mark.parametrize("bind", [True, False])
def test_what_is_lost_with_a_receiver_is_never_the_end(address: str, bind: bool, threads: Threads) -> None:
    """All is under way, the end too, when the receiver goes. The next one must not wait for that."""
    threads.send(hr.DataFromList(range(20), shuffle=False), address, passes=1, bind=not bind)
    with hr.RemoteDataZMQ(address, passes=1, bind=bind, num_senders=1, timeout_s=20) as first:
        assert list(itertools.islice(first, 5)) == [0, 1, 2, 3, 4]
    with hr.RemoteDataZMQ(address, passes=1, bind=bind, num_senders=1, timeout_s=20) as second:
        rest = list(second)

    (result,) = threads.join()
    assert rest == list(range(20))[20 - len(rest) :]
    assert second.senders[0].ended
    assert second.senders[0].lost == result.lost
    assert 15 - len(rest) <= result.lost <= 20


def test_infinite_patience_is_none_that_ends(address: str, threads: Threads) -> None:
    threads.send(five(), address, passes=1, timeout_s=float("inf"))
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=float("inf")) as remote:
        assert list(remote) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bind", [True, False])
def test_with_ack_a_receiver_goes_on_from_its_state(address: str, bind: bool, threads: Threads) -> None:
    threads.send(hr.DataFromList(range(200)), address, passes=2, ack=True, bind=not bind)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, bind=bind, timeout_s=20) as remote:
        it = iter(remote)
        got = [next(it) for _ in range(50)]
        saved = remote.state_dict()
        for _ in range(77):
            next(it)  # these are forgotten with the process
    for _ in range(2):  # twice in a row
        with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, bind=bind, timeout_s=20) as remote:
            remote.load_state_dict(saved)
            it = iter(remote)
            got += [next(it) for _ in range(10)]
            saved = remote.state_dict()
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, bind=bind, timeout_s=20) as remote:
        remote.load_state_dict(saved)
        got += list(remote)
        again = list(remote)

    assert sorted(got) == sorted(again) == list(range(200))
    assert got != again, "shuffled anew"
    assert threads.join()[0].lost == 0


def unordered() -> list[hr.DataFlow]:
    ds = hr.DataFromList([1, 2])
    return [
        hr.MultiProcessRunnerZMQ(ds, 2, shard=True),
        hr.BatchData(hr.MultiProcessRunner(ds, 4, 2), 2),
        hr.MapData(hr.MultiThreadRunner(lambda: ds, 4, 2), abs),
        hr.MultiThreadMapData(ds, 2, abs, ordered=False),
        hr.MultiProcessRunnerZMQ(hr.MultiThreadMapData(ds, 2, abs, ordered=False), 1),
        hr.MapData(hr.RemoteDataZMQ("tcp://127.0.0.1:1"), abs),
    ]


@pytest.mark.parametrize("flow", unordered(), ids=lambda flow: type(flow).__name__)
def test_with_ack_a_flow_whose_order_is_never_the_same_is_refused(address: str, flow: hr.DataFlow) -> None:
    """It could not go back to the n-th datapoint."""
    with pytest.raises(ValueError, match="ack=True needs a flow that can go back"):
        hr.send_dataflow_zmq(flow, address, ack=True, timeout_s=1)


def test_copies_taken_in_turn_give_one_order_and_resume() -> None:
    def make() -> hr.DataFlow:
        return InTurn(hr.MapData(hr.DataFromList(list(range(5)), shuffle=True), lambda n: [n]), 2)

    check_resume(make)
    with make() as flow:
        assert len(flow) == 5
        assert all(sorted(flow) == [[n] for n in range(5)] for _ in range(2))


class TakesItsShare(hr.DataFlow):
    """Asks `worker_info`, so nothing is left out for it."""

    def __iter__(self) -> Any:
        info = hr.worker_info()
        assert info is not None
        yield from range(info.index, 10, info.count)


def test_copies_taken_in_turn_may_take_their_share_by_themselves() -> None:
    with InTurn(TakesItsShare(), 3) as flow:
        assert [list(flow), list(flow)] == [list(range(10))] * 2


def test_with_ack_a_receiver_that_begins_anew_gets_everything(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList(range(300), shuffle=False), address, passes=1, ack=True)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, timeout_s=20) as remote:
        list(itertools.islice(remote, 200))
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=True, timeout_s=20) as remote:
        assert list(remote) == list(range(300))


def test_a_closed_receiver_is_opened_again_by_iterating(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList(range(300), shuffle=False), address, ack=True, timeout_s=0.3)
    remote = hr.RemoteDataZMQ(address, ack=True)
    got = list(itertools.islice(remote, 100))
    remote.close()
    it = iter(remote)
    got += [next(it) for _ in range(200)]
    remote.close()

    assert got == list(range(300))
    with pytest.raises(hr.DataFlowTerminated):
        next(it)


def test_after_an_error_it_is_opened_again_by_iterating(address: str, threads: Threads) -> None:
    remote = hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=0.2)
    for _ in range(2):
        with pytest.raises(hr.PeerLost):
            list(remote)
    threads.send([1, 2], address, passes=1)
    remote.timeout_s = 20
    assert list(remote) == [1, 2]
    remote.close()


def test_after_ctrl_c_it_is_opened_again_by_iterating(address: str, threads: Threads) -> None:
    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    remote = hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20)
    before = signal.signal(signal.SIGALRM, press)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            list(remote)
    finally:
        signal.signal(signal.SIGALRM, before)
    threads.send([1, 2], address, passes=1)
    assert list(remote) == [1, 2]
    remote.close()


def test_a_sender_whose_flow_raises_is_named_when_no_other_is_left(address: str, threads: Threads) -> None:
    good_is_welcome = threading.Event()

    def fails() -> Any:
        yield 1
        good_is_welcome.wait()
        raise OSError("disk")

    def works() -> Any:
        good_is_welcome.set()  # a flow is read when the receiver has said what it wants
        yield from [2] * 50

    threads.send(hr.DataFromGenerator(fails), address, passes=1, name="bad")
    threads.send(hr.DataFromGenerator(works), address, passes=1, name="good")
    with hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=20) as remote:
        got = []
        with pytest.raises(hr.SenderFailed, match="sender bad failed after 1 datapoints: OSError: disk"):
            got += [d for d in remote]  # noqa: C416
        assert {(s.name, s.datapoints) for s in remote.senders} == {("bad", 1), ("good", 50)}
    assert sorted(type(d).__name__ for d in threads.join()) == ["OSError", "SendResult"]


def test_a_failure_is_told_when_all_announced_senders_have_been_there(address: str, threads: Threads) -> None:
    def fails() -> Any:
        yield 1
        raise OSError("disk")

    threads.send(hr.DataFromGenerator(fails), address, passes=1, name="bad")
    threads.send([2] * 50, address, passes=1, after=lambda: threads.wait_for(OSError))
    with hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=20) as remote:
        got = []
        with pytest.raises(hr.SenderFailed, match="sender bad failed after 1 datapoints: OSError: disk"):
            got += [d for d in remote]  # noqa: C416
        assert sum(s.datapoints for s in remote.senders) == 51


def test_it_is_told_how_many_of_the_announced_senders_have_come(address: str, threads: Threads) -> None:
    threads.send([1], address, passes=1)
    remote = hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=0.5)
    with remote, pytest.raises(hr.PeerLost, match=r"only 1 of 2 senders have come to .*, and no other one for 0.5 s"):
        list(remote)


def test_two_senders_of_one_name_are_told_apart(address: str, threads: Threads) -> None:
    for _ in range(2):
        threads.send(five(), address, passes=1, name="twin")
    with hr.RemoteDataZMQ(address, passes=1, num_senders=2, timeout_s=20) as remote:
        assert len(list(remote)) == 10
    assert sorted(s.name for s in remote.senders) == ["twin", "twin#2"]


def test_a_connection_that_breaks_costs_nothing_and_is_no_fault(
    address: str, threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver finds what came over the old connection together with the new one."""
    with (
        reserved_port() as port,
        contextlib.closing(Proxy(f"tcp://127.0.0.1:{port}", address)) as way,
        hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote,
    ):
        threads.send(hr.DataFromList(range(1000), shuffle=False), f"tcp://127.0.0.1:{port}", passes=1)
        it = iter(remote)
        got = []
        for _ in range(5):
            got += itertools.islice(it, 100)
            time.sleep(0.05)  # the receiver looks for messages now and then
            got.append(next(it))
            caplog.clear()
            way.cut()
            while "lost the receiver" not in caplog.text:
                time.sleep(0.01)
            way.mend()
            way.wait_for_word()  # of the sender, over a new connection
        got += it
        assert dict(remote.rejected) == {}

    assert got == list(range(1000))
    assert [(d.datapoints, d.lost) for d in threads.join()] == [(1000, 0)]


@pytest.mark.parametrize("ack", [True, False])
def test_a_sender_whose_name_another_one_takes_while_it_is_away_goes_on(
    address: str, ack: bool, threads: Threads
) -> None:
    """As when two threads send, which have the same name by default, and the connection of one breaks."""
    with (
        reserved_port() as port,
        contextlib.closing(Proxy(f"tcp://127.0.0.1:{port}", address)) as way,
        hr.RemoteDataZMQ(address, passes=1, num_senders=2, ack=ack, timeout_s=20) as remote,
    ):
        threads.send(hr.DataFromList(range(300), shuffle=False), f"tcp://127.0.0.1:{port}", passes=1, ack=ack)
        it = iter(remote)
        got = list(itertools.islice(it, 100))
        way.cut()
        threads.send(hr.DataFromList(range(1000, 1100), shuffle=False), address, passes=1, ack=ack)
        while got[-1] != 1099:
            got.append(next(it))
        way.mend()
        got += it
        assert {s.datapoints for s in remote.senders} == {300, 100}
        assert remote.cnt1 == 400

    assert sorted(got) == [*range(300), *range(1000, 1100)]
    assert sorted((d.datapoints, d.lost) for d in threads.join()) == [(100, 0), (300, 0)]


def test_a_flow_over_the_network_is_a_flow_like_others(address: str, threads: Threads) -> None:
    threads.send(hr.DataFromList(range(40), shuffle=False), address, passes=1)
    remote = hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20)
    with hr.BatchData(hr.MultiThreadMapData(remote, 2, lambda n: n * n), 8) as flow:
        assert np.concatenate(list(flow)).tolist() == [n * n for n in range(40)]


def test_it_travels_to_workers_and_leaves_its_sockets_at_home(address: str, threads: Threads) -> None:
    threads.send(five(), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        list(remote)
        copy = pickle.loads(pickle.dumps(remote))
    assert (copy.addr1, copy.cnt1, remote.cnt1) == (address, 0, 5)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(address: str, threads: Threads) -> None:
    """There is a datapoint in the iterator that both have: only one may have it."""
    threads.send(hr.DataFromList(range(100), shuffle=False), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        it = iter(remote)
        got = [next(it)]
        child = os.fork()
        if child == 0:
            try:
                next(it)
            except RuntimeError as error:
                os._exit(0 if "belongs to process" in str(error) else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        got += it
    assert got == list(range(100))


def test_progress_is_shown_on_request(address: str, threads: Threads, capfd: pytest.CaptureFixture[str]) -> None:
    threads.send(five(), address, passes=1, name="worker-7", progress=True)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        list(remote)
    threads.join()
    err = capfd.readouterr().err
    assert "worker-7" in err
    assert "5/5" in err


def test_the_log_names_who_comes_and_goes(address: str, threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headrace")
    threads.send(five(), address, passes=1, name="worker-7")
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        list(remote)
    assert f"sender worker-7 is here, at {address}" in caplog.text
    assert "is gone" not in caplog.text, "it ended as it should"
