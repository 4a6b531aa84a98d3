"""How a map function is called: with a datapoint, with its components, with a random generator."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .seeding import item_generator

if TYPE_CHECKING:
    from .state import State

__all__ = ["MapFunction", "refuse_rng"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class MapFunction:
    """A user's function, and how it wants to be called; found out once, at construction.

    * ``f(dp)``: the rule.
    * ``f(*components)`` when the function *requires* two or more positional parameters; ``f(**components)`` if the
      datapoint is a dict.
    * ``f(..., rng=generator)`` when it has a keyword-only parameter ``rng``: a `numpy.random.Generator` that depends
      on the seed, the place of the stage, the pass and the index of the datapoint, and on nothing else.

    Args:
        func: any callable.

    Raises:
        TypeError: ``func`` is not callable, or its ``rng`` is not keyword-only.
    """

    def __init__(self, func: Callable[..., Any]):
        if not callable(func):
            raise TypeError(f"the map function must be callable, got {type(func).__name__}: {func!r}")
        self.func = func
        self.spreads, self.wants_rng = _wishes(func)

    def bind(self, *, private: bool) -> Callable[[Any], Any]:
        """The function of one datapoint, for one that wants no ``rng``.

        Args:
            private: whether the datapoints belong to us (they came through a pickle). If not, list, tuple and dict
                datapoints are copied, not deeply, so that ``dp[0] = ...`` leaves the source alone.
        """
        func = self.func
        if self.spreads:
            return lambda dp: func(*dp) if isinstance(dp, (list, tuple)) else _spread(func, dp)
        if private:
            return func
        return lambda dp: func(copy.copy(dp)) if isinstance(dp, (list, dict)) else func(dp)

    def bind_rng(self, key: int, *, private: bool) -> Callable[[Any, int], Any]:
        """The function of a datapoint and its index in the pass, for one that wants an ``rng``.

        Args:
            key: the key of the pass, see `Place.item_key`.
            private: see `bind`.
        """
        func = self.func

        def call(dp: Any, index: int) -> Any:
            rng = item_generator(key, index)
            if self.spreads:
                return _spread(func, dp, rng=rng)
            if not private and isinstance(dp, (list, dict)):
                dp = copy.copy(dp)
            return func(dp, rng=rng)

        return call

    def bind_indexed(self, state: State) -> Callable[[Any, int], Any]:
        """The function of a datapoint and of its index in this pass (or this share of it), whatever it wants.

        Args:
            state: of the pass of the stage that calls it, in this process.
        """
        if not self.wants_rng:
            function = self.bind(private=False)
            return lambda dp, index: function(dp)
        place = state.place
        call = self.bind_rng(place.item_key(state.pass_index), private=False)
        return lambda dp, index: call(dp, place.index_of(index))


def refuse_rng(func: Callable[..., Any], name: str, remedy: str) -> None:
    """Refuse a function that wants an ``rng`` where there is none.

    Args:
        func: any callable.
        name: what it is given as.
        remedy: what to do instead.

    Raises:
        TypeError: it has a parameter ``rng`` without a default.
    """
    if any(p.name == "rng" and p.default is p.empty for p in _parameters(func)):
        raise TypeError(f"{name} gets no rng, but {_name(func)} wants one; {remedy}")


def _spread(func: Callable[..., Any], dp: Any, **rng: Any) -> Any:
    if isinstance(dp, dict):
        return func(**dp, **rng)
    if isinstance(dp, (str, bytes)) or not hasattr(dp, "__iter__"):
        raise TypeError(
            f"{_name(func)} requires several parameters, one for each component of a datapoint, but a datapoint is a "
            f"bare {type(dp).__name__}: {dp!r:.60}"
        )
    return func(*dp, **rng)


def _name(func: Callable[..., Any]) -> str:
    return f"{getattr(func, '__qualname__', type(func).__qualname__)}()"


def _parameters(func: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature: they take the datapoint
        return []


def _wishes(func: Callable[..., Any]) -> tuple[bool, bool]:
    parameters = _parameters(func)
    required = [p for p in parameters if p.kind in _POSITIONAL and p.default is p.empty]
    if any(p.name == "rng" for p in required[1:]):
        raise TypeError(f"{_name(func)} wants an rng, which is given by keyword only: write def f(dp, *, rng)")
    rng = any(p.name == "rng" and p.kind is p.KEYWORD_ONLY for p in parameters)
    return len(required) >= 2, rng
