"""The documentation site has all pages and all public names. `make docs` builds it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import headrace as hr

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(page: str) -> list[str]:
    return re.findall(r"^::: headrace\.(\S+)$", page, re.MULTILINE)


def test_the_reference_has_every_public_name_once(hooks):
    names = entries(hooks.reference()) + list(hooks.MODULES)

    assert sorted(names) == sorted(set(names))
    assert set(hr.__all__) - set(names) == {"__version__"}


def test_the_reference_has_the_names_of_other_modules(hooks):
    from headrace import imgaug, testing

    names = set(entries(hooks.reference_modules()))

    assert {f"testing.{name}" for name in testing.__all__} <= names
    classes = {name for name in imgaug.__all__ if not isinstance(getattr(imgaug, name), ModuleType)}
    assert {f"imgaug.{name}" for name in classes} <= names
    assert "integrations.torch.to_torch" in names


def test_every_page_is_in_the_navigation(hooks):
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}

    assert listed == pages | set(hooks.PAGES.values()) | {"reference.md", "reference-modules.md"}


def test_links_become_links_between_pages(hooks):
    def link(text: str, source: str) -> str:
        return hooks.rewrite(text, Path(source))

    assert link("[a](docs/design.md#words)", "README.md") == "[a](design.md#words)"
    assert link("[a](../CONTRIBUTING.md)", "docs/design.md") == "[a](contributing.md)"
    assert link("[a](results.md)", "benchmarks/README.md") == "[a](figures.md)"
    assert link("[a](../examples/torch_digits.py)", "docs/frameworks.md") == "`a`"
    assert link("[a](https://example.org/b.md)", "README.md") == "[a](https://example.org/b.md)"
    assert link("![a](drawings/b.svg)", "docs/design.md") == "![a](drawings/b.svg)"
