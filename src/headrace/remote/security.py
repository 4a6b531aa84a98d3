"""Who may take part: addresses, keys, and the keeper of the gate.

Without keys only this machine takes part: TCP on the loopback interface, or a socket of this user's on disk. With keys
(CURVE, https://rfc.zeromq.org/spec/26/) the whole conversation is encrypted, and both ends know each other: the side
that connects knows the key of the one that it wants to reach, and the side that binds lets in only keys on its list
(ZAP, https://rfc.zeromq.org/spec/27/).

A key is a pair of files, in the format of `zmq.auth`: ``NAME.key`` may be given to anyone, ``NAME.key_secret`` stays
where it is. Keys are read when they are needed and are never part of a flow, a log, a ``repr`` or an error.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from zmq.utils import z85

from ..errors import AddressError, SecurityError

__all__ = ["Address", "Gatekeeper", "Keys", "check_keys", "parse_address", "write_keys"]

PathLike = str | os.PathLike[str]

_DOMAIN = b"headrace"
_Z85 = re.compile(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_TCP = re.compile(r"tcp://(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^\[\]/:]+)):(?P<port>\d{1,5})")


class Address(NamedTuple):
    """A checked address.

    Attributes:
        text: as ZeroMQ takes it.
        host: None for a socket on disk.
        path: of a socket on disk (``@name`` for one in the abstract namespace); None for TCP.
    """

    text: str
    host: str | None
    path: str | None

    @property
    def wildcard(self) -> bool:
        """Whether it means all interfaces."""
        return self.host in ("*", "0.0.0.0", "::")

    @property
    def local(self) -> bool:
        """Whether only this machine can be on the other side."""
        if self.host is None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check_reachable(self) -> None:
        """Look the host up.

        Raises:
            AddressError: there is no such host, or no such folder.
        """
        if self.host is not None and not self.wildcard:
            try:
                socket.getaddrinfo(self.host, None, proto=socket.IPPROTO_TCP)
            except OSError as error:
                raise AddressError(
                    f"{self.text}: the host {self.host!r} is unknown ({error.strerror}); check the name, or use its IP "
                    "address"
                ) from None
        if self.path is not None and not self.path.startswith("@") and not Path(self.path).parent.is_dir():
            raise AddressError(f"{self.text}: there is no folder {Path(self.path).parent}")


def parse_address(name: str, text: Any, *, keys: bool, bind: bool) -> Address:
    """Check an address.

    Args:
        name: of the argument, for errors.
        text: ``tcp://HOST:PORT`` or ``ipc://PATH``.
        keys: whether the connection will have keys.
        bind: whether it will be bound.

    Raises:
        TypeError, ValueError: it is no address.
        SecurityError: other machines could take part, and there are no keys.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str such as 'tcp://127.0.0.1:5555', got {type(text).__name__}")
    address = _parse(name, text)
    if address.wildcard and not bind:
        raise ValueError(f"{name}: {text!r} means all interfaces of this machine; one can bind to it, not connect")
    if not keys and not address.local:
        who = "anyone could connect" if bind else "anyone could answer"
        raise SecurityError(
            f"{name}: {text!r} reaches beyond this machine, where {who}; give key= and peers= (make them with: "
            f"headrace "
            "keygen DIR), or stay on tcp://127.0.0.1:PORT or ipc://PATH"
        )
    return address


def _parse(name: str, text: str) -> Address:
    if text.startswith("ipc://") and len(text) > len("ipc://"):
        return Address(text, None, text.removeprefix("ipc://"))
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(f"{name} must be tcp://HOST:PORT or ipc://PATH, got {text!r}")
    return Address(text, match["v6"] or match["host"], None)


class Keys:
    """The keys of one end.

    Attributes:
        public: of this end, 40 characters of Z85.
        secret: the same; not shown.
        peers: public keys of those on the other side.
    """

    __slots__ = ("peers", "public", "secret")

    def __init__(self, public: bytes, secret: bytes, peers: frozenset[bytes]):
        self.public = public
        self.secret = secret
        self.peers = peers

    def __repr__(self) -> str:
        return f"<keys, for {len(self.peers)} peers>"

    def __reduce__(self) -> Any:
        raise TypeError("keys are not pickled; send the names of their files")

    def arm(self, link: zmq.Socket[bytes], *, bind: bool) -> None:
        """Set a socket's keys, before it is bound or connected."""
        link.curve_publickey = self.public
        link.curve_secretkey = self.secret
        if bind:
            link.curve_server = True
            link.zap_domain = _DOMAIN
        else:
            (link.curve_serverkey,) = self.peers


def check_keys(key: PathLike | None, peers: PathLike | Sequence[PathLike] | None) -> tuple[str | None, list[str]]:
    """The arguments ``key`` and ``peers``, as names of files.

    Raises:
        TypeError, ValueError: one without the other, or no names of files (but keys, for example).
    """
    if (key is None) != (peers is None):
        missing, given = ("peers", "key") if peers is None else ("key", "peers")
        raise ValueError(
            f"{given} was given without {missing}; encryption needs your own key= and the other side's peers="
        )
    if key is None or peers is None:
        return None, []
    if not isinstance(peers, (str, bytes, os.PathLike, Iterable)):
        raise TypeError(f"peers must be names of keys' files, got {type(peers).__name__}")
    several = [peers] if isinstance(peers, (str, bytes, os.PathLike)) else list(peers)
    if not several:
        raise ValueError("peers must name at least one public key, or nobody could connect")
    return _file_name("key", key), [_file_name("peers", p) for p in several]


def _file_name(argument: str, value: Any) -> str:
    """The name of a key's file. What may be a key itself is not repeated in the error: it would end up in a log."""
    name = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be the name of a key's file, got {type(value).__name__}")
    if _Z85.fullmatch(name) and not name.endswith(".key") and not os.path.lexists(name):
        raise ValueError(
            f"{argument} is a key itself, as it seems; give the name of its file (make one with: headrace keygen DIR)"
        )
    return name


def load_keys(key: str | None, peers: Sequence[str], *, bind: bool) -> Keys | None:
    """Read the files.

    Args:
        key: the own secret key, ``NAME.key_secret``; None: no keys.
        peers: public keys of the other side, ``NAME.key``, or folders of them.
        bind: whether this side binds; the one that connects has exactly one peer.

    Raises:
        SecurityError: a file is missing, is no key, or a secret that others can read. No error shows a key.
    """
    if key is None:
        return None
    public, secret = _read(key)
    if secret is None:
        raise SecurityError(f"key: {key} has no secret key; give your own file that ends in .key_secret")
    if stat.S_IMODE(os.stat(key).st_mode) & 0o077:
        raise SecurityError(f"key: {key} can be read by other users; run: chmod 600 {key}")
    found = frozenset(_read(path)[0] for peer in peers for path in _public_files(peer))
    if not bind and len(found) != 1:
        raise SecurityError(
            f"peers: the side that connects needs exactly one key, the one of the side that binds; got {len(found)}"
        )
    return Keys(public, secret, found)


def _public_files(peer: str) -> list[str]:
    if not os.path.isdir(peer):
        return [peer]
    files = sorted(str(p) for p in Path(peer).glob("*.key"))
    if not files:
        raise SecurityError(f"peers: there is no file *.key in {peer}")
    return files


def _read(path: str) -> tuple[bytes, bytes | None]:
    from zmq.auth import load_certificate  # loads asyncio

    try:
        public, secret = load_certificate(path)
    except OSError as error:
        raise SecurityError(f"the key file {path} cannot be read: {error.strerror or 'no such file'}") from None
    except ValueError:
        raise SecurityError(f"{path} is not a key file; make one with: headrace keygen DIR") from None
    if any(len(k) != 40 for k in (public, secret) if k is not None):
        raise SecurityError(f"{path} is not a key file: a key has 40 characters")
    return public, secret


def write_keys(folder: PathLike, names: Sequence[str]) -> list[Path]:
    """Make a pair of keys for each name: ``NAME.key`` and ``NAME.key_secret`` (readable by its owner only).

    Returns:
        The files.

    Raises:
        FileExistsError: one of them exists; nothing is overwritten.
        ValueError: a name that is not made of letters, digits, ``-``, ``_`` and ``.``.
    """
    folder = Path(folder)
    files = []
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(f"a key's name is made of letters, digits, '-', '_' and '.', got {name!r}")
        files += [folder / f"{name}.key", folder / f"{name}.key_secret"]
    for file in files:
        if file.exists():
            raise FileExistsError(f"{file} exists already; keys are not overwritten")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        public, secret = zmq.curve_keypair()
        _write_new(folder / f"{name}.key", 0o644, public, None)
        _write_new(folder / f"{name}.key_secret", 0o600, public, secret)
    return files


def _write_new(path: Path, mode: int, public: bytes, secret: bytes | None) -> None:
    """In the format of `zmq.auth` (ZPL), whose own writer leaves the secret readable for a moment."""
    text = f"#   headrace: {'keep this file secret' if secret else 'this file may be given away'}\n\nmetadata\ncurve\n"
    text += f'    public-key = "{public.decode()}"\n'
    if secret is not None:
        text += f'    secret-key = "{secret.decode()}"\n'
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


class Gatekeeper:
    """Answers ZeroMQ's question whether a key may come in.

    In a thread of its own, since handshakes go on while the consumer computes. Make it before the socket is bound.
    """

    def __init__(self, context: zmq.Context[Any], allowed: frozenset[bytes]):
        self._allowed = allowed
        self._desk = context.socket(zmq.REP)
        self._desk.linger = 0
        self._desk.bind("inproc://zeromq.zap.01")
        self._stop, self._told = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        self._told.bind("inproc://headrace-gatekeeper")
        self._stop.connect("inproc://headrace-gatekeeper")
        self._thread = threading.Thread(target=self._work, name="headrace-gatekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.send(b"")
        self._thread.join()
        self._stop.close()

    def _work(self) -> None:
        poller = zmq.Poller()
        poller.register(self._desk, zmq.POLLIN)
        poller.register(self._told, zmq.POLLIN)
        while not dict(poller.poll()).get(self._told):
            self._answer(self._desk.recv_multipart())
        self._desk.close()
        self._told.close()

    def _answer(self, asked: list[bytes]) -> None:
        version, request, domain, _, _, mechanism, *credentials = asked
        known = (
            domain == _DOMAIN
            and mechanism == b"CURVE"
            and len(credentials) == 1
            and z85.encode(credentials[0]) in self._allowed
        )
        status, text = (b"200", b"OK") if known else (b"400", b"this key is not on the list")
        self._desk.send_multipart((version, request, status, text, b"", b""))
