"""``import headrace`` stays light: what it need not load, it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import headrace as hr

HEAVY = """
    argparse asyncio cloudpickle concurrent.futures cv2 email fsspec grain h5py hashlib importlib.metadata jax lmdb
    logging matplotlib multiprocessing pandas PIL prometheus_client psutil pyarrow pygments ray rich scipy secrets
    sklearn socket ssl subprocess tensorflow torch tqdm unittest urllib.request zarr zmq
    headrace.cli headrace.dataset headrace.formats headrace.image headrace.imgaug headrace.integrations headrace.observe
    headrace.parallel headrace.plain_codec headrace.remote
"""


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """Modules that are there anyway: editable installs and coverage tools load some before any code runs."""
    return modules_after("import numpy")


def test_importing_headrace_loads_no_heavy_module(bare):
    loaded = modules_after("import headrace")

    assert "headrace.flow" in loaded
    assert sorted((loaded - bare) & set(HEAVY.split())) == []


def test_reading_a_list_in_batches_loads_no_heavy_module():
    bare = modules_after("import numpy.random")
    loaded = modules_after(
        "import headrace as hr\nassert len(list(hr.BatchData(hr.DataFromList([1, 2, 3, 4]), 2))) == 2"
    )

    assert sorted((loaded - bare) & set(HEAVY.split())) == []


def test_names_that_are_imported_late_are_found_by_completion():
    listed = subprocess.run(
        [sys.executable, "-c", "import headrace; print(*dir(headrace))"], capture_output=True, text=True, timeout=50
    ).stdout.split()
    assert set(hr.__all__) <= set(listed)


def test_workers_find_parallel_flows_loaded():
    with hr.MultiProcessMapData([0], 1, lambda _: "headrace.parallel.runners" in sys.modules) as flow:
        assert list(flow) == [True]


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'headrace' has no attribute 'MapDatum'"):
        hr.MapDatum  # noqa: B018
