"""What augmentors and transforms share: attributes from arguments, and a ``repr`` that is the call."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["Named"]


class Named:
    """A thing that keeps the arguments of its constructor under their names."""

    def _init(self, params: dict[str, Any] | None = None) -> None:
        """Keep the arguments of a constructor: ``self._init(locals())``, as users of upstream write."""
        for name, value in (params or {}).items():
            if name != "self" and not name.startswith("_"):
                setattr(self, name, value)

    def __repr__(self) -> str:
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        arguments = ", ".join(f"{n}={getattr(self, n)!r}" for n in names if n in vars(self))
        return f"imgaug.{type(self).__name__}({arguments})"
