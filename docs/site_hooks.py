"""What the documentation site needs beyond the pages in docs/: see mkdocs.yml.

* Pages made of files outside of docs/: the README is the home page.
* The reference, made of `headrace.__all__`: its comments are the headings, so that a new name is there by itself.
* Links between the files of the repository become links between pages.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "headrace"

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results.md": "figures.md",
}
"""Files outside of docs/, and the pages they become."""

MODULES = {
    "imgaug": "Image augmentors",
    "dataset": "Data sets",
    "integrations.torch": "PyTorch",
    "integrations.jax": "JAX",
    "integrations.tensorflow": "TensorFlow",
    "integrations.ray_data": "Ray",
    "testing": "Tests of your own flows",
}
"""Modules whose `__all__` belongs to the reference as well."""


def groups(init: str) -> dict[str, list[str]]:
    """The public names of a module by the comments above them.

    Args:
        init: the source text, with one name a line in ``__all__``.
    """
    found: dict[str, list[str]] = {}
    heading = ""
    listing = re.search(r"^__all__ = \[(.*?)\]", init, re.MULTILINE | re.DOTALL)
    if listing is None:
        raise ValueError("there is no __all__")
    for comment, name in re.findall(r"^ *# (.*)$|\"(\w+)\"", listing[1], re.MULTILINE):
        if comment:
            heading = comment
        elif name != "__version__":
            found.setdefault(heading, []).append(name)
    return found


def reference() -> str:
    """The page with the names of ``headrace`` itself, for mkdocstrings to fill."""
    parts = ["# headrace\n\nEverything that `import headrace as hr` gives.\n"]
    for heading, names in groups((SOURCE / "__init__.py").read_text()).items():
        parts.append(f"## {heading.capitalize()}\n")
        parts += [_entry(name) for name in names if name not in MODULES]
    return "\n".join(parts)


def reference_modules() -> str:
    """The page with the names of other public modules."""
    parts = ["# Modules\n\nWhat is imported by itself, and may need an optional package.\n"]
    for module, title in MODULES.items():
        path = SOURCE / Path(*module.split("."))
        init = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        names = [name for group in groups(init.read_text()).values() for name in group]
        parts.append(f"## {title}: `headrace.{module}`\n")
        parts += [_entry(f"{module}.{name}") for name in names if not (path / f"{name}.py").exists()]
    return "\n".join(parts)


def _entry(name: str) -> str:
    is_base = name in ("DataFlow", "ProxyDataFlow")  # there, also the methods that only authors of flows need
    options = '\n    options:\n      filters: ["!^_[^_]", "!^__(?!init__)"]' if is_base else ""
    return f"::: headrace.{name}{options}\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "reference.md", content=reference()))
    files.append(File.generated(config, "reference-modules.md", content=reference_modules()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have links lead to pages, and code blocks named as the site's renderer knows them."""
    sources = {name: source for source, name in PAGES.items()}
    markdown = re.sub(r"^( *```python) no-run.*$", r"\1", markdown, flags=re.MULTILINE)
    return rewrite(markdown, Path(sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")))


def rewrite(markdown: str, source: Path) -> str:
    """The text of a file of the repository, with links between pages in place of links between files.

    Args:
        markdown: the text.
        source: where the file is, relative to the repository.
    """

    def page_link(link: re.Match[str]) -> str:
        text, path, anchor = link.groups(default="")
        target = Path(os.path.normpath(source.parent / path)).as_posix()
        page = PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        return f"[{text}]({page}{anchor})" if page else f"`{text}`"  # a file that is no page: its name must do

    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)", page_link, markdown)
