"""How programs with parallel flows end: quickly, quietly, and with nothing left behind.

Each test runs a script in a session of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from contracts import Script, run_script, wait_until

import headrace as hr

HEAD = """
import itertools, os, signal, sys, threading, time
import warnings
import headrace as hr
warnings.filterwarnings("ignore", message="This process .* is multi-threaded")  # Python 3.12: of os.fork() itself

def numbers(n):
    return hr.DataFromList(range(n), shuffle=False)

def slow(n):
    time.sleep(0.02)
    return n

def busy(n):
    while n > 20:
        pass
    return n

def same(n):
    return n

def make(kind, function=same, n=100000):
    if kind == "threads":
        return hr.MultiThreadMapData(numbers(n), 2, function, buffer_size=50)
    if kind == "zmq":
        return hr.MultiProcessMapData(numbers(n), 2, function, buffer_size=50)
    if kind == "batch":
        return hr.MultiProcessMapAndBatchData(numbers(n), 2, function, 4)
    if kind == "runner":
        return hr.MultiProcessRunnerZMQ(hr.MapData(numbers(n), function), 2, shard=True)
    if kind == "pipe":
        return hr.MultiProcessRunner(hr.MapData(numbers(n), function), 8, 2, shard=True)
    if kind == "thread runner":
        return hr.MultiThreadRunner(lambda: hr.MapData(numbers(n), function), 8, 2, shard=True)
    if kind == "nested":
        return hr.MultiProcessRunnerZMQ(hr.MultiProcessMapData(numbers(n), 2, function, buffer_size=50), 1)
    raise KeyError(kind)
"""

PROCESSES = ["zmq", "batch", "runner", "pipe", "nested"]
KINDS = [*PROCESSES, "threads", "thread runner"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_just_ends(tmp_path: Path, kind: str) -> None:
    text = HEAD + f"flow = make({kind!r}, slow)\nit = iter(flow)\nnext(it)\nprint('end')\n"
    done = run_script(tmp_path, text, timeout_s=8)
    assert (done.out, done.err, done.process.returncode) == ("end\n", "", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_started_and_never_read(tmp_path: Path, kind: str) -> None:
    done = run_script(tmp_path, HEAD + f"flow = make({kind!r})\nit = iter(flow)\nflow._pool()\n", timeout_s=8)
    assert (done.out, done.err, done.process.returncode) == ("", "", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_in_the_loop_body_is_the_last_word(tmp_path: Path, kind: str) -> None:
    text = HEAD + f"for dp in make({kind!r}, slow):\n    raise ZeroDivisionError('mine')\n"
    done = run_script(tmp_path, text, timeout_s=8)
    assert done.process.returncode == 1
    assert done.err.startswith("Traceback (most recent call last):")
    assert done.err.count("Traceback") == 1
    assert done.err.splitlines()[-1] == "ZeroDivisionError: mine"


def test_sys_exit_in_the_loop_body_keeps_its_code(tmp_path: Path) -> None:
    done = run_script(tmp_path, HEAD + "for dp in make('zmq', slow):\n    sys.exit(7)\n", timeout_s=8)
    assert (done.err, done.process.returncode) == ("", 7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_daemon_thread_that_reads_does_not_disturb_the_end(tmp_path: Path, kind: str) -> None:
    text = (
        HEAD
        + f"""
running = threading.Event()

def read():
    for dp in make({kind!r}, slow):
        running.set()

threading.Thread(target=read, daemon=True).start()
running.wait()
"""
    )
    done = run_script(tmp_path, text, timeout_s=8)
    assert (done.out, done.err, done.process.returncode) == ("", "", 0)


def test_os_exit_leaves_nothing(tmp_path: Path) -> None:
    done = run_script(tmp_path, HEAD + "for dp in make('nested', slow):\n    os._exit(7)\n", timeout_s=8)
    assert (done.err, done.process.returncode) == ("", 7)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_without_the_standard_streams_nothing_takes_their_place(tmp_path: Path, start_method: str) -> None:
    """As in a daemon, which has closed them."""
    text = """
import sys
import numpy as np
if sys.stdin is sys.stdout is sys.stderr is None:
    import headrace as hr
    large = hr.MapData(range(20), lambda n: np.full(20_000, n))
    for flow in (
        hr.MultiProcessMapData(range(20), 2, lambda n: np.full(20_000, n), start_method=sys.argv[1]),
        hr.MultiProcessRunner(large, 4, 2, shard=True, start_method=sys.argv[1]),
    ):
        with flow:
            assert sorted(array[0] for array in flow) == list(range(20))
    sys.exit(42)
"""
    (tmp_path / "daemon.py").write_text(text)
    begin = 'exec "$0" daemon.py "$1" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", begin, sys.executable, start_method], cwd=tmp_path, timeout=50)
    assert done.returncode == 42


# -- Ctrl-C


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_ctrl_c_while_workers_start_loses_none_and_disturbs_no_other_flow(tmp_path: Path, start_method: str) -> None:
    text = (
        HEAD
        + """
import random, subprocess, psutil
presses = "import os, sys, time\\nfor line in sys.stdin:\\n    time.sleep(float(line))\\n    os.kill(os.getppid(), 2)"
key = subprocess.Popen([sys.executable, "-c", presses], stdin=subprocess.PIPE, text=True)
method, within_s = sys.argv[1], float(sys.argv[2])
other = hr.MultiProcessMapData(numbers(20), 1, same, start_method=method)
list(other)
before = len(psutil.Process().children(recursive=True))
for _ in range(8):
    flow = hr.MultiProcessMapData(numbers(20), 4, same, start_method=method)
    print(random.random() * within_s, file=key.stdin, flush=True)
    try:
        list(flow)
        threading.Event().wait(20)
    except KeyboardInterrupt:
        pass
    assert list(flow) == list(range(20))
    flow.close()
    assert list(other) == list(range(20))
    left = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    assert len(left) == before, left
key.kill()
key.wait()
"""
    )
    done = run_script(tmp_path, text, start_method, "0.1" if start_method == "spawn" else "0.03", timeout_s=50)
    assert (done.err, done.process.returncode) == ("", 0)


@pytest.mark.parametrize("kind", ["threads", "zmq", "runner", "pipe", "thread runner"])
def test_ctrl_c_at_any_line_leaves_nothing_and_the_flow_works_again(tmp_path: Path, kind: str) -> None:
    """The signal comes while a line of the library runs, in turn each 29th of a pass and of close()."""
    text = (
        HEAD
        + """
import gc, multiprocessing, psutil, random
home = os.path.dirname(hr.__file__)
lines = struck = 0
strike_at = random.randint(1, 29)
place = "none"

def count(frame, event, argument):
    global lines, struck, place
    if not frame.f_code.co_filename.startswith(home):
        return None
    if event == "line":
        lines += 1
        if lines == strike_at:
            struck += 1
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}, line {strike_at} of the pass"
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGINT)
    return count

def held():
    live = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    return len(live), len(os.listdir("/proc/self/fd")), threading.active_count()

multiprocessing.set_start_method("fork")
first = make(sys.argv[1], same, 20)
assert sorted(first) == list(range(20))
first.close()
del first
before = held()
while strike_at < 5000:
    flow = make(sys.argv[1], same, 20)
    lines = 0
    try:
        sys.settrace(count)
        list(flow)
        flow.close()
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    if lines < strike_at:
        break
    assert sorted(flow) == list(range(20)), place
    flow.close()
    del flow
    gc.collect()
    assert held() == before, (place, held(), before)
    strike_at += 29
assert struck > 50, struck
"""
    )
    done = run_script(tmp_path, text, kind, timeout_s=50)
    assert (done.err, done.process.returncode) == ("", 0)


def test_what_a_function_starts_in_a_thread_hears_of_ctrl_c() -> None:
    """A thread begins with the signals blocked that its parent had blocked, and so does a program that it starts."""
    with hr.MultiThreadMapData([1, 2], 2, lambda _: signal.pthread_sigmask(signal.SIG_BLOCK, ())) as flow:
        assert list(flow) == [set(), set()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", ["same", "slow", "busy"])
def test_ctrl_c_gives_one_traceback(tmp_path: Path, kind: str, function: str) -> None:
    if function == "busy" and "thread" in kind:
        pytest.skip("threads cannot be ended")
    text = HEAD + (
        f"flow = iter(make({kind!r}, {function}, 10**8))\n"  # it is not at its end when the signal comes
        "next(flow)\nprint('running', flush=True)\nfor dp in flow: pass\n"
    )
    script = Script(tmp_path, text)
    script.read_line("running")
    os.killpg(script.process.pid, signal.SIGINT)
    script.end(8)
    assert script.process.returncode == -signal.SIGINT, script.err
    assert script.err.count("Traceback") == 1, script.err
    assert script.err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_ctrl_c_while_workers_start_gives_one_traceback(tmp_path: Path, start_method: str) -> None:
    text = HEAD + (
        "flow = hr.MultiProcessMapData(numbers(100000), 3, slow, start_method=sys.argv[1])\n"
        "print('starting', flush=True)\n"
        "while True:\n    list(flow)\n"
    )
    script = Script(tmp_path, text, start_method)
    script.read_line("starting")
    wait_until(lambda: len(script.session()) > 1)
    os.killpg(script.process.pid, signal.SIGINT)
    script.end(8)
    assert script.err.count("Traceback") == 1, script.err
    assert script.err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", ["zmq", "runner", "pipe", "threads"])
def test_after_ctrl_c_was_caught_the_flow_works_again(tmp_path: Path, kind: str) -> None:
    text = (
        HEAD
        + f"""
flow = make({kind!r}, same, 300)
endless = make({kind!r}, slow, 10000)
try:
    for dp in endless:
        if dp == 0:
            print("running", flush=True)
except KeyboardInterrupt:
    print("caught")
print(sorted(flow) == list(range(300)))
for n, dp in enumerate(endless):
    if n == 5:
        break
print("again")
"""
    )
    script = Script(tmp_path, text)
    script.read_line("running")
    os.killpg(script.process.pid, signal.SIGINT)
    script.end()
    assert (script.out, script.err, script.process.returncode) == ("caught\nTrue\nagain\n", "", 0)


# -- too few descriptors


@pytest.mark.parametrize("kind", ["zmq", "pipe"])
def test_too_few_descriptors_are_an_error_before_anything_starts_and_enough_are_enough(
    tmp_path: Path, kind: str
) -> None:
    """ZeroMQ would end the process."""
    text = (
        HEAD
        + f"""
import errno, psutil, resource
for limit in range(20, 1000):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 1000))
    flow = make({kind!r}, same, 100)
    try:
        assert sorted(flow) == list(range(100))
        break
    except OSError as error:
        assert error.errno == errno.EMFILE and f"may have {{limit}}; raise that (ulimit -n " in str(error), error
        assert not psutil.Process().children()
    finally:
        flow.close()
assert 20 < limit < 50, limit
"""
    )
    done = run_script(tmp_path, text)
    assert (done.err, done.process.returncode) == ("", 0)


# -- killed


@pytest.mark.parametrize("kind", PROCESSES)
@pytest.mark.parametrize("state", ["busy", "idle", "blocked"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_main_process_leaves_nothing(tmp_path: Path, kind: str, state: str, number: int) -> None:
    rest = {
        "busy": f"for dp in make({kind!r}, busy):\n    pass\n",
        "blocked": f"it = iter(make({kind!r}))\nnext(it)\nsignal.pause()\n",
        "idle": f"flow = make({kind!r}, same, 8)\nlist(flow)\nsignal.pause()\n",
    }[state]
    text = HEAD + rest
    script = Script(tmp_path, text)
    wait_until(lambda: len(script.session()) >= 3)
    if state == "busy":
        wait_until(lambda: _running(script))
    script.process.send_signal(number)
    script.end(8)
    assert script.process.returncode == -number
    assert script.err == ""


def _running(script: Script) -> bool:
    """Whether the workers burn time by now."""
    try:
        return sum(p.cpu_times().user > 0.3 for p in script.session()) >= 2
    except psutil.NoSuchProcess:
        return False


def test_a_flow_started_in_another_thread_leaves_nothing_when_killed(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
def run():
    global flow
    flow = make("nested")
    next(iter(flow))
thread = threading.Thread(target=run)
thread.start()
thread.join()
print(list(itertools.islice(flow, 3)), flush=True)
signal.pause()
"""
    )
    script = Script(tmp_path, text)
    script.read_line("[0, 1, 2]")
    script.process.kill()
    script.end(8)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_workers_outlive_the_thread_that_started_them(tmp_path: Path, start_method: str) -> None:
    """The kernel takes the end of a thread for the death of the parent."""
    text = (
        HEAD
        + """
import warnings
warnings.simplefilter("ignore")
flow = hr.MultiProcessMapData(numbers(300), 2, slow, start_method=sys.argv[1], buffer_size=10)
got = []
def run():
    global it
    it = iter(flow)
    got.append(next(it))
thread = threading.Thread(target=run)
thread.start()
thread.join()
workers = set(flow._runtime.pool.workers)
got.extend(it)
print(got == list(range(300)), workers == set(flow._runtime.pool.workers))
"""
    )
    done = run_script(tmp_path, text, start_method)
    assert (done.out, done.err, done.process.returncode) == ("True True\n", "", 0)


# -- os.fork() by the user


FORK = """
flow = make(sys.argv[1], same, 2000)
it = iter(flow)
got = list(itertools.islice(it, 100))
pid = os.fork()
if pid == 0:
    {child}
os.waitpid(pid, 0)
got.extend(it)
print(sorted(got) == list(range(2000)), len(got), flush=True)
print(sorted(flow) == list(range(2000)), flush=True)
"""


@pytest.mark.parametrize("kind", ["zmq", "runner", "pipe", "threads"])
@pytest.mark.parametrize(
    "child",
    [
        "os._exit(0)",
        "sys.exit(0)",
        "del it, flow; import gc; gc.collect(); os._exit(0)",
        "it.close(); flow.close(); os._exit(0)",
        "raise SystemExit(0)",
    ],
)
def test_a_forked_child_does_not_disturb_its_parent(tmp_path: Path, kind: str, child: str) -> None:
    done = run_script(tmp_path, HEAD + FORK.format(child=child), kind)
    assert (done.out, done.err, done.process.returncode) == ("True 2000\nTrue\n", "", 0)


@pytest.mark.parametrize("kind", ["zmq", "runner", "pipe"])
def test_a_forked_child_is_told_that_the_iterator_is_not_its_own(tmp_path: Path, kind: str) -> None:
    child = """
    try:
        for _ in it:
            pass
    except RuntimeError as error:
        print(error, flush=True)
    mine = make(sys.argv[1], same, 50)
    print(sorted(mine) == list(range(50)), sorted(itertools.islice(flow, 2000)) == list(range(2000)), flush=True)
    mine.close()
    flow.close()
    os._exit(0)
"""
    done = run_script(tmp_path, HEAD + FORK.format(child=child), kind)
    lines = done.out.splitlines()
    assert "belongs to process" in lines[0]
    assert lines[1:] == ["True True", "True 2000", "True"]
    assert (done.err, done.process.returncode) == ("", 0)


def test_closing_does_not_wait_for_a_forked_child(tmp_path: Path) -> None:
    """The child holds copies of all descriptors."""
    text = (
        HEAD
        + """
flow = make("zmq", same, 100)
list(flow)
pid = os.fork()
if pid == 0:
    signal.pause()
began = time.monotonic()
flow.close()
print(time.monotonic() - began < 2)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
"""
    )
    done = run_script(tmp_path, text, timeout_s=10)
    assert (done.out, done.err, done.process.returncode) == ("True\n", "", 0)


def test_multiprocessing_beside_headrace(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
import multiprocessing
flow = make("zmq", same, 100)
it = iter(flow)
next(it)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
queue = multiprocessing.get_context("spawn").Queue() if False else None
print(list(it) == list(range(1, 100)))
"""
    )
    done = run_script(tmp_path, text)
    assert (done.out, done.err, done.process.returncode) == ("[1, 2]\nTrue\n", "", 0)


def test_set_start_method_is_honoured(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
import multiprocessing
multiprocessing.set_start_method("spawn")
flow = hr.MultiProcessMapData(numbers(3), 1, lambda n: open("/proc/self/cmdline").read())
print("serve_forks" in next(iter(flow)), flow._runtime.pool._executor.start_method)
"""
    )
    done = run_script(tmp_path, text)
    assert (done.out, done.err, done.process.returncode) == ("False spawn\n", "", 0)


SILENT: list[Any] = ["forkserver", "spawn", "fork"]


@pytest.mark.parametrize("start_method", SILENT)
def test_no_guard_no_close_no_noise(tmp_path: Path, start_method: str) -> None:
    """Ten lines as a beginner writes them."""
    text = """
import sys
import headrace as hr
print("started once")
def load(name, label):
    return [name.upper(), label]
ds = hr.DataFromList([["a", 0], ["b", 1], ["c", 2]], shuffle=False)
ds = hr.MultiProcessMapData(ds, 2, load, start_method=sys.argv[1])
ds = hr.BatchData(ds, 3)
for names, labels in ds:
    print(names.tolist(), labels.tolist())
"""
    done = run_script(tmp_path, text, start_method, timeout_s=8)
    assert (done.out, done.err, done.process.returncode) == ("started once\n['A', 'B', 'C'] [0, 1, 2]\n", "", 0)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_module_that_starts_workers_when_imported_is_refused_by_them(tmp_path: Path, start_method: str) -> None:
    """They have to import it: each would start workers that start workers."""
    text = """
import headrace as hr
def double(n):
    return 2 * n
print(list(hr.MultiProcessMapData([1, 2, 3], 2, double, start_method=START_METHOD)))
"""
    (tmp_path / "starts_workers.py").write_text(text.replace("START_METHOD", repr(start_method)))
    done = run_script(tmp_path, "import starts_workers\n", timeout_s=20)
    assert done.process.returncode == 1
    assert "RuntimeError: a module starts workers while it is imported" in done.err


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
def test_the_working_directory_may_have_been_deleted(tmp_path: Path, start_method: str) -> None:
    text = """
import os, sys
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
import headrace as hr
print(list(hr.MultiProcessMapData([1, 2], 1, lambda n: 2 * n, start_method=sys.argv[1])))
"""
    done = run_script(tmp_path, text, start_method, timeout_s=20)
    assert (done.out, done.err, done.process.returncode) == ("[2, 4]\n", "", 0)


def test_threads_that_do_not_come_back_do_not_hold_up_the_end_for_long():
    """They are asked, and then left alone: nobody can end them."""
    release = threading.Event()
    flow = hr.MultiThreadMapData([1, 2, 3], 2, lambda x: x if x == 1 else release.wait(30))
    running = iter(flow)
    assert next(running) == 1
    began = time.monotonic()
    flow.close()
    took_s = time.monotonic() - began
    release.set()
    assert took_s < 5  # reliability.md, section 12; it is one second and a little
