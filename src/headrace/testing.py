"""Checks for users' own flows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import seeding
from .flow import DataFlow

__all__ = ["check_resume", "same"]


class _End:
    def __repr__(self) -> str:
        return "the end of a pass"


END = _End()


def check_resume(make_flow: Callable[[], DataFlow], limit: int = 100, *, seed: int = 0) -> None:
    """Check that a flow can be saved and resumed at any point.

    A first flow is iterated undisturbed, over two passes or ``limit`` datapoints. Then its state is taken at each
    position: before the first datapoint, after each one, after the last, and after the end of a pass. Each state (by
    way of JSON where that is possible) is loaded into a flow newly made, which must go on like the first one; and so
    must a flow that is saved and resumed again at once, or after one more datapoint.

    Args:
        make_flow: makes the flow; called often, so let it be small and quick. It must be deterministic under a seed.
        limit: how many datapoints are looked at, at most. The time it takes grows with the square.
        seed: what is given to `headrace.seed` for the flows that are saved.

    Raises:
        AssertionError: a resumed flow differs; it names the position and the difference.

    Example:
        >>> import headrace as hr
        >>> from headrace.testing import check_resume
        >>> check_resume(lambda: hr.BatchData(hr.DataFromList([1, 2, 3, 4, 5]), 2, remainder=True))
        >>> class Forgets(hr.ProxyDataFlow):
        ...     def run(self, source, state):
        ...         for number, dp in enumerate(source):
        ...             yield number, dp
        >>> check_resume(lambda: Forgets(hr.DataFromList(["a", "b"], shuffle=False)))
        Traceback (most recent call last):
            ...
        AssertionError: resumed after ... item 1 is (0, 'b'), but was (1, 'b') when undisturbed
    """
    before = seeding.global_seed()
    try:
        seeding.seed(seed)
        expected = _Events(make_flow()).two_passes(limit)
        saving = _Events(make_flow())
        states = [saving.state()]
        for number, event in enumerate(expected):
            _compare([event], saving.take(1), number, "with a state taken before each datapoint")
            states.append(saving.state())
        seeding.seed(None)  # a state brings its seed
        for position, state in enumerate(states):
            _check_position(make_flow, expected, position, state)
    finally:
        seeding.seed(before)


def _check_position(make_flow: Callable[[], DataFlow], expected: list[Any], position: int, state: Any) -> None:
    what = f"resumed after {position} of {len(expected)} items"
    resumed = _Events.at(make_flow, state)
    again = resumed.state()
    if not same(again, state):
        raise AssertionError(f"{what}: state_dict() right after load_state_dict() differs:\n{again}\nwas\n{state}")
    _compare(expected[position:], resumed.take(len(expected) - position), position, what)

    if position < len(expected):
        resumed = _Events.at(make_flow, again)
        first = resumed.take(1)
        later = _Events.at(make_flow, resumed.state())
        rest = later.take(len(expected) - position - 1)
        _compare(expected[position:], first + rest, position, f"{what}, and once more after the next")


class _Events:
    """The datapoints of a flow, pass after pass, with `END` after each pass."""

    def __init__(self, flow: DataFlow):
        self.flow = flow
        self.running: Iterator[Any] | None = None

    @classmethod
    def at(cls, make_flow: Callable[[], DataFlow], state: Any) -> _Events:
        flow = make_flow()
        flow.load_state_dict(state)
        return cls(flow)

    def __next__(self) -> Any:
        if self.running is None:
            self.running = iter(self.flow)
        event = next(self.running, END)
        if event is END:
            self.running = None
        return event

    def take(self, count: int) -> list[Any]:
        return [next(self) for _ in range(count)]

    def two_passes(self, limit: int) -> list[Any]:
        events: list[Any] = []
        ends = 0
        while ends < 2 and len(events) - ends < limit:
            events.append(next(self))
            ends += events[-1] is END
        return events

    def state(self) -> Any:
        state = self.flow.state_dict()
        try:
            copied = json.loads(json.dumps(state))
        except TypeError:
            return state  # it holds datapoints that JSON does not know
        return copied


def _compare(expected: list[Any], got: list[Any], position: int, what: str) -> None:
    for number, (a, b) in enumerate(itertools.zip_longest(expected, got, fillvalue=END), position):
        if not same(a, b):
            raise AssertionError(f"{what}: item {number} is {b!r:.200}, but was {a!r:.200} when undisturbed")


def same(a: Any, b: Any) -> bool:
    """Whether two datapoints are equal in types, dtypes, shapes and values, however deep; NaN equals NaN.

    Example:
        >>> import numpy as np
        >>> same([1, {"x": np.zeros(2)}], [1, {"x": np.zeros(2)}]), same([1], (1,))
        (True, False)
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype.hasobject:
            return all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (float, np.floating)) and a != a:
        return bool(b != b)
    return bool(a == b)
