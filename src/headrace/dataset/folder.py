"""Where local copies of data sets are."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import FormatError
from .download import Published, fetch

__all__ = ["check_split", "dataset_folder", "find_file", "load_mat", "mat_variable"]


def dataset_folder(name: str, folder: Any = None, *, make: bool = False) -> Path:
    """The folder of a data set: the argument, else ``name`` below ``HEADRACE_DATASET`` or ``TENSORPACK_DATASET``.

    Where neither variable is set, and ``name`` is below ``~/tensorpack_data``, it is that: tensorpack's default.

    Args:
        name: as tensorpack has it.
        folder: what the user gave.
        make: whether it is made where it does not exist, for a download.

    Raises:
        ValueError: neither the argument nor one of these environment variables is given.
        FileNotFoundError: the folder does not exist.
    """
    if folder is None:
        root = os.environ.get("HEADRACE_DATASET") or os.environ.get("TENSORPACK_DATASET")
        if not root and (usual := Path("~/tensorpack_data").expanduser()).joinpath(name).is_dir():
            root = str(usual)
        if not root:
            raise ValueError(
                f"where is the data set? Give its folder as an argument, or set HEADRACE_DATASET to the folder that "
                f"holds {name}/. Nothing is downloaded unasked"
            )
        folder = Path(root) / name
    path = Path(folder).expanduser()
    if make:
        path.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder; a local copy of the data set is expected there")
    return path


def find_file(folder: Path, names: Sequence[str], source: str, published: Published | None = None) -> Path:
    """The first file in ``folder`` with one of these names.

    Args:
        folder: where to look.
        names: of the file; several, if it may have several.
        source: where the data set comes from, for people.
        published: if none of them exists, download this under the first name.

    Raises:
        FileNotFoundError: none of them exists, and nothing shall be downloaded; says where they come from.
        Exception: what `fetch` raises.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if published is not None:
        fetch(folder / names[0], published)
        return folder / names[0]
    raise FileNotFoundError(f"{folder / names[0]} is missing; the data set is published at {source}")


def check_split(name: str, value: Any, splits: Sequence[str]) -> str:
    """``value``, if it is one of ``splits``.

    Raises:
        ValueError: it is not.
    """
    if value not in splits:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, splits))}, got {value!r}")
    return str(value)


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file.

    Raises:
        ImportError: SciPy is not installed.
        FormatError: it is none, or damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"{path} is a MATLAB file, which SciPy reads: pip install 'headrace[dataset]'") from error
    content = io.BytesIO(path.read_bytes())
    try:
        variables: dict[str, Any] = loadmat(content)
    except Exception as error:  # SciPy raises whatever the damage leads to
        raise FormatError(f"{path}: no MATLAB file, or damaged: {type(error).__name__}: {error}") from error
    return variables


def mat_variable(path: Path, variables: dict[str, Any], name: str) -> Any:
    """One variable of a MATLAB file.

    Raises:
        FormatError: there is none of that name.
    """
    if name not in variables:
        raise FormatError(f"{path}: there is no variable {name!r} in this MATLAB file")
    return variables[name]
