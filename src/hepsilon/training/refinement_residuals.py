"""Test of an efficiency on events that its networks were not trained on, input by input.

In bins of each input, and in each category, the numbers that passed are compared with the expected
ones. What deviations are chance is known without a formula: responses are drawn from the
efficiencies themselves, many times, and the same numbers are made of them. An input is significant
where hardly any of these samples has a deviation as large in any of its inputs, so that the rate of
false alarms is that of the whole table. Weights, negative ones too, enter with their signs; the
variance is the sum of their squares times eps (1 - eps). Responses of the objects of one event are
drawn independently of each other, as truth tagging takes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from scipy.sparse import csr_array

from hepsilon.arrays.types import Array
from hepsilon.data.features import FeatureSpec
from hepsilon.data.missing import is_missing
from hepsilon.efficiencies.refinement_cards import ResidualCard, ResidualsCard
from hepsilon.training.refinement_entries import Entries

__all__ = ["FALSE_ALARM", "residuals"]

DRAWS = 199
"""Number of samples of the null distribution."""
FALSE_ALARM = 0.01
BINS = 10
"""Bins of an input, with equal numbers of entries."""
FEWEST = 3.0
"""Variance of a bin, in units of the mean squared weight, below which it is left out."""
MOST_CATEGORIES = 8
CHUNK = 1 << 21


@dataclass(frozen=True)
class _Binned:
    """Bins of one input: which entries are in which, and what to call them."""

    name: str
    matrix: csr_array
    labels: list[str]
    variance: Array

    def chi2(self, sums: Array) -> Array:
        """Sum of squared deviations in units of the variance, for each column of entries."""
        deviations = (self.matrix @ sums) ** 2 / self.variance[:, None]
        return np.asarray(deviations.sum(axis=0))


def residuals(
    entries: Entries, names: Sequence[str], spec: FeatureSpec | None, seed: int
) -> ResidualsCard | None:
    """Compare what passed with what is expected, in bins of every input.

    Parameters
    ----------
    entries : Entries
        Entries that the networks were not trained on.
    names : sequence of str
        Names of the inputs.
    spec : FeatureSpec or None
        Features, which come first among the inputs and say what is a category; None for a task of
        events.
    seed : int
        Seed of the responses that are drawn.

    Returns
    -------
    ResidualsCard or None
        All inputs; None where no bin has enough entries.
    """
    weights, eps = entries.event_weights, entries.eps
    mean_passed = eps.sum(axis=1)
    squares = eps @ (2.0 * np.arange(eps.shape[1]) + 1.0)  # of the number of working points
    variance = weights**2 * (squares - mean_passed**2)
    smallest = FEWEST * float(np.mean(weights**2))
    binned = [each for each in _bins(entries, names, spec, variance, smallest) if each.labels]
    if not binned:
        return None
    expected = weights * mean_passed
    observed = weights * entries.passed - expected
    found = np.array([each.chi2(observed[:, None])[0] for each in binned])
    drawn = np.concatenate(
        [
            np.stack([each.chi2(sample) for each in binned], axis=1)
            for sample in _draws(weights, eps, expected, np.random.default_rng(seed))
        ]
    )
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    largest = np.max((drawn - mean) / spread, axis=1)
    p_values = [
        (1 + np.count_nonzero(largest >= value)) / (1 + DRAWS) for value in (found - mean) / spread
    ]
    cards = [
        _card(each, observed, expected, chi2, p)
        for each, chi2, p in zip(binned, found, p_values, strict=True)
    ]
    order = np.argsort(-(found - mean) / spread, kind="stable")
    return ResidualsCard(
        n_events=entries.n_events,
        n_draws=DRAWS,
        false_alarm=FALSE_ALARM,
        inputs=tuple(cards[i] for i in order),
    )


def _draws(
    weights: Array, eps: Array, expected: Array, rng: np.random.Generator
) -> Iterator[Array]:
    """Deviations of samples with drawn responses, some samples at a time (n, samples)."""
    at_once = max(1, min(DRAWS, CHUNK // len(weights)))
    for start in range(0, DRAWS, at_once):
        size = min(at_once, DRAWS - start)
        numbers = rng.random((len(weights), size), np.float32)
        passed = sum((numbers < eps[:, i : i + 1]).astype(np.float32) for i in range(eps.shape[1]))
        yield weights[:, None] * passed - expected[:, None]


def _categories(entries: Entries, spec: FeatureSpec | None) -> tuple[Array, list[str]]:
    """Number of the category of each entry, and the names of all of them."""
    if spec is None:
        return np.zeros(len(entries.inputs), np.int64), [""]
    columns = [i for i, feature in enumerate(spec.features) if feature.kind == "categorical"]
    sizes = [len(spec.features[i].categories) for i in columns]
    if not columns or np.prod(sizes) > MOST_CATEGORIES:
        return np.zeros(len(entries.inputs), np.int64), [""]
    number, labels = np.zeros(len(entries.inputs), np.int64), []
    for i in columns:
        categories = np.asarray(spec.features[i].categories, np.float32)
        place = np.argmax(entries.inputs[:, i : i + 1] == categories, axis=1)
        number = number * len(categories) + place
    for values in product(*(spec.features[i].categories for i in columns)):
        named = zip((spec.features[i].name for i in columns), values, strict=True)
        labels.append("".join(f", {name} {value}" for name, value in named))
    return number, labels


def _bins(
    entries: Entries,
    names: Sequence[str],
    spec: FeatureSpec | None,
    variance: Array,
    smallest: float,
) -> list[_Binned]:
    category, labels = _categories(entries, spec)
    columns = {name: entries.inputs[:, i] for i, name in enumerate(names)}
    columns["the efficiency itself"] = entries.logits[:, 0]
    found = []
    for name, values in columns.items():
        number, own = _quantiles(values)
        names_of = [f"{name} {text}{label}" for label in labels for text in own]
        number = category * len(own) + number
        sums = np.bincount(number, weights=variance, minlength=len(names_of))
        used = np.flatnonzero(sums > smallest)
        place = np.full(len(names_of), -1)
        place[used] = np.arange(len(used))
        rows = np.flatnonzero(place[number] >= 0)
        matrix = csr_array(
            (np.ones(len(rows)), (place[number[rows]], rows)), shape=(len(used), len(number))
        )
        found.append(_Binned(name, matrix, [names_of[i] for i in used], sums[used]))
    return found


def _quantiles(values: Array) -> tuple[Array, list[str]]:
    """Number of the bin of every value, and the names of the bins."""
    absent = is_missing(values)
    distinct = np.unique(values[~absent])
    if len(distinct) <= BINS:
        number = np.searchsorted(distinct, values)
        texts = [f"{value:.4g}" for value in distinct]
    else:
        shares = np.linspace(0.0, 1.0, BINS + 1)
        edges: Array = np.unique(np.quantile(values[~absent], shares))
        number = np.searchsorted(edges[1:-1], values, side="right")
        texts = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    return np.where(absent, len(texts), number), [*texts, "missing"]


def _card(each: _Binned, observed: Array, expected: Array, chi2: float, p: float) -> ResidualCard:
    sums, total = each.matrix @ observed, each.matrix @ expected
    errors = np.sqrt(each.variance)
    worst = int(np.argmax(np.abs(sums) / errors))
    ratio = error = None
    if total[worst] > errors[worst] * 1e-3:
        ratio = float(1.0 + sums[worst] / total[worst])
        error = float(errors[worst] / total[worst])
    return ResidualCard(
        name=each.name,
        chi2=float(chi2),
        n_bins=len(each.labels),
        p_value=float(p),
        bin=each.labels[worst],
        ratio=ratio,
        error=error,
    )
