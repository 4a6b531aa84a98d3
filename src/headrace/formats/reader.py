"""What all readers are: flows over records that can be read by number.

A format brings its `Records`; order, shuffling, shares, skipping, state and bad records are here, once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator
from typing import Any, Protocol

from ..errors import FormatError, StateError
from ..flow import DataFlow, RNGDataFlow
from ..parallel.policy import Errors, OnError, OnErrorChoice, check_max_errors, check_on_error
from ..seeding import Place
from ..state import State
from .order import ChunkOrder, FlatOrder, Order

__all__ = ["Reader", "Records", "check_there"]


class Records(Protocol):
    """The records of one format, open in this process.

    Attributes:
        bounds: the number of the first record of each chunk, and at the end the count of all; None where any record
            can be read as easily as any other.
        damage: what cannot be read at all: files, or the rest of one.
    """

    bounds: Any
    damage: list[Exception]

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Any:
        """A datapoint.

        Raises:
            FormatError: this record cannot be read, others may.
        """

    def close(self) -> None:
        """Give back what it holds open."""


class Reader(RNGDataFlow):
    """The base of the flows over files.

    Files are opened on first use, by the process that reads them. Each datapoint comes once per pass. Resumes in O(1).
    Under ``shard=True`` or a `Shard`, only the share is read.

    Args:
        shuffle: whether each pass has another order, decided by the seed and the number of the pass.
        on_error: what happens to a record that cannot be read: ``"raise"`` a `FormatError`, ``"skip"`` it, or call a
            function with the error that gives a datapoint in its place, or None. A whole file, or the rest of one
            after a place from which nothing can be read, raises or is skipped.
        max_errors: the most errors of a pass, or which fraction of it; None: any number.
    """

    takes_share = True

    def __init__(self, shuffle: bool, on_error: OnErrorChoice = "raise", max_errors: int | float | None = None):
        self.shuffle = bool(shuffle)
        self.on_error = check_on_error(on_error)
        self.max_errors = check_max_errors(max_errors, self.on_error)

    def _open(self) -> Records:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._records())

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """None."""
        return ()

    @property
    def errors(self) -> Errors:
        """What could not be read in the current (or last) pass; the index of a file is -1."""
        errors: Errors = self.__dict__.setdefault("_errors", Errors())
        return errors

    def run(self, source: None, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        records = self._records()
        order = self._order(records, state.place, state.pass_index, state.share)
        position = state.get("position", 0)
        if position > len(order):
            raise StateError(f"{position} records had been read when the state was saved, of {len(order)} now")
        self._errors = Errors()
        self._errors.restore(state.get("errors", []))
        state["errors"] = self._errors
        policy = OnError(self.on_error, self.max_errors, len(order), self._errors, type(self).__name__)
        if not state.restored:
            for error in records.damage:
                policy.handle(error, -1)
        state["position"] = position
        for number in order.since(position):
            state["position"] = position = position + 1
            try:
                datapoint = self._read_record(records, number)
            except FormatError as error:
                datapoint = policy.handle(error, position - 1)
                if datapoint is None:
                    continue
            yield datapoint

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """See `DataFlow.reader`: where all records can be read, so that their numbers are those of the datapoints."""
        place = self._runtime.place
        if place is None or self.on_error != "raise":
            return None
        records = self._records()
        order = self._order(records, place, pass_index, place.share if self.takes_share else (0, 1))
        return lambda turn: self._read_record(records, order[turn])

    def _order(self, records: Records, place: Place, pass_index: int, share: tuple[int, int]) -> Order:
        if records.bounds is None:
            return FlatOrder(len(records), self.shuffle, place, pass_index, share)
        return ChunkOrder(records.bounds, self.shuffle, place, pass_index, share)

    def _records(self) -> Records:
        pid, records = self.__dict__.get("_opened", (None, None))
        if pid != os.getpid():
            records = self._open_checked()
            if records.damage and self.on_error == "raise":
                records.close()
                raise records.damage[0]
            self._opened = os.getpid(), records
        return records  # type: ignore[no-any-return]

    def _open_checked(self) -> Records:
        try:
            records = self._open()
            len(records)
        except (FormatError, ImportError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # it names the file
            raise self._damaged("this cannot be read", error) from error
        return records

    def _read_record(self, records: Records, number: int) -> Any:
        try:
            return records[number]
        except FormatError:
            raise
        except Exception as error:
            raise self._damaged(f"record {number} cannot be read", error) from error

    def _damaged(self, what: str, error: Exception) -> FormatError:
        # Damaged bytes make the libraries of the formats raise all kinds of errors.
        where = next(iter(self._arguments().values()))
        where = where[0] if isinstance(where, list) and len(where) == 1 else where
        return FormatError(f"{where}: {what}: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the files. They are opened again when they are needed."""
        super().close()
        pid, records = self.__dict__.pop("_opened", (None, None))
        if pid == os.getpid():
            records.close()

    def __getstate__(self) -> dict[str, Any]:
        stays = ("_opened", "_errors", "rng")
        return {name: value for name, value in super().__getstate__().items() if name not in stays}

    def fingerprint(self) -> str:
        """See `DataFlow.fingerprint`: where the files lie makes no difference."""
        return f"{type(self).__name__}({len(self)} records, shuffle={self.shuffle})"


def check_there(path: str) -> None:
    """What a reader asks of its path at construction.

    Raises:
        FormatError: it is something from which bytes may never come, or never end.
        OSError: it does not exist, or cannot be looked at.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(f"{path}: this is neither a file nor a folder, but a FIFO, a socket or a device")
