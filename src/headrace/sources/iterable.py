"""Flows over any Python iterable, and over functions that return one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, cast

from ..errors import ExhaustedSourceError, NoLengthError, StateError
from ..flow import DataFlow
from ..state import Cursor, Rows, Running, State
from ..tree import short

__all__ = ["DataFromGenerator", "DataFromIterable"]


class DataFromIterable(DataFlow):
    """Read an iterable, once per pass.

    Args:
        iterable: anything with ``__iter__``. One that is its own iterator can be read only once.

    Order and integrity: as the iterable gives it. Resumes a list, tuple or range in O(1), others by reading as many
    datapoints again.

    Raises:
        TypeError: at construction, ``iterable`` is not iterable.
        ExhaustedSourceError: a second pass over a one-shot iterator, which would be silently empty.

    Example:
        >>> import headrace as hr
        >>> flow = hr.DataFromIterable({"a": 1, "b": 2}.items())
        >>> list(flow), len(flow)
        ([('a', 1), ('b', 2)], 2)
    """

    _begun = False
    _taken = 0
    """Of a one-shot iterator, by all passes together: what has been taken stays taken."""

    def __init__(self, iterable: Iterable[Any]):
        if not hasattr(type(iterable), "__iter__"):
            raise TypeError(f"expected an iterable, got {type(iterable).__name__}: {iterable!r:.60}")
        self.iterable = iterable

    def __len__(self) -> int:
        try:
            return len(self.iterable)  # type: ignore[arg-type]
        except TypeError:
            raise NoLengthError(f"{type(self.iterable).__name__} has no length") from None

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """None: flows in the iterable are datapoints."""
        return ()

    @property
    def _indexed(self) -> bool:
        """Whether its datapoints are the elements of a sequence, which has all of them already."""
        return type(self.iterable) in (list, tuple, range) and not callable(getattr(self, "gen", None))

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`."""
        place = self._runtime.place
        whole = place is not None and place.share[1] == 1
        return cast(Any, self.iterable).__getitem__ if self._indexed and whole else None

    def run(self, source: None, state: State) -> Running:
        """One pass; see `DataFlow.run`."""
        if self._indexed:
            return Rows.of(self._row(state))
        return self._each(state)

    def _row(self, state: State) -> Generator[Iterable[Any], None, None]:
        cursor = state["count"] = Cursor(cast(Any, self.iterable), state.get("count", 0))
        yield cursor.iterator

    def _each(self, state: State) -> Generator[Any, None, None]:
        iterator = self._open()
        if iterator is self.iterable:
            yield from self._go_on(iterator, state)
            return
        skip(iterator, state.setdefault("count", 0), type(self).__name__)
        for datapoint in iterator:
            state["count"] += 1
            yield datapoint

    def _go_on(self, iterator: Iterator[Any], state: State) -> Generator[Any, None, None]:
        """A pass over a one-shot iterator: what earlier passes have left of it."""
        name, kind = type(self).__name__, type(iterator).__name__
        resumed_at = state.get("count")
        fresh, self._begun = not self._begun, True
        if resumed_at is not None:
            if resumed_at < self._taken:
                raise StateError(
                    f"{name} cannot go on at datapoint {resumed_at}: its {kind} can be read only once, and "
                    f"{self._taken} have been; give a function that makes a new one: DataFromGenerator(lambda: ...)"
                )
            skip(iterator, resumed_at - self._taken, name)
            self._taken = resumed_at
        begun_at = state["count"] = self._taken
        for datapoint in iterator:
            self._taken = state["count"] = self._taken + 1
            yield datapoint
        if self._taken == begun_at and resumed_at is None and not fresh:
            raise ExhaustedSourceError(
                f"the {kind} given to {name} was used up by an earlier pass; "
                "give a function that makes a new one: DataFromGenerator(lambda: ...)"
            )

    def _open(self) -> Iterator[Any]:
        return iter(self.iterable)


class DataFromGenerator(DataFromIterable):
    """Read a generator, or call a function that makes one for each pass.

    Args:
        gen: a function without arguments that returns an iterable (called at the beginning of each pass; the way to
            go), or an iterable.

    Order and integrity: as the generator gives it. Resumes by reading as many datapoints again. No length, even if
    the iterable has one.

    Raises:
        TypeError: at construction, ``gen`` is neither callable nor iterable.
        ExhaustedSourceError: a second pass over a one-shot iterator.

    Example:
        >>> import headrace as hr
        >>> def numbers():
        ...     yield from range(3)
        >>> flow = hr.DataFromGenerator(numbers)
        >>> list(flow), list(flow)
        ([0, 1, 2], [0, 1, 2])
    """

    def __init__(self, gen: Callable[[], Iterable[Any]] | Iterable[Any]):
        if not callable(gen):
            super().__init__(gen)
        self.gen = gen
        self.iterable = () if callable(gen) else gen

    def __len__(self) -> int:
        raise NoLengthError("DataFromGenerator has no length")

    def _open(self) -> Iterator[Any]:
        made = self.gen() if callable(self.gen) else self.gen
        if not hasattr(type(made), "__iter__"):
            raise TypeError(f"DataFromGenerator: {short(self.gen)} must return an iterable, got {type(made).__name__}")
        return iter(made)


def skip(iterator: Iterator[Any], count: int, name: str) -> None:
    """Advance an iterator to where a saved pass stood.

    Raises:
        StateError: it has fewer datapoints than were read when the state was saved.
    """
    read = sum(1 for _ in itertools.islice(iterator, count))
    if read < count:
        raise StateError(f"{name} gave {count} datapoints before the state was saved, but only {read} this time")
