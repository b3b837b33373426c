"""Fields of the file that are no features, but explain what a network leaves.

Each of them is cut into bins, and the numbers that passed in these bins are compared with the sums
of the efficiencies, on events that the network was not trained on. What only the task's features
explain does not count: the network's logit and every feature, in bins of their own, are fitted
first, and the test is Rao's score test of the field's bins beside them (C. R. Rao, Proc. Camb.
Phil. Soc. 44 (1948) 50), with the variance of weighted entries. Nothing is trained for it. Its
p-value is multiplied by the number of tests, so that in one of a thousand trainings a field is
named that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2, norm

from hepsilon.arrays.columns import flat
from hepsilon.arrays.keys import key_uniform
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.dataset import part_columns
from hepsilon.data.events import EventChunk
from hepsilon.data.missing import is_missing
from hepsilon.data.parts import Skipped, Wanted, split_files
from hepsilon.data.reading import part_chunk, read_events
from hepsilon.data.selection import fiducial_events, ordered, select
from hepsilon.data.sources import Files
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.cards import UnusedCard
from hepsilon.training.kept import Kept
from hepsilon.training.refinement_entries import entries_of

__all__ = ["score_test", "unused_fields"]

FALSE_ALARM = 1e-3
"""Probability that a training names a field that says nothing."""
MOST_ENTRIES = 20_000
"""Objects, or events of a task of events, that are looked at."""
MOST_EVENTS = 400_000
BINS = 10
FEWEST = 5.0
"""Smallest variance of the number of passed entries in a bin."""
ANSWERS = re.compile(
    r"(b|c|tau)tag|tagger|discrim|score|prob|mva|dnn|pnet|particlenet|deep(flav|csv|jet)|csv|robust"
    r"|true|truth|effic|weight|idx|cleanmask|wp\d|(?-i:id$|Id|ID)",
    re.IGNORECASE,
)
"""Names of answers of other algorithms, of truths and of positions in other lists."""


def score_test(
    passed: Array, eps: Array, weights: Array, known: list[Array], field: Array
) -> tuple[float, int]:
    """Test whether a field explains what efficiencies and known quantities do not.

    Parameters
    ----------
    passed : ndarray of bool, shape (n,)
        Responses.
    eps : ndarray of float, shape (n,)
        Efficiencies in (0, 1).
    weights : ndarray of float, shape (n,)
        Weights, of either sign.
    known : list of ndarray of float, each of shape (n,)
        Quantities that may explain it, too; NaN is a value of its own.
    field : ndarray of float, shape (n,)
        The field.

    Returns
    -------
    chi2 : float
        Score statistic.
    ndf : int
        Number of its degrees of freedom; zero if the field has too few values.
    """
    fitted = _fitted(passed, eps, weights, known)
    return _tested(passed, weights, *fitted, _in_bins(field))


def _fitted(passed: Array, eps: Array, weights: Array, known: list[Array]) -> tuple[Array, Array]:
    """Bins of what is known, and the efficiencies with what these explain."""
    offset = logit(np.clip(eps, 1e-9, 1.0 - 1e-9))
    design = np.concatenate([_in_bins(values) for values in (offset, *known)], axis=1)
    shifts = np.zeros(design.shape[1])
    for _ in range(4):  # Newton's method from a start that is near
        p = expit(offset + design @ shifts)
        information = design.T @ (design * (np.abs(weights) * p * (1.0 - p))[:, None])
        step = np.linalg.pinv(information, rcond=1e-8) @ (design.T @ (weights * (passed - p)))
        shifts += np.clip(step, -1.0, 1.0)
    return design, expit(offset + design @ shifts)


def _tested(
    passed: Array, weights: Array, design: Array, p: Array, bins: Array
) -> tuple[float, int]:
    """Efficient score of the bins of a field, orthogonal to what was fitted."""
    spread = p * (1.0 - p)
    bins = bins[:, bins.T @ spread >= FEWEST]
    if bins.shape[1] < 2:
        return 0.0, 0
    weighted = design * (np.abs(weights) * spread)[:, None]
    known = np.linalg.pinv(design.T @ weighted, rcond=1e-8) @ (weighted.T @ bins)
    own = bins - design @ known
    score = own.T @ (weights * (passed - p))
    variance = own.T @ (own * (weights**2 * spread)[:, None])
    values, vectors = np.linalg.eigh(variance)
    here = values > 1e-6 * max(float(np.sum((weights**2) * spread)), 1e-300)
    return float(np.sum((vectors[:, here].T @ score) ** 2 / values[here])), int(here.sum())


def _in_bins(values: Array) -> Array:
    """One column for each value, or for bins of equal content where there are many; one of NaN."""
    absent = np.isnan(values)
    found = np.unique(values[~absent])
    if len(found) > BINS:
        edges = np.unique(np.quantile(values[~absent], np.arange(1, BINS) / BINS))
        codes = np.searchsorted(edges, values, side="right")
        n = len(edges) + 1
    else:
        codes, n = np.searchsorted(found, values), len(found)
    codes = np.where(absent, n, codes)
    return np.asarray(codes[:, None] == np.arange(n + bool(absent.any())), np.float64)


def unused_fields(kept: Kept, files: Files, config: Config) -> tuple[UnusedCard, ...]:
    """Test all fields of the collection that are no features, on events of the validation.

    Answers of algorithms, such as other discriminants and identifications, truths, weights and
    positions in other lists are left out by their names. Of a task of events the mean over the
    objects of the event is tested.

    Parameters
    ----------
    kept : Kept
        Networks that are kept.
    files : str, Path, Source or iterable of these
        Files of the training, of which so many events are read again.
    config : Config
        Configuration of the training.

    Returns
    -------
    tuple of UnusedCard
        Fields that explain something, from the most significant one.
    """
    names, columns = _columns(kept, files, config)
    if not names or not len(columns.nodes):
        return ()
    task, spec = config.task, kept.prepared.spec
    n_features = len(spec.features)
    own = replace(columns, nodes=np.ascontiguousarray(columns.nodes[:, :n_features]))
    entries = entries_of(kept, own, partners=False)
    eps, weights = entries.eps, entries.event_weights
    table = columns.nodes.astype(np.float64)
    table[is_missing(columns.nodes)] = np.nan
    if task.of_events:
        counts = np.diff(columns.offsets)[:, None]
        table = np.add.reduceat(table, columns.offsets[:-1], axis=0) / counts
    known = list(table[:, :n_features].T)
    best: dict[str, tuple[float, float, int]] = {}
    for point in range(eps.shape[1]):
        response = (entries.passed > point).astype(np.float64)
        fitted = _fitted(response, eps[:, point], weights, known)
        for name, values in zip(names, table[:, n_features:].T, strict=True):
            statistic, ndf = _tested(response, weights, *fitted, _in_bins(values))
            found = (float(chi2.sf(statistic, ndf)) if ndf else 1.0, statistic, ndf)
            best[name] = min(best.get(name, found), found)
    trials = len(names) * eps.shape[1]
    cards = [
        UnusedCard(
            field=name,
            chi2=statistic,
            ndf=ndf,
            p_value=min(1.0, p * trials),
            significance=float(norm.isf(max(min(0.5, p * trials), 1e-300))),
            n_tests=trials,
        )
        for name, (p, statistic, ndf) in best.items()
        if p * trials < FALSE_ALARM
    ]
    return tuple(sorted(cards, key=lambda card: -card.significance))


def _columns(kept: Kept, files: Files, config: Config) -> tuple[list[str], TrainingColumns]:
    """Names of the fields, and events of the validation with features and these as nodes."""
    task, names, found, n_entries = config.task, None, [], 0
    for chunk in _chunks(files, config):
        records = select(chunk.records, task)
        if task.fiducial is not None:
            records = records[fiducial_events(records, task)]
        records = ordered(records, task)
        if names is None:
            names = [n for n in ak.fields(records) if _may_explain(records, n, task)]
        if not names:
            break
        columns = part_columns(chunk, task).columns
        extra = [flat(ak.values_astype(records[n], np.float32), np.float32) for n in names]
        nodes = np.concatenate([columns.nodes, np.stack(extra, axis=1)], axis=1)
        columns = _unseen(kept, replace(columns, nodes=nodes), config)
        found.append(columns)
        n_entries += columns.n_events if task.of_events else len(columns.nodes)
        if n_entries >= MOST_ENTRIES:
            break
    return names or [], _joined(found)


def _chunks(files: Files, config: Config) -> Iterator[EventChunk]:
    """Events with all fields of the collection."""
    skipped = Skipped()  # what is left out was said when the files were read first
    wanted = replace(Wanted.of_task(config.task), optional=None)
    task, given = config.task, config.input
    parts = split_files(
        files, task, given, wanted, step=50_000, max_events=MOST_EVENTS, skipped=skipped
    )
    for part in parts:
        for events in read_events(part, task, given, wanted, skipped):
            yield part_chunk(events, task, given, wanted, skipped)


def _may_explain(records: ak.Array, name: str, task: Task) -> bool:
    """Whether a field is a number of an object that a feature could be."""
    used = {*task.features, task.passed.field, *task.truth_fields}
    values = records[name]
    if name in used or ANSWERS.search(name) or values.ndim != 2 or ak.fields(values):
        return False
    form = ak.to_layout(values).form
    while hasattr(form, "content"):
        form = form.content
    return np.dtype(getattr(form, "primitive", None) or "O").kind in "biuf"


def _unseen(kept: Kept, columns: TrainingColumns, config: Config) -> TrainingColumns:
    """Events that a network of the efficiency was not trained on; with folds that is all."""
    if kept.prepared.resampling.folds:
        return columns
    return columns.take(np.flatnonzero(key_uniform(columns.keys) < config.training.validation))


def _joined(parts: list[TrainingColumns]) -> TrainingColumns:
    """Events of all parts."""
    counts = np.concatenate([np.zeros(0, np.int64), *(np.diff(p.offsets) for p in parts)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) if parts else np.zeros((0, 0))
        for name in ("nodes", "passed", "weights", "keys")
    }
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return TrainingColumns(offsets=offsets, **columns)
