"""The command ``headrace``, run as a person runs it: in a process of its own, in a folder with a pipeline."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import cli
from headrace.commands.arguments import write_json

PIPELINE = """
import itertools, os, sys, time
import headrace as hr

def make_flow():
    return hr.DataFromList(list(range(200)))

flow = make_flow()

class Mine(hr.DataFlow):
    def __iter__(self):
        yield from range(20)

class Namespace:
    make = make_flow

def in_processes():
    return hr.MultiProcessMapData(hr.DataFromList(range(1000)), 2, lambda n: n * n)

def endless():
    return hr.DataFromGenerator(itertools.count)

def empty():
    return hr.DataFromList([])

def short():
    return hr.DataFromGenerator(lambda: iter(range(30)))

def wants_two(a, b=1):
    return flow

def gives_list():
    return [1, 2, 3]

def raises():
    raise LookupError("no such data set")

def divide(n):
    return 1 // (n - 3)

def fails_here():
    return hr.MapData(hr.DataFromList(range(9), shuffle=False), divide)

def fails_in_worker():
    return hr.MultiProcessMapData(hr.DataFromList(range(9), shuffle=False), 1, divide)

def ragged():
    return hr.BatchData(hr.DataFromList([[1], [2, 3]], shuffle=False), 2)

def leaves():
    sys.exit(0)

def told(flow):
    # The command's stdout is ours until the table is printed; the test waits for this line.
    def tell(number):
        if number == 50:
            os.write(1, b"now\\n")
        return number
    return hr.MapData(flow, tell)

def interrupted():
    return told(endless())

def never():
    def tell():
        os.write(1, b"now\\n")
        while True:
            time.sleep(1)
        yield
    return hr.DataFromGenerator(tell)

def interrupted_in_processes():
    return told(hr.MultiProcessMapData(endless(), 2, lambda n: n))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path


def headrace(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "headrace", *args], cwd=folder, capture_output=True, text=True)


def bench(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return headrace(folder, "bench", *args)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


@pytest.mark.parametrize("target", ["make_flow", "flow", "Mine", "Namespace.make", "in_processes"])
def test_bench_prints_a_table_of_any_flow(folder: Path, target: str) -> None:
    done = bench(folder, f"pipeline:{target}")

    assert (done.returncode, done.stderr.partition("the flow ended")[0]) == (0, "")
    for figure in ("datapoints/s", "MB/s", "p50", "p90", "p99", "max", "first datapoint", "measured"):
        assert figure in done.stdout


def test_the_installed_script_is_the_same_command(folder: Path) -> None:
    script = Path(sys.executable).with_name("headrace")
    done = subprocess.run([script, "bench", "pipeline:flow"], cwd=folder, capture_output=True, text=True)

    assert (done.returncode, "datapoints/s" in done.stdout) == (0, True)


def test_json_has_the_figures_and_leaves_no_other_file(folder: Path) -> None:
    done = bench(folder, "pipeline:make_flow", "--size", "100", "--warmup", "10", "--json", "out.json")

    report = json.loads((folder / "out.json").read_text())
    assert (done.returncode, files(folder)) == (0, ["out.json", "pipeline.py"])
    assert (report["count"], report["warmup"], report["complete"], report["interrupted"]) == (100, 10, True, False)
    assert report["datapoints_per_s"] == pytest.approx(100 / report["seconds"])
    assert report["p50_ms"] <= report["p90_ms"] <= report["p99_ms"] <= report["max_ms"]


def test_json_replaces_an_older_file(folder: Path) -> None:
    (folder / "out.json").write_text("old")

    bench(folder, "pipeline:make_flow", "--json", "out.json")

    assert json.loads((folder / "out.json").read_text())["target"] == "pipeline:make_flow"


def test_size_bounds_an_endless_flow(folder: Path) -> None:
    done = bench(folder, "pipeline:endless", "--size", "50")

    assert re.search(r"measured .* 50 datapoints", done.stdout), done.stdout
    assert re.search(r"warm-up of .* 5 datapoints", done.stdout), "a tenth of the size, by default"


def test_seconds_bound_an_endless_flow(folder: Path) -> None:
    done = bench(folder, "pipeline:endless", "--seconds", "0.05", "--json", "out.json")

    assert done.returncode == 0
    assert 0.05 <= json.loads((folder / "out.json").read_text())["seconds"] < 1


def test_a_flow_that_ends_early_is_measured_to_its_end(folder: Path) -> None:
    done = bench(folder, "pipeline:short", "--warmup", "10", "--size", "1000", "--json", "out.json")

    report = json.loads((folder / "out.json").read_text())
    assert (done.returncode, report["count"], report["complete"]) == (0, 20, False)
    assert "ended after these 20 datapoints" in done.stderr


# -- what can be wrong with the target


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("pipeline", "'pipeline' does not name a flow; write module:attribute"),
        (":make_flow", "does not name a flow"),
        ("pipeline:", "does not name a flow"),
        ("nowhere:make_flow", "no module 'nowhere'"),
        ("pipeline.below:make_flow", "no module 'pipeline.below'"),
        ("pipeline.py:make_flow", "'pipeline.py' is the path of a file; name its module: pipeline:make_flow\n"),
        ("./pipeline.py:make_flow", "name its module: pipeline:make_flow\n"),
        ("data/pipeline:make_flow", "name its module: pipeline:make_flow, in the folder data\n"),
        ("pipeline:make_flo", "no 'make_flo' in pipeline; did you mean make_flow"),
        ("pipeline:Namespace.nothing", "no 'nothing' in Namespace"),
        ("pipeline:PIPELINE", "no 'PIPELINE'"),
        ("pipeline:os", "neither a flow nor a function that makes one, but an object of type module"),
        ("pipeline:wants_two", "pipeline:wants_two(a, b=1) cannot be called without arguments"),
        ("pipeline:gives_list", "did not return a flow, but an object of type list; wrap it"),
    ],
)
def test_a_target_that_is_no_flow_is_refused_in_one_line(folder: Path, target: str, text: str) -> None:
    done = bench(folder, target)

    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nowhere_either", "ModuleNotFoundError: No module named 'nowhere_either'"),
        ("x = 1 +", "SyntaxError"),
        ("raise OSError(5, 'disk')", "OSError: [Errno 5] disk"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_a_module_that_fails_shows_its_own_traceback(folder: Path, source: str, error: str) -> None:
    (folder / "broken.py").write_text(source)

    done = bench(folder, "broken:make_flow")

    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert done.stderr.endswith("headrace bench: module 'broken' cannot be imported\n")
    assert "cli.py" not in done.stderr
    assert "importlib" not in done.stderr


@pytest.mark.parametrize(
    ("target", "error", "frame", "phase"),
    [
        ("raises", "LookupError: no such data set", "in raises", "pipeline:raises() failed"),
        ("leaves", "SystemExit: 0", "in leaves", "pipeline:leaves() failed"),
        ("fails_here", "ZeroDivisionError", "in divide", "failed while it was iterated"),
        ("fails_in_worker", "ZeroDivisionError", "in divide", "failed while it was iterated"),
        ("ragged", "BatchError: datapoint: lists of different lengths", "", "failed while it was iterated"),
    ],
)
def test_a_pipeline_that_raises_shows_the_users_frames(
    folder: Path, target: str, error: str, frame: str, phase: str
) -> None:
    done = bench(folder, f"pipeline:{target}", "--warmup", "0")

    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert frame in done.stderr
    assert phase in done.stderr.splitlines()[-1]
    assert "cli.py" not in done.stderr


def test_an_empty_flow_and_one_shorter_than_the_warm_up_say_so(folder: Path) -> None:
    empty = bench(folder, "pipeline:empty", "--json", "out.json")
    short = bench(folder, "pipeline:short", "--warmup", "100", "--json", "out.json")

    assert (empty.returncode, short.returncode) == (2, 2)
    assert "the flow is empty" in empty.stderr
    assert "ended after 30 datapoints, within the warm-up of 100; --warmup 0" in short.stderr
    assert files(folder) == ["pipeline.py"]


# -- what can be wrong with the rest


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--size", "0"], "argument --size: must be at least 1, got 0"),
        (["--size", "many"], "argument --size: expected an integer, got 'many'"),
        (["--warmup", "-1"], "argument --warmup: must be at least 0"),
        (["--seconds", "0"], "argument --seconds: must be above 0"),
        (["--seconds", "nan"], "argument --seconds: must be finite, got nan"),
        (["--seconds", "inf"], "argument --seconds: must be finite, got inf"),
    ],
)
def test_a_bad_number_is_refused(folder: Path, args: list[str], text: str) -> None:
    done = bench(folder, "pipeline:flow", *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


@pytest.mark.parametrize("path", ["no/such/folder.json", ".", "/proc/out.json"])
def test_an_output_that_cannot_be_written_is_an_error(folder: Path, path: str) -> None:
    done = bench(folder, "pipeline:flow", "--json", path)

    assert done.returncode == 2
    assert "headrace bench: --json: " in done.stderr
    assert files(folder) == ["pipeline.py"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "out.json")

    write_json(tmp_path / "link.json", {"new": 1})

    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "out.json").read_text()) == {"new": 1}


def test_a_stream_is_written_to_and_not_replaced(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=folder, stdout=subprocess.PIPE, text=True) as reader:
        done = headrace(folder, "doctor", "--json", "pipe")
        text, _ = reader.communicate()

    assert (done.returncode, "findings" in json.loads(text)) == (0, True)
    assert (folder / "pipe").is_fifo()


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    with pytest.raises(TypeError):
        write_json(path, {"fine": 1, "cannot be written": object()})

    assert (files(tmp_path), path.read_text()) == (["out.json"], "old")


# -- Ctrl-C


def interrupt_when_told(folder: Path, *args: str) -> tuple[int, str, str]:
    """Run, wait for the pipeline's own word, press Ctrl-C (all processes in the foreground get it)."""
    command: list[Any] = [sys.executable, "-m", "headrace", "bench", *args]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("target", ["interrupted", "interrupted_in_processes"])
def test_ctrl_c_prints_what_was_measured_until_then(folder: Path, target: str) -> None:
    code, out, err = interrupt_when_told(
        folder, f"pipeline:{target}", "--warmup", "0", "--seconds", "600", "--json", "out.json"
    )

    report = json.loads((folder / "out.json").read_text())
    assert code == 130
    assert "datapoints/s" in out
    assert err == "interrupted: the figures are of what was measured until then\n"
    assert report["interrupted"]
    assert report["count"] >= 10


def test_ctrl_c_in_the_warm_up_prints_the_figures_of_that(folder: Path) -> None:
    code, out, err = interrupt_when_told(folder, "pipeline:interrupted", "--warmup", "1000000000", "--json", "out.json")

    report = json.loads((folder / "out.json").read_text())
    assert code == 130
    assert "datapoints/s" in out
    assert err == "interrupted: the figures are of what was measured until then\n"
    assert (report["interrupted"], report["warmup"]) == (True, 0)
    assert report["count"] >= 10


def test_ctrl_c_before_the_first_datapoint_leaves_nothing(folder: Path) -> None:
    code, out, err = interrupt_when_told(folder, "pipeline:never", "--json", "out.json")

    assert (code, out) == (130, "")
    assert "had given 0 datapoints when it was interrupted" in err
    assert files(folder) == ["pipeline.py"]


# -- the command itself


def test_ctrl_c_while_it_is_still_being_imported_prints_no_traceback(folder: Path) -> None:
    (folder / "rich").mkdir()  # it is imported on the way, and is this one
    (folder / "rich" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    script = "import sys; from headrace_command import main; sys.exit(main())"  # what an installed script says

    done = subprocess.run([sys.executable, "-c", script, "doctor"], cwd=folder, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "headrace: interrupted\n")


def test_help_explains_and_gives_an_example(folder: Path) -> None:
    top, of_bench = headrace(folder, "--help"), bench(folder, "--help")

    assert "Measure how many datapoints a pipeline gives in a second" in top.stdout
    assert "headrace bench pipeline:make_flow" in of_bench.stdout


def test_without_a_command_it_shows_its_usage(folder: Path) -> None:
    done = headrace(folder)

    assert (done.returncode, "usage: headrace" in done.stderr) == (2, True)


def test_the_example_of_each_command_runs(tmp_path: Path) -> None:
    example = (inspect.getdoc(cli.bench) or "").partition("# pipeline.py\n")[2].partition("$")[0]
    (tmp_path / "pipeline.py").write_text("\n".join(line[2:] for line in example.splitlines()))

    done = bench(tmp_path, "pipeline:make_flow", "--size", "1000")

    assert (done.returncode, done.stderr) == (0, "")
