"""The photos of W5: those of the demo, written by the demo."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from benchmarks.environments import NUMPY, OPENCV, ROOT, Environment

FOLDER = ROOT / ".demo" / "photos"
# What `demo/photos.py` needs: the sample pictures come with these two packages. Nobody is measured in here.
ENVIRONMENT = Environment(
    "photos", (NUMPY, OPENCV, "pillow==13.0.0", "scikit-image==0.26.0", "scikit-learn==1.9.1", "tqdm==4.70.1")
)
_WRITE = "import sys, pathlib, demo.photos; demo.photos.photo_paths(pathlib.Path(sys.argv[1]))"


def ensure() -> None:
    """Write the photos unless they are all there."""
    command = [str(ENVIRONMENT.ensure()), "-c", _WRITE, str(FOLDER)]
    subprocess.run(command, cwd=ROOT, check=True)


@cache
def paths() -> list[Path]:
    """In the order of their numbers; listed once in each process."""
    return sorted(FOLDER.glob("*.jpg"))
