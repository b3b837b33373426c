"""A lower precision, once it is known what it changes."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from hepsilon.efficiencies.artifact_edits import blobs_of, rewritten, sample_of, values_on
from hepsilon.efficiencies.cards import PrecisionCard
from hepsilon.efficiencies.engines.choice import chosen
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError

__all__ = ["PRECISION_BOUND", "accepted", "measure_precision"]

logger = logging.getLogger("hepsilon")
PRECISION_BOUND = 0.01
"""Largest change of an efficiency at which a lower precision is accepted."""


def measure_precision(efficiency: NetworkEfficiency) -> NetworkEfficiency:
    """Measure what the efficiency's precision changes, and write that into the card of its file.

    Where the file cannot be written the result is only in the returned efficiency, with a
    warning.
    """
    sample = sample_of(efficiency)
    low = values_on(efficiency, sample)
    exact = values_on(replace(efficiency, precision="float32"), sample)
    weights = np.repeat(sample["weights"], np.diff(sample["offsets"]))
    if len(weights) != len(exact):  # one efficiency for each event
        weights = sample["weights"]
    totals = [np.tensordot(weights, values.mean(axis=-1), axes=1) for values in (low, exact)]
    change = PrecisionCard(
        backend=chosen(
            efficiency.card, efficiency.backend, efficiency.device, efficiency.precision
        ),
        n_objects=len(exact),
        largest_difference=float(np.abs(low - exact).max()),
        rms_difference=float(np.sqrt(np.mean((low - exact) ** 2))),
        closure_change=float(np.max(np.abs(totals[0] / totals[1] - 1.0))),
    )
    try:
        return rewritten(efficiency, efficiency.path, blobs_of(efficiency), bfloat16=change)
    except OSError as error:
        logger.warning("cannot note the precision in %s: %s", efficiency.path, error.strerror)
        card = efficiency.card.model_copy(update={"bfloat16": change})
        return replace(efficiency, card=card)


def accepted(efficiency: NetworkEfficiency, bound: float) -> NetworkEfficiency:
    """The efficiency, if its precision changes no efficiency by more than ``bound``.

    Measured when the precision is first used on its backend (see :func:`measure_precision`).

    Raises
    ------
    ArtifactError
        With what was measured.
    """
    if efficiency.precision == "float32":
        return efficiency
    change = efficiency.card.bfloat16
    options = efficiency.backend, efficiency.device, efficiency.precision
    if change is None or change.backend != chosen(efficiency.card, *options):
        efficiency = measure_precision(efficiency)
        change = efficiency.card.bfloat16
    if change is not None and not change.largest_difference <= bound:
        raise ArtifactError(
            f"{efficiency.path}: {efficiency.precision} changes an efficiency by "
            f"{change.largest_difference:.2g} (rms {change.rms_difference:.2g}, expected number "
            f"by {change.closure_change:.2g}); at most {bound:g} is accepted. Use float32, or "
            "give a larger precision_bound"
        )
    return efficiency
