"""The examples in the docstrings of `headrace.integrations` need the frameworks that they are about."""

from __future__ import annotations

import importlib.util

import pytest

_FRAMEWORKS = ("torch", "jax", "tensorflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, those whose framework is missing."""
    missing = [name for name in _FRAMEWORKS if importlib.util.find_spec(name) is None]
    for item in items:
        for name in missing:
            if item.name.startswith(f"headrace.integrations.{name}."):
                item.add_marker(pytest.mark.skip(reason=f"needs {name}; make test-all runs it"))
