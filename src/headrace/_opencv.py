"""OpenCV, imported when it is first used: ``headrace`` and its signatures do not need it.

OpenCV's own threads are switched off then, for the whole process: in workers they would fight each other for the
cores, and a fork copies their locks. Parallelism comes from the flows.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["BORDER_CONSTANT", "BORDER_REPLICATE", "INTER_LINEAR", "cv2"]

# https://docs.opencv.org/4.x/da/d54/group__imgproc__transform.html and group__core__array.html
INTER_LINEAR = 1
BORDER_CONSTANT = 0
BORDER_REPLICATE = 1


class _OpenCV:
    """Stands for the module ``cv2``."""

    def __getattr__(self, name: str) -> Any:
        try:
            module = importlib.import_module("cv2")
        except ImportError as error:
            raise ImportError(
                f"images need OpenCV, which cannot be imported ({error}): pip install 'headrace[image]'"
            ) from error
        if "setNumThreads" not in vars(self):
            self.setNumThreads = module.setNumThreads
            module.setNumThreads(0)
        value = getattr(module, name)
        setattr(self, name, value)  # the next look-up does not come here
        return value


cv2: Any = _OpenCV()
