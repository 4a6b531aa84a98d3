"""headrace: parallel data pipelines.

Wrap a slow iterable, use all cores, and get every datapoint exactly once.
"""

from ._version import __version__
from .errors import (
    AuditError,
    BatchError,
    DataFlowError,
    DataFlowTerminated,
    ExhaustedSourceError,
    ItemTimeoutError,
    NoLengthError,
    NotReentrantError,
    RemoteTraceback,
    SerializationError,
    StateError,
    TooManyErrors,
    WorkerDied,
    WorkerError,
)
from .flow import DataFlow, ProxyDataFlow, RNGDataFlow, walk
from .seeding import WorkerInfo, seed, worker_info
from .sources.iterable import DataFromGenerator, DataFromIterable
from .sources.list import DataFromList
from .stages.map import MapData

__all__ = [
    # flows
    "DataFlow",
    "ProxyDataFlow",
    "RNGDataFlow",
    "walk",
    # sources
    "DataFromGenerator",
    "DataFromIterable",
    "DataFromList",
    # stages
    "MapData",
    # randomness
    "WorkerInfo",
    "seed",
    "worker_info",
    # errors
    "AuditError",
    "BatchError",
    "DataFlowError",
    "DataFlowTerminated",
    "ExhaustedSourceError",
    "ItemTimeoutError",
    "NoLengthError",
    "NotReentrantError",
    "RemoteTraceback",
    "SerializationError",
    "StateError",
    "TooManyErrors",
    "WorkerDied",
    "WorkerError",
    "__version__",
]
