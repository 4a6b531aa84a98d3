import subprocess
import sys

SCRIPT = """
import sys
sys.modules["cv2"] = None  # as if it were not installed
import numpy as np
import headrace as hr
from headrace import *

image = np.zeros((4, 4), np.uint8)
assert imgaug.Flip(horiz=True, prob=1).augment(image).shape == (4, 4)  # needs no OpenCV
for use in (
    lambda: imgaug.Resize(2).augment(image),
    lambda: list(hr.ImageFromBytes([[b"x"]])),
):
    try:
        use()
    except ImportError as error:
        assert "pip install 'headrace[image]'" in str(error), error
    else:
        raise SystemExit("no ImportError")
"""


def test_without_opencv_the_error_names_the_extra_when_it_is_needed():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_headrace_loads_neither_opencv_nor_the_augmentors():
    script = (
        "import sys, headrace; print([m for m in sys.modules if m in ('cv2', 'headrace.imgaug', 'headrace.dataset')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
