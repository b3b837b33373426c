"""Events that a sample shares with the training of an efficiency, whatever files they are in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hepsilon.arrays.sketch import event_digests
from hepsilon.arrays.types import Array
from hepsilon.closure.entries import read_chunks_of
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import EventChunk
from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.selection import inside_fiducial, ordered, select
from hepsilon.data.sources import Files, find_sources
from hepsilon.efficiencies.card import ArtifactCard
from hepsilon.errors import InputError

__all__ = ["shared_with_training"]

MOST_EVENTS = 100_000
"""Number of events that are looked at, spread over the files."""


def shared_with_training(
    files: Files,
    task: Task,
    efficiencies: Mapping[str, Any],
    config: InputConfig | None = None,
    *,
    most: int = MOST_EVENTS,
    max_events: int | None = None,
) -> dict[str, float]:
    """Estimate which share of a sample each efficiency was trained on, by the content of events.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample.
    task : Task
        The question.
    efficiencies : mapping of str to object
        Efficiencies by name; of those whose card has no sketch of the training nothing is known.
    config : InputConfig, optional
        Places of the columns.
    most : int, default MOST_EVENTS
        Number of events that are looked at, spread over the files.
    max_events : int, optional
        Number of events of the sample: those behind them are not looked at.

    Returns
    -------
    dict of str to float
        Share of the sample, at most one, of the efficiencies that share events with it. A share
        below about ``n_training / (512 n_events)`` may go unnoticed.
    """
    cards = {name: getattr(each, "card", None) for name, each in efficiencies.items()}
    known = {
        name: card
        for name, card in cards.items()
        if isinstance(card, ArtifactCard) and card.sample is not None and card.sample.sketch
    }
    if not known:
        return {}
    config = config or InputConfig(schema="nanoaod")
    sources = find_sources(files)
    of_file = max(1, most // max(1, len(sources)))
    hits, looked = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    for chunk in read_chunks_of(sources, task, efficiencies, config, max_events, of_file):
        for name, card in known.items():
            digests = _digests(chunk, card.task)
            assert card.sample is not None
            looked[name] += len(digests)
            hits[name] += int(np.isin(digests, np.array(card.sample.sketch, np.uint64)).sum())
    found = {}
    for name, card in known.items():
        if hits[name]:
            assert card.sample is not None
            chance = len(card.sample.sketch) / max(card.n_events, len(card.sample.sketch))
            found[name] = min(1.0, hits[name] / (looked[name] * chance))
    return found


def _digests(chunk: EventChunk, task: Task) -> Array:
    """Digests of the events as a training has them; none where it would not have read them."""
    try:
        records = select(chunk.records, task)
        if task.of_events:
            records = ordered(records[inside_fiducial(records, task)], task)
            return event_digests(*event_matrix(records, task, task.features))
        offsets, nodes = feature_matrix(records, task.features, task.unit, task.missing)
    except InputError:
        return np.empty(0, np.uint64)
    filled = np.diff(offsets) > 0
    return np.asarray(event_digests(offsets, nodes)[filled])
