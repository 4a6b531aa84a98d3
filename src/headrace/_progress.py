"""The progress bar. tqdm is imported when the first one is shown: it takes longer than most of headrace."""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(**options: Any) -> tqdm[Any]:
    """A tqdm bar without a thread of its own; none is shown where there is no stderr.

    Args:
        **options: those of ``tqdm.tqdm``.
    """
    if sys.stderr is None:
        options["disable"] = True
    return _bar_class()(**options)


@functools.cache
def _bar_class() -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval: ClassVar[int] = 0  # tqdm's monitor is a thread

    Bar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing too, for bars of several processes
    return Bar
