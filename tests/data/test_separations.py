"""Distances to the nearest object of a sample."""

from __future__ import annotations

import numpy as np
import pytest

from hepsilon.data.separations import Separations

OFFSETS = np.arange(0, 2001, 2)


def pairs(distance: np.ndarray) -> np.ndarray:
    """Events with two objects each, so far from each other in eta; all at one azimuth."""
    eta = np.stack([np.zeros_like(distance), distance], axis=1).ravel()
    return np.stack([eta, np.full_like(eta, 0.3)], axis=1).astype(np.float32)


def test_lengths_are_quantiles_of_the_distance() -> None:
    distance = np.linspace(0.4, 2.4, 1000)
    found = Separations.of(["eta", "phi"], OFFSETS, pairs(distance))
    assert found is not None
    assert found.low == pytest.approx(0.42, abs=2e-3)
    first, middle, last = found.scales
    assert (first, last) == (pytest.approx(0.18, abs=2e-3), pytest.approx(0.98, abs=2e-3))
    assert middle == pytest.approx(np.sqrt(first * last))


def test_momenta_give_the_same_lengths_as_angles() -> None:
    nodes = pairs(np.linspace(0.4, 2.4, 1000)).astype(np.float64)
    eta, phi = nodes.T
    momenta = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)], axis=1).astype(np.float32)
    angles = Separations.of(["eta", "phi"], OFFSETS, nodes.astype(np.float32))
    found = Separations.of(["px", "py", "pz"], OFFSETS, momenta)
    assert angles is not None
    assert found is not None
    assert found.scales == pytest.approx(angles.scales, rel=1e-4)


def test_without_angles_or_pairs_there_are_none() -> None:
    nodes = pairs(np.ones(1000))
    assert Separations.of(["pt", "eta"], OFFSETS, nodes) is None
    assert Separations.of(["eta", "phi"], np.arange(2001), nodes) is None


def test_objects_that_are_all_equally_far_have_positive_lengths() -> None:
    found = Separations.of(["eta", "phi"], OFFSETS, pairs(np.ones(1000)))
    assert found is not None
    assert min(found.scales) > 0.0
