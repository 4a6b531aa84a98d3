"""The python blocks of the documentation run as written: all blocks of a page, in order, as one script."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headrace as hr

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

_STRICT = ("-W", "error::DeprecationWarning", "-W", "error::RuntimeWarning")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[int, str]]:
    """Line numbers and code of the blocks that shall run: ``python``, without ``no-run``."""
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        if language == "python" and "no-run" not in words:
            found.append((text.count("\n", 0, match.start("code")), match["code"]))
    return found


def script(page: Path) -> str:
    """The blocks at their own line numbers, so that a traceback points into the page."""
    lines = 0
    parts = []
    for line, code in blocks(page.read_text()):
        parts.append("\n" * (line - lines) + code)
        lines = line + code.count("\n")
    return "".join(parts)


def test_blocks_are_found() -> None:
    text = "a\n```python\nx = 1\n```\n```\nnone\n```\n```python no-run\ny\n```\n```sh\nls\n```\n```python\nz\n```\n"

    assert blocks(text) == [(2, "x = 1\n"), (14, "z\n")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    code = script(page)
    if not code:
        pytest.skip("no code to run")
    path = tmp_path / f"{page.stem}.py"
    path.write_text(code)

    done = subprocess.run([sys.executable, *_STRICT, path], cwd=tmp_path, capture_output=True, text=True, timeout=50)

    assert done.returncode == 0, f"line numbers are those of {page.name}:\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text()):
        assert not target or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]*)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        anchors = [
            re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        ]
        assert anchor in anchors, f"{page.name} links to {target}#{anchor}"


def test_the_table_of_stages_is_complete_and_true() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\|([^|]*)\| (yes|no) \|", (ROOT / "docs" / "stages.md").read_text(), re.MULTILINE
    )
    stages = {
        name: thing
        for name in hr.__all__
        if isinstance(thing := getattr(hr, name), type) and thing.__module__.startswith("headrace.stages.")
    }

    assert sorted(name for name, *_ in rows) == sorted(stages)
    for name, length, elementwise in rows:
        assert stages[name].elementwise == (elementwise == "yes"), name
        always = "none" not in length
        raises = "NoLengthError(" in inspect.getsource(stages[name].__len__)
        inherits = "__len__" not in vars(stages[name]) and not issubclass(stages[name], hr.ProxyDataFlow)
        if name not in ("RepeatedData", "WeightedMix"):  # it depends on their arguments
            assert always != (raises or inherits), name
