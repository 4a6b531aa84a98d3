"""Every error headrace raises by itself.

::

    Exception
     └─ DataFlowError               the base: ``except DataFlowError`` catches all of the below
         ├─ NoLengthError           len() of a flow that has none (a TypeError and a NotImplementedError)
         ├─ NotReentrantError       a second live iterator of a flow that can have one (a RuntimeError)
         ├─ ExhaustedSourceError    a one-shot iterator was asked for a second pass (a RuntimeError)
         ├─ EmptySourceError        an endless flow over a source without datapoints (a RuntimeError)
         ├─ BatchError              components that cannot be stacked (a ValueError)
         ├─ SerializationError      an object that cannot travel to or from a worker (a TypeError)
         ├─ WorkerError             an error in a worker that could not be rebuilt here (a RuntimeError)
         ├─ WorkerDied              a worker process was killed or left unasked (a RuntimeError)
         ├─ ItemTimeoutError        a datapoint took longer than item_timeout_s (a TimeoutError)
         ├─ TooManyErrors           more bad datapoints than max_errors (a RuntimeError)
         ├─ FormatError             a file that is damaged, or not what it should be (a ValueError)
         ├─ AuditError              a datapoint was lost or doubled (a RuntimeError)
         ├─ RemoteError             a flow over the network cannot go on (a RuntimeError)
         │   ├─ AddressError        address in use, unknown host
         │   ├─ ClusterError        no Ray cluster where one should be (also a ConnectionError)
         │   ├─ SecurityError       keys that are missing, unreadable, or not accepted (also a ValueError)
         │   ├─ ProtocolError       the two sides do not fit: versions, arguments, damaged messages
         │   ├─ PeerLost            the other side is gone for longer than timeout_s (also a TimeoutError)
         │   └─ SenderFailed        the flow of a sender has raised
         └─ StateError              a saved state that does not fit (a ValueError)
    BaseException
     └─ DataFlowTerminated          the flow was closed under a running iterator

An exception raised by *user* code in a worker is none of these: it reaches the consumer as its own type, with
a `RemoteTraceback` as its cause and a note that names the stage, the worker and the datapoint.
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "AuditError",
    "BatchError",
    "ClusterError",
    "DataFlowError",
    "DataFlowTerminated",
    "EmptySourceError",
    "ExhaustedSourceError",
    "FormatError",
    "ItemTimeoutError",
    "NoLengthError",
    "NotReentrantError",
    "PeerLost",
    "ProtocolError",
    "RemoteError",
    "RemoteTraceback",
    "SecurityError",
    "SenderFailed",
    "SerializationError",
    "StateError",
    "TooManyErrors",
    "WorkerDied",
    "WorkerError",
]


class DataFlowError(Exception):
    """Base of all errors that headrace raises by itself."""


class NoLengthError(DataFlowError, TypeError, NotImplementedError):
    """The flow has no length.

    It is a `TypeError` so that ``list(flow)`` works, and a `NotImplementedError` because tensorpack raises that.
    """


class NotReentrantError(DataFlowError, RuntimeError):
    """A second iterator was asked for while the first one of this flow is still alive."""


class ExhaustedSourceError(DataFlowError, RuntimeError):
    """The source is a one-shot iterator that has been used up, so that a second pass would be silently empty."""


class EmptySourceError(DataFlowError, RuntimeError):
    """A flow that repeats its source got no datapoint out of it, and would spin for ever."""


class BatchError(DataFlowError, ValueError):
    """Components of datapoints cannot be put into one batch."""


class SerializationError(DataFlowError, TypeError):
    """An object cannot be pickled (or unpickled) on its way to or from a worker."""


class WorkerError(DataFlowError, RuntimeError):
    """User code failed in a worker with an exception that cannot be rebuilt in this process.

    The message carries the original type, text and traceback.
    """


class WorkerDied(DataFlowError, RuntimeError):
    """A worker was killed, crashed or left without being asked, more often than ``max_retries`` allows."""


class ItemTimeoutError(DataFlowError, TimeoutError):
    """A datapoint took longer than ``item_timeout_s``; the worker that hung was killed and replaced."""


class TooManyErrors(DataFlowError, RuntimeError):
    """More datapoints failed than ``max_errors`` allows; the last failure is the cause."""


class AuditError(DataFlowError, RuntimeError):
    """A parallel stage lost or doubled a datapoint."""


class FormatError(DataFlowError, ValueError):
    """A file is damaged, of another format or version, or holds what may not be loaded.

    The message begins with the file and, where there is one, the offset in bytes or the name of the record.
    """


class RemoteError(DataFlowError, RuntimeError):
    """A flow over the network cannot go on."""


class AddressError(RemoteError):
    """An address is in use, cannot be bound, or names a host that nobody knows."""


class ClusterError(RemoteError, ConnectionError):
    """There is no Ray cluster at an address, or something else, or this process is connected to another one."""


class SecurityError(RemoteError, ValueError):
    """Keys are missing, unreadable, or were not accepted by the other side. The text never shows a key."""


class ProtocolError(RemoteError):
    """Sender and receiver do not fit: other versions, arguments that contradict each other, or damaged messages."""


class PeerLost(RemoteError, TimeoutError):
    """There was nobody on the other side for longer than ``timeout_s``."""


class SenderFailed(RemoteError):
    """The flow of a sender has raised, and no other sender is left. The text is what it raised."""


class StateError(DataFlowError, ValueError):
    """A saved state is damaged, of another version, or belongs to another pipeline."""


class DataFlowTerminated(BaseException):
    """The flow was closed while an iterator on it was running.

    Like upstream's, it derives from `BaseException`, so that a broad ``except Exception`` in a loop body
    does not take the closing of a pipeline for a bad datapoint.
    """


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in a worker: the traceback there, as text."""

    def __init__(self, text: str):
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n\n{self.text}"
