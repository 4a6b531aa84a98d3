"""Which process of a training job this is."""

from __future__ import annotations

import os
import sys

__all__ = ["current_rank"]


def current_rank() -> tuple[int, int]:
    """The number of this process and how many there are.

    Taken from ``torch.distributed``, else from JAX, where one of them has been initialized; else from the environment
    variables ``RANK`` and ``WORLD_SIZE``, as ``torchrun`` sets them
    (https://docs.pytorch.org/docs/stable/elastic/run.html). Neither library is imported for it.

    Raises:
        ValueError: none of these knows. One process of many that takes itself for the only one would read all data.

    Example:
        >>> import os
        >>> os.environ.update(RANK="1", WORLD_SIZE="4")
        >>> current_rank()
        (1, 4)
        >>> del os.environ["RANK"], os.environ["WORLD_SIZE"]
    """
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        return int(torch.get_rank()), int(torch.get_world_size())
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        return int(jax.process_index()), int(jax.process_count())
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or world_size is None:
        raise ValueError(
            "the rank of this process is not known: initialize torch.distributed or jax.distributed first, or give "
            "rank= and world_size="
        )
    if not (rank.isdecimal() and world_size.isdecimal()):
        raise ValueError(f"RANK={rank!r} and WORLD_SIZE={world_size!r} in the environment must be integers")
    return int(rank), int(world_size)
