"""Sender and receiver on one machine: messages lie in memory that both have."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from senders import Proxy, Threads, reserved_port
from strangers import STREAM, Stranger

import headrace as hr
from headrace.parallel.arena import ArenaWriter
from headrace.remote.packing import Packer
from headrace.remote.shared_memory import OwnMemory
from headrace.remote.wire import Kind

SIZE = 30_000


def images(count: int, size: int = SIZE) -> hr.DataFlow:
    """One array is used again and again, so what is given is never the sender's own memory."""
    image = np.zeros(size)

    def make() -> Iterator[Any]:
        for n in range(count):
            image[:] = n
            yield n, image

    return hr.DataFromGenerator(make)


def check(datapoints: Any, numbers: Any) -> None:
    """These came, whole; and whoever has them may write to them."""
    for (n, image), expected in itertools.zip_longest(datapoints, numbers):
        assert (n, image.min(), image.max()) == (expected, expected, expected)
        image[:] = -1


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
@pytest.mark.parametrize("bind", [True, False])
@pytest.mark.parametrize("size", [10, SIZE, 30 * SIZE])
def test_a_sender_on_this_machine_shares_its_memory(
    address: str, tmp_path: Path, kind: str, bind: bool, size: int, threads: Threads
) -> None:
    at = address if kind == "tcp" else f"ipc://{tmp_path}/socket"
    threads.send(images(60, size), at, passes=1, bind=not bind)
    with hr.RemoteDataZMQ(at, bind=bind, passes=1, num_senders=1, timeout_s=20) as remote:
        check(remote, range(60))
        assert [s.shared for s in remote.senders] == [True]


def test_with_keys_it_does_not(address: str, keys: Path, threads: Threads) -> None:
    threads.send(images(60), address, passes=1, key=keys / "sender.key_secret", peers=keys / "receiver.key")
    files = {"key": keys / "receiver.key_secret", "peers": keys / "sender.key"}
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20, **files) as remote:  # type: ignore[arg-type]
        check(remote, range(60))
        assert [s.shared for s in remote.senders] == [False]


def test_where_no_memory_can_be_had_all_goes_through_the_socket(
    address: str, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> int:
        raise OSError("no")

    monkeypatch.setattr("headrace.remote.shared_memory.create_arena", none)
    threads.send(images(60), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        check(remote, range(60))
        assert [s.shared for s in remote.senders] == [False]


def test_memory_that_the_consumer_let_go_is_used_again(address: str, threads: Threads) -> None:
    threads.send(images(500), address, passes=1, hwm=2)  # half of that, one image, is a message
    places = set()
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        for _, image in remote:
            places.add(image.ctypes.data)
    assert len(places) < 10  # two under way, one with the consumer, and some that wait for their acknowledgement


def test_what_the_consumer_keeps_stays_as_it_is(address: str, threads: Threads) -> None:
    threads.send(images(500), address, passes=1)
    kept = []
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        for n, (number, image) in enumerate(remote):
            assert n == number
            kept += [(n, image[::100])] if n % 5 == 0 else []
    threads.join()
    assert all((image == n).all() for n, image in kept)


def shared_bytes() -> int:
    """How much of arenas is in memory, as this process has it mapped."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        1024 * int(next(line for line in lines if line.startswith("Rss:")).split()[1])
        for line in lines
        if "/memfd:headrace-arena" in line
    )


def test_memory_that_was_kept_for_a_while_goes_back_to_the_system(address: str, threads: Threads) -> None:
    threads.send(images(40, 1 << 20), address, passes=3)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        kept = list(remote)
        most = shared_bytes()
        assert most > 300 << 20
        del kept
        for _ in range(2):
            for _ in remote:
                pass
        assert shared_bytes() < most / 2


def test_while_the_memory_is_full_messages_go_through_the_socket(
    address: str, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.parallel.arena._address_space", lambda: 1 << 22)
    threads.send(images(200), address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        kept = list(remote)
        assert [s.shared for s in remote.senders] == [True]
    check(kept, range(200))


@pytest.mark.parametrize("ack", [True, False])
def test_a_connection_that_breaks_costs_nothing(
    address: str, threads: Threads, ack: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What was lent over the old connection, and not taken, is sent as a copy."""
    with (
        reserved_port() as port,
        contextlib.closing(Proxy(f"tcp://127.0.0.1:{port}", address)) as way,
        hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=ack, timeout_s=20) as remote,
    ):
        flow = hr.MapData(hr.DataFromList(range(300), shuffle=False), lambda n: (n, np.full(SIZE, n, float)))
        threads.send(flow, f"tcp://127.0.0.1:{port}", passes=1, ack=ack)
        it = iter(remote)
        for start in range(0, 250, 50):
            check(itertools.islice(it, 50), range(start, start + 50))
            caplog.clear()
            way.cut()
            while "lost the receiver" not in caplog.text:
                time.sleep(0.01)
            way.mend()
        check(it, range(250, 300))
        assert dict(remote.rejected) == {}


@pytest.mark.parametrize("ack", [True, False])
def test_what_a_receiver_wrote_to_is_not_what_the_next_one_gets(
    address: str, threads: Threads, ack: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The first one takes some of a message, which comes again after a broken connection, and ends without a word. The
    second one goes on from an older state, within that message (``ack``), or with what was not sent yet.
    """

    def lose() -> None:
        caplog.clear()
        way.cut()
        while "lost the receiver" not in caplog.text:
            time.sleep(0.01)

    with reserved_port() as port, contextlib.closing(Proxy(f"tcp://127.0.0.1:{port}", address)) as way:
        flow = hr.MapData(hr.DataFromList(range(100), shuffle=False), lambda n: (n, np.full(10_000, n, float)))
        threads.send(flow, f"tcp://127.0.0.1:{port}", passes=1, ack=ack, hwm=80)
        with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=ack, hwm=80, timeout_s=20) as first:
            it = iter(first)
            check(itertools.islice(it, 8), range(8))  # in messages of 1, 2, 4, and 8 datapoints
            state = first.state_dict()
            check(itertools.islice(it, 1), [8])
            lose()
            way.mend()
            way.wait_for_word()
            check(itertools.islice(it, 1), [9])
            lose()
        with hr.RemoteDataZMQ(address, passes=1, num_senders=1, ack=ack, hwm=80, timeout_s=20) as second:
            if ack:
                second.load_state_dict(state)
            way.mend()
            rest = list(second)
        numbers = [n for n, _ in rest]
        assert numbers == list(range(8 if ack else numbers[0], 100))
        assert ack or numbers[0] > 9
        check(rest, numbers)


# -- what strangers offer, and say of it


@pytest.fixture
def memory() -> Iterator[OwnMemory]:
    own = OwnMemory()
    yield own
    own.close()
    del own.arena  # pytest keeps the fixture


def unsealed() -> int:
    fd = os.memfd_create("headrace-arena")
    os.ftruncate(fd, 1 << 20)
    return fd


def a_file() -> int:
    return os.open(__file__, os.O_RDWR)


def a_socket() -> int:
    return socket.socket().detach()


def a_pipe() -> int:
    near, far = os.pipe()
    os.close(far)
    return near


def offered(fd: int, memory: OwnMemory) -> tuple[Any, ...]:
    file = os.fstat(fd)
    return (memory.offer.boot, os.getpid(), fd, file.st_dev, file.st_ino)


@pytest.mark.parametrize("make", [unsealed, a_file, a_socket, a_pipe])
def test_what_is_no_arena_is_not_mapped(
    make: Callable[[], int], address: str, stranger: Stranger, memory: OwnMemory
) -> None:
    fd = make()
    try:
        assert not taken(address, stranger, offered(fd, memory))
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "change",
    [{"boot": "another machine"}, {"pid": 1 << 30}, {"fd": 12345}, {"inode": 1}, {"device": 10**6}, {"pid": 10**30}],
    ids=str,
)
def test_what_is_not_what_was_offered_is_not_mapped(
    change: dict[str, Any], address: str, stranger: Stranger, memory: OwnMemory
) -> None:
    assert not taken(address, stranger, tuple(memory.offer._replace(**change)))


def test_what_was_offered_is_mapped(address: str, stranger: Stranger, memory: OwnMemory) -> None:
    assert taken(address, stranger, tuple(memory.offer))


def taken(address: str, stranger: Stranger, offer: tuple[Any, ...]) -> bool:
    """Whether a receiver maps it; in any case it goes on."""
    stranger.greet(memory=offer)
    stranger.say(Packer().pack(Kind.DATA, STREAM, 0, 1, 2).bytes)
    with hr.RemoteDataZMQ(address, timeout_s=20) as remote:
        it = iter(remote)
        assert [next(it), next(it)] == [1, 2]
        return remote.senders[0].shared


def lent(
    arena: ArenaWriter,
    *,
    kind: Kind = Kind.DATA,
    number: int = 0,
    damaged: bool = False,
    move: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """A message in a block, and the one that says where."""
    message = Packer().pack(kind, STREAM, number, *[np.zeros(100)] * 3).bytes
    place = arena.allocate(len(message))
    assert place is not None
    block, offset, memory = place
    memory[:] = np.frombuffer(message, np.uint8)
    if damaged:
        memory[-3] ^= 1
    where = tuple(map(sum, zip((block, offset, len(message)), move, strict=True)))
    return Packer().pack(Kind.LENT, STREAM, 0, where).bytes


LIES: dict[str, tuple[Callable[[ArenaWriter], bytes], str]] = {
    "no place": (lambda a: Packer().pack(Kind.LENT, STREAM, 0, "here").bytes, "a bad place"),
    "two numbers": (lambda a: Packer().pack(Kind.LENT, STREAM, 0, (1, 2)).bytes, "a bad place"),
    "no value": (lambda a: Packer().seal(Kind.LENT, STREAM, 0).bytes, "not one value"),
    "a block before the first": (lambda a: lent(a, move=(-1, 0, 0)), "not shared"),
    "a block behind the last": (lambda a: lent(a, move=(1 << 16, 0, 0)), "not shared"),
    "the header": (lambda a: lent(a, move=(0, -1, 0)), "not shared"),
    "beyond the end": (lambda a: lent(a, move=(0, 1 << 50, 0)), "not shared"),
    "too long": (lambda a: lent(a, move=(0, 0, 1 << 31)), "larger than allowed"),
    "empty": (lambda a: lent(a, move=(0, 0, -(1 << 31))), "not shared"),
    "another place": (lambda a: lent(a, move=(0, 64, 0)), "not of this protocol"),
    "damaged": (lambda a: lent(a, damaged=True), "damaged"),
    "another number": (lambda a: lent(a, number=1), "another message"),
    "another kind": (lambda a: lent(a, kind=Kind.END), "another message"),
}


@pytest.mark.parametrize("lie", LIES)
def test_who_lies_about_its_memory_is_dropped(lie: str, address: str, stranger: Stranger, memory: OwnMemory) -> None:
    say, text = LIES[lie]
    stranger.greet(memory=tuple(memory.offer))
    stranger.say(say(memory.arena))
    assert text in rejected(address)


def test_memory_that_was_not_offered_is_not_read(address: str, stranger: Stranger, memory: OwnMemory) -> None:
    stranger.greet()
    stranger.say(lent(memory.arena))
    assert "not shared" in rejected(address)


@pytest.mark.parametrize(
    "offer", [5, (), ("boot", 1, 2, 3), ("boot", 1, 2, 3, "4"), ("boot", 1, -2, 3, 4), (b"", 1, 2, 3, 4)], ids=str
)
def test_a_bad_offer_is_rejected(offer: Any, address: str, stranger: Stranger) -> None:
    stranger.greet(memory=offer)
    assert "a bad offer of memory" in rejected(address)


def rejected(address: str) -> str:
    """Why somebody was."""
    with hr.RemoteDataZMQ(address, timeout_s=1) as remote:
        with contextlib.suppress(hr.PeerLost):
            next(iter(remote))
        ((why, count),) = remote.rejected.items()
    assert count == 1
    return why
