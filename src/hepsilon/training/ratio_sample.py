"""Both samples of a ratio: what they must have, what both cover, how the ratio is normalised."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np

from hepsilon.arrays.statistics import area_under_curve, effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.combinations import Combinations
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.missing import is_missing
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.ratio_card import RatioCard, SideCard
from hepsilon.efficiencies.reweighting import clipped_ratio
from hepsilon.errors import InputError, TrainingError
from hepsilon.training.held_out import Answers

__all__ = [
    "balanced",
    "both_cover",
    "centred",
    "check_sides",
    "network_constants",
    "ratio_card",
    "ratio_of_logits",
]

logger = logging.getLogger("hepsilon")
LARGEST_AUC = 0.999
"""Area under the curve above which two samples have no overlap that a ratio could be learned in."""
FEWEST_EFFECTIVE = 20.0
"""Effective number of held-out entries, after reweighting, below which a ratio is refused."""
FEWEST_OF_SIDE = 10.0
"""Effective number of entries of a sample below which its density is unknown."""
SMALL_SHARE = 0.05
"""Share of the effective entries that is left by reweighting below which it is warned."""
BINS = 10
"""Bins of every feature, with equal numbers of entries, in which sums of weights are looked at."""
SIGNIFICANT = 3.0
"""Number of standard deviations below zero at which a sum of weights is no fluctuation."""
STEPS = 50
"""Steps in which the normalisation of a clipped ratio is found."""


def _is_numerator(columns: TrainingColumns, task: Task) -> Array:
    """True for the entries (objects) of the numerator."""
    if task.of_densities:
        return np.asarray(columns.passed) > 0.5
    assert task.ratio is not None
    return np.asarray(columns.nodes[:, task.features.index(task.ratio.side)]) > 0.5


def _events_of_numerator(columns: TrainingColumns, task: Task) -> Array:
    """True for the events of the numerator; each has an object."""
    return _is_numerator(columns, task)[columns.offsets[:-1]]


def balanced(columns: TrainingColumns, task: Task) -> TrainingColumns:
    """Both samples with equal sums of weights: those of the denominator are scaled.

    Parameters
    ----------
    columns : TrainingColumns
        Both samples, with positive sums of weights.
    task : Task
        Task of the network.

    Returns
    -------
    TrainingColumns
        The samples with other weights.
    """
    mine, weights = _events_of_numerator(columns, task), np.array(columns.weights)
    weights[~mine] *= weights[mine].sum() / weights[~mine].sum()
    return replace(columns, weights=weights)


def check_sides(columns: TrainingColumns, task: Task) -> tuple[SideCard, SideCard]:
    """Refuse samples that no ratio can be learned from, and describe them.

    Parameters
    ----------
    columns : TrainingColumns
        Both samples, with their weights as they were read.
    task : Task
        Task of the network.

    Returns
    -------
    tuple of SideCard
        Numerator and denominator.

    Raises
    ------
    InputError
        If a sample is empty, or all of its responses are equal.
    TrainingError
        If the weights of a sample have a sum that is not positive, or cancel so far that it is
        worth fewer than ten entries, or in a bin of a feature one
        that is negative by more than three standard deviations.
    """
    of_numerator = _events_of_numerator(columns, task)
    cards = []
    for side, mine in (("numerator", of_numerator), ("denominator", ~of_numerator)):
        own = columns.take(np.flatnonzero(mine))
        if not own.n_events:
            field = None if task.ratio is None else task.ratio.field
            of = "" if field is None else f" with {field} = {int(side == 'numerator')}"
            raise InputError(
                f"the {side} of the ratio is empty: no event{of} has {task.collection} objects "
                "that pass the selection"
            )
        total, squares = float(np.sum(own.weights)), float(np.sum(own.weights**2))
        if not total > 0.0:
            why = "negative weights outweigh the positive ones"
            why = why if np.any(own.weights) else "all weights are zero"
            raise TrainingError(
                f"the {side} of the ratio: expected a positive sum of weights of its "
                f"{own.n_events} events, received {total:g}; {why}: use more events, or another "
                "weight"
            )
        worth = float(effective_sample_size(total, squares))
        if worth < FEWEST_OF_SIDE:
            raise TrainingError(
                f"the {side} of the ratio: its {own.n_events} entries have a sum of weights of "
                f"{total:.4g} +- {np.sqrt(squares):.2g}, worth {worth:.1f} of equal weight; "
                f"expected {FEWEST_OF_SIDE:.0f} or more: use more events, or another weight"
            )
        if not task.of_densities and np.ptp(own.passed) == 0.0:
            raise InputError(
                f"the {side} of the ratio: all of its {len(own.nodes)} {task.collection} objects "
                f"have the same response {task.passed.field} ({own.passed[0]:g}); expected some "
                "that pass and some that do not"
            )
        cards.append(
            SideCard(
                n=own.n_events if task.of_events or task.alone else len(own.nodes),
                sum_of_weights=total,
                n_effective=worth,
                negative=tuple(_negative(own, columns, task, side)),
            )
        )
    return cards[0], cards[1]


def _negative(own: TrainingColumns, both: TrainingColumns, task: Task, side: str) -> list[str]:
    """Bins of features in which the weights of a sample have no positive sum."""
    found: list[str] = []
    if not np.any(own.weights < 0.0):
        return found
    weights = own.object_weights
    for column, name in enumerate(task.features):
        values = np.asarray(own.nodes[:, column])
        if name in task.categorical:
            edges = np.unique(values)
            bins, labels = np.searchsorted(edges, values), [f"{edge:g}" for edge in edges]
        else:
            here = np.asarray(both.nodes[:, column])
            here = here[~is_missing(here)]
            if not len(here):
                continue  # a feature without values is refused where features are fitted
            inner = np.unique(np.quantile(here, np.arange(1, BINS) / BINS))
            bins = np.searchsorted(inner, values, side="right")
            ends = ["lowest", *(f"{edge:.4g}" for edge in inner), "highest"]
            labels = [f"{low} to {high}" for low, high in pairwise(ends)]
        sums = np.bincount(bins, weights, minlength=len(labels))
        errors = np.sqrt(np.bincount(bins, weights**2, minlength=len(labels)))
        for label, total, error in zip(labels, sums, errors, strict=True):
            if error > 0.0 and total < -SIGNIFICANT * error:
                raise TrainingError(
                    f"the {side} of the ratio has a negative sum of weights, {total:.4g} +- "
                    f"{error:.2g}, in {name} {label}: no density is negative, so that the weights "
                    "subtract too much there; select another region, or mend the weights"
                )
            if error > 0.0 and total <= 0.0:
                found.append(f"{name} {label}")
    if found:
        logger.warning(
            "the %s of the ratio has no positive sum of weights in %s: within the error it may be "
            "zero there, and the ratio is extrapolated from what is beside",
            *(side, ", ".join(found)),
        )
    return found


def both_cover(spec: FeatureSpec, columns: TrainingColumns, task: Task) -> FeatureSpec:
    """Features with the region that both samples covered, in place of either.

    Parameters
    ----------
    spec : FeatureSpec
        Features of both samples together.
    columns : TrainingColumns
        Both samples.
    task : Task
        Task of the network.

    Returns
    -------
    FeatureSpec
        The features with narrower ranges and fewer combinations, and equal moments.

    Raises
    ------
    TrainingError
        If the samples have no values of a feature in common.
    """
    mine = _is_numerator(columns, task)
    sides = [np.asarray(columns.nodes[own]) for own in (mine, ~mine)]
    assert task.ratio is not None
    features = []
    for number, feature in enumerate(spec.features):
        if feature.name == task.ratio.side:
            features.append(feature)
        else:
            features.append(_narrowed(feature, [nodes[:, number] for nodes in sides]))
    asked = task.without_side  # the side is the last feature, and no region of the others
    width = len(asked.features)
    nodes = np.asarray(columns.nodes)[:, :width]
    parts = [own[:, :width] for own in sides]
    combinations = Combinations.of(asked.features, nodes, tuple(asked.categorical), parts)
    return spec.model_copy(update={"features": tuple(features), "combinations": combinations})


def _narrowed(feature: Feature, sides: list[Array]) -> Feature:
    """A feature with the values that both samples have."""
    if feature.kind == "categorical":
        common = set(np.unique(sides[0]).tolist()) & set(np.unique(sides[1]).tolist())
        if not common:
            raise TrainingError(_no_overlap(feature.name, "no category"))
        return feature
    if feature.kind != "numeric":
        return feature
    here = [values[~is_missing(values)] for values in sides]
    if not all(map(len, here)):
        return feature  # always missing in one of them: combinations know it
    low, high = max(v.min() for v in here), min(v.max() for v in here)
    if low > high:
        ranges = " and ".join(f"{v.min():.4g} to {v.max():.4g}" for v in here)
        raise TrainingError(_no_overlap(feature.name, f"values of {ranges}"))
    return feature.model_copy(update={"low": float(low), "high": float(high)})


def _no_overlap(name: str, what: str) -> str:
    return (
        f"the samples do not overlap: numerator and denominator have {what} in {name}; a ratio is "
        "known only where both have entries: select a region that both cover, or leave the "
        "feature out"
    )


Events = Literal["validation", "out of fold", "training"]


def ratio_card(
    sides: tuple[SideCard, SideCard],
    answers: Sequence[Answers],
    config: Config,
    events: Events = "validation",
    normalised: Sequence[Answers] | None = None,
) -> RatioCard:
    """Normalise a ratio on all entries, and measure on held-out ones what reweighting leaves.

    Parameters
    ----------
    sides : tuple of SideCard
        Numerator and denominator.
    answers : sequence of Answers
        Entries of both: of the training, and the last ones held out.
    config : Config
        Configuration of the training.
    events : {"validation", "out of fold", "training"}, default "validation"
        Events of these entries.
    normalised : sequence of Answers, optional
        Entries that it is normalised with, by default those; of an ensemble with folds all entries
        with the mean of its networks, whose odds vary less than those of one.

    Returns
    -------
    RatioCard
        Constant of the ratio, and what was found.

    Raises
    ------
    TrainingError
        If the samples have no overlap, or the held-out denominator no positive sum of weights.
    """
    numerator, denominator = sides
    ratio = config.task.ratio
    assert ratio is not None
    if not config.task.of_densities:
        return RatioCard(numerator=numerator, denominator=denominator)
    held_out = answers[-1]
    logits, passed, weights = held_out.logits[:, 0], held_out.passed > 0, held_out.weights
    auc = area_under_curve(logits, weights * passed, weights * ~passed)
    own, below = weights[~passed], logits[~passed]
    total = float(own.sum())
    if not total > 0.0:
        raise TrainingError(
            f"expected a positive sum of weights of the {len(own)} held-out entries of the "
            f"denominator, received {total:g}; use more events, or a larger training.validation"
        )
    constant, constant_error, n_normalised = _normalisation(
        answers if normalised is None else normalised, ratio.clip
    )
    values = clipped_ratio(below, constant, ratio.clip)
    mean = float(np.sum(own * values) / total)
    mean_error = float(np.sqrt(np.sum((own * (values - mean)) ** 2)) / total)
    _tell_learned_by_heart(mean, mean_error, constant_error)
    new = own * values
    clipped = (values <= ratio.clip[0]) | (values >= ratio.clip[1])
    before = float(effective_sample_size(total, np.sum(own**2)))
    after = float(effective_sample_size(new.sum(), np.sum(new**2)))
    _check_overlap(auc, len(own), before, after)
    sizes = np.abs(new)
    return RatioCard(
        numerator=numerator,
        denominator=denominator,
        constant=constant,
        constant_error=constant_error,
        n_normalised=n_normalised,
        mean=mean,
        mean_error=mean_error,
        events=events,
        n_entries=len(own),
        auc=auc,
        n_effective_before=before,
        n_effective=after,
        n_clipped=int(np.count_nonzero(clipped)),
        clipped_share=float(sizes[clipped].sum() / max(sizes.sum(), np.finfo(float).tiny)),
    )


def _tell_learned_by_heart(mean: float, mean_error: float, constant_error: float) -> None:
    """Warn where the ratio is not one in the mean over held-out entries of the denominator."""
    if abs(mean - 1.0) > SIGNIFICANT * np.hypot(mean_error, constant_error):
        logger.warning(
            "the mean of the ratio over held-out entries of the denominator is %.3f +- %.3f: the "
            "network has learned its events by heart; train it for less long, or with more events",
            *(mean, mean_error),
        )


def _check_overlap(auc: float, n_entries: int, before: float, after: float) -> None:
    """Refuse samples without overlap, and warn where it is small, by effective entries."""
    if auc > LARGEST_AUC or after < min(FEWEST_EFFECTIVE, 0.5 * before):
        raise TrainingError(
            f"the samples do not overlap: a network tells them apart with an AUC of {auc:.4f}, and "
            f"after reweighting {n_entries} held-out entries of the denominator are worth "
            f"{after:.1f} (of {before:.1f}); a ratio is known only where both have entries: select "
            "a region that both cover, leave out features, or use more events"
        )
    if after < SMALL_SHARE * before:
        logger.warning(
            "the samples overlap little: after reweighting %.0f effective entries of the "
            "denominator are worth %.1f (%.2g %%)",
            *(before, after, 100.0 * after / before),
        )


def _normalisation(
    answers: Sequence[Answers], clip: tuple[float, float]
) -> tuple[float, float, int]:
    """Constant with which the mean of the ratio is one, its relative error, and its entries.

    Entries of the training count as well: what the network has learned of them by heart moves their
    mean by less than the error of a tenth of them.
    """
    below, weights = _denominator(answers)
    constant = _constant(below, weights, clip)
    spread = weights * (clipped_ratio(below, constant, clip) - 1.0)
    error = float(np.sqrt(np.sum(spread**2)) / weights.sum())
    return constant, error, len(below)


def _denominator(answers: Sequence[Answers]) -> tuple[Array, Array]:
    """Logits and weights of all entries of the denominator."""
    parts = [(each.logits[each.passed == 0, 0], each.weights[each.passed == 0]) for each in answers]
    logits, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return logits, weights


def network_constants(
    parts: Sequence[tuple[Array, Array, Array]], clip: tuple[float, float]
) -> tuple[float, ...]:
    """Constant that normalises each network of an ensemble by itself.

    Parameters
    ----------
    parts : sequence of tuple of ndarray
        Logits (n, n_networks), response (n,) and weights (n,) of some entries.
    clip : tuple of (float, float)
        Smallest and largest ratio.

    Returns
    -------
    tuple of float
        One for each network.
    """
    below = [(logits[passed == 0], weights[passed == 0]) for logits, passed, weights in parts]
    logits, weights = (np.concatenate(columns) for columns in zip(*below, strict=True))
    return tuple(_constant(column, weights, clip) for column in logits.T)


def ratio_of_logits(card: RatioCard, config: Config) -> Callable[[Array], Array]:
    """The ratio as a function of the logits of the network.

    Parameters
    ----------
    card : RatioCard
        Normalisation of the ratio.
    config : Config
        Configuration of the training.

    Returns
    -------
    callable
        Function of logits (n,).
    """
    assert config.task.ratio is not None
    clip = config.task.ratio.clip
    return lambda logits: clipped_ratio(logits, card.constant, clip)


def centred(
    factor: Array, answers: Sequence[Answers], card: RatioCard, config: Config
) -> tuple[Array, float]:
    """Last layers that do not move the mean of the ratio, but for the error of its constant.

    The normalisation is imposed, and no draw of the last layer may change it: in every direction of
    the covariance the constant of the logits moves against the mean of the others. What is left is
    the statistical error of the constant, which is one more direction.

    Parameters
    ----------
    factor : ndarray of float32, shape (n_networks, 1, n_inputs + 1, n_directions)
        Factor of the covariance (see :class:`hepsilon.uncertainty.last_layer.Covariance`).
    answers : sequence of Answers
        Entries of both samples.
    card : RatioCard
        Normalisation of the ratio.
    config : Config
        Configuration of the training.

    Returns
    -------
    factor : ndarray of float32, shape (n_networks, 1, n_inputs + 1, n_directions + 1)
        The factor with one more direction.
    variance : float
        Mean variance of the logarithm of the ratio by them, over the reweighted denominator.
    """
    if card.constant_error is None or any(each.features is None for each in answers):
        return factor, 0.0
    ratio, total, size = ratio_of_logits(card, config), 0.0, factor.shape[0] * factor.shape[2]
    mean, moment = np.zeros(size), np.zeros((size, size))
    for each in answers:
        assert each.features is not None
        below = each.passed == 0
        seen = each.features[below].astype(np.float64)
        seen = np.concatenate([seen, np.ones((*seen.shape[:2], 1))], axis=2).reshape(-1, size)
        weights = each.weights[below] * ratio(each.logits[below, 0])
        mean, total = mean + weights @ seen, total + float(weights.sum())
        moment += (weights[:, None] * seen).T @ seen
    directions = factor[:, 0].reshape(size, -1).astype(np.float64) / len(factor)
    moved = mean / total @ directions
    variance = np.sum((moment / total @ directions) * directions) - moved @ moved
    whole = np.concatenate([factor, np.zeros((*factor.shape[:3], 1), factor.dtype)], axis=3)
    whole[:, :, -1] -= np.append(moved, -card.constant_error).astype(factor.dtype)
    return np.asarray(whole), max(float(variance), 0.0) + card.constant_error**2


def _constant(log_odds: Array, weights: Array, clip: tuple[float, float]) -> float:
    """Factor with which the mean of the clipped odds is one."""
    constant, total = 1.0, float(weights.sum())
    for _ in range(STEPS):
        mean = float(np.sum(weights * clipped_ratio(log_odds, constant, clip)) / total)
        if not mean > 0.0:  # negative weights outweigh where the ratio is large
            raise TrainingError(
                f"the mean of the ratio over the denominator is {mean:.3g}: its negative "
                "weights outweigh the positive ones where the ratio is large; use more events"
            )
        constant /= mean
        if abs(mean - 1.0) < 1e-12:
            break
    return constant
