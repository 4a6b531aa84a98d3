"""What is done to each photo: read, decode, random-resized crop, flip, normalise."""

import math

import cv2
import numpy as np

SIZE = 224
AREA_RANGE = (0.08, 1.0)
ASPECT_RANGE = (3 / 4, 4 / 3)

# ImageNet's mean and deviation, of pixels in 0..1, in OpenCV's order: blue, green, red.
MEAN = np.array([0.406, 0.456, 0.485], np.float32)
STD = np.array([0.225, 0.224, 0.229], np.float32)

# (pixel / 255 - mean) / std as one multiplication and one addition. A whole image row of constants lets
# NumPy run loops of 672 numbers; with just three it would run loops of three, several times slower.
_FACTOR = np.tile(1 / (255 * STD), (SIZE, 1))
_OFFSET = np.tile(-MEAN / STD, (SIZE, 1))

# OpenCV's own threads would use every core in the plain loop too, and fight with the workers in the
# others: the patterns could not be compared. Here, at import, it holds in every process.
cv2.setNumThreads(0)


def load(path: str, label: int, *, rng: np.random.Generator) -> list[object]:
    """One training example from one file. `rng` comes from headrace: the same in any worker, new each pass."""
    return [normalise(augment(decode(path), rng)), label]


def decode(path: str) -> np.ndarray:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def augment(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random-resized crop as in GoogleNet's training, mirrored half of the time."""
    crop = cv2.resize(_random_window(photo, rng), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return cv2.flip(crop, 1) if rng.random() < 0.5 else crop


def _random_window(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(*AREA_RANGE)
        aspect = math.exp(rng.uniform(*np.log(ASPECT_RANGE)))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if crop_width <= width and crop_height <= height:
            left = rng.integers(width - crop_width + 1)
            top = rng.integers(height - crop_height + 1)
            return photo[top : top + crop_height, left : left + crop_width]
    return photo  # ten windows that stick out are rarer than one in 10,000: take it all


def normalise(image: np.ndarray) -> np.ndarray:
    normalised = np.multiply(image, _FACTOR, dtype=np.float32)
    normalised += _OFFSET
    return normalised


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Undo `normalise`, for people to look at: float32 (..., 3) to uint8 (..., 3)."""
    return np.clip((images * STD + MEAN) * 255 + 0.5, 0, 255).astype(np.uint8)
