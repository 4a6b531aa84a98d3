"""The code of other libraries in docs/migrate.md does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migrate.md"


@pytest.mark.parametrize("library", ["torch", "tensorflow", "grain"])
def test_the_code_of_another_library_runs(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    blocks = re.findall(rf"^```python no-run {library}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks

    program = "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
