"""One virtual environment for each peer, made on demand under ``.bench/`` with pinned versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".bench"
NUMPY = "numpy==2.4.6"  # one numpy for all: a faster memcpy in one of them is not a peer's merit
OPENCV = "opencv-python-headless==5.0.0.93"  # decodes the photos of W5; as with numpy, one for all


@dataclass(frozen=True)
class Environment:
    """What to install, and nothing that another peer wants."""

    name: str
    requirements: tuple[str, ...]
    editable: bool = False  # install this repository

    @property
    def python(self) -> Path:
        return HOME / self.name / "bin" / "python"

    def ensure(self) -> Path:
        """Make the environment unless one with just these requirements is there; return its python."""
        stamp = HOME / self.name / "requirements.sha256"
        wanted = self._fingerprint()
        if not stamp.exists() or stamp.read_text() != wanted:
            self._make()
            stamp.write_text(wanted)
        return self.python

    def frozen(self) -> list[str]:
        """Everything installed, one ``name==version`` each, for the JSON results."""
        shown = self._pip("freeze", "--exclude-editable")
        return shown.split()

    def _make(self) -> None:
        shutil.rmtree(HOME / self.name, ignore_errors=True)
        venv.create(HOME / self.name, with_pip=True)
        extra = ["--editable", str(ROOT)] if self.editable else []
        self._pip("install", "--quiet", *self.requirements, *extra)

    def _pip(self, *arguments: str) -> str:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"pip could not prepare the environment {self.name!r}:\n{done.stderr}")
        return done.stdout

    def _fingerprint(self) -> str:
        parts = [sys.version, *self.requirements]
        if self.editable:  # a changed dependency of headrace is a changed environment; changed code is not
            parts.append((ROOT / "pyproject.toml").read_text())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
