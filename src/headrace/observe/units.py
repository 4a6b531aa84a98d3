"""How figures are written for people."""

from __future__ import annotations

__all__ = ["bytes_text", "percent", "rate_text", "seconds_text"]


def rate_text(per_s: float) -> str:
    """A rate with three digits, at least: ``1,340/s``, ``2.71/s``.

    Example:
        >>> rate_text(1339.8), rate_text(2.714), rate_text(4.1e6)
        ('1,340/s', '2.71/s', '4.1 M/s')
    """
    if per_s >= 1e6:
        return f"{per_s / 1e6:.3g} M/s"
    return f"{per_s:,.0f}/s" if per_s >= 100 else f"{per_s:.3g}/s"


def seconds_text(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> seconds_text(2.5), seconds_text(0.0123), seconds_text(0.0000042)
        ('2.5 s', '12.3 ms', '4.2 µs')
    """
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def bytes_text(count: float) -> str:
    """A size in the unit that suits it.

    Example:
        >>> bytes_text(512), bytes_text(150_528), bytes_text(5.5e9)
        ('512 B', '151 kB', '5.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"


def percent(part: float) -> str:
    """A fraction in percent; the last one only if it is all."""
    return f"{min(part, 0.994) * 100:.0f} %" if part < 0.9995 else "100 %"
