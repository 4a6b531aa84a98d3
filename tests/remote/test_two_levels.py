"""The example of a pipeline in two levels: nodes with workers of their own, and one trainer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two_levels.py"


def test_batches_of_two_nodes_make_exact_epochs(address: str) -> None:
    def start(*args: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, EXAMPLE, *args], stdout=subprocess.PIPE, text=True)

    trainer = start("trainer", address, "--nodes", "2")
    nodes = [start("node", address, "--nodes", "2", "--index", str(n), "--workers", "1") for n in range(2)]
    out, _ = trainer.communicate(timeout=50)

    assert out.splitlines() == [f"epoch {n}: 2000 images, 2000 different ones" for n in range(2)]
    for node in nodes:
        assert "datapoints=40," in node.communicate(timeout=20)[0]
