"""Plots as SVG, for the report. They scale to the page, take their colours from its style, and need no script."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence

__all__ = ["Line", "histogram", "lines"]

_WIDTH, _HEIGHT = 440, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 26

Line = tuple[str, Sequence[tuple[float, float]]]
"""A name, and points."""


def lines(series: Sequence[Line], unit: Callable[[float], str], shaded: Sequence[tuple[float, float, str]] = ()) -> str:
    """Lines over time in seconds, from zero upwards.

    Args:
        series: at most three lines.
        unit: how a value is written.
        shaded: stretches of time with a name, to be marked.
    """
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    if len(xs) <= len(series):  # a line has two points
        return '<p class="none">not enough was measured for a plot</p>'
    room = 1.15 if shaded else 1.0  # for the names of stretches
    right, top = max([*xs, 1e-9]), _round_up(room * max([*ys, 1e-9]))
    parts = [_band(a, min(b, right), name, right) for a, b, name in shaded]
    parts += [_rule(_y(value, top), unit(value)) for value in _ticks(top)]
    parts += [_tick(_x(value, right), f"{value:g} s") for value in _ticks(right) if value <= right]
    for number, (_, points) in enumerate(series):
        path = " ".join(f"{_x(x, right):.1f},{_y(y, top):.1f}" for x, y in points)
        parts.append(f'<polyline class="line s{number}" points="{path}"/>')
    data = html.escape(
        json.dumps([[name, [[round(x, 3), unit(y)] for x, y in points]] for name, points in series]), quote=True
    )
    legend = "".join(f'<span class="key s{n}">{html.escape(name)}</span>' for n, (name, _) in enumerate(series))
    return (
        _svg(
            parts,
            f'data-series="{data}" data-right="{right:g}" data-left="{_LEFT}" data-wide="{_WIDTH - _LEFT - _RIGHT}"',
        )
        + f'<p class="legend">{legend}</p>'
    )


def histogram(values: Sequence[float], unit: Callable[[float], str]) -> str:
    """How often values occur, in classes of equal ratio."""
    positive = sorted(v for v in values if v > 0)
    if len(positive) < 2:
        return '<p class="none">not enough was measured for a plot</p>'
    low, high = math.log10(positive[0]), math.log10(positive[-1])
    low, high = (low, high) if high - low > 0.1 else (low - 0.1, high + 0.1)
    count = 40
    classes = [0] * count
    for value in positive:
        classes[min(count - 1, int((math.log10(value) - low) / (high - low) * count))] += 1
    top = _round_up(max(classes))
    wide = (_WIDTH - _LEFT - _RIGHT) / count
    parts = [_rule(_y(value, top), f"{value:,.0f}") for value in _ticks(top)]
    for number, height in enumerate(classes):
        x, y = _LEFT + number * wide, _y(height, top)
        text = f"{unit(10 ** (low + number * (high - low) / count))}: {height:,}"
        parts.append(
            f'<rect class="bar" x="{x + 0.5:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" '
            f'height="{_HEIGHT - _BOTTOM - y:.1f}"><title>{html.escape(text)}</title></rect>'
        )
    for part in (0, 1 / 3, 2 / 3, 1):
        value = 10 ** (low + part * (high - low))
        parts.append(_tick(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), unit(value)))
    return _svg(parts, "")


def _svg(parts: list[str], attributes: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {attributes}>' + "".join(parts) + "</svg>"


def _x(value: float, right: float) -> float:
    return _LEFT + value / right * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _rule(y: float, text: str) -> str:
    return (
        f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{html.escape(text)}</text>'
    )


def _tick(x: float, text: str) -> str:
    anchor = "end" if x > _WIDTH - 60 else "start" if x < _LEFT + 10 else "middle"
    return f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _band(begin: float, end: float, name: str, right: float) -> str:
    x, wide = _x(begin, right), max(0.0, _x(end, right) - _x(begin, right))
    return (
        f'<rect class="band" x="{x:.1f}" y="{_TOP}" width="{wide:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}"/>'
        f'<text class="bandname" x="{x + 4:.1f}" y="{_TOP + 12}">{html.escape(name)}</text>'
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 4, 5, 8 times a power of ten.

    Example:
        >>> _round_up(37), _round_up(0.0081), _round_up(100)
        (40.0, 0.01, 100.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= value * (1 - 1e-9))


def _ticks(top: float) -> list[float]:
    step = _round_up(top / 4)
    return [n * step for n in range(int(top / step + 1e-9) + 1)]
