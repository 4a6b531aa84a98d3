"""Readers of well-known data sets, from local copies. Nothing is downloaded unasked; ``download=True`` asks.

The folder is an argument, or found below ``HEADRACE_DATASET`` (or ``TENSORPACK_DATASET``), under the name that
tensorpack uses. The classes, their arguments and attributes are those of ``tensorpack.dataflow.dataset``. The progress
bar of a download is switched off by ``TQDM_DISABLE=1`` in the environment (with tqdm 4.66 or later).

Example:
    >>> from headrace import dataset
    >>> dataset.Mnist("train", dir="/nowhere")
    Traceback (most recent call last):
        ...
    FileNotFoundError: /nowhere is no folder; a local copy of the data set is expected there
"""

from .bsds500 import BSDS500
from .caltech101 import Caltech101Silhouettes
from .cifar import Cifar10, Cifar100, CifarBase
from .ilsvrc import ILSVRC12, ILSVRC12Files, ILSVRCMeta
from .mnist import FashionMnist, Mnist
from .places import Places365Standard
from .svhn import SVHNDigit
from .tiny_imagenet import TinyImageNet

__all__ = [
    "BSDS500",
    "Caltech101Silhouettes",
    "Cifar10",
    "Cifar100",
    "CifarBase",
    "FashionMnist",
    "ILSVRC12",
    "ILSVRC12Files",
    "ILSVRCMeta",
    "Mnist",
    "Places365Standard",
    "SVHNDigit",
    "TinyImageNet",
]
