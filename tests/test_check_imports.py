"""``headrace check-imports``: what old scripts use, and what became of it."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import pytest

import headrace as hr
from headrace import cli
from headrace.commands.tensorpack_names import MODULES, NAMES

ROOT = Path(__file__).resolve().parent.parent


def findings(capsys: pytest.CaptureFixture[str], folder: Path, script: str) -> dict[str, str]:
    """The names that are found, with their status."""
    path = folder / "script.py"
    path.write_text(script)
    report = folder / "report.json"
    code = cli.main(["check-imports", str(path), "--json", str(report)])
    uses = json.loads(report.read_text())["files"][0]["uses"]
    assert code == int(any(use["status"] == "gone" for use in uses))
    printed = capsys.readouterr().out
    assert all(f"{path}:{use['line']}: {use['name']}: {use['status']}" in printed for use in uses)
    return {use["name"]: use["status"] for use in uses}


@pytest.mark.parametrize("root", ["tensorpack.dataflow", "dataflow"])
@pytest.mark.parametrize(
    "script",
    [
        "from {root} import PlasmaGetData",
        "from {root} import PlasmaGetData as P",
        "from {root}.parallel import PlasmaGetData",
        "from {root} import *\nPlasmaGetData(ds)",
        "import {root} as df\ndf.PlasmaGetData(ds)",
        "import {root}\n{root}.PlasmaGetData(ds)",
        "def late():\n    from {root} import PlasmaGetData",
        "try:\n    import {root} as D\nexcept ImportError:\n    D = None\nclass Mine(D.PlasmaGetData):\n    pass",
    ],
)
def test_a_name_is_found_however_it_is_imported(capsys, tmp_path, root, script):
    assert findings(capsys, tmp_path, script.format(root=root)) == {"PlasmaGetData": "gone"}


def test_names_of_the_package_itself_are_found(capsys, tmp_path):
    script = "from tensorpack import *\nfrom tensorpack import BatchData\nTrainer(MapData(ds, f))\n"

    assert findings(capsys, tmp_path, script) == {"BatchData": "changed", "MapData": "same"}


@pytest.mark.parametrize(
    "script",
    [
        "import numpy as np\nnp.BatchData",
        "from .dataflow import BatchData",
        "from tensorpack import ModelDesc, logger",
        "from tensorpack.utils import logger",
        "from tensorpack.dataflow import *\nclass MapData: pass\nMapData()",
        "BatchData = 1\nprint(BatchData)",
    ],
)
def test_what_is_not_of_dataflow_is_left_alone(capsys, tmp_path, script):
    assert findings(capsys, tmp_path, script) == {}


def test_arguments_are_checked(capsys, tmp_path):
    script = """
import tensorpack.dataflow as df
df.MultiProcessMapData(ds, nr_proc=4, map_func=f, strict=False)
df.MultiThreadMapData(ds, 4, f, 200)
df.send_dataflow_zmq(ds, "tcp://a:1", format="zmq_ops")
df.LocallyShuffleData(ds, 100, nr_reuse=2)
df.MapData(ds, func=f)
"""
    assert findings(capsys, tmp_path, script) == {
        "MultiProcessMapData": "changed",
        "MultiProcessMapData(nr_proc=)": "changed",
        "MultiProcessMapData(strict=)": "changed",
        "MultiThreadMapData": "changed",
        "MultiThreadMapData(argument 4)": "gone",
        "send_dataflow_zmq": "changed",
        "send_dataflow_zmq(format=)": "gone",
        "LocallyShuffleData": "same",
        "LocallyShuffleData(nr_reuse=)": "changed",
        "MapData": "same",
    }


def test_methods_modules_and_utilities_are_known(capsys, tmp_path):
    script = """
from tensorpack.dataflow import LMDBSerializer, TestDataSpeed, imgaug, dataset
from tensorpack.dataflow.imgaug.geometry import Rotation
from tensorpack.utils.utils import fix_rng_seed
LMDBSerializer.save(ds, "a.lmdb")
TestDataSpeed(ds).start_test()
imgaug.Flip(horiz=True)
imgaug.NoSuchAugmentor()
dataset.Mnist("train")
"""
    assert findings(capsys, tmp_path, script) == {
        "LMDBSerializer": "same",
        "LMDBSerializer.save": "changed",
        "TestDataSpeed": "changed",
        "TestDataSpeed.start_test": "gone",
        "imgaug.Rotation": "changed",
        "utils.fix_rng_seed": "gone",
        "imgaug.Flip": "same",
        "imgaug.NoSuchAugmentor": "gone",
        "dataset.Mnist": "changed",
    }


def test_modules_of_packages_are_there(capsys, tmp_path):
    script = """
from tensorpack.dataflow.dataset import mnist
from tensorpack.dataflow.imgaug import geometry, transform
from tensorpack.dataflow import imgaug
class Mine(transform.TransformAugmentorBase):
    def get_transform(self, img):
        return transform.WarpAffineTransform(geometry.Shift(0.1), (1, 1))
mnist.Mnist("train")
imgaug.imgproc.GaussianBlur(max_size=3)
imgaug.transform.NoSuchTransform()
"""
    assert findings(capsys, tmp_path, script) == {
        "imgaug.transform.TransformAugmentorBase": "same",
        "imgaug.transform.WarpAffineTransform": "same",
        "imgaug.Shift": "same",
        "dataset.Mnist": "changed",
        "imgaug.GaussianBlur": "same",
        "imgaug.GaussianBlur(max_size=)": "changed",
        "imgaug.transform.NoSuchTransform": "gone",
    }
    for module in MODULES:
        importlib.import_module(f"headrace.{module}")


def test_a_name_counts_once_in_the_sum(capsys, tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("from dataflow import MapData\nMapData(ds, f)\nMapData(ds, g)\n")

    assert cli.main(["check-imports", str(tmp_path / "a.py"), str(tmp_path / "b.py")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 the same, 0 changed, 0 gone"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"def f(:\n", ":1: invalid syntax"),
        (b"print 'hello'\n", "Only Python 3"),
        (b"x = 1\0\n", "null bytes"),
        ("# -*- coding: utf-8 -*-\nname = '\u00fc'\n".encode("latin-1"), "script.py"),
        (b"# -*- coding: nonsense -*-\n", "unknown encoding"),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=["syntax", "python 2", "null byte", "not utf-8", "encoding", "no file"],
)
def test_bad_input_is_named(capsys, tmp_path, content, words):
    path = tmp_path / "script.py"
    if content is not None:
        path.write_bytes(content)

    assert cli.main(["check-imports", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("headrace check-imports: ")
    assert str(path) in err
    assert words in err


def test_scripts_that_cannot_be_read_do_not_hide_the_others(capsys, tmp_path):
    good, old, missing = (tmp_path / name for name in ("good.py", "old.py", "missing.py"))
    good.write_text("from dataflow import MapData, DiskCacheData\n")
    old.write_text("print 'hello'\n")
    report = tmp_path / "report.json"

    assert cli.main(["check-imports", str(old), str(good), str(missing), "--json", str(report)]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "1 the same, 0 changed, 1 gone"
    assert f"{good}:1: MapData: same" in out
    assert f"{old}:1: " in err
    assert f"{missing} cannot be read" in err
    assert [file["path"] for file in json.loads(report.read_text())["files"]] == [str(good)]


def test_a_folder_is_refused(capsys, tmp_path):
    assert cli.main(["check-imports", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_scripts_are_read_in_their_own_encoding(capsys, tmp_path):
    path = tmp_path / "script.py"
    path.write_bytes("# -*- coding: latin-1 -*-\nfrom dataflow import MapData  # f\u00fcr alle\n".encode("latin-1"))

    assert cli.main(["check-imports", str(path)]) == 0
    assert "MapData: same" in capsys.readouterr().out


def test_a_script_is_not_run(capsys, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import os\nos.mkdir({os.fspath(tmp_path / 'made')!r})\n")

    assert cli.main(["check-imports", str(script)]) == 0
    assert not (tmp_path / "made").exists()
    assert capsys.readouterr().out == "nothing of tensorpack.dataflow is used\n"


def is_there(name: str) -> bool:
    *owners, last = name.split(".")
    owner = hr
    for number, part in enumerate(owners, 1):
        module = ".".join(["headrace", *owners[:number]])
        owner = importlib.import_module(module) if part.islower() else getattr(owner, part)
    return hasattr(owner, last)


def test_what_is_said_to_be_there_is_there():
    assert [name for name, fate in NAMES.items() if fate.status != "gone" and not is_there(name)] == []


def test_what_is_said_to_be_gone_is_not_there():
    assert [name for name, fate in NAMES.items() if fate.status == "gone" and is_there(name)] == []


def test_the_page_for_people_has_every_name():
    page = (ROOT / "docs" / "migrate.md").read_text()

    assert [name for name in NAMES if f"`{name}`" not in page] == []
