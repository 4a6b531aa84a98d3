"""What a running flow remembers: its state, its open inputs, and how both are saved and restored.

A pass of a flow is a generator with a `State` beside it. The generator keeps the state true before each ``yield``;
all generators of a pipeline are suspended whenever the consumer holds a datapoint; so reading all the states at that
moment gives a consistent snapshot, and restoring is calling the generator function with what was saved.
"""

from __future__ import annotations

import base64
import collections
import copy
import dataclasses
import inspect
import itertools
import json
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .errors import StateError
from .seeding import Place

if TYPE_CHECKING:
    from .flow import DataFlow

__all__ = ["Cursor", "Input", "Rows", "Running", "State"]

VERSION = 1

Node = dict[str, Any]  # the saved form of one flow; nests as the flows nest


class _OneThread:
    """The rows of a pass, for one thread at a time.

    `itertools.chain` ends in silence for all when its source raises for one. So the thread that comes second does not
    meet an error here, but in the row that it is given.
    """

    def __init__(self, rows: Generator[Iterable[Any], None, None]):
        self._rows = rows
        self.row: Iterable[Any] = ()
        """The one that was given last."""

    def __iter__(self) -> _OneThread:
        return self

    def __next__(self) -> Iterable[Any]:
        try:
            row = self.row = next(self._rows)
            return row
        except ValueError as error:
            inside = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if inside:
                raise
            return map(_refuse, itertools.repeat(str(error)))  # holds nothing: chain may never let go of it


def _refuse(why: str) -> None:
    raise ValueError(f"{why}: two threads read from this iterator at once; give each its own flow, or a lock")


class Rows(itertools.chain[Any]):
    """A pass that gives its datapoints a row at a time: C code hands them out, in half the time of a generator.

    Between two rows, and whenever something may raise, the generator of the rows runs; so it is told of all that a
    generator of datapoints is told of.

    Attributes:
        rows: the generator; each row is an iterator that does not raise, and that ends when the generator is closed.
    """

    rows: Generator[Iterable[Any], None, None]
    _guarded: _OneThread

    @classmethod
    def of(cls, rows: Generator[Iterable[Any], None, None]) -> Rows:
        """The datapoints of some rows."""
        guarded = _OneThread(rows)
        self = cast(Rows, cls.from_iterable(guarded))  # of this class, which its type does not say
        self.rows = rows
        self._guarded = guarded
        return self

    def take_range(self, count: int) -> range:
        """The next ``count`` datapoints, without making them, if a row has them that is a range; or else nothing."""
        row = cast(Any, self._guarded.row)
        if type(row) is not _RangeIterator or row.__length_hint__() < count:
            return range(0)
        _, (numbers,), at = row.__reduce__()
        at = at or 0  # from Python 3.12 on None: the numbers are those that are left
        row.__setstate__(at + count)
        return cast(range, numbers[at : at + count])

    def close(self) -> None:
        """Leave the pass early, as ``close`` of a generator."""
        self.rows.close()


_RangeIterator: type[Any] = type(iter(range(0)))

Running = Generator[Any, None, None] | Rows


def has_ended(running: Running) -> bool:
    """Whether a pass has come to its end, or failed, or was closed."""
    rows = running.rows if isinstance(running, Rows) else running
    return inspect.getgeneratorstate(rows) == inspect.GEN_CLOSED


class State(dict[str, Any]):
    """The memory of one pass of one flow: a dict that the flow's ``run`` owns, plus what the pass is about.

    Values are plain data, or objects with a ``snapshot()`` method that returns plain data (such as `Cursor`),
    which is only called when somebody saves the state. A restored state holds plain data only.

    Attributes:
        pass_index: number of this pass of the flow, from 0.
        kept: a dict that outlives the pass (it belongs to the flow); only for flows with ``keeps = True``.
        inputs: the running inputs, one `Input` for each of ``flow.inputs``.
        restored: whether this pass goes on from a saved state.
        share: for a flow with ``takes_share = True``: which share it has to give, and of how many.
        running: the iterator of this pass.
        inputs_at_begin: for user code, which is resumed by running it again: what it began from.
    """

    def __init__(self, place: Place, pass_index: int, kept: dict[str, Any], inputs: list[Input]):
        super().__init__()
        self.place = place
        self.pass_index = pass_index
        self.kept = kept
        self.inputs = inputs
        self.restored = False
        self.share = (0, 1)
        self.turn = 0  # datapoints seen by a flow that takes a share
        self._rounds_before: int | None = None  # of turns, when this pass went on
        self.running: weakref.ref[Running] | None = None
        self.inputs_at_begin: list[Node] | None = None
        self._rng: np.random.Generator | None = None
        self._rng_saved: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__  # type: ignore[assignment]  # identity: two passes are never the same pass

    def my_turn(self, index: int, count: int) -> bool:
        """Whether the next datapoint of all belongs to this share; counts them.

        A state that another share has saved, when it had given as many, fits as well.
        """
        if self._rounds_before is None:
            self._rounds_before = -(-self.turn // count)
        turns, now = divmod(self.turn, count)
        self.turn += 1
        return now == index and turns >= self._rounds_before

    @property
    def open(self) -> bool:
        """Whether the pass has neither ended nor failed nor been closed."""
        running = self.running() if self.running is not None else None
        return running is not None and not has_ended(running)

    @property
    def rng(self) -> np.random.Generator:
        """The random stream of this pass; where it stands is part of the saved state."""
        if self._rng is None:
            self._rng = self.generator()
            if self._rng_saved is not None:
                self._rng.bit_generator.state = self._rng_saved
        return self._rng

    def generator(self, *key: int) -> np.random.Generator:
        """A new generator for this pass (and ``key``), always at its beginning: for what is drawn once."""
        return self.place.generator(self.pass_index, *key)

    def snapshot(self) -> Node:
        """Plain data from which the pass can go on."""
        node: Node = {"pass": self.pass_index, "own": {k: _plain(v) for k, v in self.items()}}
        if self.turn:
            node["turn"] = self.turn
        if self._rng is not None:
            node["rng"] = _plain(self._rng.bit_generator.state)
        elif self._rng_saved is not None:
            node["rng"] = _plain(self._rng_saved)
        return node

    def restore(self, node: Node) -> None:
        """Take over what `snapshot` gave."""
        self.update({k: decode(v) for k, v in node["own"].items()})
        self._rng_saved = decode(node.get("rng"))
        self.turn = node.get("turn", 0)
        self.restored = True


class Cursor:
    """A position in a list, tuple or range, read off the running iterator itself: no cost per datapoint."""

    def __init__(self, sequence: list[Any] | tuple[Any, ...] | range, position: int = 0, *, base: int = 0):
        self._count = len(sequence)
        self._base = base  # position of the sequence in something longer
        if position > self._count:
            raise StateError(
                f"{position} datapoints had been read when the state was saved, but there are only {self._count} now"
            )
        self.iterator: Iterator[Any] = iter(sequence)
        if position:
            cast(Any, self.iterator).__setstate__(position)

    @property
    def position(self) -> int:
        """How many elements have been taken."""
        return self._base + self._count - int(cast(Any, self.iterator).__length_hint__())

    def snapshot(self) -> int:
        """What is saved."""
        return self.position


class Input:
    """The running input of a flow, handed to ``run`` as ``source``.

    Iterating it goes on with the pass that is open (also one that was restored, or that an earlier ``for`` left by
    ``break``), or else begins the next pass.
    """

    def __init__(self, flow: DataFlow, node: Node | None = None):
        self.flow = flow
        self._node = node if node is not None and "run" in node else None  # without a pass there is nothing to bring
        self._pinned: Node | None = None
        self._running: Running | None = None
        self._state: weakref.ref[State] | None = None
        self._left: State | None = None

    def __iter__(self) -> Iterator[Any]:
        running = self._running
        if running is None or has_ended(running):
            node, self._node, self._left = self._node, None, None
            running, state = self.flow._begin(node)
            self._running, self._state = running, weakref.ref(state)
        return running

    @property
    def pass_index(self) -> int:
        """The pass of the input that was begun last, or is to be begun."""
        state = self._state() if self._state is not None else None
        if state is not None:
            return state.pass_index
        if self._node is not None and "run" in self._node:
            return int(self._node["run"]["pass"])
        return self.flow._runtime.passes

    def restart(self) -> None:
        """Leave the open pass, so that the next iteration begins a new one."""
        if self._running is not None:
            self._running.close()
        self._node = self._running = self._state = self._pinned = self._left = None

    def pin(self) -> None:
        """Save, from now until `restart`, where the input stands now: whoever is restored reads it again from here."""
        if self._pinned is None:
            self._pinned = self.snapshot()

    def snapshot(self) -> Node:
        """The saved form of the input flow, with this pass of it."""
        node = self._pinned or self._node
        if node is not None:
            return node
        state = self._open_state()
        return snapshot(self.flow, state if state is not None else self._left)

    def freeze(self) -> None:
        """See the function `freeze`."""
        self._left = self._open_state()
        if self._left is not None:
            freeze(self._left)

    def _open_state(self) -> State | None:
        state = self._state() if self._state is not None else None
        return state if state is not None and state.open else None


def freeze(state: State) -> None:
    """A pass is about to be left early: keep hold of its inputs as they stand, so that they can still be saved."""
    for source in state.inputs:
        source.freeze()


def snapshot(flow: DataFlow, state: State | None) -> Node:
    """The saved form of ``flow``; ``state`` is the pass of it that is running, if any."""
    runtime = flow._runtime
    if state is None and runtime.restored is not None:
        return runtime.restored  # loaded, and not begun since
    node: Node = {"passes": runtime.passes}
    if runtime.kept:
        node["kept"] = {k: _plain(v) for k, v in runtime.kept.items()}
    if state is not None:
        node["run"] = state.snapshot()
    if state is not None and state.inputs_at_begin is not None:
        node["begin"] = state.inputs_at_begin
    inputs = state.inputs if state is not None else runtime.inputs
    node["inputs"] = [i.snapshot() for i in inputs] if inputs else [snapshot(f, None) for f in flow.inputs]
    return node


def _plain(value: Any) -> Any:
    ask: Callable[[], Any] | None = getattr(value, "snapshot", None)
    return encode(ask() if callable(ask) else value)


def encode(value: Any) -> Any:
    """``value`` as JSON types where that is possible; other containers are copied, other objects stay as they are.

    Tuples, bytes, dicts with other keys than strings and numpy arrays and scalars become tagged dicts.
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and type(value).__module__ == "builtins"):
        return value
    if type(value) is list:
        return [encode(v) for v in value]
    if type(value) is tuple:
        return {"$tuple": [encode(v) for v in value]}
    if type(value) is dict:
        if all(type(k) is str and not k.startswith("$") for k in value):
            return {k: encode(v) for k, v in value.items()}
        return {"$dict": [[encode(k), encode(v)] for k, v in value.items()]}
    if type(value) is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.generic) and not value.dtype.hasobject and value.dtype.names is None:
        return {"$scalar": _encode_array(np.asarray(value))}
    if type(value) is np.ndarray and not value.dtype.hasobject and value.dtype.names is None:
        return {"$array": _encode_array(value)}
    if isinstance(value, (int, float, str, list, tuple, dict)):
        return Opaque(copy.deepcopy(value))
    return copy.deepcopy(value) if isinstance(value, _CONTAINERS) else value


_CONTAINERS = (set, frozenset, bytearray, collections.deque, np.ndarray)
"""Of other kinds than JSON knows. Whoever is saved goes on to change them."""


@dataclasses.dataclass(frozen=True)
class Opaque:
    """A namedtuple, an enum, an OrderedDict...: JSON would write it without its type, so it is hidden from JSON."""

    value: Any


def _encode_array(array: np.ndarray[Any, Any]) -> list[Any]:
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _decode_array(saved: Sequence[Any]) -> np.ndarray[Any, Any]:
    dtype, shape, data = saved
    return np.ndarray(shape, np.dtype(dtype), bytearray(base64.b64decode(data)))


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$tuple": lambda v: tuple(decode(x) for x in v),
    "$dict": lambda v: {decode(k): decode(x) for k, x in v},
    "$bytes": base64.b64decode,
    "$scalar": lambda v: _decode_array(v)[()],
    "$array": _decode_array,
}


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if type(value) is Opaque:
        return copy.deepcopy(value.value)
    if type(value) is list:
        return [decode(v) for v in value]
    if type(value) is dict:
        if len(value) == 1:
            tag = next(iter(value))
            if tag in _DECODERS:
                return _DECODERS[tag](value[tag])
        return {k: decode(v) for k, v in value.items()}
    return copy.deepcopy(value) if isinstance(value, _CONTAINERS) else value


def seal(body: dict[str, Any]) -> dict[str, Any]:
    """Add version and checksum to a state."""
    return {"version": VERSION, **body, "checksum": _checksum(body)}


def unseal(saved: Any) -> dict[str, Any]:
    """The body of a state, checked for version and damage.

    Raises:
        StateError: it is no state, of another version, or was edited or truncated.
    """
    if not isinstance(saved, dict) or "version" not in saved:
        raise StateError(f"this is not a state of headrace (a dict from state_dict()): {type(saved).__name__}")
    if saved["version"] != VERSION:
        raise StateError(
            f"the state has version {saved['version']!r}, this headrace reads version {VERSION}; "
            "load it with the release that wrote it"
        )
    body = {k: v for k, v in saved.items() if k not in ("version", "checksum")}
    if saved.get("checksum") != _checksum(body):
        raise StateError("the state's checksum does not match: it was edited or truncated after it was saved")
    return body


def _checksum(body: dict[str, Any]) -> str:
    import hashlib  # not at the top: headrace is quick to import

    # Objects that JSON does not know count by their type only: their bytes may differ from run to run.
    text = json.dumps(body, sort_keys=True, default=lambda o: f"<{type(o).__qualname__}>")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(saved: Sequence[str], here: Sequence[str]) -> str:
    """Two fingerprints, side by side where they differ."""
    width = max(len(saved), len(here))
    rows = zip(
        [*saved, *["(nothing)"] * (width - len(saved))],
        [*here, *["(nothing)"] * (width - len(here))],
        strict=True,
    )
    return "\n".join(f"  saved: {a.strip()}\n  here:  {b.strip()}" for a, b in rows if a != b)
