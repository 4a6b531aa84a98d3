"""Training in two processes of `jax.distributed`: each reads its part, and together they make the global batches."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, sys
import jax
import numpy as np

jax.config.update("jax_cpu_collectives_implementation", "gloo")
address, rank, path, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "resume"
jax.distributed.initialize(address, num_processes=2, process_id=rank)
assert jax.process_count() == 2 and jax.device_count() == 2

import headrace as hr
from headrace.integrations.jax import DevicePrefetch

mesh = jax.make_mesh((2,), ("data",))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))

hr.seed(5)
ds = hr.DataFromList(list(range(24)), shuffle=True)
ds = hr.MultiProcessMapData(ds, 1, lambda n: np.full((3,), n, np.int32))
ds = hr.Shard(ds)  # knows the rank from JAX
ds = hr.BatchData(ds, 4)
ds = DevicePrefetch(ds, sharding)
if resume:
    ds.load_state_dict(json.load(open(f"{path}/state-{rank}")))

total = jax.jit(lambda batch: batch[:, 0].sum())
said = {"batches": [], "sums": [], "shapes": []}
with ds:
    for batch in ds:
        (mine,) = batch.addressable_shards
        said["batches"].append(np.asarray(mine.data)[:, 0].tolist())
        said["sums"].append(int(total(batch)))  # over both processes
        said["shapes"].append(list(batch.shape))
        if not resume and len(said["batches"]) == 1:
            json.dump(ds.state_dict(), open(f"{path}/state-{rank}", "w"))
json.dump(said, open(f"{path}/{sys.argv[4]}-{rank}", "w"))
jax.distributed.shutdown()
"""


def run(path: Path, how: str) -> list[dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    script = path / "train.py"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), address]
    environment = {"PYTHONPATH": ":".join(sys.path), "JAX_PLATFORMS": "cpu"}
    running = [
        subprocess.Popen([*command, str(rank), str(path), how], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=200)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)
    return [json.loads((path / f"{how}-{rank}").read_text()) for rank in (0, 1)]


@pytest.mark.timeout(450)
def test_two_processes_of_jax_read_each_their_part_and_share_global_batches(tmp_path: Path) -> None:
    first, second = run(tmp_path, "begin")
    assert first["shapes"] == second["shapes"] == [[8, 3]] * 3
    assert first["sums"] == second["sums"]
    for total, mine, theirs in zip(first["sums"], first["batches"], second["batches"], strict=True):
        assert total == sum(mine) + sum(theirs)
    assert sorted(n for rank in (first, second) for batch in rank["batches"] for n in batch) == list(range(24))

    resumed = run(tmp_path, "resume")
    assert [rank["batches"] for rank in resumed] == [first["batches"][1:], second["batches"][1:]]
    assert [rank["sums"] for rank in resumed] == [first["sums"][1:]] * 2
