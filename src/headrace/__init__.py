"""headrace: parallel data pipelines.

Wrap a slow iterable, use all cores, and get every datapoint exactly once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import (
    AddressError,
    AuditError,
    BatchError,
    ClusterError,
    DataFlowError,
    DataFlowTerminated,
    EmptySourceError,
    ExhaustedSourceError,
    FormatError,
    ItemTimeoutError,
    NoLengthError,
    NotReentrantError,
    PeerLost,
    ProtocolError,
    RemoteError,
    RemoteTraceback,
    SecurityError,
    SenderFailed,
    SerializationError,
    StateError,
    TooManyErrors,
    WorkerDied,
    WorkerError,
)
from .flow import DataFlow, ProxyDataFlow, RNGDataFlow
from .result_memory import empty
from .seeding import WorkerInfo, seed, worker_info
from .sources.fake import FakeData
from .sources.iterable import DataFromGenerator, DataFromIterable
from .sources.list import DataFromList
from .sources.queue import DataFromQueue
from .stages.batch import BatchData
from .stages.batch_by_shape import BatchDataByShape
from .stages.bucket_batch import BucketBatch
from .stages.cache import CacheData
from .stages.choose import RandomChooseData
from .stages.component import MapDataComponent
from .stages.concat import ConcatData
from .stages.filter import Filter
from .stages.fixed_size import FixedSizeData
from .stages.flat_map import FlatMap
from .stages.global_shuffle import GlobalShuffle
from .stages.interleave import Interleave
from .stages.join import JoinData
from .stages.local_shuffle import LocallyShuffleData
from .stages.map import MapData
from .stages.mix import RandomMixData
from .stages.pack_sequences import PackSequences
from .stages.print import PrintData
from .stages.repeat import RepeatedData
from .stages.repeat_point import RepeatedDataPoint
from .stages.select import SelectComponent
from .stages.shard import Shard
from .stages.skip import Skip
from .stages.take import Take
from .stages.token_budget_batch import TokenBudgetBatch
from .stages.unbatch import Unbatch
from .stages.weighted_mix import WeightedMix
from .stages.window import Window
from .tree import walk

if TYPE_CHECKING:  # imported when first asked for, see `_LATE`
    from . import dataset, imgaug
    from .formats.arrow import ArrowData, ArrowSerializer, ParquetData, ParquetSerializer
    from .formats.caffe import CaffeLMDB
    from .formats.folder import FolderData, FolderSerializer
    from .formats.hdf5 import HDF5Data, HDF5Serializer
    from .formats.jsonl import JSONLinesData, JSONLinesSerializer
    from .formats.lmdb import LMDBData, LMDBDataDecoder, LMDBSerializer
    from .formats.npy import NpyData, NpySerializer
    from .formats.npz import NumpySerializer
    from .formats.sharded import save_shards
    from .formats.svmlight import SVMLightData, SVMLightSerializer
    from .formats.tar import WebDatasetData, WebDatasetSerializer
    from .formats.tfrecord import TFRecordData, TFRecordSerializer
    from .formats.zarr import ZarrData
    from .image import (
        AugmentImageComponent,
        AugmentImageComponents,
        AugmentImageCoordinates,
        ImageFromBytes,
        ImageFromFile,
    )
    from .integrations.ray_data import flow_to_ray_dataset, from_ray_dataset
    from .observe.audit import audit
    from .observe.explain import Verdict, explain
    from .observe.speed import SpeedResult, TestDataSpeed
    from .observe.stats import Stats
    from .observe.tune import TuneResult, TuneRow, tune
    from .observe.watch import watch
    from .parallel.mappers import (
        MultiProcessMapAndBatchData,
        MultiProcessMapAndBatchDataZMQ,
        MultiProcessMapData,
        MultiProcessMapDataZMQ,
        MultiThreadMapData,
    )
    from .parallel.ray import RayMapData, RayRunner
    from .parallel.runners import (
        MultiProcessPrefetchData,
        MultiProcessRunner,
        MultiProcessRunnerZMQ,
        MultiThreadPrefetchData,
        MultiThreadRunner,
        PrefetchData,
        PrefetchDataZMQ,
    )
    from .remote.receiver import RemoteDataZMQ
    from .remote.sender import send_dataflow_zmq
    from .shared_list import SharedList
    from .stages.disk_cache import DiskCache

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
    "DataFromQueue",
    "FakeData",
    "SharedList",
    # files
    "ArrowData",
    "ArrowSerializer",
    "CaffeLMDB",
    "FolderData",
    "FolderSerializer",
    "HDF5Data",
    "HDF5Serializer",
    "JSONLinesData",
    "JSONLinesSerializer",
    "LMDBData",
    "LMDBDataDecoder",
    "LMDBSerializer",
    "NpyData",
    "NpySerializer",
    "NumpySerializer",
    "ParquetData",
    "ParquetSerializer",
    "SVMLightData",
    "SVMLightSerializer",
    "TFRecordData",
    "TFRecordSerializer",
    "WebDatasetData",
    "WebDatasetSerializer",
    "ZarrData",
    "save_shards",
    # change each datapoint
    "Filter",
    "FlatMap",
    "MapData",
    "MapDataComponent",
    "SelectComponent",
    # images
    "AugmentImageComponent",
    "AugmentImageComponents",
    "AugmentImageCoordinates",
    "ImageFromBytes",
    "ImageFromFile",
    "dataset",
    "imgaug",
    # make batches
    "BatchData",
    "BatchDataByShape",
    "BucketBatch",
    "PackSequences",
    "TokenBudgetBatch",
    "Unbatch",
    "Window",
    # repeat, cut, keep, shuffle
    "CacheData",
    "DiskCache",
    "FixedSizeData",
    "GlobalShuffle",
    "LocallyShuffleData",
    "RepeatedData",
    "RepeatedDataPoint",
    "Skip",
    "Take",
    # combine flows
    "ConcatData",
    "Interleave",
    "JoinData",
    "RandomChooseData",
    "RandomMixData",
    "WeightedMix",
    # give each process its part
    "Shard",
    # distribute tasks to workers
    "MultiProcessMapAndBatchData",
    "MultiProcessMapAndBatchDataZMQ",
    "MultiProcessMapData",
    "MultiProcessMapDataZMQ",
    "MultiThreadMapData",
    "RayMapData",
    "empty",
    # run copies of a flow
    "MultiProcessPrefetchData",
    "MultiProcessRunner",
    "MultiProcessRunnerZMQ",
    "MultiThreadPrefetchData",
    "MultiThreadRunner",
    "PrefetchData",
    "PrefetchDataZMQ",
    "RayRunner",
    # over the network
    "RemoteDataZMQ",
    "send_dataflow_zmq",
    # Ray Data
    "flow_to_ray_dataset",
    "from_ray_dataset",
    # look and measure
    "audit",
    "PrintData",
    "SpeedResult",
    "Stats",
    "TestDataSpeed",
    "TuneResult",
    "TuneRow",
    "Verdict",
    "explain",
    "tune",
    "watch",
    # randomness
    "WorkerInfo",
    "seed",
    "worker_info",
    # errors
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
    "__version__",
]


_LATE = {
    "formats.arrow": ("ArrowData", "ArrowSerializer", "ParquetData", "ParquetSerializer"),
    "formats.folder": ("FolderData", "FolderSerializer"),
    "formats.hdf5": ("HDF5Data", "HDF5Serializer"),
    "formats.jsonl": ("JSONLinesData", "JSONLinesSerializer"),
    "formats.caffe": ("CaffeLMDB",),
    "formats.lmdb": ("LMDBData", "LMDBDataDecoder", "LMDBSerializer"),
    "formats.npy": ("NpyData", "NpySerializer"),
    "formats.npz": ("NumpySerializer",),
    "formats.sharded": ("save_shards",),
    "formats.svmlight": ("SVMLightData", "SVMLightSerializer"),
    "formats.tar": ("WebDatasetData", "WebDatasetSerializer"),
    "formats.tfrecord": ("TFRecordData", "TFRecordSerializer"),
    "formats.zarr": ("ZarrData",),
    "image": (
        "AugmentImageComponent",
        "AugmentImageComponents",
        "AugmentImageCoordinates",
        "ImageFromBytes",
        "ImageFromFile",
    ),
    "integrations.ray_data": ("flow_to_ray_dataset", "from_ray_dataset"),
    "observe.audit": ("audit",),
    "observe.explain": ("Verdict", "explain"),
    "observe.speed": ("SpeedResult", "TestDataSpeed"),
    "observe.stats": ("Stats",),
    "observe.tune": ("TuneResult", "TuneRow", "tune"),
    "observe.watch": ("watch",),
    "parallel.mappers": (
        "MultiProcessMapAndBatchData",
        "MultiProcessMapAndBatchDataZMQ",
        "MultiProcessMapData",
        "MultiProcessMapDataZMQ",
        "MultiThreadMapData",
    ),
    "parallel.ray": ("RayMapData", "RayRunner"),
    "parallel.runners": (
        "MultiProcessPrefetchData",
        "MultiProcessRunner",
        "MultiProcessRunnerZMQ",
        "MultiThreadPrefetchData",
        "MultiThreadRunner",
        "PrefetchData",
        "PrefetchDataZMQ",
    ),
    "remote.receiver": ("RemoteDataZMQ",),
    "remote.sender": ("send_dataflow_zmq",),
    "shared_list": ("SharedList",),
    "stages.disk_cache": ("DiskCache",),
}
"""What is imported when it is first asked for, by module: it would double the time of an import."""


def __getattr__(name: str) -> Any:
    if name in ("dataset", "imgaug"):
        return importlib.import_module(f".{name}", __name__)
    for module, names in _LATE.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
