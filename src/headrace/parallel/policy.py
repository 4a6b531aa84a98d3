"""What happens to a datapoint that fails: the declared policy, its limit, and the list of what was skipped."""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from .._checks import check_count
from ..errors import TooManyErrors, WorkerError

__all__ = ["BadDatapoint", "Errors", "OnError", "check_max_errors", "check_on_error"]

logger = logging.getLogger("headrace")

OnErrorChoice = str | Callable[[Exception], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class BadDatapoint:
    """A datapoint that failed and was skipped or replaced.

    Attributes:
        index: its number in the pass of the input, from 0.
        error: the exception. After a resume, those from before are `WorkerError` with the text of the original.
    """

    index: int
    error: Exception


LISTED = 10_000
"""So many bad datapoints of a pass are listed: an endless one would list them until memory is full."""

_SAVED_LETTERS = 1000


class Errors(Sequence[BadDatapoint]):
    """The bad datapoints of the current pass, or of the last one: the first 10,000. A read-only sequence.

    Attributes:
        total: how many there were, listed or not.
    """

    def __init__(self) -> None:
        self._entries: list[BadDatapoint] = []
        self.total = 0

    @overload
    def __getitem__(self, index: int) -> BadDatapoint: ...

    @overload
    def __getitem__(self, index: slice) -> list[BadDatapoint]: ...

    def __getitem__(self, index: int | slice) -> BadDatapoint | list[BadDatapoint]:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[BadDatapoint]:
        return iter(self._entries)

    def __repr__(self) -> str:
        more = ", ..." if self.total > 20 else ""
        return f"<{self.total} bad datapoints: {', '.join(str(e.index) for e in self._entries[:20])}{more}>"

    def add(self, entry: BadDatapoint) -> None:
        """One more."""
        self.total += 1
        if len(self._entries) < LISTED:
            self._entries.append(entry)

    def snapshot(self) -> list[Any]:
        """What is saved: numbers and texts, and how many were not listed."""
        entries = [[bad.index, f"{type(bad.error).__name__}: {bad.error}"[:_SAVED_LETTERS]] for bad in self._entries]
        return entries if self.total == len(entries) else [*entries, self.total]

    def restore(self, saved: list[Any]) -> None:
        """Take over what `snapshot` gave."""
        entries = [entry for entry in saved if isinstance(entry, list)]
        self._entries = [BadDatapoint(index, WorkerError(text)) for index, text in entries]
        self.total = len(entries) if len(entries) == len(saved) else saved[-1]


class OnError:
    """The policy of one pass.

    Args:
        choice: ``"raise"``, ``"skip"``, or a function from the exception to a datapoint, or to None for none.
        max_errors: the most bad datapoints; as a fraction, of ``length``, or of those that have come so far (at least
            of 100) if that is not known. None: any number.
        length: datapoints of a pass, if known.
        errors: where they are listed.
        name: of the flow, for messages.
    """

    def __init__(
        self, choice: OnErrorChoice, max_errors: int | float | None, length: int | None, errors: Errors, name: str
    ):
        self._choice = choice
        self._max_errors = max_errors
        self._length = length
        self._errors = errors
        self._name = name

    def handle(self, error: Exception, index: int) -> Any:
        """A datapoint has failed.

        Returns:
            What takes its place; None: nothing.

        Raises:
            Exception: the error itself, if that is the policy; what the user's function raises.
            TooManyErrors: it is one too many.
        """
        if self._choice == "raise":
            raise error
        self._errors.add(BadDatapoint(index, error))
        count = self._errors.total
        if count < 10 or count % 100 == 0:
            text = f"{type(error).__name__}: {error}".partition("\n")[0]
            logger.warning("%s: bad datapoint %d, number %d of this pass: %s", self._name, index, count, text)
        if self._max_errors is not None and self._too_many(count, index):
            raise TooManyErrors(
                f"{self._name}: {count} datapoints have failed, max_errors={self._max_errors}; the last one is {index}"
            ) from error
        try:
            return self._choice(error) if callable(self._choice) else None
        finally:
            _forget_locals(error)

    def _too_many(self, count: int, index: int) -> bool:
        assert self._max_errors is not None
        if isinstance(self._max_errors, int):
            return count > self._max_errors
        length = self._length if self._length is not None else max(index + 1, 100)
        # Divided, not multiplied: 29 of 100 are 0.29 exactly, but 0.29 * 100 is less than 29.
        return count / max(length, 1) > self._max_errors


def _forget_locals(error: BaseException) -> None:
    """An error that is listed keeps its traceback; but not the variables in it, such as images."""
    done: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in done:
        done.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def check_on_error(choice: Any) -> OnErrorChoice:
    """``choice``, if it is a policy.

    Raises:
        ValueError: it is not.
    """
    if callable(choice) or (isinstance(choice, str) and choice in ("raise", "skip")):
        return choice  # type: ignore[no-any-return]
    raise ValueError(f'on_error must be "raise", "skip" or a function of the exception, got {choice!r}')


def check_max_errors(value: Any, choice: OnErrorChoice) -> int | float | None:
    """``value``, if it is a limit of errors.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, a fraction above 1, or there is nothing to limit.
    """
    if value is None:
        return None
    if choice == "raise":
        raise ValueError(
            f'max_errors={value!r} needs on_error="skip" or a function: with "raise", the first error ends it'
        )
    if isinstance(value, float):
        if not 0 <= value <= 1:
            raise ValueError(f"max_errors as a fraction must be between 0 and 1, got {value}")
        return value
    return check_count("max_errors", value, 0)
