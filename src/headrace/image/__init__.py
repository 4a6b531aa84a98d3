"""Images in flows: read them, decode them, augment them."""

from .augment import AugmentImageComponent, AugmentImageComponents, AugmentImageCoordinates
from .from_bytes import ImageFromBytes
from .from_file import ImageFromFile

__all__ = [
    "AugmentImageComponent",
    "AugmentImageComponents",
    "AugmentImageCoordinates",
    "ImageFromBytes",
    "ImageFromFile",
]
