"""Arrays that are made where they will be sent from, so that to send them takes no copy.

Whose is a block? The array's that was made on it, until it dies. So an array is sent in its block only if it is dead by
then: the worker has let go of it, and nobody else has kept it or a view of it. If it lives (in a cache, or as a buffer
that is used again), it is copied. So nobody here can see a block that has left.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .codec import Block, BlockWriter

__all__ = ["Lender", "Loan"]

Array = npt.NDArray[Any]


class Loan:
    """A block with an array on it.

    Attributes:
        block: its number, offset and length in bytes.
        owner: the array; all others on the block are views of it, and keep it alive.
        spare: a block for a copy, and its memory, from the claim on: then the death of the array frees no block.
    """

    __slots__ = ("block", "owner", "spare")

    def __init__(self, block: Block):
        self.block = block
        self.owner: weakref.ref[Array]
        self.spare: tuple[Block, Array] | None = None


class Lender:
    """Makes arrays in an arena.

    Args:
        arena: the one from which they are sent.
    """

    def __init__(self, arena: BlockWriter):
        self._arena = arena
        self._loans: dict[int, Loan] = {}  # by the address of the array

    def empty(self, nbytes: int) -> Array | None:
        """Memory in a block; None if there is none to be had."""
        place = self._arena.allocate(nbytes)
        if place is None:
            return None
        block, offset, memory = place
        owner = np.frombuffer(memoryview(memory), np.uint8)  # type: ignore[arg-type] # views of it have it as base
        address = owner.ctypes.data
        loan = self._loans[address] = Loan((block, offset, nbytes))

        def died(_: object) -> None:
            # In any thread. The address is free before the block is, which may then be lent again.
            self._loans.pop(address, None)
            if loan.spare is None:
                self._arena.take_back(block)

        loan.owner = weakref.ref(owner, died)
        return owner

    def claim(self, array: Array) -> Loan | None:
        """Send an array in its block, or a copy of it: `settle` will say.

        Returns:
            None: it does not fill a block of its own, or there is none for the copy.
        """
        loan = self._loans.get(array.ctypes.data) if self._loans and array.flags.forc else None
        if loan is None or loan.block[2] != array.nbytes or loan.spare is not None:
            return None
        place = self._arena.allocate(array.nbytes)
        if place is None:
            return None
        block, offset, memory = place
        loan.spare = (block, offset, array.nbytes), memory
        return loan

    def settle(self, loan: Loan) -> Block:
        """What to send: the block of an array that is dead, or a copy of one that lives."""
        owner = loan.owner()
        assert loan.spare is not None
        spare, memory = loan.spare
        if owner is None:
            self._arena.take_back(spare[0])
            return loan.block
        memory[:] = owner
        loan.spare = None  # before it can die
        return spare
