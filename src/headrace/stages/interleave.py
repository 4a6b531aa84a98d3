"""Read several shards at a time, in turns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from .._checks import check_count
from ..errors import NoLengthError
from ..flow import DataFlow, ProxyDataFlow, as_flow
from ..mapping import refuse_rng
from ..passes import flow_node, last_open, plant
from ..state import Input, State

__all__ = ["Interleave"]

_END = object()


class Interleave(ProxyDataFlow):
    """Open the shards that a flow names, ``cycle_length`` at a time, and take datapoints from them in turns.

    Args:
        ds: the input flow, of shards: file names, for example. Shuffle it to read the shards in another order in each
            pass.
        open_shard: called with a shard; returns a flow, or any iterable, over its datapoints.
        cycle_length: how many shards are open at a time.
        block_length: how many datapoints are taken from a shard before it is the next one's turn.

    Order and integrity: each datapoint of each shard once; input order within a shard. The turns go round the open
    shards; one that has ended is replaced in its place by the next one. Random numbers of the flows that
    ``open_shard`` returns are decided by the seed, the pass and the number of the shard. No length. The state names the
    open shards and holds the states of their flows, so it goes on as exactly and as fast as these do.

    Raises:
        TypeError, ValueError: at construction, bad arguments; later, ``open_shard`` returned no iterable, or a flow
            that is open already.

    Example:
        >>> import headrace as hr
        >>> shards = {"a": [1, 2, 3], "b": [10, 20], "c": [100]}
        >>> names = hr.DataFromList(["a", "b", "c"], shuffle=False)
        >>> list(hr.Interleave(names, lambda name: shards[name], cycle_length=2))
        [1, 10, 2, 20, 3, 100]
    """

    elementwise = True

    def __init__(self, ds: Any, open_shard: Callable[[Any], Any], cycle_length: int = 4, block_length: int = 1):
        super().__init__(ds)
        if not callable(open_shard):
            raise TypeError(f"open_shard must be callable, got {type(open_shard).__name__}: {open_shard!r:.60}")
        refuse_rng(open_shard, "open_shard", "return a flow: an RNGDataFlow, or a MapData whose function has an rng")
        self.open_shard = open_shard
        self.cycle_length = check_count("cycle_length", cycle_length)
        self.block_length = check_count("block_length", block_length)

    def __len__(self) -> int:
        raise NoLengthError("Interleave has no length: it depends on the shards")

    def close(self) -> None:
        """End all workers below this flow, and in the open shards. See `DataFlow.close`."""
        for passing in filter(None, (ref() for ref in self._runtime.live)):
            if isinstance(shards := passing.get("shards"), _Shards):
                for shard in shards:
                    shard.flow.close()
        super().close()

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        open_before, state["shards"] = state.get("shards", []), (shards := _Shards())
        for saved in open_before:
            shards.append(self._shard(state, **saved))
        state.setdefault("opened", 0)
        state.setdefault("turn", 0)
        state.setdefault("block", 0)  # taken in this turn
        while self._fill(shards, source, state):
            turn = state["turn"]
            dp = next(shards[turn].datapoints, _END)
            if dp is _END:
                self._replace(shards, source, state)
                continue
            state["block"] += 1
            if state["block"] == self.block_length:
                state["turn"], state["block"] = (turn + 1) % len(shards), 0
            yield dp

    def _fill(self, shards: _Shards, source: Input, state: State) -> bool:
        """Open shards until there are enough; whether there is one at all."""
        while len(shards) < self.cycle_length and not state.get("ended"):
            shard = self._next(source, state)
            if shard is not None:
                shards.append(shard)
        return bool(shards)

    def _replace(self, shards: _Shards, source: Input, state: State) -> None:
        """Put the next shard in the place of the one whose turn it is, which has ended."""
        state["block"] = 0
        shard = None if state.get("ended") else self._next(source, state)
        if shard is not None:
            shards[state["turn"]] = shard
        else:
            del shards[state["turn"]]
            state["turn"] = state["turn"] % len(shards) if shards else 0

    def _next(self, source: Input, state: State) -> _Shard | None:
        shard = next(iter(source), _END)
        if shard is _END:
            state["ended"] = True
            return None
        number = state["opened"]
        state["opened"] += 1
        return self._shard(state, shard, state.place.index_of(number))

    def _shard(self, state: State, shard: Any, number: int, node: Any = None) -> _Shard:
        flow = as_flow(self.open_shard(shard))
        if any(other.flow is flow for other in state["shards"]) and last_open(flow._runtime) is not None:
            raise ValueError(
                f"Interleave: open_shard returned the same {type(flow).__name__} for two shards that are open at a "
                f"time, the second is {shard!r:.60}; return a new flow for each"
            )
        seed = int(state.place.sequence(state.pass_index, number).generate_state(1, "uint64")[0])
        plant(flow, seed, copy=(), share=(0, 1), resume=node)
        return _Shard(shard, number, flow)


class _Shard:
    """A shard that is open."""

    def __init__(self, shard: Any, number: int, flow: DataFlow):
        self.shard = shard
        self.number = number
        self.flow = flow
        self.datapoints: Iterator[Any] = iter(flow)


class _Shards(list[_Shard]):
    """The open shards; saved are their names, and where their flows stand."""

    def snapshot(self) -> list[Any]:
        return [{"shard": s.shard, "number": s.number, "node": flow_node(s.flow)} for s in self]
