"""Is the package complete, small, and does it work? Run by the Python of an environment that has nothing else."""

import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import headrace as hr

NEEDED = {"headrace", "numpy", "pyzmq", "cloudpickle", "tqdm", "rich"}
BROUGHT = {"markdown-it-py", "mdurl", "pygments"}  # by rich
HERE = {"pip", "setuptools", "wheel"}


def main() -> None:
    """Fail with what is wrong."""
    package = Path(hr.__file__).parent
    assert Path(sys.prefix) in package.parents, f"headrace came from {package}"
    assert hr.__version__ == version("headrace")
    assert (package / "py.typed").exists()
    installed = {found.metadata["Name"].lower() for found in distributions()}
    assert installed - HERE == NEEDED | BROUGHT, f"installed: {sorted(installed)}"

    with hr.BatchData(hr.MultiProcessMapData(range(10), 2, lambda n: n * n), 5) as flow:
        assert [batch.tolist() for batch in flow] == [[0, 1, 4, 9, 16], [25, 36, 49, 64, 81]]
    command = Path(sys.executable).with_name("headrace")
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"headrace {hr.__version__}\n", said
    print(f"headrace {hr.__version__}: installed with {', '.join(sorted(installed - HERE - {'headrace'}))}; works")


main()
