"""Who may take part, and what becomes of those who may not."""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import stat
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from senders import Threads
from strangers import HELLO, STREAM, Stranger

import headrace as hr
from headrace.remote.packing import Packer
from headrace.remote.security import write_keys
from headrace.remote.wire import Kind, size, to_send, unpack


def receiver(keys: Path, address: str, **options: Any) -> hr.RemoteDataZMQ:
    files = {"key": keys / "receiver.key_secret", "peers": keys / "known"}
    return hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20, **files, **options)


# -- addresses


@pytest.mark.parametrize("address", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:5555", "tcp://192.0.2.1:5555",
                                     "tcp://example.org:5555", "tcp://eth0:5555"])  # fmt: skip
def test_beyond_this_machine_keys_are_needed(address: str) -> None:
    with pytest.raises(hr.SecurityError, match=r"addr1: .* beyond this machine, .*headrace keygen"):
        hr.RemoteDataZMQ(address)
    with pytest.raises((hr.SecurityError, ValueError)):
        hr.send_dataflow_zmq([1], address)


@pytest.mark.parametrize("address", ["", "localhost:5555", "tcp://localhost", "tcp://localhost:0", "tcp://a:99999",
                                     "udp://127.0.0.1:5", "inproc://x", "ipc://", "tcp://::1:5555"])  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"must be tcp://HOST:PORT or ipc://PATH, got"):
        hr.RemoteDataZMQ(address)


def test_arguments_are_checked_at_construction() -> None:
    ok = "tcp://127.0.0.1:5555"
    for bad, error in [
        ({"addr1": 5}, TypeError),
        ({"hwm": 0}, ValueError),
        ({"passes": 0}, ValueError),
        ({"num_senders": 2}, ValueError),
        ({"timeout_s": 0}, ValueError),
        ({"heartbeat_s": "1"}, TypeError),
        ({"heartbeat_s": 0.01}, ValueError),
        ({"key": "a"}, ValueError),
        ({"peers": "a"}, ValueError),
        ({"key": "a", "peers": []}, ValueError),
        ({"max_item_bytes": 5}, ValueError),
        ({"key": 5, "peers": "a"}, TypeError),
        ({"key": "a", "peers": 5}, TypeError),
    ]:
        with pytest.raises(error):
            hr.RemoteDataZMQ(**{"addr1": ok, **bad})
    for bad, error in [
        ({"format": "zmq_ops"}, ValueError),
        ({"name": ""}, ValueError),
        ({"name": "a\nb"}, ValueError),
        ({"state_file": "x"}, ValueError),
        ({"state_file": 5, "ack": True}, TypeError),
        ({"state_file": "/", "ack": True}, ValueError),
        ({"state_file": "/nowhere/state", "ack": True}, ValueError),
        ({"timeout_s": True}, TypeError),
        ({"passes": 1.5}, TypeError),
    ]:
        with pytest.raises(error):
            hr.send_dataflow_zmq([1], ok, **bad)


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_an_address_in_use_is_named(kind: str, address: str, tmp_path: Path, threads: Threads) -> None:
    taken = address if kind == "tcp" else f"ipc://{tmp_path}/socket"
    threads.send([1], taken, timeout_s=0.5)
    with hr.RemoteDataZMQ(taken) as first:
        assert next(iter(first)) == 1
        with pytest.raises(hr.AddressError, match="is in use by another program"), hr.RemoteDataZMQ(taken) as second:
            next(iter(second))
        assert next(iter(first)) == 1, "the first one is not disturbed"


def test_an_address_that_is_not_there_is_named(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(hr.AddressError, match="no such address"):
        next(iter(receiver(keys, "tcp://192.0.2.1:5555")))
    with pytest.raises(hr.AddressError, match=r"the host 'nowhere\.invalid' is unknown"):
        hr.send_dataflow_zmq([1], "tcp://nowhere.invalid:5555", key=keys / "sender.key_secret",
                             peers=keys / "receiver.key")  # fmt: skip
    with pytest.raises(hr.AddressError, match="there is no folder"):
        hr.send_dataflow_zmq([1], f"ipc://{tmp_path}/nowhere/socket")


def test_a_file_at_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("precious")
    for path in (file, tmp_path):
        with pytest.raises(hr.AddressError, match="something else than a socket"):
            next(iter(hr.RemoteDataZMQ(f"ipc://{path}", timeout_s=1)))
        with pytest.raises(hr.AddressError, match="something else than a socket"):
            hr.send_dataflow_zmq([1], f"ipc://{path}", bind=True, timeout_s=1)
    assert file.read_text() == "precious"


# -- keys


def test_a_key_in_the_place_of_its_file_is_refused_and_not_repeated(address: str) -> None:
    public, secret = zmq.curve_keypair()
    for key, peers in [(secret, public), (secret.decode(), public.decode()), ("a", [public.decode()])]:
        with pytest.raises((TypeError, ValueError), match=r"(key|peers) .* file") as caught:
            hr.RemoteDataZMQ(address, key=key, peers=peers)  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError), match=r"(key|peers) .* file") as told:
            hr.send_dataflow_zmq([1], address, key=key, peers=peers)  # type: ignore[arg-type]
        for text in (str(caught.value), str(told.value)):
            assert secret.decode() not in text
            assert public.decode() not in text


def test_with_keys_a_wildcard_may_be_bound(keys: Path, address: str, threads: Threads) -> None:
    everywhere = address.replace("127.0.0.1", "*")
    threads.send(hr.DataFromList(range(30)), address, passes=1, key=keys / "sender.key_secret",
                 peers=keys / "receiver.key")  # fmt: skip
    with receiver(keys, everywhere) as remote:
        assert sorted(remote) == list(range(30))


def test_a_sender_that_binds_lets_in_its_receiver_only(keys: Path, address: str, threads: Threads) -> None:
    threads.send([1, 2], address, passes=1, bind=True, key=keys / "sender.key_secret", peers=[keys / "receiver.key"])
    stranger = hr.RemoteDataZMQ(
        address, bind=False, key=keys / "stranger.key_secret", peers=keys / "sender.key", timeout_s=20
    )
    with stranger, pytest.raises(hr.SecurityError, match="does not let this key in"):
        next(iter(stranger))
    with hr.RemoteDataZMQ(
        address, bind=False, key=keys / "receiver.key_secret", peers=keys / "sender.key", passes=1, timeout_s=20
    ) as remote:
        assert list(remote) == [1, 2]


@pytest.mark.parametrize(
    ("key", "peer", "error", "text"),
    [
        ("stranger.key_secret", "receiver.key", hr.SecurityError, r"does not let this key in; add its public file"),
        ("sender.key_secret", "stranger.key", hr.SecurityError, r"breaks off the handshake: the key in peers="),
        (None, None, hr.SecurityError, r"this side has no keys and the other has some|this side has none"),
    ],
    ids=["a key that is not on the list", "the wrong key of the receiver", "no key"],
)
def test_whoever_has_not_the_right_keys_is_told(
    keys: Path, address: str, threads: Threads, key: str | None, peer: str | None, error: Any, text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    files = {"key": keys / key, "peers": keys / peer} if key and peer else {}
    threads.send([666], address, passes=1, **files)
    with receiver(keys, address) as remote:
        threads.send([1] * 10_000, address, key=keys / "sender.key_secret", peers=keys / "receiver.key", timeout_s=0.5)
        for value in remote:
            assert value == 1
            if remote.rejected:
                break
        threads.wait_for(error)
    refused = next(d for d in threads.join() if not isinstance(d, hr.PeerLost))
    assert isinstance(refused, error)
    assert re.search(text, str(refused))
    assert no_key_in(keys, caplog.text, str(refused), repr(remote), str(vars(remote)))


def test_a_sender_with_keys_finds_out_that_the_receiver_has_none(keys: Path, address: str, threads: Threads) -> None:
    threads.send([1], address, key=keys / "sender.key_secret", peers=keys / "receiver.key")
    with hr.RemoteDataZMQ(address, timeout_s=2) as remote, pytest.raises(hr.PeerLost):
        next(iter(remote))
    assert re.search("this side has keys and the other has none|or that has no keys", str(threads.join()[0]))
    assert list(remote.rejected) == [f"a handshake at {address} failed: another key, or none, or it broke off"]


def no_key_in(keys: Path, *texts: str) -> bool:
    found = [line.split('"')[1] for f in keys.glob("*.key*") for line in f.read_text().splitlines() if "-key" in line]
    assert len(found) == 9
    return not any(k in text for k in found for text in texts)


def test_keys_are_made_once_and_only_their_owner_reads_the_secret(tmp_path: Path) -> None:
    files = write_keys(tmp_path / "new", ["a", "b.c-d"])

    assert [stat.S_IMODE(os.stat(f).st_mode) for f in files] == [0o644, 0o600] * 2
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o700
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_keys(tmp_path / "new", ["z", "a"])
    assert not (tmp_path / "new" / "z.key").exists()
    with pytest.raises(ValueError, match="a key's name"):
        write_keys(tmp_path / "new", ["../x"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda k: os.chmod(k / "receiver.key_secret", 0o640), "can be read by other users; run: chmod 600"),
        (lambda k: os.remove(k / "receiver.key_secret"), "cannot be read: "),
        (lambda k: (k / "receiver.key_secret").write_text("hello"), "is not a key file"),
        (lambda k: os.replace(k / "receiver.key", k / "receiver.key_secret"), "has no secret key"),
        (lambda k: os.remove(k / "known" / "sender.key"), r"there is no file \*\.key in"),
    ],
    ids=["readable by others", "missing", "no key file", "public only", "nobody known"],
)
def test_bad_key_files_are_named(keys: Path, address: str, change: Callable[[Path], Any], text: str) -> None:
    change(keys)
    with pytest.raises(hr.SecurityError, match=text):
        next(iter(receiver(keys, address)))


def test_the_side_that_connects_has_one_peer(keys: Path, address: str) -> None:
    with pytest.raises(hr.SecurityError, match="exactly one key"):
        hr.send_dataflow_zmq([1], address, key=keys / "sender.key_secret", peers=keys)


# -- what strangers send


def entry(number: int, *values: Any) -> bytes:
    return Packer().pack(Kind.DATA, STREAM, number, *values or [666]).bytes


def pickled(number: int) -> bytes:
    packer = Packer()
    described = to_send({1}, allow_pickle=True)
    packer.add(described, size(described))
    return packer.seal(Kind.DATA, STREAM, number).bytes


def wrong_count() -> bytes:
    """A message that says that it has three values, and has two."""
    message = bytearray(entry(0, 1, 2))
    message[32:36] = (3).to_bytes(4, "big")
    message[48:52] = zlib.crc32(message[-5:], zlib.crc32(message[:48])).to_bytes(4, "big")
    return bytes(message)


def start_at(number: int) -> bytes:
    return Packer().pack(Kind.START, STREAM, number, 0).bytes


def other_version() -> bytes:
    message = bytearray(Packer().pack(Kind.HELLO, STREAM, 0, HELLO).bytes)
    message[4:6] = (99).to_bytes(2, "big")
    return bytes(message)


FAULTS: dict[str, tuple[Callable[[Stranger], None], str]] = {
    "noise": (lambda s: s.say(b"GET / HTTP/1.1\r\n\r\n" * 10), "not of this protocol"),
    "empty": (lambda s: s.say(b""), "shorter than a header"),
    "several frames": (lambda s: s.say(b"a", b"b", b"c"), "several frames"),
    "truncated": (lambda s: s.say(entry(0)[:-9]), "not of the length it says|shorter"),
    "another version": (lambda s: s.say(other_version()), "another version of the protocol"),
    "no HELLO": (lambda s: s.say(entry(0)), "without HELLO"),
    "a bad HELLO": (lambda s: s.greet(name=5), "a bad HELLO"),
    "a bad name": (lambda s: s.greet(name="a\x1b[2J"), "a bad name"),
    "other arguments": (lambda s: s.greet(ack=True), "the receiver has ack=False, the sender ack=True"),
    "repeated": (lambda s: (s.greet(), s.say(entry(0, 1)), s.say(entry(0, 2))), "entry 0 again"),  # type: ignore
    "out of order": (lambda s: (s.greet(), s.say(entry(5))), "entry 5 out of order"),  # type: ignore
    "repeated in part": (lambda s: (s.greet(), s.say(entry(0, 1, 2)), s.say(entry(1, 2, 3))), "entry 1 again"),  # type: ignore
    "a start far back": (
        lambda s: (s.greet(), s.say(start_at(9)), s.say(entry(9, *[1] * 50)), s.say(start_at(0))),  # type: ignore
        "a start at entry 0",
    ),
    "too many in one": (lambda s: (s.greet(), s.say(entry(0, *[1] * 60))), "more entries than"),  # type: ignore
    "another number of values": (lambda s: (s.greet(), s.say(wrong_count())), "not as many values as it says"),  # type: ignore
    "HELLO again": (
        lambda s: (s.greet(), s.say(Packer().pack(Kind.HELLO, b"y" * 16, 0, HELLO).bytes)),
        "a HELLO again",
    ),  # type: ignore
    "no values": (lambda s: (s.greet(), s.say(Packer().seal(Kind.DATA, STREAM, 0).bytes)), "wrong number of entries"),  # type: ignore
    "too many": (lambda s: (s.greet(), [s.say(entry(n, 1)) for n in range(200)]), "more entries than"),  # type: ignore
    "a pickle": (lambda s: (s.greet(), s.say(pickled(0))), "a pickle"),  # type: ignore
    "for a sender": (lambda s: (s.greet(), s.say(Packer().pack(Kind.ACK, STREAM).bytes)), "not for a"),  # type: ignore
}


@pytest.mark.parametrize("fault", FAULTS)
def test_who_says_what_nobody_should_say_is_dropped_counted_and_logged_once(
    fault: str, address: str, threads: Threads, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    say, text = FAULTS[fault]
    flow = hr.DataFromList(range(10_000, 10_100), shuffle=False)
    with hr.RemoteDataZMQ(address, timeout_s=20) as remote:
        threads.send(flow, address, timeout_s=0.5, name="good")
        say(stranger)
        it = iter(remote)
        got = []
        while not remote.rejected:
            got.append(next(it))
        say(stranger)
        got += itertools.islice(it, 100)
        good = [n - 10_000 for n in got if n >= 10_000]
        assert good == [n % 100 for n in range(len(good))]
        ((why, count),) = remote.rejected.items()
    assert count == 1
    assert re.search(text, why)
    assert [r.message.startswith("rejected") for r in caplog.records].count(True) == 1


def test_no_pass_waits_for_a_stranger_of_whom_only_faults_came(
    address: str, threads: Threads, stranger: Stranger
) -> None:
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        stranger.greet()
        stranger.say(b"noise")
        threads.send([1] * 1000, address, passes=1, name="good")
        assert list(remote) == [1] * 1000
    assert [s.name for s in remote.senders] == ["good"]


def replies(stream: bytes) -> dict[str, bytes]:
    """What a receiver might say to a sender, if it were not one of headrace."""
    welcome, ack = (
        {
            "several": ("a", b"b", "c", "d", "e", "f"),
            "a number": 5,
            "short": (None, b"r" * 16, False, 50),
            "negative": (-5, b"r" * 16, False, 50, 1000, 100_000),
            "no room": (None, b"r" * 16, False, 0, 1000, 100_000),
            "half shared": (None, b"r" * 16, 1, 50, 1000, 100_000),
            "far ahead": (1000, b"r" * 16, False, 50, 1000, 100_000),
        },
        {"ack without limits": (0, 7), "ack far ahead": (1000, (5, 5))},
    )
    said = {name: Packer().pack(Kind.WELCOME, stream, 0, value).bytes for name, value in welcome.items()}
    said |= {name: Packer().pack(Kind.ACK, stream, number, value).bytes for name, (number, value) in ack.items()}
    old = bytearray(said["several"])
    old[4:6] = (7).to_bytes(2, "big")
    return said | {
        "noise": b"noise",
        "another version": bytes(old),
        "refused": Packer().pack(Kind.REFUSED, stream).bytes,
    }


@pytest.mark.parametrize("name", replies(STREAM))
def test_strangers_do_not_end_a_sender_that_binds(
    name: str, address: str, threads: Threads, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    threads.send(hr.DataFromList(range(20), shuffle=False), address, passes=1, bind=True)
    stranger.say(Packer().pack(Kind.JOIN, bytes(16)).bytes)
    stream = unpack(memoryview(stranger.hear())).stream
    stranger.say(replies(stream)[name])
    assert unpack(memoryview(stranger.hear())).kind is Kind.REFUSED
    stranger.say(b"noise", b"noise")
    assert unpack(memoryview(stranger.hear())).kind is Kind.REFUSED

    with hr.RemoteDataZMQ(address, bind=False, passes=1, timeout_s=20) as remote:
        assert list(remote) == list(range(20))
    assert threads.join()[0].rejected == 2
    assert [": rejected at" in r.message for r in caplog.records].count(True) == 2


@pytest.mark.parametrize("name", replies(STREAM))
def test_a_sender_that_connected_says_that_this_is_no_receiver(name: str, address: str, threads: Threads) -> None:
    context = zmq.Context()
    other = context.socket(zmq.ROUTER)
    other.bind(address)
    threads.send([1], address, passes=1)
    peer, hello = other.recv_multipart()
    other.send_multipart((peer, replies(unpack(memoryview(hello)).stream)[name]))
    (error,) = threads.join()
    context.destroy(linger=0)

    assert isinstance(error, hr.ProtocolError)
    assert re.search("is no receiver of headrace|install the same release", str(error))


def test_two_senders_that_meet_are_told(address: str, threads: Threads) -> None:
    threads.send([1], address, passes=1, bind=True, timeout_s=1)
    threads.send([2], address, passes=1)
    assert {type(d) for d in threads.join()} == {hr.PeerLost, hr.ProtocolError}
    assert "this is a sender, and so is the other side" in str(threads.done)


def test_a_receiver_that_connects_finds_out_that_the_sender_has_another_version(address: str) -> None:
    context = zmq.Context()
    old = context.socket(zmq.ROUTER)
    old.bind(address)
    with hr.RemoteDataZMQ(address, bind=False, timeout_s=20) as remote:
        told = []

        def receive() -> None:
            with pytest.raises(hr.ProtocolError) as caught:
                next(iter(remote))
            told.append(str(caught.value))

        thread = threading.Thread(target=receive)
        thread.start()
        peer, _ = old.recv_multipart()
        old.send_multipart((peer, other_version()))
        thread.join()
    context.destroy(linger=0)
    assert told == [
        f"the sender at {address} speaks another version of the protocol (99, here 3); install the same release of "
        "headrace on both sides"
    ]


def test_a_stranger_is_told_why(address: str, threads: Threads, stranger: Stranger) -> None:
    with hr.RemoteDataZMQ(address, timeout_s=0.5) as remote:
        stranger.say(other_version())
        with pytest.raises(hr.PeerLost):
            next(iter(remote))
        assert b"install the same release of headrace" in stranger.hear()


def test_a_huge_message_ends_the_connection_and_is_counted(address: str, threads: Threads, stranger: Stranger) -> None:
    with hr.RemoteDataZMQ(address, max_item_bytes=100_000, timeout_s=20) as remote:
        threads.send([1], address, timeout_s=0.5)
        stranger.say(bytes(200_000))
        it = iter(remote)
        while not remote.rejected:
            assert next(it) == 1
        assert "ended before a whole message" in next(iter(remote.rejected))


def test_a_datapoint_too_large_for_the_receiver_is_an_error_of_the_sender(address: str, threads: Threads) -> None:
    threads.send([np.zeros(200_000)], address, passes=1)
    remote = hr.RemoteDataZMQ(address, max_item_bytes=100_000, passes=1, num_senders=1, timeout_s=20)
    with remote, pytest.raises(hr.SenderFailed, match=r"SerializationError: datapoint 0 takes .* at most 100,000"):
        list(remote)
    assert isinstance(threads.join()[0], hr.SerializationError)


def test_a_port_scanner_does_no_harm(address: str, threads: Threads) -> None:
    host, port = address.removeprefix("tcp://").split(":")
    with hr.RemoteDataZMQ(address, timeout_s=20) as remote:
        threads.send(hr.DataFromList([1, 2], shuffle=False), address, timeout_s=0.5)
        it = iter(remote)
        assert next(it) == 1
        for junk in (b"", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((host, int(port))) as scanner:
                scanner.sendall(junk)
        assert list(itertools.islice(it, 100)) == [2, 1] * 50


def test_a_sender_finds_out_that_the_receiver_has_another_version(address: str, threads: Threads) -> None:
    context = zmq.Context()
    old = context.socket(zmq.ROUTER)
    old.bind(address)
    threads.send([1], address, passes=1)
    peer, _ = old.recv_multipart()
    reply = bytearray(Packer().pack(Kind.REFUSED, STREAM, 0, "no").bytes)
    reply[4:6] = (7).to_bytes(2, "big")
    old.send_multipart((peer, bytes(reply)))
    (error,) = threads.join()
    context.destroy(linger=0)

    assert isinstance(error, hr.ProtocolError)
    assert "speaks version 7 of the protocol, this sender version 3; install the same release" in str(error)


def test_a_sender_finds_out_that_nobody_of_headrace_answers(address: str, threads: Threads) -> None:
    context = zmq.Context()
    other = context.socket(zmq.PULL)
    other.bind(address)
    threads.send([1], address, passes=1)
    (error,) = threads.join()
    context.destroy(linger=0)

    assert isinstance(error, hr.ProtocolError)
    assert "neither a sender nor a receiver of headrace" in str(error)


def test_a_second_receiver_at_a_sender_that_binds_is_refused(address: str, threads: Threads) -> None:
    threads.send([1], address, bind=True, timeout_s=0.5)
    with hr.RemoteDataZMQ(address, bind=False) as first, hr.RemoteDataZMQ(address, bind=False, timeout_s=20) as second:
        assert next(iter(first)) == 1
        with pytest.raises(hr.ProtocolError, match="feeds another receiver already"):
            next(iter(second))
        assert list(itertools.islice(first, 100)) == [1] * 100


def test_the_log_never_has_data(address: str, threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    threads.send(["a very private text"], address, passes=1)
    with hr.RemoteDataZMQ(address, passes=1, num_senders=1, timeout_s=20) as remote:
        assert list(remote) == ["a very private text"]
    assert "private" not in caplog.text
