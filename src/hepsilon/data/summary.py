"""Worth of a sample: numbers, effective numbers and dominating events of each category."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hepsilon.arrays.sketch import event_digests, sketch
from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.config.records import Record
from hepsilon.config.task import Task
from hepsilon.errors import TrainingError

if TYPE_CHECKING:
    from hepsilon.data.training_columns import TrainingColumns

__all__ = [
    "MIN_EFFECTIVE",
    "CategorySummary",
    "SampleSummary",
    "check_sample",
    "check_weights",
    "summarise",
    "warn_of_few",
]

logger = logging.getLogger("hepsilon")
ALL = "all"
MIN_EFFECTIVE = 100.0
"""Effective number of objects (events) of a category below which a sample is said to be small."""
MIN_RESPONSES = 30
"""Number of objects that passed, or failed, below which a category is said to know little."""
LARGEST = 100
"""Number of the heaviest events that are kept, to say how many of them dominate."""


class CategorySummary(Record):
    """Numbers of one category of a sample.

    Attributes
    ----------
    category : str
        Category, such as ``"hadronFlavour = 5"``, or ``"all"``.
    n : int
        Number of objects; of a task of events, of events.
    passed : tuple of int
        How many of them passed, for each working point.
    sum_of_weights : float
        Sum of their weights.
    n_effective : float
        ``(sum w)^2 / sum w^2``: number of equal weights that is worth as much.
    passed_effective : tuple of float
        The effective number of those that passed, for each working point.
    failed_effective : tuple of float
        The effective number of those that did not pass, for each working point.
    rates : tuple of float or None
        Share of the weight that passed, for each working point; None where the weights cancel.
    largest_share : float
        Largest share of one event in the sum of absolute weights.
    n_dominant : int or None
        Smallest number of events that hold half of the absolute weights; None for many.
    """

    category: str
    n: int
    passed: tuple[int, ...]
    sum_of_weights: float
    n_effective: float
    passed_effective: tuple[float, ...]
    failed_effective: tuple[float, ...]
    rates: tuple[float | None, ...] = ()
    largest_share: float
    n_dominant: int | None


class SampleSummary(Record):
    """Numbers of a sample by category, before anything is learned from it.

    Attributes
    ----------
    unit : str
        Name of what is counted: the collection of the task, or ``"events"``.
    working_points : tuple of str
        Names of the working points.
    categories : tuple of CategorySummary
        Numbers by the values of the task's first categorical feature, and of all.
    sketch : tuple of int
        Smallest digests of the content of the events (see :mod:`hepsilon.arrays.sketch`).
    """

    unit: str
    working_points: tuple[str, ...]
    categories: tuple[CategorySummary, ...]
    sketch: tuple[int, ...] = ()


@dataclass
class _Sums:
    """Sums of one category, block by block: all, then those that passed each working point."""

    counts: Array
    weights: Array
    squares: Array
    absolute: float = 0.0
    heaviest: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def empty(cls, n_points: int) -> _Sums:
        counts, weights, squares = np.zeros((3, n_points + 1))
        return cls(counts, weights, squares)

    def add(self, weights: Array, passed: Array, event: Array) -> None:
        """Add objects with their weights, numbers of passed working points, and events."""
        for row in range(len(self.counts)):
            chosen = weights[passed >= row]
            self.counts[row] += len(chosen)
            self.weights[row] += np.sum(chosen)
            self.squares[row] += np.sum(chosen**2)
        per_event = np.bincount(event, np.abs(weights))
        self.absolute += float(per_event.sum())
        known = np.concatenate([self.heaviest, per_event])
        kept = min(LARGEST, len(known))
        self.heaviest = np.sort(np.partition(known, -kept)[-kept:]) if kept else known

    def summary(self, category: str) -> CategorySummary:
        """The numbers as a record."""
        effective = effective_sample_size(self.weights, self.squares).tolist()
        failed = effective_sample_size(
            self.weights[0] - self.weights[1:], self.squares[0] - self.squares[1:]
        )
        shares, total = self.heaviest[::-1] / (self.absolute or 1.0), float(self.weights[0])
        half = np.flatnonzero(np.cumsum(shares) >= 0.5)
        return CategorySummary(
            category=category,
            n=int(self.counts[0]),
            passed=tuple(int(n) for n in self.counts[1:]),
            sum_of_weights=total,
            n_effective=effective[0],
            passed_effective=tuple(effective[1:]),
            failed_effective=tuple(failed.tolist()),
            rates=tuple(float(w) / total if total > 0.0 else None for w in self.weights[1:]),
            largest_share=float(shares[0]) if len(shares) else 0.0,
            n_dominant=int(half[0]) + 1 if len(half) else None,
        )


def summarise(columns: TrainingColumns, task: Task) -> SampleSummary:
    """Count a sample by category, with its weights.

    Parameters
    ----------
    columns : TrainingColumns
        The sample; it may be mapped from disk.
    task : Task
        Its task. Of a task of events the events are counted, all together.

    Returns
    -------
    SampleSummary
        Numbers of every category of the first categorical feature, and of all.
    """
    points = task.passed.working_points
    name = None if task.of_events else next(iter(task.categorical), None)
    values = () if name is None else task.categorical[name]
    sums = [_Sums.empty(len(points)) for _ in range(len(values) + 1)]
    digests = [np.empty(0, np.uint64)]
    for block in columns.blocks():
        digests.append(event_digests(block.offsets, block.nodes))
        if task.of_events:
            response, event = block.passed[block.offsets[:-1]], np.arange(block.n_events)
            sums[-1].add(np.asarray(block.weights), response, event)
            continue
        event = np.repeat(np.arange(block.n_events), np.diff(block.offsets))
        weights = np.asarray(block.weights)[event]
        sums[-1].add(weights, block.passed, event)
        for value, own in zip(values, sums, strict=False):
            here = block.nodes[:, task.features.index(str(name))] == value
            own.add(weights[here], block.passed[here], event[here])
    names = [*(f"{name} = {value}" for value in values), ALL]
    return SampleSummary(
        unit="events" if task.of_events else f"{task.collection} objects",
        working_points=tuple(map(str, points)),
        categories=tuple(own.summary(label) for own, label in zip(sums, names, strict=True)),
        sketch=sketch(np.concatenate(digests)),
    )


def check_weights(summary: SampleSummary, *, by_category: bool = True) -> None:
    """Refuse weights from which nothing can be learned: an efficiency would run uphill.

    Parameters
    ----------
    summary : SampleSummary
        Numbers of the sample.
    by_category : bool, default True
        Whether the weights of each category must have a positive sum, too. Maps, whose bins stand
        alone, do without.

    Raises
    ------
    TrainingError
        If a sum of weights that must be positive is not.
    """
    for part in summary.categories if by_category else summary.categories[-1:]:
        if part.n and not part.sum_of_weights > 0.0:
            scope = "" if part.category == ALL else f" with {part.category}"
            raise TrainingError(
                f"expected a positive sum of weights of {part.n} {summary.unit}{scope}, received "
                f"{part.sum_of_weights:g}; negative weights outweigh the positive ones: use more "
                "events, or another weight"
            )


def warn_of_few(summary: SampleSummary) -> None:
    """Say in the log which categories are worth few objects, and why.

    Parameters
    ----------
    summary : SampleSummary
        Numbers of the sample; categories below :data:`MIN_EFFECTIVE` are named.
    """
    few = [p for p in summary.categories if p.n and p.n_effective < MIN_EFFECTIVE]
    for part in few[:-1] if len(few) > 1 and few[-1].category == ALL else few:
        scope = "" if part.category == ALL else f" with {part.category}"
        message = (
            f"{part.n} {summary.unit}{scope} are worth {part.n_effective:.1f} of equal weight, "
            f"fewer than {MIN_EFFECTIVE:.0f}"
        )
        if part.n < MIN_EFFECTIVE:
            message += "; use more events"
        elif part.n_dominant is None:
            message += ": weights of both signs, or of very different sizes; use more events"
        else:
            message += (
                f": {part.n_dominant} event(s) hold half of the weight, the largest one "
                f"{part.largest_share:.1%}; use more events, or limit the weights with max_weight "
                "in [input]"
            )
        logger.warning(message)
    for part in summary.categories[:-1] or summary.categories:
        if part.n_effective >= MIN_EFFECTIVE:
            _warn_of_few_responses(part, summary)


def _warn_of_few_responses(part: CategorySummary, summary: SampleSummary) -> None:
    """Say at which working points a large category has few objects of one response."""
    several = len(summary.working_points) > 1
    for point, passed in zip(summary.working_points, part.passed, strict=True):
        for count, what in ((passed, "passed"), (part.n - passed, "failed")):
            if count < MIN_RESPONSES:
                at = f" {point}" if several else ""
                logger.warning(
                    "%s: %d of %d %s %s%s, fewer than %d: nothing can be learned of how that "
                    "depends on the features; use more events, or another cut",
                    *(part.category, count, part.n, summary.unit, what, at, MIN_RESPONSES),
                )


def check_sample(
    columns: TrainingColumns, task: Task, *, by_category: bool = True, warn: bool = True
) -> SampleSummary:
    """Refuse a sample that nothing can be learned from, and warn of one that is worth little.

    Parameters
    ----------
    columns : TrainingColumns
        The sample.
    task : Task
        Its task.
    by_category : bool, default True
        See :func:`check_weights`.
    warn : bool, default True
        Whether to warn; not of a sample that was warned of before.

    Returns
    -------
    SampleSummary
        Its numbers; categories below :data:`MIN_EFFECTIVE` are warned of in the log.

    Raises
    ------
    InputError
        If all objects have the same response.
    TrainingError
        If the sum of the weights, of all or of a category that has objects, is not positive.
    """
    from hepsilon.data.sample_checks import (
        check_response,  # reads files: not for who has a card only
    )

    check_response(columns, task)
    summary = summarise(columns, task)
    check_weights(summary, by_category=by_category)
    if warn:
        warn_of_few(summary)
    return summary
