"""One of each augmentor, for images of 48 x 64 pixels."""

import cv2
import numpy as np

from headrace import imgaug

HEIGHT, WIDTH = 48, 64

GEOMETRIC = {
    "CenterCrop": imgaug.CenterCrop((30, 40)),
    "RandomCrop": imgaug.RandomCrop((30, 40)),
    "RandomCropRandomShape": imgaug.RandomCropRandomShape(30, 30, max_aspect_ratio=1.5),
    "GoogleNetRandomCropAndResize": imgaug.GoogleNetRandomCropAndResize((0.5, 1), target_shape=32),
    "Shift": imgaug.Shift(0.2, 0.2),
    "Rotation": imgaug.Rotation(30),
    "RotationAndCropValid": imgaug.RotationAndCropValid(30),
    "Affine": imgaug.Affine((0.8, 1.2), (0.1, 0.1), 20, 10),
    "Flip": imgaug.Flip(horiz=True, prob=0.5),
    "Resize": imgaug.Resize((24, 80)),
    "RandomResize": imgaug.RandomResize((0.8, 1.5), (0.8, 1.5)),
    "ResizeShortestEdge": imgaug.ResizeShortestEdge(36),
    "Transpose": imgaug.Transpose(0.5),
    "CenterPaste": imgaug.CenterPaste((60, 70)),
    "RandomPaste": imgaug.RandomPaste((60, 70), imgaug.ConstantBackgroundFiller(9)),
    "Identity": imgaug.Identity(),
    "RandomApplyAug": imgaug.RandomApplyAug(imgaug.Flip(vert=True, prob=1), 0.5),
    "RandomChooseAug": imgaug.RandomChooseAug([imgaug.Shift(0.2), imgaug.Rotation(20)]),
    "RandomOrderAug": imgaug.RandomOrderAug([imgaug.Shift(0.1, 0.1), imgaug.Affine(rotate_max_deg=10)]),
    "AugmentorList": imgaug.AugmentorList([imgaug.RandomCrop(40), imgaug.Rotation(20), imgaug.Flip(vert=True)]),
}
PHOTOMETRIC = {
    "ToUint8": imgaug.ToUint8(),
    "ToFloat32": imgaug.ToFloat32(),
    "RandomCutout": imgaug.RandomCutout((5, 20), (5, 20)),
    "Brightness": imgaug.Brightness(60),
    "BrightnessScale": imgaug.BrightnessScale((0.5, 1.5)),
    "Contrast": imgaug.Contrast((0.5, 1.5)),
    "MeanVarianceNormalize": imgaug.MeanVarianceNormalize(),
    "GaussianBlur": imgaug.GaussianBlur(6),
    "Gamma": imgaug.Gamma((-0.5, 1)),
    "Clip": imgaug.Clip(20, 200),
    "MinMaxNormalize": imgaug.MinMaxNormalize(0, 1),
    "JpegNoise": imgaug.JpegNoise((5, 30)),
    "GaussianNoise": imgaug.GaussianNoise(20),
    "SaltPepperNoise": imgaug.SaltPepperNoise(),
    "MapImage": imgaug.MapImage(np.copy, np.copy),
}
COLOUR = {
    "ColorSpace": imgaug.ColorSpace(cv2.COLOR_BGR2HSV),
    "Grayscale": imgaug.Grayscale(),
    "Hue": imgaug.Hue((-45, 45)),
    "Saturation": imgaug.Saturation(0.9),
    "Lighting": imgaug.Lighting(100, [0.2175, 0.0188, 0.0045], np.eye(3)),
}
DEFORMING = {"GaussianDeform": imgaug.GaussianDeform([(0.3, 0.3), (0.7, 0.7)], (HEIGHT, WIDTH), 0.1)}
ALL = GEOMETRIC | PHOTOMETRIC | COLOUR | DEFORMING

ALWAYS_THE_SAME = {
    "CenterCrop",
    "CenterPaste",
    "Clip",
    "ColorSpace",
    "Grayscale",
    "Identity",
    "MapImage",
    "MeanVarianceNormalize",
    "MinMaxNormalize",
    "Resize",
    "ResizeShortestEdge",
    "ToFloat32",
    "ToUint8",
}


def picture(*channels):
    """Colours that differ from place to place, with something to blur."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [127 + 100 * np.sin(x / (3 + n) + n) * np.cos(y / (5 + n)) for n in range(channels[0] if channels else 1)]
    image = np.stack(waves, axis=2).astype(np.uint8)
    return image if channels else image[:, :, 0]
