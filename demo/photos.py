"""The photographs: 2,000 JPEG crops, made once from sample photos of scikit-image and scikit-learn.

Only pictures that lie inside the two wheels are used; nothing is downloaded here.
"""

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

NUM_PHOTOS = 2000
SEED = 20200229
JPEG_QUALITY = 90
LONG_SIDE, SHORT_SIDE = 500, 375
# A crop's side, as a part of the largest 4:3 window in its source: under a half, it shows only texture.
SCALE_RANGE = (0.6, 1.0)
PORTRAIT_SHARE = 0.2

# The colour photographs and the two best grey ones; the other files there are textures, logos and scans.
SOURCES = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)

_MANIFEST = "manifest.json"


def photo_paths(folder: Path) -> list[Path]:
    """The 2,000 photos in `folder`, in the order of their numbers; makes them if they are not all there."""
    if not _is_complete(folder):
        _make(folder)
    return [folder / _file_name(number) for number in range(NUM_PHOTOS)]


def _make(folder: Path) -> None:
    # The photos grow under another name and the folder is renamed when it is whole: a run that was
    # stopped half way leaves only the other name behind, which the next run throws away.
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    crops = tqdm(_crops(_load_sources()), "writing photos", NUM_PHOTOS, unit=" photos", mininterval=0.25, disable=None)
    num_bytes = sum(_write(partial / _file_name(number), crop) for number, crop in enumerate(crops))
    (partial / _MANIFEST).write_text(json.dumps(_recipe() | {"num_bytes": num_bytes}))
    partial.rename(folder)


def _is_complete(folder: Path) -> bool:
    """Whether `folder` holds what this version of the demo would write, as far as names and sizes tell."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        num_bytes = manifest.pop("num_bytes")
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    sizes.pop(_MANIFEST)
    names = {_file_name(number) for number in range(NUM_PHOTOS)}
    return manifest == _recipe() and sizes.keys() == names and sum(sizes.values()) == num_bytes


def _recipe() -> dict[str, object]:
    return {
        "num_photos": NUM_PHOTOS,
        "seed": SEED,
        "quality": JPEG_QUALITY,
        "sides": [LONG_SIDE, SHORT_SIDE],
        "scale_range": list(SCALE_RANGE),
        "portrait_share": PORTRAIT_SHARE,
        "sources": [path for _, path in SOURCES],
    }


def _file_name(number: int) -> str:
    return f"{number:05d}.jpg"


def _load_sources() -> list[np.ndarray]:
    return [_read_bgr(_package_folder(package) / path) for package, path in SOURCES]


def _package_folder(package: str) -> Path:
    # find_spec does not import the package: scikit-learn alone would take a second for two pictures.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the demo's photos come with {package}: run `make demo`, or install headrace[demo]")
    return Path(spec.origin).parent


def _read_bgr(path: Path) -> np.ndarray:
    # Pillow, not cv2.imread: OpenCV's PNG reader complains on stderr about the colour profile of one picture.
    with Image.open(path) as picture:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def _crops(sources: list[np.ndarray]) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(SEED)
    for number in range(NUM_PHOTOS):
        yield _random_crop(sources[number % len(sources)], rng)


def _random_crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window of `picture` at a random place and scale, perhaps mirrored, as a photo of about 500 x 375."""
    width, height = LONG_SIDE, SHORT_SIDE
    if rng.random() < PORTRAIT_SHARE:
        width, height = height, width
    largest = min(picture.shape[1] / width, picture.shape[0] / height)
    scale = largest * rng.uniform(*SCALE_RANGE)
    crop_width, crop_height = round(width * scale), round(height * scale)
    left = rng.integers(picture.shape[1] - crop_width + 1)
    top = rng.integers(picture.shape[0] - crop_height + 1)
    crop = picture[top : top + crop_height, left : left + crop_width]
    # Real collections are never all of one size, and equal sizes would make the decoder's life too easy.
    size = round(width * rng.uniform(0.95, 1.05)), round(height * rng.uniform(0.95, 1.05))
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    return cv2.flip(crop, 1) if rng.random() < 0.5 else crop


def _write(path: Path, photo: np.ndarray) -> int:
    _, encoded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return path.write_bytes(encoded.tobytes())
