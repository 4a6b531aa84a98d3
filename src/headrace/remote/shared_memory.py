"""On one machine messages need not go through a socket: the sender makes them in memory that the receiver maps.

The sender offers an arena (`headrace.parallel.arena`) in its HELLO: the number of a descriptor of its own. The receiver
opens that through ``/proc``, which the kernel lets it do if it belongs to the same user, and makes sure that it is what
was offered: the same file of the same kernel, an arena, this user's own. If anything is not so (another machine at the
end of a tunnel, another user, another container), it says no, and messages go through the socket as ever.

Who owns what. Sender and receiver write to a block in turn, see there. The sender *holds* a block until its message is
acknowledged, so that it can be sent again after a connection broke, as a copy: each connection has an arena of its own.
The receiver's mapping lives as long as an array on it, so nothing that was received is lost with a sender. Neither file
nor memory has a name: whatever is killed, nothing is left.

Only without keys. Who has them wants the whole conversation encrypted.
"""

from __future__ import annotations

import os
import stat
from typing import Any, NamedTuple

from ..parallel.arena import ArenaReader, ArenaWriter, create_arena, is_arena
from ..plain_codec import MalformedError

__all__ = ["OwnMemory", "map_offered", "read_offer"]


class Offer(NamedTuple):
    """Where an arena is.

    Attributes:
        boot: which kernel, since when: another machine has another one.
        pid: of the sender.
        fd: its descriptor.
        device: with ``inode``, which file that is.
        inode: see ``device``.
    """

    boot: str
    pid: int
    fd: int
    device: int
    inode: int


class OwnMemory:
    """A sender's memory for one receiver.

    Raises:
        OSError: there is none to be had.

    Attributes:
        arena: to be written to.
        offer: what the receiver is told.
    """

    def __init__(self) -> None:
        self._fd = create_arena()
        try:
            self.arena = ArenaWriter(self._fd)
            file = os.fstat(self._fd)
            self.offer = Offer(_boot(), os.getpid(), self._fd, file.st_dev, file.st_ino)
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """The receiver has mapped it, or will not. What was made in it stays readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_offer(value: Any) -> Offer | None:
    """What a sender offers; None: nothing.

    Raises:
        MalformedError: that is no offer.
    """
    if value is None:
        return None
    if type(value) is not tuple or [type(v) for v in value] != [str, int, int, int, int] or min(value[1:]) < 0:
        raise MalformedError("a bad offer of memory")
    return Offer(*value)


def map_offered(offer: Offer | None) -> ArenaReader | None:
    """The memory that a sender offers; None if it cannot be had from here."""
    if offer is None:
        return None
    path = f"/proc/{offer.pid}/fd/{offer.fd}"
    try:
        if offer.boot != _boot() or not _is_ours(os.stat(path), offer):  # before it is opened: it may be anything
            return None
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return ArenaReader(fd) if _is_ours(os.fstat(fd), offer) and is_arena(fd) else None
        finally:
            os.close(fd)
    except OSError:
        return None


def _is_ours(file: os.stat_result, offer: Offer) -> bool:
    same = (file.st_dev, file.st_ino) == (offer.device, offer.inode)
    return same and stat.S_ISREG(file.st_mode) and file.st_uid == os.geteuid()


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
