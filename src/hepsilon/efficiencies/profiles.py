"""Efficiencies in bins and along one feature: histograms, and what a quick look draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.units import is_momentum
from hepsilon.efficiencies.asked import Asked
from hepsilon.errors import InputError

if TYPE_CHECKING:  # a worker that only evaluates does not import it
    import hist

__all__ = [
    "WORKING_POINT",
    "Curve",
    "binned_profile",
    "draw",
    "feature_axis",
    "feature_label",
    "find_feature",
    "sample_curves",
    "scan_curves",
    "scanned",
]

WORKING_POINT = "working_point"
"""Name of the axis of several working points."""
POINTS = 101
"""Points of a curve."""
MOST_CURVES = 12
"""Largest number of curves in one picture."""


@dataclass(frozen=True)
class Curve:
    """Efficiency along one feature, with its band.

    Attributes
    ----------
    label : str
        Category and working point; empty where there is one curve.
    x : ndarray of float64, shape (n,) or (n + 1,)
        Values of the feature, or edges of its bins.
    values : ndarray of float64, shape (n,)
        Efficiencies; NaN where nothing is known.
    errors : ndarray of float64, shape (n,), or None
        Their own errors; None where they are not known.
    """

    label: str
    x: Array
    values: Array
    errors: Array | None


def find_feature(features: FeatureSpec, name: str) -> Feature:
    """Feature by its name.

    Parameters
    ----------
    features : FeatureSpec
        Features of an efficiency.
    name : str
        Name of one of them.

    Returns
    -------
    Feature
        The feature.

    Raises
    ------
    InputError
        For one that there is not.
    """
    for feature in features.features:
        if feature.name == name:
            return feature
    raise InputError(f"expected a feature of {list(features.names)}, received {name!r}")


def feature_label(feature: Feature) -> str:
    """Text of an axis: the name, with the unit in brackets."""
    unit = feature.unit or ("GeV" if is_momentum(feature.name) else "")
    return f"{feature.name} [{unit}]" if unit else feature.name


def feature_axis(feature: Feature, bins: int | Sequence[float], values: Array) -> Any:
    """Axis of hist for a feature.

    Parameters
    ----------
    feature : Feature
        Feature with its range or categories.
    bins : int or sequence of float
        Number of equal bins in the range that the training covered, or the edges.
    values : ndarray of float64
        Values of the sample, for features without a range.

    Returns
    -------
    hist axis
        Axis with the name of the feature, and its unit in the label.

    Raises
    ------
    InputError
        For bins that are none.
    """
    import hist

    if feature.kind == "categorical":
        return hist.axis.IntCategory(list(feature.categories), name=feature.name)
    label = feature_label(feature)
    if not isinstance(bins, int | np.integer):
        edges = np.asarray(bins, np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0.0):
            raise InputError(f"bins: expected a number, or rising edges, received {bins!r}")
        return hist.axis.Variable(edges, name=feature.name, label=label)
    ends = feature.low, feature.high
    if None in ends:
        ends = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low, high = float(ends[0] or 0.0), float(ends[1] or 0.0)
    if bins < 1:
        raise InputError(f"bins: expected one or more, received {bins}")
    high = np.nextafter(high, np.inf)  # the last bin includes what the training covered
    return hist.axis.Regular(int(bins), low, max(high, low + 1e-9), name=feature.name, label=label)


def binned_profile(
    features: FeatureSpec,
    working_points: Sequence[int | str],
    names: Sequence[str],
    asked: Asked,
    eps: Array,
    bins: int | Sequence[float],
) -> hist.Hist[Any]:
    """Mean efficiency of a sample in bins of features.

    Parameters
    ----------
    features : FeatureSpec
        Features of the efficiency.
    working_points : sequence of int or str
        Working points, which have an axis of their own if there are several.
    names : sequence of str
        Features that are axes.
    asked : Asked
        Objects of the sample.
    eps : ndarray of float64, shape (n_entries,) or (n_entries, n_working_points)
        Efficiency of each object, or of each event.
    bins : int or sequence of float
        Bins of the numeric features.

    Returns
    -------
    hist.Hist
        Histogram of means (storage Mean); of a task of events every object is an entry with the
        efficiency of its event.
    """
    import hist

    chosen = [find_feature(features, name) for name in names]
    columns = {f.name: asked.nodes[:, features.names.index(f.name)] for f in chosen}
    axes = [feature_axis(f, bins, columns[f.name]) for f in chosen]
    values: dict[str, Any] = {
        f.name: columns[f.name].astype(int if f.kind == "categorical" else float) for f in chosen
    }
    rows = asked.of_objects(eps) if asked.of_events else eps
    if len(working_points) == 1:
        filled = hist.Hist(*axes, storage=hist.storage.Mean())
        return filled.fill(**values, sample=rows) if len(rows) else filled
    axis = hist.axis.StrCategory([str(p) for p in working_points], name=WORKING_POINT)
    filled = hist.Hist(axis, *axes, storage=hist.storage.Mean())
    for point, column in zip(working_points, rows.T, strict=True):
        if len(column):
            values[WORKING_POINT] = str(point)
            filled.fill(**values, sample=column)
    return filled


def scanned(
    features: FeatureSpec, name: str, points: int = POINTS
) -> Iterator[tuple[str, Array, Array]]:
    """Objects along one feature, alone in their events, the others at the mean of the training.

    Parameters
    ----------
    features : FeatureSpec
        Features of an efficiency, with their means and ranges.
    name : str
        Numeric feature to vary.
    points : int, optional
        Number of values.

    Yields
    ------
    label : str
        Categories of the objects.
    x : ndarray of float64, shape (n,)
        Values of the feature.
    nodes : ndarray of float32, shape (n, n_features)
        Features of the objects.

    Raises
    ------
    InputError
        For a feature that has no range.
    """
    varied = find_feature(features, name)
    if varied.kind == "categorical" or varied.low is None or varied.high is None:
        raise InputError(f"{name} has no range to vary it in; give records, whose mean is drawn")
    x = np.linspace(varied.low, varied.high, points)
    others = [f for f in features.features if f.kind == "categorical"]
    middle = np.array([f.mean for f in features.features], np.float32)
    for values in islice(product(*(f.categories for f in others)), MOST_CURVES):
        nodes = np.tile(middle, (points, 1))
        nodes[:, features.names.index(name)] = x
        for feature, value in zip(others, values, strict=True):
            nodes[:, features.names.index(feature.name)] = value
        text = ", ".join(f"{f.name} = {v}" for f, v in zip(others, values, strict=True))
        yield text, x, nodes


def draw(curves: Sequence[Curve], feature: Feature, title: str, axes: Any = None) -> Any:
    """Draw curves of an efficiency.

    Parameters
    ----------
    curves : sequence of Curve
        Curves, of which at most twelve are drawn.
    feature : Feature
        Feature on the horizontal axis.
    title : str
        Words about what is drawn.
    axes : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure of pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    if axes is None:
        from matplotlib import pyplot

        _, axes = pyplot.subplots(figsize=(6.0, 4.0), layout="constrained")
    for number, curve in enumerate(curves[:MOST_CURVES]):
        style: dict[str, Any] = {"color": f"C{number}"}
        binned = len(curve.x) > len(curve.values)
        if binned:
            axes.stairs(curve.values, curve.x, baseline=None, label=curve.label or None, **style)
        else:
            axes.plot(curve.x, curve.values, label=curve.label or None, **style)
        if curve.errors is None:
            continue
        low, high = curve.values - curve.errors, curve.values + curve.errors
        if binned:
            axes.stairs(high, curve.x, baseline=low, fill=True, alpha=0.25, **style)
        else:
            axes.fill_between(curve.x, low, high, alpha=0.25, linewidth=0.0, **style)
    axes.set(xlabel=feature_label(feature), ylabel="efficiency", title=title)
    axes.title.set_fontsize("medium")
    if len(curves) > MOST_CURVES:
        more = f"{len(curves) - MOST_CURVES} more"
        axes.text(0.99, 0.01, more, transform=axes.transAxes, ha="right")
    if any(curve.label for curve in curves):
        axes.legend(fontsize="small")
    return axes


def _labels(text: str, working_points: Sequence[int | str]) -> list[str]:
    """Label of each working point."""
    if len(working_points) == 1:
        return [text]
    return [", ".join(filter(None, (text, str(point)))) for point in working_points]


def _by_point(
    eps: Array, replicas: Array | None, points: int
) -> Iterator[tuple[Array, Array | None]]:
    """Efficiencies (n,) and replicas (n, K) of every working point."""
    shape = len(eps), points
    drawn = None if replicas is None else replicas.reshape(*shape, replicas.shape[-1])
    for i, column in enumerate(eps.reshape(shape).T):
        yield column, None if drawn is None else drawn[:, i]


def scan_curves(
    predict: Callable[[Array, Array], tuple[Array, Array | None]],
    features: FeatureSpec,
    name: str,
    working_points: Sequence[int | str],
) -> list[Curve]:
    """Curves along one feature, of objects that are alone in their events.

    Parameters
    ----------
    predict : callable
        Gives efficiencies and replicas from offsets and features.
    features : FeatureSpec
        Features of the efficiency.
    name : str
        Feature to vary.
    working_points : sequence of int or str
        Working points.

    Returns
    -------
    list of Curve
        One for each combination of categories and each working point.
    """
    found = []
    for text, x, nodes in scanned(features, name):
        eps, replicas = predict(np.arange(len(x) + 1), nodes)
        labels = _labels(text, working_points)
        for label, (column, drawn) in zip(
            labels, _by_point(eps, replicas, len(labels)), strict=True
        ):
            errors = None if drawn is None else drawn.std(axis=1, ddof=1)
            found.append(Curve(label, x, column, errors))
    return found


def sample_curves(
    asked: Asked,
    predicted: tuple[Array, Array | None],
    features: FeatureSpec,
    name: str,
    working_points: Sequence[int | str],
    bins: int | Sequence[float],
) -> list[Curve]:
    """Curves of the mean efficiency of a sample in bins of one feature.

    Parameters
    ----------
    asked : Asked
        Objects of the sample.
    predicted : tuple of ndarray
        Their efficiencies, and replicas or None.
    features : FeatureSpec
        Features of the efficiency.
    name : str
        Feature of the bins.
    working_points : sequence of int or str
        Working points.
    bins : int or sequence of float
        Bins of the feature.

    Returns
    -------
    list of Curve
        One for each working point; the error of a bin is the spread of its mean over the replicas.
    """
    feature = find_feature(features, name)
    values = asked.nodes[:, features.names.index(name)].astype(np.float64)
    axis = feature_axis(feature, bins, values)
    numbers = axis.index(values.astype(int) if feature.kind == "categorical" else values)
    inside = (numbers >= 0) & (numbers < axis.size)
    numbers = numbers[inside]
    count = np.bincount(numbers, minlength=axis.size)

    def means(rows: Array) -> Array:
        entries = (asked.of_objects(rows) if asked.of_events else rows)[inside]
        sums = np.bincount(numbers, entries, minlength=axis.size)
        return np.divide(sums, count, out=np.full(axis.size, np.nan), where=count > 0)

    eps, replicas = predicted
    found = []
    labels = _labels("", working_points)
    for label, (column, drawn) in zip(labels, _by_point(eps, replicas, len(labels)), strict=True):
        errors = None
        if drawn is not None:
            errors = np.std([means(each) for each in drawn.T], axis=0, ddof=1)
        found.append(Curve(label, np.asarray(axis.edges, np.float64), means(column), errors))
    return found
