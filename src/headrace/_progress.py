"""The progress bar."""

from __future__ import annotations

import threading
from typing import ClassVar

from tqdm import tqdm

__all__ = ["Bar"]


class Bar(tqdm):  # type: ignore[misc]
    """A tqdm bar without a thread of its own."""

    monitor_interval: ClassVar[int] = 0  # tqdm's monitor is a thread


Bar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing too, for bars of several processes
