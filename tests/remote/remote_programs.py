"""Senders and receivers as processes of their own: ``python remote_programs.py FUNCTION JSON-ARGUMENTS``."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import headrace as hr


def numbers(count: int, base: int, size: int) -> hr.DataFlow:
    """Each with so many of it. Shuffled, so that a sender that starts again without its state gives something else."""
    ds = hr.DataFromList([base + n for n in range(count)], shuffle=True)
    return hr.MapData(ds, lambda n: [n, np.full(size, n)])


def send(address: str, count: int, base: int = 0, size: int = 50, delay_s: float = 0, **options: Any) -> None:
    def slowly(dp: Any) -> Any:
        time.sleep(delay_s)
        return dp

    flow = numbers(count, base, size)
    if delay_s:
        flow = hr.MapData(flow, slowly)
    result = hr.send_dataflow_zmq(flow, address, **options)
    print(json.dumps(vars(result)), flush=True)


def receive(
    address: str, record: str, state: str | None = None, every: int = 7, delay_s: float = 0, listed: bool = False,
    **options: Any,
) -> None:  # fmt: skip
    """Write down what came: with ``state``, exactly what the saved state covers, and go on from there."""
    flow = hr.RemoteDataZMQ(address, **options)
    path = Path(record)
    got: list[int] = json.loads(path.read_text()) if path.exists() else []
    if state is not None and Path(state).exists():
        saved = json.loads(Path(state).read_text())
        flow.load_state_dict(saved["flow"])
        got = saved["got"]
    with flow:
        for seen, (n, array) in enumerate(flow, 1):
            assert array == [n] * 3 if listed else (array == n).all()
            if not listed:
                array[:] = -1  # it is ours: nobody may meet this again
            got.append(n)
            time.sleep(delay_s)
            if state is not None and seen % every == 0:
                keep(Path(state), {"flow": flow.state_dict(), "got": got})
            if seen % every == 0:
                keep(path, got)
        keep(path, got)
        if state is not None:
            keep(Path(state), {"flow": flow.state_dict(), "got": got})
        print(json.dumps({"rejected": dict(flow.rejected), "senders": [vars(s) for s in flow.senders]}), flush=True)


def keep(path: Path, value: Any) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.rename(path)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
