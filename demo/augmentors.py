"""A contact sheet of every augmentor: ``python -m demo.augmentors`` writes .demo/augmentors.png."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from headrace import imgaug

from .photos import _package_folder, _read_bgr

FOLDER = Path(__file__).resolve().parent.parent / ".demo"
HEIGHT, WIDTH = 180, 240
EXAMPLES = 3
LABEL, GAP, COLUMNS = 26, 8, 2
PAPER, INK = (20, 21, 24), (236, 236, 232)
EIGENVALUES = [55.5, 4.8, 1.1]
EIGENVECTORS = np.array([[-0.58, 0.72, 0.40], [-0.58, -0.01, -0.81], [-0.58, -0.69, 0.42]])

AUGMENTORS = [
    imgaug.Identity(),
    imgaug.CenterCrop((120, 160)),
    imgaug.RandomCrop((120, 160)),
    imgaug.RandomCropRandomShape(80, 80, max_aspect_ratio=1.5),
    imgaug.GoogleNetRandomCropAndResize(target_shape=180),
    imgaug.RandomCutout((40, 90), fill=128),
    imgaug.Shift(0.3, 0.3),
    imgaug.Rotation(30, border_value=0, border=cv2.BORDER_CONSTANT),
    imgaug.RotationAndCropValid(30),
    imgaug.Affine((0.7, 1.3), (0.1, 0.1), 20, 20),
    imgaug.GaussianDeform([(0.3, 0.3), (0.3, 0.7), (0.7, 0.5)], (HEIGHT, WIDTH), 0.03, 25),
    imgaug.Flip(horiz=True),
    imgaug.Flip(vert=True),
    imgaug.Transpose(),
    imgaug.Resize((90, 240)),
    imgaug.RandomResize((0.4, 1.0), (0.4, 1.0), aspect_ratio_thres=0.5),
    imgaug.ResizeShortestEdge(90),
    imgaug.CenterPaste((240, 300)),
    imgaug.RandomPaste((240, 300), imgaug.ConstantBackgroundFiller((90, 60, 30))),
    imgaug.ColorSpace(cv2.COLOR_BGR2HSV),
    imgaug.Grayscale(),
    imgaug.Hue((0, 180), rgb=False),
    imgaug.Saturation(0.9, rgb=False),
    imgaug.Lighting(1.5, EIGENVALUES, EIGENVECTORS),
    imgaug.Brightness(100),
    imgaug.BrightnessScale((0.4, 1.6)),
    imgaug.Contrast((0.3, 1.7)),
    imgaug.Gamma((-0.6, 1.5)),
    imgaug.Clip(80, 160),
    imgaug.GaussianBlur(9),
    imgaug.MeanVarianceNormalize(),
    imgaug.MinMaxNormalize(0, 128),
    imgaug.JpegNoise((2, 15)),
    imgaug.GaussianNoise(40),
    imgaug.SaltPepperNoise(0.05, 0.05),
    imgaug.RandomApplyAug(imgaug.GaussianNoise(60), 0.5),
    imgaug.RandomChooseAug([imgaug.Flip(vert=True, prob=1), imgaug.Hue(rgb=False), imgaug.GaussianBlur(9)]),
    imgaug.RandomOrderAug([imgaug.Clip(0, 128), imgaug.BrightnessScale((2, 2))]),
    imgaug.MapImage(lambda image: 255 - image),
    imgaug.AugmentorList([imgaug.ToFloat32(), imgaug.Brightness(60), imgaug.ToUint8()]),
]


def main() -> None:
    """Write the sheet."""
    photo = cv2.resize(_read_bgr(_package_folder("skimage") / "data/chelsea.png")[:, 20:420], (WIDTH, HEIGHT))
    font = ImageFont.load_default(15)
    step_x, step_y = EXAMPLES * (WIDTH + GAP) + 3 * GAP, HEIGHT + LABEL + GAP
    rows = -(-len(AUGMENTORS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * step_x + GAP, rows * step_y + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, augmentor in enumerate(AUGMENTORS):
        left, top = GAP + number // rows * step_x, GAP + number % rows * step_y
        draw.text((left, top), repr(augmentor).replace("imgaug.", "").replace("\n", " ")[:88], INK, font)
        for example in range(EXAMPLES):
            image = _visible(augmentor.augment(photo.copy(), rng=example))
            sheet.paste(image, (left + example * (WIDTH + GAP), top + LABEL))
    FOLDER.mkdir(exist_ok=True)
    sheet.save(FOLDER / "augmentors.png", optimize=True)
    print(f"wrote {FOLDER / 'augmentors.png'}")


def _visible(image: np.ndarray) -> Image.Image:
    """Fit it into a tile; normalised values are brought back into 0..255."""
    if image.min() < 0:
        image = image * 60 + 128
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., ::-1])
    picture.thumbnail((WIDTH, HEIGHT))
    return picture


if __name__ == "__main__":
    main()
