"""Functions of arrays inside the task graphs of dask-awkward.

In a graph a function is called twice: once with arrays that have a type and no data, which tells
dask-awkward what it gives and which columns it reads, and with data in the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import awkward as ak
import numpy as np

from hepsilon.arrays.keys import EVENT_NAMES

__all__ = ["in_graphs", "is_lazy", "is_traced", "mapped", "without_data"]

P = ParamSpec("P")
R = TypeVar("R")


def is_lazy(value: Any) -> bool:
    """Whether something is an array of dask-awkward, which holds no data yet."""
    lazy = type(value).__module__.partition(".")[0] == "dask_awkward"
    return lazy and hasattr(value, "npartitions")


def is_traced(value: Any) -> bool:
    """Whether an array has a type and no data."""
    return isinstance(value, ak.Array) and ak.backend(value) == "typetracer"


def mapped(function: Callable[..., Any], *arguments: Any, label: str) -> Any:
    """Put a function of arrays into the graph.

    Parameters
    ----------
    function : callable
        Function of arrays, with and without data (see :func:`is_traced`), that gives one.
    *arguments : dask_awkward.Array or object
        Its arguments, one of them lazy.
    label : str
        Name of the tasks.

    Returns
    -------
    dask_awkward.Array
        What it gives for each part of the events, once it is computed.
    """
    import dask_awkward as dak

    return dak.map_partitions(function, *arguments, label=label)


def without_data(value: Any) -> Any:
    """The type of an array, as an array without data; all else as it is."""
    if isinstance(value, np.ndarray):
        value = ak.Array(value)
    if not isinstance(value, ak.Array):
        return value
    layout = ak.to_layout(value).to_typetracer(forget_length=True)
    return ak.Array(layout, behavior=value.behavior, attrs=value.attrs)


def in_graphs(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of arrays of numbers take the arrays of graphs, too, and give such an array.

    Of records it may read the numbers of the event only.

    Parameters
    ----------
    function : callable
        Function of arrays that gives an array of as many events.

    Returns
    -------
    callable
        The function, which does the same for arrays that hold data.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = list(_arrays((args, kwargs)))
        if any(map(is_lazy, given)):
            lazy = [value for value in given if is_lazy(value)]
            again = partial(_again, wrapper, args, kwargs)
            return mapped(again, *lazy, label=function.__name__)  # type: ignore[no-any-return]
        if any(map(is_traced, given)):
            for each in filter(is_traced, given):
                _touch(each)
            empty = _replaced((args, kwargs), [_empty(v) for v in given if is_traced(v)], is_traced)
            return without_data(function(*empty[0], **empty[1]))  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return wrapper


def _again(function: Callable[..., Any], args: Any, kwargs: Any, *parts: Any) -> Any:
    """Call the function with one part of each lazy array; awkward arrays are what graphs take."""
    replaced = _replaced((args, kwargs), list(parts), is_lazy)
    result = function(*replaced[0], **replaced[1])
    return ak.Array(result) if isinstance(result, np.ndarray) else result


def _arrays(value: Any) -> Iterator[Any]:
    """All arguments, those in lists and mappings, too."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _arrays(each)
    elif type(value) in (list, tuple):
        for each in value:
            yield from _arrays(each)
    else:
        yield value


def _replaced(value: Any, parts: list[Any], which: Callable[[Any], bool]) -> Any:
    """Arguments in which each array of a kind is the next one of the parts."""
    if isinstance(value, Mapping):
        return {key: _replaced(each, parts, which) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_replaced(each, parts, which) for each in value)
    return parts.pop(0) if which(value) else value


def _touch(array: ak.Array) -> None:
    """Note that numbers are read; of records those of the event."""
    names = ak.fields(array)
    for name in [n for n in EVENT_NAMES if n in names] if names else [None]:
        ak.typetracer.touch_data(array if name is None else array[name])


def _empty(array: ak.Array) -> ak.Array:
    empty = array.layout.form.length_zero_array(highlevel=False)
    return ak.Array(empty, behavior=array.behavior, attrs=array.attrs)
