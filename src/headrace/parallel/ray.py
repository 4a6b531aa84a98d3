"""The faces on Ray: the same two patterns, with workers that are actors on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._checks import check_count
from ..flow import as_flow
from .executors.ray import RayExecutor
from .executors.ray_session import RaySession, check_address, import_ray
from .faces import Default
from .mappers import BUFFER_SIZE, _Mapper
from .policy import OnErrorChoice
from .pool import Pool
from .programs import MapProgram, Program
from .runners import HWM, _Runner
from .transports.ray import RayTransport

__all__ = ["RayMapData", "RayRunner"]


class RayMapData(_Mapper):
    """Apply a function to the datapoints of a flow, in Ray actors on the nodes of a cluster.

    The input flow is read by this process (make it quick: let it give file names, not images), the function runs in
    the actors. Large arrays travel through Ray's object store.

    Args:
        ds: the input flow, or any iterable.
        num_actors: number of actors, at least 1.
        map_func: see `MultiProcessMapDataZMQ`. Lambdas, closures and functions of the main script are fine; what they
            import must be on the nodes.
        buffer_size: see `MultiProcessMapDataZMQ`.
        strict: see `MultiProcessMapDataZMQ`.
        ordered: see `MultiProcessMapDataZMQ`.
        num_cpus: CPUs that each actor asks Ray for; may be a fraction, or 0.
        resources: other resources that each asks for, by the names under which nodes offer them.
        address: ``"auto"``: the cluster this process is connected to, or that runs on this machine, or that the
            variable ``RAY_ADDRESS`` names; if there is none, a local one is started, with a warning. ``"local"``: a new
            one on this machine, unless this process is connected. ``HOST:PORT``: the one whose head is there.
        on_error: see `MultiProcessMapDataZMQ`.
        max_errors: see `MultiProcessMapDataZMQ`.
        item_timeout_s: see `MultiProcessMapDataZMQ`.
        max_items_per_worker: see `MultiProcessMapDataZMQ`.
        buffer_bytes: see `MultiProcessMapDataZMQ`.
        max_retries: how many actors may die on one datapoint before it counts as failed, with `WorkerDied`.
        seed: see `MultiProcessMapDataZMQ`.

    Order and integrity: as `MultiProcessMapDataZMQ`, also when actors are killed or nodes are lost: what they held is
    done again elsewhere. Actors for which there is no room yet join in later; after 10 s a warning says what they wait
    for. Random numbers and saved states are those of the other mappers.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        ImportError: at construction, Ray is missing or too old.
        AddressError: in the first pass, as the next two: the host of the address is unknown.
        ClusterError: there is no cluster at the address.
        ProtocolError: the cluster has another version of Ray or Python.
        SerializationError, WorkerDied, Exception: see `MultiProcessMapDataZMQ`.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList([[1, 2], [3, 4], [5, 6]], shuffle=False)
        >>> with hr.RayMapData(ds, 2, lambda a, b: a * b) as flow:  # doctest: +SKIP
        ...     list(flow)
        [2, 12, 30]
    """

    def __init__(
        self,
        ds: Any,
        num_actors: int,
        map_func: Callable[..., Any],
        *,
        buffer_size: int = BUFFER_SIZE,
        strict: bool = True,
        ordered: bool = True,
        num_cpus: float = 1,
        resources: Mapping[str, float] | None = None,
        address: str = "auto",
        on_error: OnErrorChoice = "raise",
        max_errors: int | float | None = None,
        item_timeout_s: float | None = None,
        max_items_per_worker: int | None = None,
        buffer_bytes: int | None = None,
        max_retries: int = 3,
        seed: int | None = None,
    ):
        import_ray()
        super().__init__(
            ds,
            ("num_actors", check_count("num_actors", num_actors)),
            map_func,
            buffer_size,
            strict,
            ordered,
            on_error,
            max_errors,
            seed,
        )
        self.num_actors = self._workers
        self.num_cpus = check_amount("num_cpus", num_cpus)
        self.resources = check_resources(resources)
        self.address = check_address(address)
        self._limits(item_timeout_s, max_items_per_worker, buffer_bytes, max_retries)

    def _connect(self) -> None:
        RaySession(self.address)

    def _make_pool(self) -> Pool:
        program = MapProgram(self._function, in_process=True)
        return ray_pool(program, self._workers, self.address, self.num_cpus, self.resources)


class RayRunner(_Runner):
    """Run copies of a flow in Ray actors on the nodes of a cluster, and merge what they give.

    The whole flow runs in the actors. It may have local workers of its own there, so that decoding and batching take
    all cores of a node, and only finished batches cross the network: give each actor the node's CPUs with ``num_cpus``.

    Args:
        ds: the flow to copy; see `MultiProcessRunnerZMQ`.
        num_actors: number of copies, at least 1.
        hwm: the most datapoints that each copy may be ahead of the consumer. If it is not given, tiny datapoints may
            be more.
        shard: see `MultiProcessRunnerZMQ`.
        num_cpus: see `RayMapData`.
        resources: see `RayMapData`.
        address: see `RayMapData`.
        max_retries: how many actors may die on one copy, in a row and without giving anything.
        seed: see `MultiProcessRunnerZMQ`.

    Order and integrity: as `MultiProcessRunnerZMQ`, also when actors are killed or nodes are lost: another actor goes
    on after the last datapoint that came.

    Raises:
        TypeError, ValueError: at construction, for arguments of a wrong type or value.
        ImportError, AddressError, ClusterError, ProtocolError: see `RayMapData`.
        SerializationError, WorkerDied, Exception: see `MultiProcessRunnerZMQ`.

    Example:
        >>> import headrace as hr
        >>> ds = hr.DataFromList(range(6), shuffle=False)
        >>> with hr.RayRunner(ds, 2, shard=True) as flow:  # doctest: +SKIP
        ...     sorted(flow)
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        ds: Any,
        num_actors: int = 1,
        hwm: int = HWM,
        *,
        shard: bool = False,
        num_cpus: float = 1,
        resources: Mapping[str, float] | None = None,
        address: str = "auto",
        max_retries: int = 3,
        seed: int | None = None,
    ):
        import_ray()
        self.num_actors = check_count("num_actors", num_actors)
        self.hwm = check_count("hwm", hwm)
        elastic = isinstance(hwm, Default)
        super().__init__(as_flow(ds), self.num_actors, self.hwm * self.num_actors, elastic, shard, seed)
        self.num_cpus = check_amount("num_cpus", num_cpus)
        self.resources = check_resources(resources)
        self.address = check_address(address)
        self.max_retries = check_count("max_retries", max_retries)

    def _connect(self) -> None:
        RaySession(self.address)

    def _make_pool(self) -> Pool:
        program = self._program([self.ds], in_process=True)
        return ray_pool(program, self.num_actors, self.address, self.num_cpus, self.resources)


def ray_pool(program: Program, num_actors: int, address: str, num_cpus: float, resources: dict[str, float]) -> Pool:
    """Workers that are Ray actors."""
    session = RaySession(address)
    return Pool(RayExecutor(session, num_cpus, resources), RayTransport(session), program, num_actors)


def check_amount(name: str, value: Any) -> float:
    """``value``, if it is an amount of a resource.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r:.60}")
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return value


def check_resources(value: Any) -> dict[str, float]:
    """``value`` as a dict from names to amounts; None: an empty one.

    Raises:
        TypeError: it is no mapping, or a name or an amount is none.
        ValueError: an amount is negative, or CPU or GPU is among them, as Ray has it elsewhere.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"resources must be a mapping from names to amounts, got {type(value).__name__}: {value!r:.60}")
    for name, amount in value.items():
        if not isinstance(name, str):
            raise TypeError(f"resources must have names that are str, got {name!r:.60}")
        if name == "CPU":
            raise ValueError('resources must not hold "CPU": use num_cpus')
        check_amount(f"resources[{name!r}]", amount)
    return dict(value)
