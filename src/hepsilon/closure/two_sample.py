"""Two-sample test: boosted trees try to tell what passed from what an efficiency expects.

Trees are boosted from the logits of the efficiency, cross-fitted with folds by event: every entry
has a score from trees that did not see its event. By this score the entries that passed are
compared with all entries, each weighted with its efficiency. The area under the curve is near one
half, and above it by chance as often as not, if the efficiency is true.

What chance gives is known exactly: responses are drawn from the efficiency, for the same entries,
and all is repeated with them, the fit of the trees included. The rank of the area among those of
the drawn samples is a p-value whatever the features, the weights (negative ones too) and the
number of entries are. Where the efficiency knows its own error, responses are drawn from its
replicas as well: what a training on so few events can not know is then no discovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit, logit

from hepsilon._system.extras import needs
from hepsilon._system.progress import progress_bar
from hepsilon.arrays.keys import fold_numbers
from hepsilon.arrays.statistics import area_under_curve
from hepsilon.arrays.types import Array
from hepsilon.closure.entries import Entries, categories_of, names_of, read_entries
from hepsilon.closure.two_sample_record import AreaTest, Region, TwoSample
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.missing import is_missing
from hepsilon.data.sources import Files
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.methods import TRUTH

__all__ = [
    "MOST_ENTRIES",
    "N_DRAWS",
    "cross_fitted_score",
    "two_sample_test",
    "two_sample_tests",
]

MOST_ENTRIES = 40_000
"""Number of entries from which on no more events are read."""
N_DRAWS = 199
"""Number of samples with drawn responses."""
FEWEST = 400
"""Number of entries below which nothing is tested."""
FOLDS, ROUNDS = 2, 20
OPTIONS: dict[str, Any] = {
    "objective": "none",
    "num_leaves": 8,
    "learning_rate": 0.1,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "use_missing": False,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
TINY = 1e-6
"""Distance of efficiencies to zero and one at which trees start; nothing is drawn from it."""
PARTS = 10
"""Bins of the score and of each feature, with equal numbers of entries."""
NAMED, SHOWN = 3, 4
"""Features whose bins are looked at, and number of their bins that are told."""


def two_sample_tests(
    files: Files,
    task: Task,
    efficiencies: Mapping[str, Any],
    *,
    config: InputConfig | None = None,
    working_point: int | str = 0,
    max_events: int | None = None,
    most: int = MOST_ENTRIES,
    draws: int = N_DRAWS,
    seed: int = 1,
    progress: bool = True,
) -> dict[str, TwoSample]:
    """Test efficiencies on the first entries of a sample.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    task : Task
        The question, whose features the trees see.
    efficiencies : mapping of str to SupportsEfficiency
        Efficiencies by name; the truth is tested as well, where a task of objects names it.
    config : InputConfig, optional
        Places of the columns.
    working_point : int or str, default 0
        Number or name of the working point.
    max_events : int, optional
        Number of events after which no more are read.
    most : int, default MOST_ENTRIES
        Number of entries after which no more events are read.
    draws : int, default N_DRAWS
        Number of samples with drawn responses; the smallest p-value is ``1 / (draws + 1)``.
    seed : int, default 1
        Seed of the responses that are drawn.
    progress : bool, default True
        Whether to show a bar.

    Returns
    -------
    dict of str to TwoSample
        By efficiency; bin-by-bin corrections are left out.

    Raises
    ------
    ConfigError
        If LightGBM is not installed, or for an unknown working point.
    InputError
        For fewer than 400 entries, or weights whose sum is not positive.
    """
    needs("the two-sample test", "lightgbm")
    points = list(task.passed.working_points)
    if working_point not in (*points, *range(len(points))):
        raise ConfigError(f"expected a working point of {points}, received {working_point!r}")
    number = points.index(working_point) if isinstance(working_point, str) else working_point
    given = dict(efficiencies)
    if task.truth is not None and not task.of_events:
        given = {TRUTH: FieldEfficiency(*task.truth_fields), **given}
    config = config or InputConfig(schema="nanoaod")
    entries = read_entries(
        files, task, given, config, most=most, max_events=max_events, replicas=True
    )
    if len(entries) < FEWEST:
        raise InputError(
            f"the two-sample test needs {FEWEST} objects (or events) or more, the files hold "
            f"{len(entries)}"
        )
    total = float(entries.weights.sum())
    if not total > 0.0:
        raise InputError(
            "the two-sample test needs weights whose sum is positive, those of the files add up to "
            f"{total:g}"
        )
    steps = sum(draws * (1 + (name in entries.replicas)) for name in entries.eps)
    found = {}
    with progress_bar("two-sample test", steps, show=progress) as advance:
        for name in entries.eps:
            found[name] = two_sample_test(
                entries, name, task, number, draws=draws, seed=seed, advance=advance
            )
    return found


def two_sample_test(
    entries: Entries,
    name: str,
    task: Task,
    working_point: int = 0,
    *,
    draws: int = N_DRAWS,
    seed: int = 1,
    advance: Callable[[int], None] | None = None,
) -> TwoSample:
    """Test one efficiency on entries that are in memory.

    Parameters
    ----------
    entries : Entries
        Entries with the efficiency.
    name : str
        Name of the efficiency among those of the entries.
    task : Task
        The question, for the names of features and categories.
    working_point : int, default 0
        Number of the working point.
    draws : int, default N_DRAWS
        Number of samples with drawn responses.
    seed : int, default 1
        Seed of the responses that are drawn.
    advance : callable, optional
        Called with the number of samples that are done.

    Returns
    -------
    TwoSample
        Area, its null distribution, features and regions.
    """
    test = _Test.of(entries, name, working_point)
    rng, areas = np.random.default_rng(seed), []
    for eps in test.nulls():
        drawn = []
        for responses in test.drawn(eps, draws, rng):
            drawn.append(test.area(responses))
            if advance is not None:
                advance(1)
        areas.append(drawn)
    return _result(test, areas, task)


def cross_fitted_score(entries: Entries, name: str) -> Array:
    """What trees that did not see the event add to the logits of an efficiency.

    Parameters
    ----------
    entries : Entries
        Entries with the efficiency.
    name : str
        Name of the efficiency among those of the entries.

    Returns
    -------
    ndarray of float64, shape (n,)
        Scores, which rise where more entries pass than the efficiency says.
    """
    test = _Test.of(entries, name, 0)
    return test.scores(test.passed)[0]


@dataclass
class _Fold:
    """Entries that trees are fitted to, and those that they are asked about."""

    fitted: Array
    asked: Array
    data: Any


class _Test:
    """One efficiency on some entries; the bins of the features are made once for all fits."""

    def __init__(self, entries: Entries, passed: Array, eps: Array, replicas: Array | None) -> None:
        import lightgbm

        self.entries, self.passed, self.eps, self.replicas = entries, passed, eps, replicas
        self.weights = entries.weights
        self.start = logit(np.clip(eps, TINY, 1.0 - TINY))
        sizes = np.abs(self.weights)
        self.worth = self.weights * (np.sum(sizes) / np.sum(sizes**2))
        self.options = OPTIONS | {"min_data_in_leaf": max(20, len(passed) // 400)}
        number = fold_numbers(entries.keys, FOLDS)[entries.events]
        self.folds = []
        for fold in range(FOLDS):
            rows = np.flatnonzero(number != fold)
            data = lightgbm.Dataset(
                entries.inputs[rows],
                np.zeros(len(rows)),
                init_score=self.start[rows],
                params=self.options,
            )
            self.folds.append(_Fold(rows, np.flatnonzero(number == fold), data))

    @classmethod
    def of(cls, entries: Entries, name: str, working_point: int) -> _Test:
        """Test of one working point of an efficiency."""
        drawn = entries.replicas.get(name)
        return cls(
            entries,
            (entries.passed > working_point).astype(np.float64),
            entries.eps[name][:, working_point],
            None if drawn is None or drawn.shape[-1] < 2 else drawn[:, working_point],
        )

    def nulls(self) -> Iterator[Array]:
        """Efficiencies that responses are drawn from: its own, and its replicas."""
        yield self.eps[:, None]
        if self.replicas is not None:
            yield self.replicas

    def drawn(self, eps: Array, draws: int, rng: np.random.Generator) -> Iterator[Array]:
        """Responses of samples, replica after replica."""
        for number in range(draws):
            yield (rng.random(len(eps)) < eps[:, number % eps.shape[1]]).astype(np.float64)

    def area(self, passed: Array) -> float:
        """Area under the curve of cross-fitted scores for these responses."""
        score, _ = self.scores(passed)
        return area_under_curve(score, self.weights * passed, self.weights * self.eps)

    def scores(self, passed: Array) -> tuple[Array, Array]:
        """What trees add to the logits that did not see the event, and the gains of the inputs."""
        import lightgbm

        score = np.zeros(len(passed))
        gains = np.zeros(self.entries.inputs.shape[1])
        for fold in self.folds:
            weights, response = self.worth[fold.fitted], passed[fold.fitted]
            sizes = np.abs(weights)

            def derivatives(
                logits: Array, _: Any, w: Array = weights, t: Array = response, s: Array = sizes
            ) -> tuple[Array, Array]:
                share = expit(logits)
                return w * (share - t), s * share * (1.0 - share)

            booster = lightgbm.Booster(self.options, fold.data)
            for _ in range(ROUNDS):
                booster.update(fobj=derivatives)
            if len(fold.asked):
                score[fold.asked] = booster.predict(
                    self.entries.inputs[fold.asked], raw_score=True, num_threads=1
                )
            gains += booster.feature_importance("gain")
        return score, gains


def _area_test(found: float, areas: Sequence[float]) -> AreaTest:
    """Rank of an area among those of drawn samples."""
    above = sum(area >= found for area in areas)
    return AreaTest(
        mean=float(np.mean(areas)),
        spread=float(np.std(areas, ddof=1)) if len(areas) > 1 else 0.0,
        p_value=(1 + above) / (1 + len(areas)),
        n_draws=len(areas),
    )


def _losses(logits: Array, passed: Array) -> Array:
    """Cross-entropy of each entry."""
    return np.asarray(np.logaddexp(0.0, logits) - passed * logits)


def _result(test: _Test, areas: Sequence[Sequence[float]], task: Task) -> TwoSample:
    """Everything about one efficiency."""
    entries, passed, weights = test.entries, test.passed, test.weights
    score, gains = test.scores(passed)
    auc = area_under_curve(score, weights * passed, weights * test.eps)
    better = test.start + score
    gain = weights * (_losses(test.start, passed) - _losses(better, passed))
    by_event = np.bincount(entries.events, weights=gain, minlength=len(entries.keys))
    total = float(weights.sum())
    names, shares = names_of(task), gains / max(float(gains.sum()), np.finfo(float).tiny)
    order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0.0]
    tests = [_area_test(auc, each) for each in areas]
    own = {"with_own_error": tests[1]} if len(tests) > 1 else {}
    return TwoSample(
        n_entries=len(entries),
        n_events=len(entries.keys),
        auc=auc,
        by_sample=tests[0],
        **own,
        response_auc=area_under_curve(test.start, weights * passed, weights * (1.0 - passed)),
        response_auc_with_trees=area_under_curve(
            better, weights * passed, weights * (1.0 - passed)
        ),
        loss_gain=float(gain.sum() / total),
        loss_gain_error=float(np.sqrt(np.sum((by_event - by_event.mean()) ** 2)) / abs(total)),
        features={names[i]: float(shares[i]) for i in order},
        regions=list(_regions(test, score, [(names[i], i) for i in order[:NAMED]], task)),
    )


def _region(text: str, rows: Array, test: _Test) -> Region | None:
    """Passed against expected in some entries; None where nothing is left to chance."""
    weights, eps = test.weights[rows], test.eps[rows]
    expected = float(np.sum(weights * eps))
    difference = float(np.sum(weights * test.passed[rows])) - expected
    error = float(np.sqrt(np.sum(weights**2 * eps * (1.0 - eps))))
    if not error > 0.0:
        return None
    known = expected > 1e-3 * error
    return Region(
        text=text,
        share=float(weights.sum() / test.weights.sum()),
        ratio=1.0 + difference / expected if known else None,
        error=error / expected if known else None,
        pull=difference / error,
    )


def _regions(
    test: _Test, score: Array, features: Sequence[tuple[str, int]], task: Task
) -> Iterator[Region]:
    """Where trees see most and least, and the bins of features that deviate most."""
    low, high = np.quantile(score, [1.0 / PARTS, 1.0 - 1.0 / PARTS])
    share = f"{100 // PARTS} %"
    for text, rows in (
        (f"the {share} that pass more than expected, as trees say", score >= high),
        (f"the {share} that pass less than expected, as trees say", score <= low),
    ):
        found = _region(text, np.flatnonzero(rows), test)
        if found is not None:
            yield found
    bins = []
    for name, column in features:
        values = test.entries.inputs[:, column]
        for text, inside in _bins(values):
            for label, own in _scopes(test.entries, task):
                rows = np.flatnonzero(inside & own)
                found = _region(f"{name} {text}{label}", rows, test)
                if found is not None and not (label and len(rows) == np.count_nonzero(inside)):
                    bins.append(found)
    yield from sorted(bins, key=lambda region: -abs(region.pull))[:SHOWN]


def _bins(values: Array) -> Iterator[tuple[str, Array]]:
    """Bins of a feature with equal numbers of entries, and what has no value."""
    absent = is_missing(values)
    distinct = np.unique(values[~absent])
    if absent.any():
        yield "missing", absent
    if len(distinct) <= PARTS:
        for value in distinct:
            yield f"{value:.4g}", values == value
        return
    edges: Array = np.unique(np.quantile(values[~absent], np.linspace(0.0, 1.0, PARTS + 1)))
    for low, high in pairwise(edges):
        last = high == edges[-1]
        yield (
            f"{low:.4g} to {high:.4g}",
            ~absent & (values >= low) & ((values <= high) if last else (values < high)),
        )


def _scopes(entries: Entries, task: Task) -> Iterator[tuple[str, Array]]:
    """Everything, and every category."""
    yield "", np.ones(len(entries), bool)
    for number, name in enumerate(categories_of(task)):
        yield f" ({name})", entries.category == number
