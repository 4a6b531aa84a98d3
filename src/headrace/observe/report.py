"""One page that says where a pipeline's time goes: self-contained HTML, for a browser or a phone, without network."""

from __future__ import annotations

import html
import itertools
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np

from .._version import __version__
from ..flow import DataFlow
from ..tree import read_here, walk
from . import plots
from .explain import Part, Verdict, name_of, verdict_of
from .machine import available_cores
from .observation import Observation
from .stats import FlowStats
from .units import bytes_text, percent, rate_text, seconds_text

__all__ = ["page"]


def page(observation: Observation, title: str) -> str:
    """The report on what was observed.

    Args:
        observation: one that has run.
        title: of the page: what was observed.

    Returns:
        The text of an HTML file.

    Raises:
        ValueError: there is too little of it.
    """
    verdict = verdict_of(observation)
    sections = [
        _section(
            "Pipeline",
            _pipeline(observation.flow, verdict),
            "The length of a bar: its part of the time of the consumer's thread, which does all of these in turn.",
        ),
        _section("Throughput", plots.lines([("datapoints/s", _rates(observation))], _rate, _phases(observation))),
        *(_section(*channel) for channel in _channels(observation)),
        _section(
            "Latency",
            plots.histogram(observation.latencies_s, seconds_text),
            "How long the consumer waited for a datapoint, on a logarithmic scale.",
        ),
        _section("Processors", plots.lines([("cores in use", _cores(observation))], lambda v: f"{v:g}")),
        _section("Memory", plots.lines([("all processes", _memory(observation))], bytes_text)),
        _section("Flows", _flows_table(observation.flow, verdict), kind="wide"),
        _section("Environment", _table(_environment(observation)), kind="wide"),
    ]
    body = "".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)} - headrace</title><style>{_STYLE}</style></head><body><main>"
        f"<header><p class=title>{_text(title)}</p>{_headline(observation, verdict)}</header>{body}"
        f"<footer>headrace {_text(__version__)}, {time.strftime('%Y-%m-%d %H:%M')}</footer></main>"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


_NODE = 76
"""How tall a node of the graph is."""
_LETTER = 10
"""How wide a letter of a name is in it, on a phone, where they are largest."""


def _text(text: object) -> str:
    return html.escape(str(text))


def _section(title: str, content: str, note: str = "", kind: str = "") -> str:
    said = f"<p class=note>{_text(note)}</p>" if note else ""
    return f"<section{f' class={kind}' if kind else ''}><h2>{_text(title)}</h2>{said}{content}</section>"


def _headline(observation: Observation, verdict: Verdict) -> str:
    p50, p99 = (float(p) for p in np.percentile(observation.latencies_s or [0.0], [50, 99]))
    figures = [
        ("datapoints", rate_text(verdict.datapoints_per_s)),
        ("limit is busy", percent(verdict.busy)),
        ("first after", seconds_text(observation.first_s)),
        ("latency p50", seconds_text(p50)),
        ("latency p99", seconds_text(p99)),
    ]
    if verdict.headroom is not None:
        figures.insert(1, ("headroom", f"{verdict.headroom:.1f}x"))
    tiles = "".join(f"<div><b>{_text(value)}</b><span>{_text(name)}</span></div>" for name, value in figures)
    note = f"<p class=note>{_text(verdict.note)}</p>" if verdict.note else ""
    return f"<h1><em>{verdict.kind}</em> {_text(verdict.text)}</h1>{note}<div class=figures>{tiles}</div>"


# -- the pipeline as a graph


def _pipeline(flow: DataFlow, verdict: Verdict) -> str:
    rows = list(_nodes(flow, verdict))
    svg = [f'<svg id="pipeline" class="graph" viewBox="0 0 440 {_NODE * len(rows) - 8}" role="img">']
    for number, (name, detail, works, waits, limits, depth) in enumerate(rows):
        x, y = 2 + 16 * depth, _NODE * number
        room = 436 - 16 * depth
        wide, waiting = max(3.0, room * min(works, 1)), room * min(waits, 1)
        if number:
            svg.append(f'<path class="edge" d="M{x + 6} {y} v-14 m-4 5 l4 -5 l4 5"/>')
        mark = '<tspan class="mark">limits </tspan>' if limits else ""
        said = f"<title>{_text(name)}</title>{_text(_cut(name, room))}"
        svg.append(f'<text class="name" x="{x}" y="{y + 16}">{said}</text>')
        svg.append(_box("track", x, y, room))
        if works or waits:
            svg.append(_box("node limit" if limits and not waits else "node", x, y, wide))
        if waiting > 1:
            svg.append(_box("wait limit" if limits else "wait", min(x + wide, x + room - waiting), y, waiting))
        svg.append(f'<text class="detail" x="{x}" y="{y + 52}">{mark}{_text(detail)}</text>')
    svg.append("</svg>")
    legend = '<span class="key node">works</span><span class="key wait">waits for its workers</span>'
    return "".join(svg) + f'<p class="legend">{legend}</p>'


def _cut(name: str, room: float) -> str:
    """A name that has its place in the graph; all of it is seen under the pointer, and in the table of flows."""
    most = int(room / _LETTER)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _box(kind: str, x: float, y: float, wide: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y + 22}" width="{wide:.1f}" height="16" rx="3"/>'


def _nodes(flow: DataFlow, verdict: Verdict) -> Iterator[tuple[str, str, float, float, bool, int]]:
    """Name, detail, time it works, time it waits for workers, whether it limits, depth: the consumer first."""
    here = {id(f) for f in read_here(flow)}
    numbers = {id(f): n for n, f in enumerate(walk(flow))}
    consumer = [part for part in verdict.parts if part.kind == "consumer"]
    if consumer:
        yield "your loop", percent(consumer[0].fraction), consumer[0].fraction, 0.0, verdict.kind == "consumer", 0

    def below(f: DataFlow, depth: int) -> Iterator[tuple[str, str, float, float, bool, int]]:
        stats = verdict.stats.flows[numbers[id(f)]]
        parts = [part for part in verdict.parts if part.number == stats.number]
        works = sum(part.fraction for part in parts if part.kind != "wait")
        waits = sum(part.fraction for part in parts if part.kind == "wait")
        if id(f) in here:
            yield _name(stats, parts), _detail(stats, works), works, waits, f is verdict.flow, depth
        else:
            yield name_of(f), "in each copy", 0.0, 0.0, f is verdict.inside, depth
        branches = len(f.children) > 1
        for child in f.children:
            yield from below(child, depth + branches)

    yield from below(flow, 0)


def _name(stats: FlowStats, parts: Sequence[Part]) -> str:
    return parts[0].name if parts else stats.name


def _detail(stats: FlowStats, works: float) -> str:
    if stats.pool is None:
        return percent(works)
    workers = f"{stats.pool.workers} worker{'s' if stats.pool.workers != 1 else ''}"
    return f"{percent(works)} here; {workers}, {percent(stats.pool.busy)} busy"


# -- over time


def _rates(observation: Observation) -> list[tuple[float, float]]:
    points = observation.points
    return [(b.at_s, (b.datapoints - a.datapoints) / (b.at_s - a.at_s)) for a, b in itertools.pairwise(points)]


def _cores(observation: Observation) -> list[tuple[float, float]]:
    points = observation.points
    used = [(b.cpu_s - a.cpu_s) / (b.at_s - a.at_s) for a, b in itertools.pairwise(points)]
    # Workers report now and then: three points together are as fine as that goes.
    smooth = [statistics.fmean(used[max(0, n - 1) : n + 2]) for n in range(len(used))]
    return [(point.at_s, max(0.0, value)) for point, value in zip(points[1:], smooth, strict=True)]


def _memory(observation: Observation) -> list[tuple[float, float]]:
    return [(point.at_s, float(point.memory_bytes)) for point in observation.points]


def _phases(observation: Observation) -> list[tuple[float, float, str]]:
    marks = [(phase.began_s - observation.began_s, name) for phase, name in observation.phases]
    ends = [begin for begin, _ in marks[1:]] + [1e9]
    return [(begin, end, name) for (begin, name), end in zip(marks, ends, strict=True)]


def _channels(observation: Observation) -> Iterator[tuple[str, str, str]]:
    """For each pool: a title, a plot of what is under way, and what it means."""
    for flow in read_here(observation.flow):
        counters = flow._runtime.counters
        if counters is None:
            continue
        samples = [s for s in counters.samples if s.at_s >= observation.began_s]
        at = [s.at_s - observation.began_s for s in samples]
        series: list[plots.Line] = [
            ("in flight", [(t, float(s.in_flight)) for t, s in zip(at, samples, strict=True)]),
            ("of these done", [(t, float(s.done)) for t, s in zip(at, samples, strict=True)]),
            ("workers", [(t, float(s.workers)) for t, s in zip(at, samples, strict=True)]),
        ]
        note = "Many done: the consumer is slower. None done: the workers are."
        yield f"Channel of {name_of(flow)}", plots.lines(series, lambda v: f"{v:,.4g}"), note


def _rate(value: float) -> str:
    return rate_text(value).removesuffix("/s")


# -- tables


def _flows_table(flow: DataFlow, verdict: Verdict) -> str:
    head = ("flow", "datapoints", "own time", "workers", "busy", "CPU of workers", "results", "retried", "failed")
    names = [name_of(f) for f in walk(flow)]
    rows = []
    for stats in reversed(verdict.stats.flows):
        own_s, pool, name = verdict.stats.own_s(stats), stats.pool, names[stats.number]
        rows.append(
            [
                name if stats.here else f"{name} (in copies)",
                "" if stats.datapoints is None else f"{stats.datapoints:,}",
                "" if own_s is None else seconds_text(own_s),
                "" if pool is None else str(pool.workers),
                "" if pool is None else percent(pool.busy),
                "" if pool is None else seconds_text(pool.cpu_s),
                "" if pool is None else bytes_text(pool.result_bytes),
                "" if pool is None else f"{pool.retried:,}",
                "" if pool is None else f"{pool.failed:,}",
            ]
        )
    return _table(rows, head)


def _environment(observation: Observation) -> list[list[str]]:
    from ..parallel.executors.process import default_start_method

    return [
        ["headrace", __version__],
        ["python", f"{platform.python_version()} ({platform.python_implementation()})"],
        ["numpy", np.__version__],
        ["system", f"{platform.system()} {platform.release()}, {platform.machine()}"],
        ["cores", f"{available_cores()} of {os.cpu_count()}"],
        ["start method", multiprocessing.get_start_method(allow_none=True) or default_start_method()],
        ["observed", f"{observation.seconds:g} s" + (", interrupted" if observation.interrupted else "")],
        ["consumer", "none" if observation.consumer_s is None else f"{observation.consumer_s * 1e3:g} ms, simulated"],
        ["pipeline", repr(observation.flow)],
    ]


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "<thead><tr>" + "".join(f"<th>{_text(h)}</th>" for h in head) + "</tr></thead>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table>{top}<tbody>{body}</tbody></table></div>"


_STYLE = """
:root{--back:#fff;--card:#f6f7f9;--text:#1b1f24;--soft:#5c6670;--rule:#dde2e7;--a:#2f6fde;--b:#e07b1a;--c:#7a8793;
--limit:#c62f3b;--wait:#b9c6da}
@media(prefers-color-scheme:dark){:root{--back:#14171a;--card:#1d2226;--text:#e8ebee;--soft:#9aa5b0;--rule:#343b42;
--a:#6ea2ff;--b:#f0a050;--c:#8b98a5;--limit:#ff6b74;--wait:#3d4f6b}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px 16px;columns:2 440px;column-gap:16px}
header,footer,section.wide{column-span:all}section{break-inside:avoid;margin:0 0 16px}section.wide{margin-top:16px}
header{margin:0 0 16px}header .title{margin:0;color:var(--soft);overflow-wrap:anywhere}
h1{font-size:1.25rem;line-height:1.4;font-weight:600;margin:.3rem 0 1rem;overflow-wrap:anywhere}
h1 em{font-style:normal;font-size:.75rem;text-transform:uppercase;letter-spacing:.06em;color:#fff;
background:var(--limit);border-radius:4px;padding:.2em .6em;vertical-align:.15em;margin-right:.4em}
@media(prefers-color-scheme:dark){h1 em{color:#14171a}}
h2{font-size:.95rem;margin:0 0 .4rem}section{background:var(--card);border-radius:10px;padding:14px;min-width:0}
.figures{display:flex;flex-wrap:wrap;gap:8px 28px}.figures div{display:flex;flex-direction:column}
.figures b{font-size:1.3rem;font-weight:600;font-variant-numeric:tabular-nums}
.figures span,.note,.legend,footer,.none{color:var(--soft);font-size:.82rem}.note{margin:0 0 .5rem}
svg{display:block;width:100%;height:auto;overflow:visible}svg text{fill:var(--soft);font-size:12px}
.rule{stroke:var(--rule)}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line.s0{stroke:var(--a)}.line.s1{stroke:var(--b)}.line.s2{stroke:var(--c);stroke-dasharray:4 3}
.bar{fill:var(--a)}.band{fill:none;stroke:var(--rule)}.band:nth-of-type(even){fill:var(--rule);opacity:.35}
svg text.bandname{font-size:11px}.legend{margin:.3rem 0 0;display:flex;flex-wrap:wrap;gap:4px 16px;min-height:1.3em}
.key::before{content:"";display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em;
background:var(--a)}.key.s1::before{background:var(--b)}.key.s2::before{background:var(--c)}
.key.wait::before{background:var(--wait)}
svg text.detail{font-size:12px}svg text.name{fill:var(--text);font-size:13px;font-weight:600}
.mark{fill:var(--limit);font-weight:700}
.track{fill:var(--rule);opacity:.5}.node{fill:var(--a)}.wait{fill:var(--wait)}
.node.limit,.wait.limit{fill:var(--limit)}.edge{fill:none;stroke:var(--soft);stroke-width:1.5}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:500}th,td{padding:.25rem .8rem .25rem 0;vertical-align:top;
border-bottom:1px solid var(--rule);white-space:pre-wrap}thead+tbody td:not(:first-child){white-space:nowrap}
.cross{stroke:var(--soft);stroke-dasharray:2 3}@media(max-width:480px){svg text{font-size:13px}
svg text.name{font-size:15px}}
"""

_SCRIPT = """
for (const svg of document.querySelectorAll("svg[data-series]")) {
  const series = JSON.parse(svg.dataset.series), right = Number(svg.dataset.right);
  const left = Number(svg.dataset.left), wide = Number(svg.dataset.wide);
  const keys = svg.nextElementSibling.querySelectorAll(".key");
  const names = [...keys].map(key => key.textContent);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cross");
  line.setAttribute("y1", 10);
  line.setAttribute("y2", 154);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const at = Math.max(0, Math.min(right, (x - left) / wide * right));
    line.setAttribute("x1", left + at / right * wide);
    line.setAttribute("x2", left + at / right * wide);
    svg.append(line);
    series.forEach(([name, points], n) => {
      let near = points[0];
      for (const point of points) if (Math.abs(point[0] - at) < Math.abs(near[0] - at)) near = point;
      keys[n].textContent = name + ": " + near[1];
    });
  });
  svg.addEventListener("pointerleave", () => {
    line.remove();
    keys.forEach((key, n) => { key.textContent = names[n]; });
  });
}
"""
