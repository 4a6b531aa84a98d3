"""What became of each public name of ``tensorpack.dataflow`` (and of the package ``dataflow``) in headrace.

From tensorpack 0.11 and dataflow of August 2020. docs/migrate.md shows the same to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = ["MODULES", "NAMES", "SUBMODULES", "UTILS", "Name"]


class Name(NamedTuple):
    """A name of tensorpack.

    Attributes:
        status: ``"same"``; ``"changed"``: it works, and differs in a way that a program can notice; ``"gone"``.
        note: how it changed, or what to take instead.
        arguments: the same of single arguments (the status is that of the argument).
        positional: how many arguments may be given by position; None: any number.
    """

    status: Literal["same", "changed", "gone"]
    note: str = ""
    arguments: Mapping[str, Name] = MappingProxyType({})
    positional: int | None = None


_SAME = Name("same")


def _same(names: str) -> dict[str, Name]:
    return _all(names, _SAME)


def _all(names: str, fate: Name, module: str = "") -> dict[str, Name]:
    return {module + name: fate for name in names.split()}


def _changed(note: str, arguments: dict[str, Name] | None = None, positional: int | None = None) -> Name:
    return Name("changed", note, MappingProxyType(arguments or {}), positional)


def _renamed(**names: str) -> dict[str, Name]:
    return {old: Name("changed", f"write {new}=; the old name still works, and warns") for old, new in names.items()}


def _gone(instead: str) -> Name:
    return Name("gone", instead)


_STRICT = {
    "strict": Name("changed", "True is the default; strict=False is the endless stream of tensorpack's default"),
    "buffer_size": Name("changed", "any size will do, also one larger than the data"),
}
_MAPPER = (
    "a pass ends, in the order of the input; strict=False gives tensorpack's endless stream, ordered=False gives up "
    "the order"
)
_RUNNER = (
    "the same sample of the data, with a warning when copies begin alike; shard=True makes a pass exact. A pass that "
    "is left early begins afresh"
)
_RUNNER_ARGUMENTS = _renamed(nr_proc="num_proc", nr_prefetch="num_prefetch", nr_thread="num_thread")
_PROCESS_MAP = _changed(_MAPPER, {**_STRICT, **_renamed(nr_proc="num_proc")}, positional=3)
_THREAD_MAP = _changed(_MAPPER, {**_STRICT, **_renamed(nr_thread="num_thread")}, positional=3)
_MAP_AND_BATCH = _changed(
    "a pass ends; strict=False gives tensorpack's endless stream; remainder=True keeps the last, shorter batch",
    {"buffer_size": Name("changed", "its default works"), **_renamed(nr_proc="num_proc")},
    positional=5,
)
_SAVE = "datapoints are written as plain data, not as pickles; returns how many; never overwrites unless overwrite=True"
_LOAD = "files that tensorpack wrote hold pickles, which run code: allow_pickle=True reads them"
_DATA_SETS = "reads a local copy: nothing is downloaded unasked. The folder is dir=, else below HEADRACE_DATASET"

NAMES: dict[str, Name] = {
    **_same("DataFlow ProxyDataFlow RNGDataFlow DataFlowTerminated"),
    **_same("DataFromList DataFromGenerator DataFromIterable DataFromQueue FakeData"),
    **_same("MapData MapDataComponent FixedSizeData RepeatedData RepeatedDataPoint"),
    **_same("RandomChooseData RandomMixData ConcatData JoinData PrintData"),
    "LocallyShuffleData": Name("same", arguments=MappingProxyType(_renamed(nr_reuse="num_reuse"))),
    "BatchData": _changed(
        "bool stays bool (not int32); ints that need it become int64 instead of wrapping; datapoints that cannot be "
        "stacked are a BatchError, not None"
    ),
    "BatchDataByShape": _changed("it has no length, since that depends on the shapes"),
    "CacheData": _changed("a pass that is left early no longer makes later passes short"),
    "SelectComponent": _changed("a class now, and picklable"),
    "TestDataSpeed": _changed("start() also returns the figures"),
    "TestDataSpeed.start_test": _gone("TestDataSpeed(...).start()"),
    # parallel
    "MultiProcessRunner": _changed(_RUNNER, _RUNNER_ARGUMENTS),
    "MultiProcessRunnerZMQ": _changed(_RUNNER, _RUNNER_ARGUMENTS),
    "MultiThreadRunner": _changed(_RUNNER, _RUNNER_ARGUMENTS),
    "MultiThreadMapData": _THREAD_MAP,
    "MultiProcessMapData": _PROCESS_MAP,
    "MultiProcessMapDataZMQ": _PROCESS_MAP,
    "MultiProcessMapAndBatchData": _MAP_AND_BATCH,
    "MultiProcessMapAndBatchDataZMQ": _MAP_AND_BATCH,
    "MultiProcessMapDataComponentSharedArray": _gone("MultiProcessMapData: large arrays travel through shared memory"),
    "PlasmaPutData": _gone("nothing: large arrays travel through shared memory"),
    "PlasmaGetData": _gone("nothing: large arrays travel through shared memory"),
    "DataFlowReentrantGuard": _gone("the class attribute reentrant = False"),
    # over the network
    "send_dataflow_zmq": _changed(
        "data travels as data, other objects with allow_pickle=True at both ends",
        {"format": _gone("leave it out: zmq_op and zmq_ops spoke to a TensorFlow operator that no longer exists")},
    ),
    "RemoteDataZMQ": _changed("data travels as data, other objects with allow_pickle=True at both ends"),
    "dump_dataflow_to_process_queue": _gone("DataFromQueue reads a queue; to fill it, loop over the flow"),
    # files
    **_same("LMDBData LMDBDataDecoder CaffeLMDB HDF5Data SVMLightData"),
    "DiskCacheData": _gone("DiskCache(flow, path)"),
    "DiskCacheSerializer": _gone("DiskCache(flow, path)"),
    **_same("LMDBSerializer NumpySerializer TFRecordSerializer HDF5Serializer"),
    **{f"{name}.save": _changed(_SAVE) for name in ("LMDBSerializer", "NumpySerializer", "TFRecordSerializer")},
    "HDF5Serializer.save": _changed("returns how many; never overwrites unless overwrite=True"),
    **{f"{name}.load": _changed(_LOAD) for name in ("LMDBSerializer", "NumpySerializer", "TFRecordSerializer")},
    "HDF5Serializer.load": _SAME,
    # images
    **_same("AugmentImageComponent AugmentImageCoordinates AugmentImageComponents"),
    "ImageFromFile": _changed("shuffle=True no longer reorders the list that it was given"),
    **_all(
        "Augmentor ImageAugmentor AugmentorList PhotometricAugmentor Transform ResizeTransform CropTransform "
        "FlipTransform TransformList TransformFactory ColorSpace Grayscale ToFloat32 RandomCrop CenterCrop "
        "GoogleNetRandomCropAndResize RandomCutout Shift MeanVarianceNormalize Clip MinMaxNormalize RandomChooseAug "
        "MapImage Identity RandomApplyAug RandomOrderAug Flip Resize RandomResize ResizeShortestEdge Transpose "
        "SaltPepperNoise BackgroundFiller ConstantBackgroundFiller IAAugmentor Albumentations",
        _SAME,
        "imgaug.",
    ),
    **_all(
        "BaseTransform LazyTransform NoOpTransform PhotometricTransform TransformAugmentorBase TransposeTransform "
        "WarpAffineTransform",
        _SAME,
        "imgaug.transform.",
    ),
    "imgaug.deform.GaussianDeform": _SAME,
    "imgaug.GaussianBlur": Name("same", arguments=MappingProxyType(_renamed(max_size="size_range"))),
    **_all(
        "ToUint8 Brightness BrightnessScale Contrast Gamma GaussianNoise Hue Lighting Saturation",
        _changed("uint8 is rounded, not cut off"),
        "imgaug.",
    ),
    **_all(
        "Rotation RotationAndCropValid Affine",
        _changed("points follow the pixels exactly; tensorpack's are half a pixel off"),
        "imgaug.",
    ),
    **_all("CenterPaste RandomPaste", _changed("points are moved as well, not refused"), "imgaug."),
    "imgaug.RandomCropRandomShape": _changed("max_aspect_ratio has an effect; the last row and column are drawn, too"),
    "imgaug.JpegNoise": _changed("a grey image stays one"),
    **_all(
        "Mnist FashionMnist Cifar10 Cifar100 CifarBase SVHNDigit BSDS500 Caltech101Silhouettes ILSVRC12 ILSVRC12Files "
        "ILSVRCMeta TinyImageNet Places365Standard",
        _changed(_DATA_SETS),
        "dataset.",
    ),
}
"""By what follows ``tensorpack.dataflow.``, without the modules in `SUBMODULES`."""

NAMES["PrefetchData"] = NAMES["MultiProcessPrefetchData"] = NAMES["MultiProcessRunner"]
NAMES["PrefetchDataZMQ"] = NAMES["MultiProcessRunnerZMQ"]
NAMES["MultiThreadPrefetchData"] = NAMES["MultiThreadRunner"]

UTILS: dict[str, Name] = {
    "get_rng": _gone("RNGDataFlow and its self.rng, or a map function with the keyword rng"),
    "fix_rng_seed": _gone("headrace.seed(n)"),
}
"""By what follows ``tensorpack.utils.`` or ``tensorpack.utils.utils.``."""

MODULES = frozenset(
    f"{package}.{module}"
    for package, modules in {
        "imgaug": "base convert crop deform external geometry imgproc meta misc noise paste transform",
        "dataset": "bsds500 caltech101 cifar ilsvrc mnist places svhn",
    }.items()
    for module in modules.split()
)
"""Modules of packages in tensorpack.dataflow, which headrace has as well."""

SUBMODULES = frozenset(("base", "common", "format", "image", "parallel", "parallel_map", "raw", "remote", "serialize"))
"""Modules of tensorpack.dataflow whose public names it exports as well."""
