"""This process's connection to a Ray cluster: which one, whether there is one, and what to say if not.

Ray itself looks for a dead cluster for 40 s and more, and says little then. So before it is asked, the place is: it
must take a connection, and speak HTTP/2, as Ray's head (its GCS) does; its dashboard, on another port, does not.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from ...errors import AddressError, ClusterError, ProtocolError

__all__ = ["RaySession", "check_address", "import_ray", "resource_text"]

logger = logging.getLogger("headrace")

_OLDEST = (2, 40)

_started: set[str] = set()
"""Local clusters that this process has started with its connection. They end with it, but not at once: for a moment
they are still found."""

_ANSWER_S = 5.0
"""So long a cluster may take to answer."""

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2 begins (RFC 9113, 3.4): a fixed text, and a frame of settings, here an empty one."""

_SETTINGS = 4
"""The type of the frame with which a server begins."""


def import_ray() -> Any:
    """The package ``ray``.

    Raises:
        ImportError: it is missing, or too old.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"Ray cannot be imported ({error}): pip install 'headrace[ray]'") from error
    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    if version < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ImportError(
            f"headrace needs Ray {oldest} or later, this is Ray {ray.__version__}: pip install 'headrace[ray]'"
        )
    return ray


def check_address(value: Any) -> str:
    """``value``, if it can be an address.

    Raises:
        TypeError: it is no str.
        ValueError: it is none of ``"auto"``, ``"local"``, ``HOST:PORT``.
    """
    if not isinstance(value, str):
        raise TypeError(
            f'address must be a str such as "auto" or "10.0.0.1:6379", got {type(value).__name__}: {value!r:.60}'
        )
    if value not in ("auto", "local"):
        _split(value)
    return value


def _split(address: str) -> tuple[str, int]:
    """Host and port."""
    if "://" in address:
        raise ValueError(
            f"address must not be one of Ray's client mode, got {address!r}: run this process on a node of the "
            'cluster, and use "auto" or the address of its head, such as "10.0.0.1:6379"'
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f'address must be "auto", "local" or like "10.0.0.1:6379", got {address!r}')
    return host.strip("[]"), int(port)


class RaySession:
    """This process's connection to a cluster.

    Args:
        address: ``"auto"``: the connection that is there, else the cluster that the variable ``RAY_ADDRESS`` names,
            else the one that runs on this machine, else a new local one. ``"local"``: the connection that is there,
            else a new local cluster. ``HOST:PORT``: that one.

    Raises:
        ImportError: see `import_ray`.
        ValueError: ``RAY_ADDRESS`` is no address.
        AddressError: the host is unknown.
        ClusterError: there is no cluster at that address, or the process is connected to another one.
        ProtocolError: the cluster has another version of Ray or Python.
    """

    def __init__(self, address: str):
        self.ray = import_ray()
        if not self.ray.is_initialized():
            self._connect(address)
        elif address not in ("auto", "local"):
            self._check_same(address)
        context = self.ray.get_runtime_context()
        self._node = context.get_node_id()
        if self.ray._private.worker._global_node.head:
            _started.add(context.gcs_address)

    def _check_same(self, address: str) -> None:
        here = self.ray.get_runtime_context().gcs_address
        if self._own(address) != here and _places(address).isdisjoint(_places(here)):
            raise ClusterError(
                f"this process is connected to the Ray cluster at {here}, and can be connected to one only; address "
                f'must be that or "auto", got {address!r}'
            )

    def _connect(self, address: str) -> None:
        variable = os.environ.get("RAY_ADDRESS") if address == "auto" else None
        address = variable or address
        if address == "auto":
            self._find_or_start()
        elif address == "local":
            self._start_local()
        else:
            if not _answers(self._own(check_address(address))):
                raise ClusterError(
                    f"there is no Ray cluster at {address}{', which RAY_ADDRESS names' if variable else ''}: the "
                    f"connection was refused; start one there with 'ray start --head --port={_split(address)[1]}', or "
                    "check the address"
                )
            self._join(address)

    def _find_or_start(self) -> None:
        found = self._found()
        if found is not None:
            self._join(found)
            return
        self._start_local()
        logger.warning(
            "no Ray cluster was found, so a local one was started, with %s; it ends with this process or with "
            "ray.shutdown()",
            resource_text(self.ray.cluster_resources()),
        )

    def _found(self) -> str | None:
        """The cluster that runs on this machine. Ray's own search also finds what one that was killed has left."""
        services = self.ray._private.services
        getattr(services.find_gcs_addresses, "cache_clear", lambda: None)()
        try:
            place = str(services.canonicalize_bootstrap_address("auto"))
        except ConnectionError:
            return None
        if place not in _started and _answers(place):
            return place
        logger.info("the Ray cluster that ran at %s is gone", place)
        return None

    def _start_local(self) -> None:
        self.ray.init(address="local", include_dashboard=False)

    def _join(self, address: str) -> None:
        try:
            self.ray.init(address=address)
        except Exception as error:
            self.ray.shutdown()
            text = " ".join(str(error).split())
            if "Version mismatch" not in text:
                raise ClusterError(f"the Ray cluster at {address} cannot be joined: {text}") from error
            raise ProtocolError(
                f"the Ray cluster at {address} does not fit this process ({text}): use the cluster's versions of Ray "
                "and Python here"
            ) from error

    def _own(self, address: str) -> str:
        """The address, as Ray writes it: it has this machine's IP address for ``localhost``."""
        return str(self.ray._private.services.canonicalize_bootstrap_address(address))

    @property
    def alive(self) -> bool:
        """Whether it still is the same: after ``ray.shutdown()`` it is not, and most calls would make a new one."""
        return bool(self.ray.is_initialized() and self.ray.get_runtime_context().get_node_id() == self._node)

    def room(self) -> str:
        """What the cluster has, for people."""
        resources, free = self.ray.cluster_resources(), self.ray.available_resources()
        return f"{resource_text(resources)}; of these are free {resource_text(free)}"


def _places(address: str) -> set[tuple[str, int]]:
    """IP addresses and ports.

    Raises:
        AddressError: the host is unknown.
    """
    host, port = _split(address)
    try:
        return {(str(place[0]), port) for *_, place in socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)}
    except OSError as error:
        raise AddressError(
            f"the host of the Ray cluster at {address} is unknown ({error.strerror}); check the name, or use its IP "
            "address"
        ) from None


def _answers(address: str) -> bool:
    """Whether the head of a cluster is there; no: the connection is refused.

    Raises:
        AddressError: the host is unknown.
        ClusterError: it cannot be reached, or says nothing, or is something else.
    """
    _places(address)
    try:
        with socket.create_connection(_split(address), timeout=_ANSWER_S) as connection:
            if os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
                return True  # what it says is for those who have its keys
            connection.sendall(_HELLO)
            header = connection.makefile("rb").read(9)
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        header = b""
    except TimeoutError:
        raise ClusterError(
            f"nothing at {address} has answered within {_ANSWER_S:g} s: check the address of the Ray cluster's head, "
            "and that no firewall is in between"
        ) from None
    except OSError as error:
        raise ClusterError(f"the Ray cluster at {address} cannot be reached: {error}") from error
    if len(header) < 9 or header[3] != _SETTINGS:
        raise ClusterError(
            f"what listens at {address} is no Ray cluster: take the address that 'ray start --head' prints, with the "
            "port of its GCS (6379 unless told otherwise), not that of the dashboard"
        )
    return True


def resource_text(resources: dict[str, float]) -> str:
    """Resources, for people; without those that only name a node."""
    return (
        ", ".join(f"{name}: {amount:g}" for name, amount in sorted(resources.items()) if ":" not in name) or "nothing"
    )
