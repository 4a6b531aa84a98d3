"""From bytes to an image, or to an error that names the file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .._opencv import INTER_LINEAR, cv2
from ..errors import FormatError
from .checks import Image, shape2d

__all__ = ["Decoder", "read_file"]

_JPEG_BEGIN, _JPEG_END, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda"


class Decoder:
    """How images are decoded.

    Args:
        channel: 3 for red, green, blue; 1 for grey. Images are converted, also from 16 bits, and turned upright as
            their EXIF data says.
        resize: None, or (height, width) in pixels, or one number for both.
        rgb: False: blue, green, red, as OpenCV reads them.

    Raises:
        ValueError: another number of channels, or a size that is not positive.
    """

    def __init__(self, channel: int = 3, resize: Any = None, *, rgb: bool = True):
        if channel not in (1, 3):
            raise ValueError(f"channel must be 1 or 3, got {channel!r}")
        self.channel = int(channel)
        self.resize = None if resize is None else shape2d("resize", resize)
        self.rgb = rgb

    def __call__(self, data: Any, name: str) -> Image:
        """Decode one image.

        Args:
            data: the encoded image: bytes, or a one-dimensional uint8 array.
            name: of the file, for errors.

        Returns:
            A uint8 array of shape (height, width, channel).

        Raises:
            TypeError: ``data`` are no bytes.
            FormatError: they are no image, or a truncated or damaged one.
        """
        buffer = _as_buffer(data, name)
        if _is_cut_jpeg(buffer):
            raise FormatError(f"{name}: this JPEG of {buffer.size} bytes is truncated: its end marker is missing")
        if not buffer.size:
            raise FormatError(f"{name}: empty, so no image")
        img = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE if self.channel == 1 else cv2.IMREAD_COLOR)
        if img is None:
            beginning = buffer[:8].tobytes()
            raise FormatError(f"{name}: no image that OpenCV can decode, or damaged; it begins with {beginning!r}")
        if self.resize is not None:
            img = cv2.resize(img, self.resize[::-1], interpolation=INTER_LINEAR)
        if self.channel == 1:
            return img[:, :, np.newaxis]  # type: ignore[no-any-return]
        return cv2.cvtColor(img, cv2.COLOR_BGR2RGB) if self.rgb else img  # type: ignore[no-any-return]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file; not by OpenCV, which says no more than that it could not.

    Raises:
        OSError: the file is missing or cannot be read; names it.
    """
    with open(path, "rb") as file:
        return file.read()


def _as_buffer(data: Any, name: str) -> np.ndarray[Any, Any]:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    if isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 1:
        return data
    what = f"{data.dtype} array of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
    raise TypeError(f"{name}: an encoded image is bytes, or a one-dimensional uint8 array, got {what}")


def _is_cut_jpeg(buffer: np.ndarray[Any, Any]) -> bool:
    """Whether it is a JPEG without end: OpenCV 4 fills what is missing with grey.

    The end marker must come after the first scan begins: there may be another one before, in a preview image.
    """
    data = buffer.tobytes()
    return data.startswith(_JPEG_BEGIN) and data.rfind(_JPEG_END) <= _first_scan(data)


def _first_scan(data: bytes) -> int:
    """Where the first scan begins. Before it, each segment is a marker of two bytes and its length of two bytes."""
    position = 2
    while position + 4 <= len(data) and data[position : position + 2] != _JPEG_SCAN:
        if data[position] != 0xFF:
            return len(data)  # damaged
        if data[position + 1] == 0xFF:
            position += 1  # fill byte
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position
