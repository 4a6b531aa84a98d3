"""What the examples share: the data (scikit-learn's digits), and how to be killed."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import headrace as hr


def load():
    """Training and test data: lists of ``[image, label]``, images of 8 x 8 float32 from 0 to 1."""
    digits = load_digits()
    rows = [[image.astype(np.float32) / 16, int(label)] for image, label in zip(digits.images, digits.target)]
    return rows[:1500], rows[1500:]


def augment(image, label, *, rng):
    """Move the image by a pixel, and add noise. ``rng`` is the datapoint's own: the same for any number of workers."""
    image = np.roll(image, rng.integers(-1, 2, size=2), axis=(0, 1))
    return image + rng.normal(0, 0.05, image.shape).astype(np.float32), label


def training_flow(passes=-1, batch_size=32, num_proc=2):
    """Batches: images of ``(batch_size, 8, 8)`` float32, labels of ``(batch_size,)`` int32; endless by default."""
    train, _ = load()
    ds = hr.RepeatedData(hr.DataFromList(train, shuffle=True), passes)
    ds = hr.MultiProcessMapData(ds, num_proc=num_proc, map_func=augment)
    return hr.BatchData(ds, batch_size)


def test_data():
    """All test images and labels."""
    _, test = load()
    return hr.BatchData.aggregate_batch(test)


def arguments():
    """The command line of a training script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("checkpoints"), help="where checkpoints are")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--checkpoint-every", type=int, default=20, help="steps")
    parser.add_argument("--die-at", type=int, help="kill this process (SIGKILL) at this step")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def die_if(options, step):
    """``kill -9``, at the chosen step: nothing is saved, nothing cleaned up."""
    if step == options.die_at:
        print(f"killed at step {step}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def write_whole(path, write):
    """Write a file that is there completely or not at all: ``write(temporary_path)``, then rename."""
    temporary = path.with_suffix(".partial")
    write(temporary)
    os.replace(temporary, path)


def report(step, accuracy, weights):
    """Say how it went. The same bits in all weights give the same words."""
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in weights)).hexdigest()[:16]
    print(f"step {step}: {accuracy:.1%} of the test images right; weights {digest}")
