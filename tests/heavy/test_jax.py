"""JAX: arrays on devices, sharded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

import headrace as hr
from headrace.integrations.jax import DevicePrefetch
from headrace.testing import check_resume


def image(n: int) -> np.ndarray[Any, Any]:
    return np.full((300, 300), n, np.int32)


def rows(count: int = 6) -> hr.DataFlow:
    return hr.DataFromList([{"x": np.full((2, 3), n, np.float32), "name": f"{n}"} for n in range(count)])


def test_arrays_are_jax_arrays_and_the_rest_stays() -> None:
    for dp in DevicePrefetch(rows()):
        assert isinstance(dp["x"], jax.Array)
        assert dp["x"].devices() == {jax.devices()[0]}
        assert float(dp["x"][0, 0]) == float(dp["name"])


def test_a_device_may_be_named() -> None:
    (device,) = jax.devices()
    assert next(iter(DevicePrefetch(rows(), device)))["x"].devices() == {device}


def test_what_workers_wrote_stays_intact_however_long_it_is_kept() -> None:
    with DevicePrefetch(hr.MultiProcessMapData(hr.DataFromList(range(100), shuffle=False), 2, image)) as flow:
        kept = list(flow)
        assert all(int(array.min()) == int(array.max()) == n for n, array in enumerate(kept))


def test_resumes() -> None:
    check_resume(lambda: hr.MapData(DevicePrefetch(rows()), lambda dp: [np.asarray(dp["x"]), dp["name"]]))


def test_what_others_wrote_in_another_byte_order_and_records() -> None:
    record = np.zeros(2, [("a", "i4")])
    ((numbers, same),) = DevicePrefetch(hr.DataFromList([[np.array([1.5, 2], ">f4"), record]]))
    assert numbers.tolist() == [1.5, 2]
    assert same is record


def test_bad_input() -> None:
    mesh = jax.make_mesh((1,), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with pytest.raises(ValueError, match=r"an array of shape \(\) cannot be laid out as NamedSharding"):
        list(DevicePrefetch(hr.DataFromList([np.float32(3)]), sharding))
    with pytest.raises(TypeError, match=r"must be a jax\.Device or a jax\.sharding\.Sharding, got str"):
        DevicePrefetch(rows(), "cpu")


SHARDED = """
import jax, numpy as np, headrace as hr
from headrace.integrations.jax import DevicePrefetch
mesh = jax.make_mesh((4,), ("data",))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
flow = DevicePrefetch(hr.BatchData(hr.DataFromList(range(16), shuffle=False), 8), sharding)
for batch in flow:
    print([shard.data.tolist() for shard in sorted(batch.addressable_shards, key=lambda s: s.device.id)])
try:
    list(DevicePrefetch(hr.BatchData(hr.DataFromList(range(6)), 6), sharding))
except ValueError as error:
    print("refused:", "evenly divide" in str(error))
"""


def test_batches_are_laid_out_over_devices() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARDED],
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.splitlines() == [
        "[[0, 1], [2, 3], [4, 5], [6, 7]]",
        "[[8, 9], [10, 11], [12, 13], [14, 15]]",
        "refused: True",
    ], done.stderr
