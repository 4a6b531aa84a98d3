"""How a pass begins, where it goes on, and how it is left: what stands between a flow and its generators.

``iter(flow)`` makes the flow the *root* of its pipeline (unless a running root owns it already), which gives each flow
below its `Place`; then ``flow._begin`` makes the `State` and the iterator. In a worker, `plant` makes a shipped
pipeline a root.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from .seeding import Place, fresh_entropy, global_seed, shards_itself
from .state import Input, Node, Running, State, decode, freeze, snapshot
from .tree import read_here, walk

if TYPE_CHECKING:
    from .flow import DataFlow
    from .runtime import Runtime

__all__ = [
    "assign_places",
    "end_stream",
    "flow_node",
    "is_live",
    "last_open",
    "open_pass",
    "plant",
    "restore_flows",
    "sources_of",
    "start_pass",
    "take_share",
]


def start_pass(flow: DataFlow) -> Running:
    """Begin a pass of a flow that the user iterates: as a root, unless a running root owns it."""
    runtime = flow._runtime
    owner = open_pass(runtime.owner)
    owned = owner is not None and not any(ref() is owner for ref in runtime.live)  # its own: a second iterator
    loaded, passes = runtime.restored, runtime.passes
    if owner is None:
        assign_places(flow)
    running, state = flow._begin()
    if not owned and (loaded is not None or not flow.leaves_traces):
        running = _until_left(running, state, runtime, loaded, passes)
        next(running)  # to where it is told when it is left, before it is asked for a datapoint
        state.running = weakref.ref(running)
    if owner is None:
        for below in read_here(flow):
            below._runtime.owner = weakref.ref(state)
    return running


def _until_left(
    running: Running, state: State, runtime: Runtime, loaded: Node | None, passes: int
) -> Generator[Any, None, None]:
    """The pass of a root. If the consumer leaves it early, `state_dict` goes on saying where that was.

    If it goes on from a ``loaded`` state and is left before it was read, it is still to come, as if it had not begun.
    """
    try:
        yield
    except GeneratorExit:
        if loaded is not None:
            runtime.restored = loaded
            if runtime.passes == state.pass_index + 1:  # no other pass has begun since
                runtime.passes = passes
        else:
            runtime.left = state
        raise
    try:
        for datapoint in running:  # noqa: UP028 - "yield from" would close `running` first
            yield datapoint
    except GeneratorExit:
        if not any(ref() is not state and open_pass(ref) for ref in runtime.live):
            freeze(state)  # now, while the generators below are still open
            runtime.left = state
        raise


def take_share(running: Running, state: State) -> Generator[Any, None, None]:
    """Every n-th datapoint; all of them, if the user's code takes its share by itself."""
    index, count = state.place.share
    for datapoint in running:
        if state.my_turn(index, count) or shards_itself():
            yield datapoint


def flow_node(flow: DataFlow) -> Node:
    """The saved form of a flow as it stands, without version and seed: what a runner's copy sends home."""
    return snapshot(flow, last_open(flow._runtime))


def plant(flow: DataFlow, seed: int, copy: tuple[int, ...], share: tuple[int, int], resume: Node | None = None) -> None:
    """Begin a shipped pipeline anew, in a worker: as the root of a tree of its own, for all passes to come.

    Args:
        flow: the pipeline.
        seed: of its random numbers.
        copy: path of runner copies.
        share: which share to take, and of how many.
        resume: where to go on, as `flow_node` gave it; None: at the beginning.
    """
    for below in read_here(flow):
        runtime = below._runtime
        end_stream(runtime)
        runtime.passes, runtime.kept, runtime.inputs = 0, {}, None
        runtime.owner = runtime.restored = runtime.left = None
        runtime.live = []
    flow._runtime.rooted = (seed, copy, share)
    if resume is not None:
        restore_flows([flow], [resume])
        flow._runtime.restored = resume


def assign_places(root: DataFlow) -> None:
    """Number the flows of a pipeline, and tell each its seed."""
    runtime = root._runtime
    copy: tuple[int, ...] = ()
    share = (0, 1)
    if runtime.rooted is not None:
        seed, copy, share = runtime.rooted
    else:
        if runtime.entropy is None:  # the processes of a training job have to agree on it
            runtime.entropy = fresh_entropy() if not _ranks(root) else 0
        # A seed that was set wins over OS entropy; of a set seed and a loaded state, the later one wins.
        chosen = global_seed(since=runtime.loaded)
        seed = runtime.entropy if chosen is None else chosen
        if runtime.place is not None and is_live(runtime):
            seed = runtime.place.seed
    numbers = {id(f): n for n, f in enumerate(read_here(root))}
    ranked = bool(_ranks(root))

    def assign(flow: DataFlow, seed: int, share: tuple[int, int]) -> None:
        seed = flow._seed if flow._seed is not None else seed
        flow._runtime.place = Place(seed, numbers[id(flow)], copy, share, _ranks(flow, above=True) if ranked else ())
        for child in flow.inputs:
            assign(child, seed, flow._share_below(share))

    assign(root, seed, share)


def _ranks(flow: DataFlow, *, above: bool = False) -> tuple[int, ...]:
    """The ranks of the flows in a pipeline that have one; ``above``: without the flow itself."""
    return tuple(f.rank for f in walk(flow) if f.rank is not None and not (above and f is flow))


def restore_flows(flows: Sequence[DataFlow], nodes: Sequence[Node]) -> None:
    """Hand out saved trees: what outlives passes. The passes are brought by the inputs that read them."""
    for flow in flows:
        for below in read_here(flow):
            below._runtime.passes = 0

    def restore(flow: DataFlow, node: Node) -> None:
        runtime = flow._runtime
        if node["passes"] < runtime.passes:
            return  # the flow is read in two places, and this one was not reached again after an earlier resume
        end_stream(runtime)
        runtime.passes = node["passes"]
        runtime.kept = {k: decode(v) for k, v in node.get("kept", {}).items()}
        runtime.inputs = runtime.restored = runtime.left = None
        runtime.live = []
        if flow.keeps and flow._reads is None:
            runtime.inputs = [Input(f, n) for f, n in zip(flow.inputs, node["inputs"], strict=True)]
        for child, child_node in zip(flow.inputs, node["inputs"], strict=True):
            restore(child, child_node)

    for flow, node in zip(flows, nodes, strict=True):
        restore(flow, node)


def end_stream(runtime: Runtime) -> None:
    """End what a parallel flow has kept running for its next pass, because that one begins elsewhere."""
    stream, runtime.stream = runtime.stream, None
    if stream is not None:
        stream.close()


def open_pass(ref: weakref.ref[State] | None) -> State | None:
    """The pass, if it is still running: one that raised may live on in a traceback."""
    state = ref() if ref is not None else None
    return state if state is not None and state.open else None


def last_open(runtime: Runtime) -> State | None:
    """The pass that was begun last, of those that are still running."""
    return next(filter(None, map(open_pass, reversed(runtime.live))), None)


def is_live(runtime: Runtime) -> bool:
    """Whether an iterator of the flow is alive and has not ended."""
    if last_open(runtime) is None:
        return False
    gc.collect()  # an iterator that was dropped may hang in a reference cycle
    return last_open(runtime) is not None


def sources_of(inputs: list[Input]) -> tuple[Any]:
    """What ``run`` gets as its source: nothing, one input, or all of them."""
    if not inputs:
        return (None,)
    return (inputs[0],) if len(inputs) == 1 else (tuple(inputs),)
