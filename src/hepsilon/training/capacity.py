"""How a training shrinks with its sample: what the sample is worth, and what follows from it.

Without noise in the responses a network learns 20,000 events to a twentieth of the divergence that
is left with it (docs/measurements.md): what limits a small sample is the number of its objects that
passed and failed, not the number of events.
"""

from __future__ import annotations

from typing import Any

from hepsilon.config.learning import Recipe
from hepsilon.data.summary import CategorySummary, SampleSummary

__all__ = ["LARGE", "explanation", "scaled", "worth"]

LARGE = 40_000.0
"""Worth from which a sample is large: the values of the preset stay as they are."""
LARGEST_DECAY = 0.3


def worth(summary: SampleSummary) -> float:
    """Number that a sample is worth: of passed and failed objects the fewer, over all categories.

    For each category it is ``n_passed n_failed / (n_passed + n_failed)`` of the effective numbers,
    the information on the logit of its efficiency; of several working points that with the least.

    Parameters
    ----------
    summary : SampleSummary
        Numbers of the training sample.

    Returns
    -------
    float
        Sum over the categories; near the number of passed objects where few pass.
    """
    parts = summary.categories[:-1] or summary.categories  # the last one is of all objects
    points = range(len(summary.working_points))
    return min(sum(_worth_of(part, point) for part in parts) for point in points)


def _worth_of(part: CategorySummary, point: int) -> float:
    passed, failed = part.passed_effective[point], part.failed_effective[point]
    return passed * failed / (passed + failed) if passed and failed else 0.0


def scaled(values: dict[str, Any], worth: float) -> dict[str, Any]:
    """Values of a preset for a sample of this worth.

    The weight decay grows in inverse proportion to the worth, up to 0.3.

    Parameters
    ----------
    values : dict of str to object
        Values of a preset, for large samples.
    worth : float
        What the sample is worth (see :func:`worth`).

    Returns
    -------
    dict of str to object
        All values; those of a large sample are unchanged.
    """
    decay = values["weight_decay"]
    grown = decay * LARGE / max(worth, 1.0)
    return values | {"weight_decay": max(decay, min(round(grown, 3), LARGEST_DECAY))}


def explanation(worth: float, usual: Recipe, used: Recipe) -> str | None:
    """Say what the size of a sample has changed in a training, and why.

    Parameters
    ----------
    worth : float
        What the sample is worth.
    usual : Recipe
        Configuration for a large sample with as many events.
    used : Recipe
        Configuration of the training.

    Returns
    -------
    str or None
        A sentence; None where nothing has changed.
    """
    before, after = usual.model_dump(), used.model_dump()
    changes = [
        f"{name} = {after[name]:g} in place of {before[name]:g}"
        for name in before
        if before[name] != after[name]
    ]
    if not changes:
        return None
    return (
        f"small sample: its passed and failed objects are worth {worth:,.0f} (large: "
        f"{LARGE:,.0f}), so the training has {', '.join(changes)}; values in [training] win"
    )
