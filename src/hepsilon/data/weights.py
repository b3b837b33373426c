"""The largest weight that a sample may have: few events must not decide an efficiency."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.data.reading import EventChunk
from hepsilon.errors import InputError

__all__ = ["limit_chunks", "limit_weights"]

logger = logging.getLogger("hepsilon")


def _counts(weights: Array, limit: float) -> tuple[int, int, float]:
    """Numbers of weights beyond the limit and of all, and the largest one, by absolute value."""
    sizes = np.abs(weights)
    return int(np.count_nonzero(sizes > limit)), len(sizes), float(np.max(sizes, initial=0.0))


def _report(config: InputConfig, count: int, n_events: int, largest: float) -> None:
    """Warn of the weights that were clipped, or refuse them.

    Raises
    ------
    InputError
        If the configuration does not say that they are clipped.
    """
    if not count:
        return
    found = (
        f"{count} of {n_events} weights are larger than max_weight = {config.max_weight:g} "
        f"(the largest one is {largest:g})"
    )
    if config.max_weight_policy == "raise":
        raise InputError(
            f'{found}; remove these events, or clip them with max_weight_policy = "clip" in [input]'
        )
    logger.warning("%s and were clipped", found)


def limit_weights(weights: Array, config: InputConfig) -> Array:
    """Weights of some events, clipped to the largest one that is allowed.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_events,)
        Finite weights; of negative ones the absolute value counts.
    config : InputConfig
        Largest weight, and what is done with larger ones.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        The weights, or clipped ones; their number is logged.

    Raises
    ------
    InputError
        For larger weights that are not to be clipped, with their number.
    """
    if config.max_weight is None:
        return weights
    _report(config, *_counts(weights, config.max_weight))
    return np.clip(weights, -config.max_weight, config.max_weight)


def limit_chunks(chunks: Iterable[EventChunk], config: InputConfig) -> Iterator[EventChunk]:
    """Chunks with limited weights; what was clipped is said once, at the end.

    Parameters
    ----------
    chunks : iterable of EventChunk
        All chunks of a sample.
    config : InputConfig
        Largest weight, and what is done with larger ones.

    Yields
    ------
    EventChunk
        The chunks in order.

    Raises
    ------
    InputError
        After the last chunk, for larger weights that are not to be clipped, with their number.
    """
    limit = config.max_weight
    if limit is None:
        yield from chunks
        return
    n_large, n_events, largest = 0, 0, 0.0
    for chunk in chunks:
        count, size, high = _counts(np.asarray(chunk.weights), limit)
        n_large, n_events, largest = n_large + count, n_events + size, max(largest, high)
        yield replace(chunk, weights=np.clip(chunk.weights, -limit, limit)) if count else chunk
    _report(config, n_large, n_events, largest)
