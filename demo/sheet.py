"""The contact sheet: one batch as a picture for people."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .augment import to_pixels

COLUMNS = 8
TILE, GAP, MARGIN, CAPTION_HEIGHT = 168, 6, 28, 56
PAPER, INK, FAINT_INK = (20, 21, 24), (236, 236, 232), (140, 142, 148)


def write_contact_sheet(images: np.ndarray, title: str, details: str, path: Path) -> None:
    """Write normalised BGR images (n, height, width, 3) as a grid over a line of text."""
    sheet = _grid(to_pixels(images)[..., ::-1])
    draw = ImageDraw.Draw(sheet)
    middle = sheet.height - MARGIN - CAPTION_HEIGHT // 2 + GAP
    draw.text((MARGIN, middle), title, INK, ImageFont.load_default(22), anchor="lm")
    draw.text((sheet.width - MARGIN, middle), details, FAINT_INK, ImageFont.load_default(18), anchor="rm")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _grid(images: np.ndarray) -> Image.Image:
    rows = -(-len(images) // COLUMNS)
    step = TILE + GAP
    size = COLUMNS * step - GAP + 2 * MARGIN, rows * step - GAP + 2 * MARGIN + CAPTION_HEIGHT
    sheet = Image.new("RGB", size, PAPER)
    for index, image in enumerate(images):
        row, column = divmod(index, COLUMNS)
        tile = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (MARGIN + column * step, MARGIN + row * step))
    return sheet
