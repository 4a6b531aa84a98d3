"""The live view, and Prometheus."""

from __future__ import annotations

import io
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
import terminal
from pipelines import quick
from rich.console import Console

import headrace as hr
from headrace.observe import prometheus


class Screen(io.StringIO):
    """A terminal, or a file, that says when something was written to it."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal
        self.written = threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if "workers" in text:
            self.written.set()
        return super().write(text)


def flow_of(count: int = 100) -> hr.DataFlow:
    return hr.BatchData(hr.MultiThreadMapData(hr.DataFromList(list(range(count))), 2, quick), 5)


def test_where_there_is_no_terminal_it_is_plain_lines() -> None:
    screen = Screen(terminal=False)
    with flow_of() as flow, hr.watch(flow, 0.01, file=screen) as watching:
        assert len(list(flow)) == 20
        assert screen.written.wait(10)
    assert "headrace: BatchData" in screen.getvalue()
    assert "MultiThreadMapData: 2 workers" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert (watching.stats.flows[1].pool.delivered, threading.active_count()) == (100, threading.active_count())


def test_after_the_block_its_figures_are_still_there() -> None:
    flow = hr.MapData(hr.DataFromList(list(range(30)), shuffle=False), quick)
    with hr.watch(flow, file=io.StringIO()) as watching:
        list(flow)
    before = watching.stats
    list(flow)
    assert [f.datapoints for f in watching.stats.flows] == [30, 30]
    assert watching.stats == before


def test_on_a_terminal_it_is_a_table_that_disappears(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(terminal=True)
    stdout = sys.stdout
    with flow_of() as flow, hr.watch(flow, 0.01, file=screen):
        print("the program's own words")
        assert sys.stdout is stdout, "no screen, so it is left alone"
        list(flow)
        assert screen.written.wait(10)
    assert "in\nflight" not in capsys.readouterr().out
    assert "\x1b[" in screen.getvalue()


@pytest.mark.parametrize("columns", [36, 50, 60, 80, 200])
def test_on_a_narrow_terminal_columns_are_left_out_and_none_is_cut_off(columns: int) -> None:
    with flow_of() as flow, hr.watch(flow, file=io.StringIO()) as watching:
        list(flow)
    screen = io.StringIO()
    Console(file=screen, width=columns).print(watching.stats)

    shown = screen.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert {"flow", "rate", "busy", "BatchData", "DataFromList"} <= set(shown.split())
    assert ("memory" in shown.split()) == (columns >= 80)


PRINTS = """
import sys
import headrace as hr

def tell(number):
    if number % 10 == 0:
        print(f"worker {1000 + number}", file=sys.stderr if number % 20 else sys.stdout, flush=True)
    time.sleep(0.002)
    return number

import time
with hr.MultiProcessMapData(hr.DataFromList(list(range(200)), shuffle=False), 2, tell) as flow:
    print("begins", end="", flush=True)
    with hr.watch(flow, 0.05):
        time.sleep(0.2)
        print(", and goes on")
        for number in flow:
            if number % 50 == 0:
                print(f"the loop {1000 + number}")
    print("over")
"""


def test_what_the_program_and_its_workers_print_stays_and_the_table_does_not(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    written = terminal.run(["prints.py"], tmp_path)

    assert "datapoints" in written, "the table was there"
    lines = terminal.shown(written)
    assert (lines[0], lines[-2:]) == ("begins, and goes on", ["over", ""])
    said = "\n".join(lines)  # beside what workers print there may be a bit of the table that they have covered
    assert [n for n in range(0, 200, 10) if f"worker {1000 + n}" not in said] == []
    assert [n for n in range(0, 200, 50) if f"the loop {1000 + n}" not in said] == []
    assert "datapoints" not in said


FORKS = """
import os
import headrace as hr

with hr.MultiThreadMapData(hr.DataFromList(list(range(200)), shuffle=False), 2, str) as flow, hr.watch(flow, 0.0005):
    list(flow)
    for number in range(100):
        child = os.fork()
        if child == 0:
            print("child", number, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
print("over")
"""


@pytest.mark.timeout(30)
def test_a_child_that_is_forked_while_the_table_is_drawn_can_print(tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS)
    assert "over" in terminal.run(["forks.py"], tmp_path, PYTHONWARNINGS="ignore")


def test_a_terminal_that_cannot_draw_is_given_lines(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    written = terminal.run(["prints.py"], tmp_path, TERM="dumb")
    assert "headrace: MultiProcessMapDataZMQ" in written
    assert "\x1b" not in written


def test_nothing_goes_to_stdout_and_nothing_is_measured_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with flow_of() as flow:
        with hr.watch(flow, 0.01) as watching:
            list(flow)
            assert watching.stats.flows[-1].datapoints == 20
        assert flow.stats().flows[-1].datapoints is None
    assert capfd.readouterr().out == ""


def test_who_looks_less_long_leaves_the_others_their_figures() -> None:
    with flow_of() as flow, hr.watch(flow, file=io.StringIO()) as watching:
        list(flow)
        with hr.watch(hr.MapData(flow, quick), file=io.StringIO()):
            pass
        hr.explain(flow, 0.3, progress=False)
        before = watching.stats.flows[-1].datapoints
        list(flow)
        assert watching.stats.flows[-1].datapoints == before + 20
    assert flow.stats().flows[-1].datapoints is None


def test_an_error_in_the_loop_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), hr.watch(flow_of(), file=io.StringIO()):
        raise ZeroDivisionError


@pytest.mark.parametrize(("arguments", "error"), [(([1],), TypeError), ((hr.DataFromList([1]), 0), ValueError)])
def test_bad_input(arguments, error) -> None:
    with pytest.raises(error):
        hr.watch(*arguments)


def test_prometheus_serves_the_counters_on_loopback_only() -> None:
    pytest.importorskip("prometheus_client")
    with flow_of() as flow, prometheus.serve(flow, 0) as server:
        list(flow)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert server._server.server_address[0] == "127.0.0.1"
    label = 'flow="MultiThreadMapData",number="1"'
    assert f"headrace_datapoints_delivered_total{{{label}}} 100.0" in text
    assert f"headrace_workers{{{label}}} 2.0" in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10)


def test_a_port_that_there_cannot_be_is_refused() -> None:
    pytest.importorskip("prometheus_client")
    with pytest.raises(ValueError, match="port must be at most 65535, got 65536"):
        prometheus.serve(flow_of(), 65536)


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"headrace\[prometheus\]"):
        prometheus.serve(flow_of())


@pytest.mark.parametrize("mapper", [hr.MultiThreadMapData, hr.MultiProcessMapData])
def test_a_state_that_is_saved_while_somebody_watches_is_exact(mapper) -> None:
    def make() -> hr.DataFlow:
        return hr.BatchData(mapper(hr.DataFromList(list(range(40)), shuffle=False), 2, quick), 4)

    with make() as flow, hr.watch(flow, file=io.StringIO()):
        iterator = iter(flow)
        seen = [next(iterator).tolist() for _ in range(3)]
        saved = flow.state_dict()
        iterator.close()
        assert flow.state_dict() == saved, "also after the pass was left"
    with make() as again:
        again.load_state_dict(saved)
        assert [n for batch in [*seen, *(b.tolist() for b in again)] for n in batch] == list(range(40))
