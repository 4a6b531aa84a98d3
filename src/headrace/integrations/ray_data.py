"""Ray Data in both directions: a dataset as a flow, a flow as a dataset. Neither is loaded as a whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._checks import check_count
from ..errors import NoLengthError
from ..flow import DataFlow, as_flow
from ..parallel.executors.ray import dumps_for_actors, loads_there
from ..parallel.executors.ray_session import RaySession, check_address, import_ray
from ..parallel.messages import Begin
from ..parallel.programs import ReplicateProgram
from ..seeding import Place, fresh_entropy, global_seed, set_worker_info

__all__ = ["flow_to_ray_dataset", "from_ray_dataset"]

_BLOCK_ROWS = 256
_BLOCK_BYTES = 16 << 20


class DataFromRayDataset(DataFlow):
    """See `from_ray_dataset`."""

    def __init__(self, ds: Any):
        if not isinstance(ds, import_ray_data().Dataset):
            raise TypeError(f"ds must be a ray.data.Dataset, got {type(ds).__name__}: {ds!r:.60}")
        self.ds = ds
        ds.context.execution_options.preserve_order = True

    def __len__(self) -> int:
        if type(self.ds).__name__ != "MaterializedDataset":
            raise NoLengthError("the dataset would have to be read to be counted: use ds.materialize(), or count it")
        return int(self.ds.count())

    def __iter__(self) -> Iterator[Any]:
        for row in self.ds.iter_rows():
            yield {name: _own(value) for name, value in row.items()} if isinstance(row, dict) else row


def from_ray_dataset(ds: Any) -> DataFlow:
    """The rows of a Ray dataset, as a flow.

    Args:
        ds: a ``ray.data.Dataset``. Each pass executes it, as a stream: a few blocks at a time are in memory. One that
            is materialized is only read, and has a length.

    Returns:
        A flow of dicts from column names to values. Arrays are writable and yours.

    Order and integrity: each row once, in the dataset's order (its ``preserve_order`` is switched on). Resumed by
    reading as many rows again, so the dataset must give the same rows each time: seed what is random in it.

    Raises:
        TypeError: ``ds`` is no dataset.
        ImportError: Ray Data is missing.

    Example:
        >>> import headrace as hr
        >>> import ray  # doctest: +SKIP
        >>> ds = ray.data.from_items([{"path": "a.jpg"}, {"path": "b.jpg"}])  # doctest: +SKIP
        >>> list(hr.from_ray_dataset(ds))  # doctest: +SKIP
        [{'path': 'a.jpg'}, {'path': 'b.jpg'}]
    """
    return DataFromRayDataset(ds)


def flow_to_ray_dataset(
    flow: Any, *, shares: int = 1, names: Sequence[str] | None = None, address: str = "auto"
) -> Any:
    """A flow, as a lazy Ray dataset.

    The flow is shipped to Ray tasks, and runs there whenever the dataset is executed; its datapoints become rows as
    they come.

    Args:
        flow: the flow, or any iterable that can be pickled. It must end.
        shares: how many tasks it is spread over. Each runs a copy of the flow and takes its share, as with
            ``RayRunner(flow, shares, shard=True)``.
        names: columns for the components of list and tuple datapoints; default: ``"0"``, ``"1"`` ... Dicts bring
            their own; anything else is the column ``"item"``, as in Ray.
        address: see `RayMapData`.

    Returns:
        A ``ray.data.Dataset``. Arrays of one shape become tensor columns.

    Order and integrity: each datapoint of one pass once, also when Ray runs a task again: random numbers are fixed now.
    With one share the rows have the flow's order.

    Raises:
        TypeError, ValueError: for arguments of a wrong type or value.
        SerializationError: the flow cannot be pickled; names the part at fault.
        ImportError: Ray Data is missing.
        AddressError, ClusterError, ProtocolError: see `RayMapData`.

    Example:
        >>> import headrace as hr
        >>> flow = hr.DataFromList([["a.jpg", 3], ["b.jpg", 5]], shuffle=False)
        >>> hr.flow_to_ray_dataset(flow, names=["path", "label"]).take_all()  # doctest: +SKIP
        [{'path': 'a.jpg', 'label': 3}, {'path': 'b.jpg', 'label': 5}]
    """
    ray_data = import_ray_data()
    flow = as_flow(flow)
    count = check_count("shares", shares)
    if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
        raise TypeError(f"names must be a sequence of str, got {names!r:.60}")
    code = dumps_for_actors(ReplicateProgram([flow], shard=True, in_process=True))
    read = _reader(code, Place(_seed_of(flow), 0), count, names)
    RaySession(check_address(address))
    ds = ray_data.range(count, override_num_blocks=count).map_batches(read, batch_size=1)
    ds.context.execution_options.preserve_order = True
    return ds


def import_ray_data() -> Any:
    """The package ``ray.data``.

    Raises:
        ImportError: Ray is missing or too old, or lacks what its data part needs.
    """
    import_ray()
    try:
        import ray.data
    except ImportError as error:
        raise ImportError(f"Ray Data cannot be imported ({error}): pip install 'headrace[ray]'") from error
    return ray.data


def _seed_of(flow: DataFlow) -> int:
    if flow._seed is not None:
        return flow._seed
    chosen = global_seed()
    return fresh_entropy() if chosen is None else chosen


def _reader(
    code: bytes, place: Place, shares: int, names: Sequence[str] | None
) -> Callable[[dict[str, Any]], Iterator[dict[str, Any]]]:
    """What runs in the tasks: from the number of a share to its rows, in batches of columns."""
    path = sys.path

    def read(numbers: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in numbers["id"].tolist():
            program: ReplicateProgram = loads_there(code, path)
            program.begin(Begin(0, place, 0, 0, copy=(number, shares)))
            try:
                yield from _blocks(_row(dp, names) for dp in program.rest())
            finally:
                program.close()
                set_worker_info(None)

    return read


def _row(dp: Any, names: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(dp, dict):
        return dp
    if not isinstance(dp, (list, tuple)):
        return {"item": dp}
    return dict(zip(names if names is not None else map(str, range(len(dp))), dp, strict=names is not None))


def _blocks(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows as columns, a block at a time."""
    held: list[dict[str, Any]] = []
    nbytes = 0
    for row in rows:
        if held and row.keys() != held[0].keys():
            raise ValueError(
                f"all datapoints of a dataset must have the same columns, got {list(held[0])}, {list(row)}"
            )
        held.append(row)
        nbytes += sum(value.nbytes if isinstance(value, np.ndarray) else 0 for value in row.values())
        if len(held) == _BLOCK_ROWS or nbytes >= _BLOCK_BYTES:
            yield _columns(held)
            held, nbytes = [], 0
    if held:
        yield _columns(held)


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: _column([row[name] for row in rows]) for name in rows[0]}


def _column(values: list[Any]) -> Any:
    kinds = {(value.shape, value.dtype.str) if isinstance(value, np.ndarray) else None for value in values}
    return values if None in kinds or len(kinds) > 1 else np.stack(values)


def _own(value: Any) -> Any:
    """Arrays that point into Ray's memory are copied."""
    return value.copy() if isinstance(value, np.ndarray) and not value.flags.writeable else value
