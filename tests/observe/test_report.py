"""The page of `headrace report`, opened in a real browser, and the trace, read by a parser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pipelines import numbers, slow

import headrace as hr
from headrace.observe.observation import Observation
from headrace.observe.report import page
from headrace.observe.trace import trace_events

LISTEN = "<head><script>window.errors = []; window.onerror = message => { errors.push(message); };</script>"
POINT = """
<script>
for (const svg of document.querySelectorAll("svg[data-series]")) {
  const box = svg.getBoundingClientRect();
  svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 5}));
}
document.body.dataset.pointed = [...document.querySelectorAll(".legend .key")].map(key => key.textContent).join("; ");
for (const svg of document.querySelectorAll("svg")) svg.dispatchEvent(new PointerEvent("pointerleave"));
document.body.dataset.errors = JSON.stringify(errors);
document.body.dataset.wide = document.documentElement.scrollWidth;
</script></body>
"""


@pytest.fixture(scope="module")
def observed() -> Observation:
    flow = hr.BatchData(hr.MultiThreadMapData(numbers(), 2, slow), 2)
    with flow:
        observation = Observation(flow, 1.5, consumer_s=0.001, progress=False, trace=True)
        observation.run()
    return observation


def test_the_page_opens_in_a_browser_with_all_plots_and_no_script_error(observed: Observation, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here")
    text = page(observed, "a pipeline")
    path = tmp_path / "report.html"
    path.write_text(text.replace("<head>", LISTEN).replace("</body>", POINT))

    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-crash-reporter")
    done = subprocess.run(
        [chromium, *quiet, "--window-size=500,900", f"--user-data-dir={tmp_path}/profile", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=50,
    )

    dom = done.stdout
    assert 'data-errors="[]"' in dom
    assert dom.count('<svg class="plot"') == 5, "throughput, channel, latency, processors, memory"
    assert dom.count("<polyline") >= 5
    assert 'id="pipeline"' in dom
    pointed = re.search(r'data-pointed="([^"]*)"', dom)
    assert pointed is not None
    assert re.search(r"datapoints/s: [\d.]+", pointed[1]), "the value under the pointer is shown"
    wide = re.search(r'data-wide="(\d+)"', dom)
    assert wide is not None
    assert int(wide[1]) <= 500, "a phone need not scroll sideways"


def test_the_page_needs_no_network_and_says_what_limits(observed: Observation) -> None:
    text = page(observed, "my <pipeline>")

    assert not re.search(r"""(src|href)=|url\(|@import|fetch\(""", text)
    assert "my &lt;pipeline&gt;" in text
    assert "<em>stage</em> MultiThreadMapData (slow) limits: its 2 workers are busy" in text
    assert '<tspan class="mark">limits' in text
    assert "prefers-color-scheme:dark" in text
    for title in ("Pipeline", "Throughput", "Channel of", "Latency", "Processors", "Memory", "Flows", "Environment"):
        assert f"<h2>{title}" in text


def test_names_too_long_for_the_graph_are_cut_and_told_in_full_below() -> None:
    class ReadsTokenizesAndNormalizesEverythingThatThereIsToRead(hr.ProxyDataFlow):
        pass

    flow = ReadsTokenizesAndNormalizesEverythingThatThereIsToRead(hr.MapData(numbers(), slow))
    observation = Observation(flow, 0.3, progress=False)
    observation.run()
    text = page(observation, "long names")

    assert re.search(r"</title>ReadsTokenizesAndNormalizes\w+…</text>", text)
    assert "<td>ReadsTokenizesAndNormalizesEverythingThatThereIsToRead</td>" in text
    assert "<td>MapData (slow)</td>" in text


def test_the_trace_has_workers_as_tracks_datapoints_as_slices_and_waits(observed: Observation) -> None:
    events = json.loads(json.dumps(trace_events(observed)))["traceEvents"]

    tracks = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"worker 0", "worker 1", "the consumer"} <= set(tracks.values())
    slices = [e for e in events if e["ph"] == "X"]
    assert all(e["dur"] >= 0 and (e["pid"], e["tid"]) in tracks for e in slices)
    names = {e["name"] for e in slices}
    assert {"work", "wait for workers", "read the input", "the consumer works"} <= names
    for worker in ("worker 0", "worker 1"):
        work = sorted((e for e in slices if tracks[e["pid"], e["tid"]] == worker), key=lambda e: e["ts"])
        assert len(work) > 5
        assert all(e["dur"] >= 10_000 * e["args"]["datapoints"] for e in work), "each datapoint takes 10 ms"
        ends = [e["ts"] + e["dur"] for e in work]
        assert all(end <= e["ts"] + 1 for end, e in zip(ends, work[1:], strict=False)), "one task after the other"
    done = [
        e["args"]["first datapoint"] + n for e in slices if e["name"] == "work" for n in range(e["args"]["datapoints"])
    ]
    assert len(done) == len(set(done)), "each datapoint once"
