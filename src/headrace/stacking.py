"""How datapoints become a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import BatchError

__all__ = ["stack_datapoints"]

Array = np.ndarray[Any, Any]
Out = Callable[[tuple[int, ...], "np.dtype[Any]"], Array]

_INT32 = np.iinfo(np.int32)
_INT64 = np.iinfo(np.int64)
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NUMBERS = (bool, int, float)


def stack_datapoints(datapoints: Sequence[Any], use_list: bool = False, out: Out | None = None) -> Any:
    """One batch of some datapoints, all of the same structure.

    Lists and tuples give a list of stacked components, dicts a dict, bare objects one stacked component; components
    that are lists, tuples or dicts themselves are treated in the same way. Arrays and numpy scalars keep their dtype;
    ``int`` becomes int32 (int64 where the values need it), ``float`` float32 (float64 where they need it), ``bool``
    bool, ``str`` and ``bytes`` numpy's.

    Args:
        datapoints: at least one.
        use_list: make lists of components, unchanged, instead of arrays.
        out: gives the array to stack into, from shape and dtype; `numpy.empty` by default. Not asked for arrays of
            Python objects.

    Raises:
        BatchError: the structures, shapes or types do not fit; the message names the component.
    """
    if len(datapoints) == 0:
        raise BatchError("a batch needs at least one datapoint, got none")
    first = datapoints[0]
    if use_list:
        return _by_component(datapoints, "", lambda values, name: values, "datapoint")
    if isinstance(first, (list, tuple, dict)):
        return _by_component(datapoints, "", lambda values, name: _stack(values, name, out), "datapoint")
    return _stack(list(datapoints), "", out)


def _by_component(values: Sequence[Any], name: str, join: Callable[[list[Any], str], Any], what: str) -> Any:
    first = values[0]
    if isinstance(first, dict):
        keys = first.keys()
        for value in values:
            if not isinstance(value, dict):
                raise BatchError(_mixed(first, value, name, what))
            if value.keys() != keys:
                here, there = sorted(map(repr, keys)), sorted(map(repr, value))
                raise BatchError(f"{_called(name, what)}: dicts of other keys: {here} and {there}")
        return {key: join([v[key] for v in values], f"{name}[{key!r}]") for key in keys}
    if isinstance(first, (list, tuple)):
        count = len(first)
        for value in values:
            if not isinstance(value, (list, tuple)) or len(value) != count:
                if not isinstance(value, (list, tuple)):
                    raise BatchError(_mixed(first, value, name, what))
                raise BatchError(
                    f"{_called(name, what)}: lists of different lengths cannot be one batch: {count} and {len(value)}; "
                    + _REMEDY
                )
        return [join([v[i] for v in values], f"{name}[{i}]") for i in range(count)]
    return join(list(values), name)


_REMEDY = "BatchData(use_list=True) keeps components as they are, BatchDataByShape makes batches of equal shapes"


def _mixed(first: Any, other: Any, name: str, what: str) -> str:
    kinds = f"{type(first).__name__} and {type(other).__name__}"
    return f"{_called(name, what)} is {kinds} in one batch, which cannot be stacked; {_REMEDY}"


def _called(name: str, what: str = "component") -> str:
    return f"{what} {name}".rstrip() if name else what


def _stack(values: list[Any], name: str, out: Out | None) -> Any:
    kinds = set(map(type, values))
    if kinds == {np.ndarray}:
        return _stack_arrays(values, name, out)
    if type(None) in kinds:
        raise BatchError(f"{_called(name)} is None in at least one datapoint, and None cannot be stacked; {_REMEDY}")
    if any(issubclass(k, (list, tuple, dict)) for k in kinds):
        if not isinstance(values[0], (list, tuple, dict)):
            other = next(v for v in values if isinstance(v, (list, tuple, dict)))
            raise BatchError(_mixed(values[0], other, name, "component"))
        return _by_component(values, name, lambda v, n: _stack(v, n, out), "component")
    arrays = {k for k in kinds if hasattr(k, "__array__")}
    if arrays and all(issubclass(k, _NUMBERS) for k in kinds - arrays):
        if arrays != kinds:  # numpy's numbers decide the dtype, Python's go along
            dtype = np.result_type(*(np.asarray(v).dtype for v in values if type(v) in arrays))
            values = [v if type(v) in arrays else _number_like(v, dtype, name) for v in values]
        return _stack_arrays([np.asarray(v) for v in values], name, out)
    if all(issubclass(k, (str, bytes)) for k in kinds) and len({issubclass(k, str) for k in kinds}) == 1:
        end = "\0" if isinstance(values[0], str) else b"\0"
        if any(v.endswith(end) for v in values):
            raise BatchError(
                f"{_called(name)} ends in NUL, which numpy's strings would drop; BatchData(use_list=True) keeps it"
            )
        return _fill(np.array(values), out)
    if all(issubclass(k, _NUMBERS) for k in kinds):
        return _fill(_numbers(values, kinds, name), out)
    names = " and ".join(sorted(k.__name__ for k in kinds))
    raise BatchError(f"{_called(name)} is of type {names}, which cannot be stacked; {_REMEDY}")


def _stack_arrays(arrays: list[Array], name: str, out: Out | None) -> Array:
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        shown = ", ".join(map(str, sorted(shapes)[:5])) + (", ..." if len(shapes) > 5 else "")
        raise BatchError(f"{_called(name)} has different shapes in one batch: {shown}; {_REMEDY}")
    dtypes = {a.dtype for a in arrays}
    try:
        dtype = next(iter(dtypes)) if len(dtypes) == 1 else np.result_type(*dtypes)
        if dtype.kind in "SU" and len({d.kind for d in dtypes}) > 1:
            raise TypeError("numpy would write numbers as text, and bytes as str")
    except TypeError:
        shown = ", ".join(sorted(map(str, {a.dtype for a in arrays})))
        raise BatchError(f"{_called(name)} has dtypes that do not go together: {shown}; {_REMEDY}") from None
    shape = (len(arrays), *arrays[0].shape)
    target = np.empty(shape, dtype) if out is None or dtype.hasobject else out(shape, dtype)
    return np.stack(arrays, out=target)


def _number_like(value: Any, dtype: np.dtype[Any], name: str) -> Array:
    try:
        return np.array(value, np.result_type(dtype, value))
    except (TypeError, OverflowError):
        raise BatchError(f"{_called(name)}: {value!r} does not go with {dtype}; {_REMEDY}") from None


def _numbers(values: list[Any], kinds: set[type], name: str) -> Array:
    if all(issubclass(k, bool) for k in kinds):
        return np.array(values, np.bool_)
    if not any(issubclass(k, float) for k in kinds):
        low, high = min(values), max(values)
        if _INT32.min <= low and high <= _INT32.max:
            return np.array(values, np.int32)
        if _INT64.min <= low and high <= _INT64.max:
            return np.array(values, np.int64)
        raise BatchError(
            f"{_called(name)} has integers beyond 64 bits, {low} to {high}; BatchData(use_list=True) keeps them"
        )
    try:
        wide = np.array(values, np.float64)
    except OverflowError:
        raise BatchError(
            f"{_called(name)} has integers beyond the range of floats; BatchData(use_list=True) keeps them"
        ) from None
    finite = np.abs(wide[np.isfinite(wide)])
    return wide if finite.size and finite.max() > _FLOAT32_MAX else wide.astype(np.float32)


def _fill(array: Array, out: Out | None) -> Array:
    if out is None:
        return array
    target = out(array.shape, array.dtype)
    target[...] = array
    return target
