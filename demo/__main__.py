"""Make the photos, run the five patterns, print the table, draw the contact sheet."""

import os
import sys
from pathlib import Path

from rich.console import Console
from tqdm import tqdm

import headrace as hr

from .measure import measure
from .patterns import BATCH_SIZE, MAP_AND_BATCH, PATTERNS, Items, numbered, usable_cores
from .photos import photo_paths
from .report import print_report
from .sheet import write_contact_sheet

FOLDER = Path(__file__).resolve().parent.parent / ".demo"
SEED = 7


def main() -> None:
    # tqdm's monitor is a thread in this process; nothing here needs it, and the figures are better without.
    tqdm.monitor_interval = 0
    console = Console()
    items = numbered(photo_paths(FOLDER / "photos"))
    workers = usable_cores()
    _warm_page_cache(items)
    hr.seed(SEED)
    results = measure(PATTERNS, items, workers)
    console.print()
    print_report(console, results, workers, len(items))
    path = FOLDER / "contact_sheet.png"
    _draw_one_batch(items, workers, path)
    console.print(f"\nContact sheet of one augmented batch: {os.path.relpath(path)}", highlight=False, soft_wrap=True)


def _warm_page_cache(items: Items) -> None:
    # Otherwise the first pattern alone would pay for the disk.
    for path, _ in items:
        Path(str(path)).read_bytes()


def _draw_one_batch(items: Items, workers: int, path: Path) -> None:
    hr.seed(SEED)
    with MAP_AND_BATCH.make(items, workers) as flow:
        images, _ = next(iter(flow))
    title = f"headrace: one augmented batch of {BATCH_SIZE}"
    steps = "decode, random-resized crop to 224, flip, normalise (undone here)"
    write_contact_sheet(images, title, f"{MAP_AND_BATCH.name}: {steps}", path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
