"""The training scripts: killed in mid-pass and started again, they end with the same weights."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_every_example_is_listed() -> None:
    assert {path.stem.removesuffix("_digits") for path in EXAMPLES.glob("*_digits.py")} == set(FRAMEWORKS)


FRAMEWORKS = ["torch", "jax", "tensorflow", "keras", "lightning"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_resumes_to_the_same_weights(framework: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")

    done = subprocess.run(
        [sys.executable, EXAMPLES / "killed.py", EXAMPLES / f"{framework}_digits.py", "--steps", "200"],
        env={**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=290,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the weights are the same\n")
    assert done.stdout.count("step 200: ") == 2
    assert "goes on" in done.stdout
