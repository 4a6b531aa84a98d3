"""Importing what is not installed with headrace."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["import_extra"]


def import_extra(module: str, extra: str) -> Any:
    """An optional dependency.

    Raises:
        ImportError: it is not there; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}: pip install 'headrace[{extra}]' ({error})", name=module) from error
