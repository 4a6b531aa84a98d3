"""The faces on Ray where Ray is missing, or too old. (With it, see ``tests/heavy/ray``.)"""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import functions
import pytest
from contracts import ints

import headrace as hr

MAKERS: dict[str, Any] = {
    "RayMapData": lambda: hr.RayMapData(ints(3), 2, functions.square),
    "RayRunner": lambda: hr.RayRunner(ints(3), 2),
    "from_ray_dataset": lambda: hr.from_ray_dataset([1, 2]),
    "flow_to_ray_dataset": lambda: hr.flow_to_ray_dataset(ints(3)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_without_ray_the_error_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'headrace\[ray\]'"):
        MAKERS[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_too_old_a_ray_is_named_with_its_version(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(__version__="2.9.3"))
    with pytest.raises(ImportError, match=r"needs Ray 2\.40 or later, this is Ray 2\.9\.3"):
        MAKERS[name]()


def test_importing_headrace_does_not_import_ray() -> None:
    code = "import sys, headrace; headrace.RayMapData; headrace.from_ray_dataset; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
