"""What the flows of images do with datapoints that fail."""

from __future__ import annotations

from typing import Any

from .._checks import known_length
from ..flow import DataFlow
from ..parallel.policy import Errors, OnError, OnErrorChoice, check_max_errors, check_on_error
from ..state import State

__all__ = ["LeavesOut"]


class LeavesOut(DataFlow):
    """A flow with ``on_error``, ``max_errors`` and ``errors``, as the mappers have them."""

    def _choose_policy(self, on_error: OnErrorChoice, max_errors: int | float | None) -> None:
        self.on_error = check_on_error(on_error)
        self.max_errors = check_max_errors(max_errors, self.on_error)

    @property
    def errors(self) -> Errors:
        """The datapoints of the current (or last) pass that failed and were skipped or replaced."""
        errors: Errors = self.__dict__.setdefault("_errors", Errors())
        return errors

    def _policy(self, state: State) -> OnError:
        """The policy of one pass; what it leaves out is part of the pass's state."""
        self._errors = Errors()
        if "errors" in state:
            self._errors.restore(state["errors"])
        if self.on_error != "raise":
            state["errors"] = self._errors
        inputs: tuple[Any, ...] = self.inputs or (self,)
        return OnError(self.on_error, self.max_errors, known_length(inputs[0]), self._errors, type(self).__name__)
