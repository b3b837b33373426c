"""Do the bands of maps cover? A small ``benchmarks/band_coverage.py``, without trainings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from hepsilon import EfficiencyMap
from hepsilon.config import MapConfig
from hepsilon.config.learning import BinAxis
from hepsilon.data.training_columns import TrainingColumns
from tests.helpers.toys import task_of

TASK = task_of("pt", "eta")
EDGES = (20.0, 60.0, 120.0, 250.0)
TRUE = np.array([0.2, 0.5, 0.8])
EXPERIMENTS, EVENTS = 150, 600


def sample(rng: np.random.Generator, negative: bool) -> TrainingColumns:
    """Events with two objects, whose efficiency depends on the bin alone; weights of both signs."""
    pt = rng.uniform(EDGES[0], EDGES[-1], 2 * EVENTS)
    number = np.searchsorted(EDGES, pt, side="right") - 1
    passed = rng.random(len(pt)) < TRUE[number]
    weights = rng.uniform(0.5, 1.5, EVENTS)
    if negative:
        weights = weights * rng.choice([1.0, -1.0], EVENTS, p=[0.9, 0.1])
    nodes = np.stack([pt, rng.uniform(-2.0, 2.0, len(pt))], axis=1).astype(np.float32)
    keys = np.arange(EVENTS, dtype=np.uint64)
    offsets = np.arange(0, 2 * EVENTS + 1, 2)
    return TrainingColumns(offsets, nodes, passed.astype(np.float32), weights, keys)


@pytest.mark.parametrize("negative", [False, True], ids=["positive", "both signs"])
def test_bands_of_maps_cover(negative: bool) -> None:
    """150 maps: the 68 % bands of three bins, and of a total, over 100 replicas hold the truth.

    The numbers are binomial; each of the four tests allows for what happens by chance in one of
    10,000 sets of experiments, of bands that cover between 64 and 72 %: 100 replicas know their
    standard deviation to 7 %, and the prior is worth one object.
    """
    rng = np.random.default_rng(12)
    config = MapConfig(axes={"pt": BinAxis(edges=EDGES)})
    probe = np.array([[40.0], [90.0], [200.0]], np.float32)
    counts = np.array([300.0, 200.0, 100.0])
    inside = np.zeros(4)
    for _ in range(EXPERIMENTS):
        fitted = EfficiencyMap.fit(TASK, sample(rng, negative), config, warn=False)
        eps, drawn = fitted._predict(np.arange(4), probe, 100)
        assert drawn is not None
        values, replicas = np.append(eps, counts @ eps), np.vstack([drawn, counts @ drawn])
        truth = np.append(TRUE, counts @ TRUE)
        inside += np.abs(values - truth) < replicas.std(axis=1, ddof=1)
    low = binom.ppf(0.5e-4, EXPERIMENTS, 0.64)
    high = binom.isf(0.5e-4, EXPERIMENTS, 0.72)
    assert np.all((low <= inside) & (inside <= high)), inside / EXPERIMENTS
