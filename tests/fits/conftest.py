from __future__ import annotations

from typing import Any

import hist
import numpy as np
import pytest

from hepsilon.fits import Process, Templates, templates

EDGES = (0.0, 1.0, 2.0, 4.0)
REPLICAS = 30


def weighted(values: Any, variances: Any = None, edges: Any = EDGES) -> hist.Hist[Any]:
    """Histogram of weighted storage."""
    axis = hist.axis.Variable(edges, name="x", label="$p_T$ [GeV]")
    histogram = hist.Hist(axis, storage=hist.storage.Weight())
    view: Any = histogram.view()
    view["value"] = values
    view["variance"] = np.abs(values) if variances is None else variances
    return histogram


def replicas_of(values: Any, seed: int = 1, spread: float = 0.05) -> hist.Hist[Any]:
    """Replicas of bins with a common and a separate part."""
    rng = np.random.default_rng(seed)
    values = np.asarray(values, np.float64)
    common = rng.normal(size=(REPLICAS, 1)) * spread
    own = rng.normal(size=(REPLICAS, len(values))) * spread / 3.0
    axis = hist.axis.Variable(EDGES, name="x")
    number = hist.axis.Integer(0, REPLICAS, name="replica", flow=False)
    histogram = hist.Hist(number, axis, storage=hist.storage.Double())
    histogram.view()[...] = values * (1.0 + common + own)
    return histogram


SIGNAL, BACKGROUND = np.array([10.0, 30.0, 5.0]), np.array([200.0, 100.0, 50.0])


@pytest.fixture
def fit() -> Templates:
    """Signal and background of one efficiency in a channel, and a second channel."""
    norms = {"lumi": (1.02, 0.98)}
    first = {
        "signal": Process(weighted(SIGNAL), replicas_of(SIGNAL), norms=norms),
        "background": Process(weighted(BACKGROUND), replicas_of(BACKGROUND), norms=norms),
    }
    second = {"background": Process(weighted(2.0 * BACKGROUND), norms={"rate": (1.2, 0.8)})}
    observed = {"sr": weighted(SIGNAL + BACKGROUND), "cr": weighted(2.0 * BACKGROUND)}
    return templates({"sr": first, "cr": second}, observed, share=0.9)
