"""`DataFlow`: the description of a pipeline.

A flow is description; a generator that runs over it is a pass. There are three ways to write a flow::

    class Mine(DataFlow):                 # 1. a plain iterable: works everywhere, resumed by counting
        def __iter__(self):
            yield ...

    class Stage(ProxyDataFlow):           # 2. a stage with state: resumed exactly, without replaying anything
        def run(self, source, state):
            for dp in source:
                state["seen"] = state.get("seen", 0) + 1
                yield dp

    class Old(DataFlow):                  # 3. tensorpack's first interface: get_data() and size()
        def get_data(self): ...
        def size(self): ...

How a pass begins stands in `passes`. Nothing that runs lives on the flow, except what is named in `runtime`.
"""

from __future__ import annotations

import functools
import inspect
import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np

from .errors import NoLengthError, NotReentrantError, StateError
from .passes import assign_places, is_live, last_open, open_pass, restore_flows, sources_of, start_pass, take_share
from .runtime import Runtime
from .seeding import Place, seeds_set
from .state import Input, Node, Rows, Running, State, difference, seal, snapshot, unseal
from .tree import pipeline_fingerprint, short, tree_lines

if TYPE_CHECKING:
    from .observe.audit import Audit
    from .observe.stats import Stats

__all__ = ["DataFlow", "ProxyDataFlow", "RNGDataFlow", "as_flow"]

Arguments = ParamSpec("Arguments")
Stage = TypeVar("Stage")


def _under_its_new_name(flow: DataFlow, new: str, old: str) -> Any:
    """What the nearest class says that defines ``new``, and not as ``old``: whoever calls that may be on the way."""
    for cls in type(flow).__mro__:
        own = cls.__dict__
        if new in own and own[new] is not own.get(old):
            return own[new](flow)
    raise AssertionError(f"DataFlow defines {new}")


def _outermost(reads: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    """Make a user's ``__iter__`` begin a pass, except when a subclass's ``__iter__`` calls it through super()."""

    @functools.wraps(reads)
    def begin(self: DataFlow) -> Iterator[Any]:
        if type(self).__iter__ is not begin:
            return iter(reads(self))
        return start_pass(self)

    begin._begins = True  # type: ignore[attr-defined]
    return begin


def _once_per_process(reset: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(reset)
    def reset_state(self: DataFlow) -> None:
        if type(self).reset_state is not reset_state:
            return reset(self)
        runtime = self._runtime
        if runtime.reset_in_pid == os.getpid():
            return None
        runtime.reset_in_pid = os.getpid()
        try:
            return reset(self)
        except BaseException:
            runtime.reset_in_pid = None
            raise

    return reset_state


class DataFlow:
    """The base of all flows: an iterable of datapoints that can be iterated again and again.

    A datapoint is a list, tuple or dict of components, or a bare object. A subclass defines ``__iter__`` (or
    ``run``, see the module's head), ``__len__`` where there is one, and ``reset_state`` where something has to be
    opened in the process that iterates.

    Guarantees: ``iter(flow)`` is one pass. ``reset_state()`` need not be called: it happens before the first pass in
    each process, once; calling it again does nothing. ``len`` of a flow without length raises `NoLengthError`.

    Example:
        >>> import headrace as hr
        >>> class Squares(hr.DataFlow):
        ...     def __iter__(self):
        ...         for i in range(4):
        ...             yield i * i
        >>> list(Squares())
        [0, 1, 4, 9]
        >>> list(hr.BatchData(Squares(), 2, use_list=True))
        [[0, 1], [4, 9]]
    """

    keeps: bool = False
    """Whether inputs and ``state.kept`` outlive the pass. Such a flow can have one live iterator only."""

    reentrant: bool = True
    """Whether two iterators of this flow may be alive at the same time."""

    leaves_traces: bool = False
    """Whether ``run`` itself sees to it that a pass that is left early can still be saved."""

    elementwise: bool = False
    """Whether shares of the inputs give shares of this flow. Under a runner with ``shard=True`` a share is taken by the
    first flow, from the top, for which this does not hold: a source, or a flow that may do anything."""

    takes_share: bool = False
    """Whether ``run`` itself gives only the share `State.share`, so that the rest need not be read. A subclass with a
    ``run`` or ``__iter__`` of its own has to say so again."""

    rank: int | None = None
    """For a flow that gives each process of a training job its own data: the number of this process. See `Shard`."""

    _audit: Audit | None = None  # where a parallel flow keeps books, see `audit`
    _seed: int | None = None
    _reads: Callable[[Any], Iterable[Any]] | None = None  # the user's own __iter__, where there is one

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if callable(own.get("size")) and "__len__" not in own:
            cls.__len__ = own["size"]  # type: ignore[method-assign]
        reads = own.get("__iter__") or own.get("get_data")
        if reads is None and not hasattr(cls.__iter__, "_begins"):
            reads = cls.__iter__  # of a mixin that is no flow
        if reads is not None:
            cls._reads = staticmethod(reads)
            cls.__iter__ = _outermost(reads)  # type: ignore[method-assign]
            if "get_data" in own:
                cls.get_data = cls.__iter__  # type: ignore
        elif "run" in own:
            cls._reads = None
            cls.__iter__ = DataFlow.__iter__  # type: ignore[method-assign]
        if "takes_share" not in own and (reads is not None or "run" in own):
            cls.takes_share = False
        if "reset_state" in own:
            cls.reset_state = _once_per_process(own["reset_state"])  # type: ignore

    def __getstate__(self) -> dict[str, Any]:
        # What runs stays behind when a flow is copied or pickled.
        return {name: value for name, value in vars(self).items() if name != "_headrace"}

    # -- what users call

    def __iter__(self) -> Iterator[Any]:
        if type(self).__iter__ is not DataFlow.__iter__:  # a subclass's own __iter__ called super().__iter__()
            inputs = [Input(f) for f in self.inputs]
            return self.run(*sources_of(inputs), self._bare_state(inputs))
        return start_pass(self)

    __iter__._begins = True  # type: ignore[attr-defined]

    def __len__(self) -> int:
        raise NoLengthError(f"{type(self).__name__} has no length")

    def __bool__(self) -> bool:
        return True

    def reset_state(self) -> None:
        """Prepare the flow for this process; optional, see the class. Overriding methods call ``super()``'s."""
        self._runtime.reset_in_pid = os.getpid()
        for flow in self.inputs:
            flow.reset_state()

    def get_data(self) -> Iterator[Any]:
        """Tensorpack's old name for ``iter(flow)``."""
        return _under_its_new_name(self, "__iter__", "get_data")  # type: ignore[no-any-return]

    def size(self) -> int:
        """Tensorpack's old name for ``len(flow)``."""
        return _under_its_new_name(self, "__len__", "size")  # type: ignore[no-any-return]

    def close(self) -> None:
        """End all workers below this flow, now. The flow can be iterated again; that starts new ones."""
        for flow in self.inputs:
            flow.close()

    def __enter__(self) -> DataFlow:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def pipe(
        self, stage: Callable[Concatenate[Any, Arguments], Stage], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Stage:
        """``stage(self, *args, **kwargs)``: write a pipeline in the order in which the data runs through it.

        Args:
            stage: the class of a stage, or any function that takes a flow first.
            *args: what it takes besides.
            **kwargs: the same, by name.

        Returns:
            What ``stage`` returns. (The idea and the name are those of ``pandas.DataFrame.pipe``.)

        Example:
            >>> import headrace as hr
            >>> flow = (
            ...     hr.DataFromList([1, 2, 3, 4], shuffle=False)
            ...     .pipe(hr.MapData, lambda n: n * n)
            ...     .pipe(hr.BatchData, batch_size=2)
            ... )
            >>> [batch.tolist() for batch in flow]
            [[1, 4], [9, 16]]
        """
        return stage(self, *args, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        """Where the pipeline stands: plain data from which `load_state_dict` goes on.

        Taken between two datapoints, or after the consumer has left a pass early, it covers exactly those that the
        consumer has received. After a pass that has ended, or raised, it stands at the beginning of the next one. Of
        several iterators that are alive, it is about the one that was begun last. It is made of JSON types wherever the
        datapoints held in buffers are (arrays, tuples and bytes are encoded).

        Returns:
            A dict with ``version``, ``fingerprint``, ``seed``, ``flow`` (nested as the flows are) and ``checksum``.

        Example:
            >>> import headrace as hr
            >>> flow = hr.DataFromList([10, 11, 12, 13], shuffle=False)
            >>> it = iter(flow)
            >>> next(it), next(it)
            (10, 11)
            >>> saved = flow.state_dict()
            >>> again = hr.DataFromList([10, 11, 12, 13], shuffle=False)
            >>> again.load_state_dict(saved)
            >>> list(again)
            [12, 13]
        """
        runtime = self._runtime
        live = last_open(runtime)
        if runtime.place is None:
            assign_places(self)
        assert runtime.place is not None
        return seal(
            {
                "fingerprint": pipeline_fingerprint(self),
                "seed": runtime.place.seed,
                "flow": snapshot(self, live if live is not None else runtime.left),
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration go on where ``state`` was taken.

        Args:
            state: what `state_dict` gave, in this process or another, here or on another machine.

        Raises:
            StateError: damaged, of another version, of another pipeline (with the difference), or an iterator of
                this flow is still alive.
        """
        body = unseal(state)
        if body["fingerprint"] != pipeline_fingerprint(self):
            raise StateError(
                "the state belongs to another pipeline:\n" + difference(body["fingerprint"], pipeline_fingerprint(self))
            )
        runtime = self._runtime
        if is_live(runtime):
            raise StateError(
                f"{type(self).__name__} is being iterated: load a state before iter(), or drop the iterator first"
            )
        runtime.entropy = body["seed"]
        runtime.loaded = seeds_set()
        runtime.place = runtime.owner = None
        restore_flows([self], [body["flow"]])
        runtime.restored = body["flow"]

    def stats(self) -> Stats:
        """What was counted in this pipeline so far.

        Parallel flows are counted always; other flows only while somebody looks, see `Stats`. It can be called at any
        time, from any thread. The difference of two snapshots is what happened in between.

        Returns:
            A `Stats`: ``print`` it, ``.to_dict()`` it, or subtract an earlier one.

        Example:
            >>> import headrace as hr
            >>> with hr.MultiThreadMapData([1, 2, 3], 1, lambda x: x) as flow:
            ...     _ = list(flow)
            ...     flow.stats().flows[-1].pool.delivered
            3
        """
        from .observe.stats import take

        return take(self)

    def __repr__(self) -> str:
        return "\n".join(tree_lines(self))

    # -- what flows are made of

    @property
    def inputs(self) -> tuple[DataFlow, ...]:
        """The flows this one reads from: its attributes that are flows (each once), or that hold some.

        These are lists or tuples of flows or of pairs ``(flow, ...)``, and dicts whose values are such.
        """
        found: list[DataFlow] = []
        for value in vars(self).values():
            if isinstance(value, DataFlow):
                if not any(value is f for f in found):
                    found.append(value)
            else:
                found.extend(_flows_in(value))
        return tuple(found)

    @property
    def children(self) -> tuple[DataFlow, ...]:
        """The flows below this one in the pipeline: its inputs, unless it runs copies of them elsewhere."""
        return self.inputs

    def reader(self, pass_index: int) -> Callable[[int], Any] | None:
        """Random access to the datapoints of a pass, by their number in it; None where there is none.

        What is under way in a parallel stage is saved as numbers where this exists, else as datapoints.
        """
        return None

    def run(self, source: Any, state: State) -> Running:
        """One pass, as a generator.

        Args:
            source: the running input; a tuple of them for a flow with several inputs, ``None`` for one without.
            state: a dict, empty or restored, to be kept true before each ``yield``.
        """
        raise TypeError(f"{type(self).__name__} defines neither __iter__ nor run")

    def describe(self) -> str:
        """The arguments of this flow, in one line: what ``repr`` shows."""
        return ", ".join(f"{k}={short(v)}" for k, v in self._arguments().items())

    def fingerprint(self) -> str:
        """What decides the data of this flow, in one line: a state fits where all these lines are equal."""
        return f"{type(self).__name__}({self.describe()})"

    def _arguments(self) -> dict[str, Any]:
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        values = {n: getattr(self, n) for n in names if n in vars(self)}
        return {k: v for k, v in values.items() if not isinstance(v, DataFlow) and not _flows_in(v)}

    @property
    def _runtime(self) -> Runtime:
        # Made on demand: subclasses in the wild do not all call super().__init__().
        runtime: Runtime | None = self.__dict__.get("_headrace")
        if runtime is None or runtime.pid != os.getpid():
            runtime = self.__dict__["_headrace"] = Runtime()
        return runtime

    def _bare_state(self, inputs: list[Input]) -> State:
        runtime = self._runtime
        assert runtime.place is not None
        return State(runtime.place, max(runtime.passes - 1, 0), runtime.kept, inputs)  # the share is taken outside

    def _share_below(self, share: tuple[int, int]) -> tuple[int, int]:
        """Which share the inputs have to give, so that this flow gives ``share``."""
        return share if self.elementwise else (0, 1)

    def _begin(self, node: Node | None = None) -> tuple[Running, State]:
        """Begin a pass (or go on with the restored one); the flow has its place already."""
        runtime = self._runtime
        if not (self.reentrant and not self.keeps) and is_live(runtime):
            raise NotReentrantError(
                f"This DataFlow is not reentrant! {type(self).__name__} already has a live iterator; "
                "finish it, close() it or drop it before you begin another"
            )
        if runtime.place is None:
            assign_places(self)
        if runtime.reset_in_pid != os.getpid():
            self.reset_state()
            runtime.reset_in_pid = os.getpid()
        runtime.left = None
        if node is None:
            node, runtime.restored = runtime.restored, None
        state = self._make_state(runtime, node)
        runtime.live = [*filter(open_pass, runtime.live), weakref.ref(state)]
        running: Running
        if self._reads is not None:
            running = self._replay(state, self._reads)
        else:
            running = self.run(*sources_of(state.inputs), state)
            if not isinstance(running, (Generator, Rows)):
                raise TypeError(
                    f"{type(self).__name__}.run must be a generator (have a yield), but returned {short(running)}"
                )
        if state.place.share[1] > 1 and not self.elementwise and not self.takes_share:
            running = take_share(running, state)
        if runtime.meter is not None:
            running = runtime.meter.measured(running)
        state.running = weakref.ref(running)
        return running, state

    def _make_state(self, runtime: Runtime, node: Node | None) -> State:
        saved: Node | None = node.get("run") if node is not None else None
        inputs = runtime.inputs
        if self._reads is not None:
            inputs = []  # they are opened by the user's code
        elif inputs is None:
            nodes = node["inputs"] if node is not None else [None] * len(self.inputs)
            inputs = [Input(f, n) for f, n in zip(self.inputs, nodes, strict=True)]
            if self.keeps:
                runtime.inputs = inputs
        assert runtime.place is not None
        pass_index = saved["pass"] if saved is not None else runtime.passes
        runtime.passes = max(runtime.passes, pass_index + 1)
        state = State(runtime.place, pass_index, runtime.kept, inputs)
        if self.takes_share:
            state.share = runtime.place.share
        if node is not None and saved is not None:
            state.restore(saved)
            state.inputs_at_begin = node.get("begin")
        elif self._reads is not None:
            state.inputs_at_begin = [snapshot(f, None) for f in self.inputs]
        return state

    def _replay(self, state: State, reads: Callable[[Any], Iterable[Any]]) -> Generator[Any, None, None]:
        """A pass of user code: counted, and resumed by reading as many datapoints again."""
        if state.restored and state.inputs_at_begin is not None:
            restore_flows(self.inputs, state.inputs_at_begin)
            for flow, node in zip(self.inputs, state.inputs_at_begin, strict=True):
                flow._runtime.restored = node  # for the user's code to begin from
        found = reads(self)
        datapoints = iter(found) if found is not self else iter(cast(Any, self).__next__, state)
        for done in range(state.setdefault("count", 0)):
            if next(datapoints, state) is state:
                raise StateError(
                    f"{type(self).__name__} is resumed by replaying its first {state['count']} datapoints, "
                    f"but gave only {done} this time"
                )
        for datapoint in datapoints:
            state["count"] += 1
            yield datapoint


class ProxyDataFlow(DataFlow):
    """A flow on top of another one, which it forwards to unless a method is overridden.

    Args:
        ds: the flow below; any other iterable is wrapped in a `DataFromIterable`.

    Raises:
        TypeError: ``ds`` is not iterable.

    Example:
        >>> import headrace as hr
        >>> class Twice(hr.ProxyDataFlow):
        ...     def __iter__(self):
        ...         for dp in self.ds:
        ...             yield dp * 2
        >>> flow = Twice(hr.DataFromList([1, 2], shuffle=False))
        >>> list(flow), len(flow)
        ([2, 4], 2)
    """

    ds: DataFlow

    def __init__(self, ds: Any):
        self.ds = as_flow(ds)

    def __len__(self) -> int:
        return len(self.ds)

    def run(self, source: Any, state: State) -> Generator[Any, None, None]:
        """One pass; see `DataFlow.run`."""
        yield from source


class RNGDataFlow(DataFlow):
    """A flow with a random stream of its own, ``self.rng``.

    The stream is a `numpy.random.RandomState` (as upstream's), begun anew in each pass from the seed, the place in
    the pipeline and the number of the pass; it differs from copy to copy under a runner.

    Example:
        >>> import headrace as hr
        >>> class Noise(hr.RNGDataFlow):
        ...     def __iter__(self):
        ...         for _ in range(3):
        ...             yield self.rng.randint(10)
        >>> hr.seed(1); a = list(Noise()); b = list(Noise()); hr.seed(None)
        >>> a == b and len(a) == 3
        True
    """

    @functools.cached_property
    def rng(self) -> np.random.RandomState:
        """The random stream of this pass; None before ``reset_state``, as upstream."""
        stream = self._runtime.stream_of_rng
        if stream is None:
            return None  # type: ignore[return-value]
        place, pass_index = stream
        return np.random.RandomState(np.random.MT19937(place.sequence(pass_index)))

    def reset_state(self) -> None:
        """Make ``self.rng``."""
        super().reset_state()
        runtime = self._runtime
        if runtime.place is None:
            assign_places(self)
        assert runtime.place is not None
        self._reseed(runtime.place, runtime.passes)

    def _begin(self, node: Node | None = None) -> tuple[Running, State]:
        running, state = super()._begin(node)
        self._reseed(state.place, state.pass_index)
        return running, state

    def _replay(self, state: State, reads: Callable[[Any], Iterable[Any]]) -> Generator[Any, None, None]:
        self._reseed(state.place, state.pass_index)
        rng = self.rng
        for datapoint in super()._replay(state, reads):
            yield datapoint
            self.rng = rng  # there may be another iterator

    def _reseed(self, place: Place, pass_index: int) -> None:
        self._runtime.stream_of_rng = place, pass_index
        self.__dict__.pop("rng", None)  # made when it is asked for: it takes longer than to begin a pass


def as_flow(ds: Any) -> DataFlow:
    """``ds`` itself if it is a flow, else a flow over it.

    Raises:
        TypeError: ``ds`` is not iterable.
    """
    if isinstance(ds, DataFlow):
        return ds
    if not hasattr(type(ds), "__iter__"):
        raise TypeError(f"expected a DataFlow or another iterable, got {type(ds).__name__}: {short(ds)}")
    from .sources.iterable import DataFromIterable

    return DataFromIterable(ds)


def _flows_in(value: Any) -> list[DataFlow]:
    if not isinstance(value, (list, tuple, dict)) or not value:
        return []
    first = _flow_of(next(iter(value.values())) if isinstance(value, dict) else value[0])
    if first is None:  # the first tells: a list of a million file names is not searched
        return []
    flows = map(_flow_of, value.values() if isinstance(value, dict) else value)
    return [flow for flow in flows if flow is not None]


def _flow_of(value: Any) -> DataFlow | None:
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value if isinstance(value, DataFlow) else None
