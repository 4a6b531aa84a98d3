"""``import headrace`` stays light: what it need not load, it does not load."""

from __future__ import annotations

import subprocess
import sys

HEAVY = """
    argparse asyncio concurrent.futures cv2 email grain h5py importlib.metadata jax lmdb matplotlib pandas PIL
    prometheus_client psutil pyarrow pygments ray rich scipy sklearn tensorflow torch tqdm unittest zarr
"""


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    return set(done.stdout.split())


def test_importing_headrace_loads_no_heavy_module():
    bare = modules_after("")  # editable installs and coverage tools load some before any code runs
    loaded = modules_after("import headrace")

    assert "headrace.flow" in loaded
    assert sorted((loaded - bare) & set(HEAVY.split())) == []


def test_reading_a_list_in_batches_loads_no_heavy_module():
    bare = modules_after("")
    loaded = modules_after(
        "import headrace as hr\nassert len(list(hr.BatchData(hr.DataFromList([1, 2, 3, 4]), 2))) == 2"
    )

    assert sorted((loaded - bare) & set(HEAVY.split())) == []
