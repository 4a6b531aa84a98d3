"""Packages that only some formats need."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["need"]


def need(module: str, extra: str) -> Any:
    """Import a module.

    Raises:
        ImportError: it is not installed; says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise ImportError(f"this format needs {package}: pip install 'headrace[{extra}]'", name=error.name) from error
