"""What the documentation shows of Ray runs as written."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headrace as hr

PAGE = Path(__file__).parents[3] / "docs" / "scaling-ray.md"


@pytest.mark.timeout(300)
def test_the_code_of_the_page_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python[^\n]*\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "thing", [hr.RayMapData, hr.RayRunner, hr.from_ray_dataset, hr.flow_to_ray_dataset], ids=lambda t: t.__name__
)
def test_the_examples_of_docstrings_run(thing: Any) -> None:
    text = thing.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, thing.__name__, None, 0)
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert results.attempted > 0
    assert results.failed == 0
