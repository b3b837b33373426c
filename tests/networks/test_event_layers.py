"""Layers for events with a fixed number of tracks."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from keras import ops

from hepsilon.data.separations import Separations
from hepsilon.networks.event_layers import EventEncoder, Gate, InOrder
from hepsilon.networks.layers import Initializers


def numpy_of(tensor: Any) -> Any:
    return ops.convert_to_numpy(tensor)


NAMES = "px", "py", "pz", "charge"


def tracks(events: int, number: int, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    momenta = rng.normal(size=(events, number, 3))
    charge = rng.choice([-1.0, 1.0], (events, number, 1))
    return np.concatenate([momenta, charge], axis=2).astype(np.float32)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_tracks_are_sorted_by_charge_and_then_by_pt(number: int) -> None:
    x = tracks(50, number)
    found = numpy_of(InOrder(NAMES)(x))
    for event, ordered in zip(x, found, strict=True):
        pt = np.hypot(event[:, 0], event[:, 1])
        np.testing.assert_array_equal(ordered, event[np.lexsort((-pt, -event[:, 3]))])


def test_the_order_in_the_file_does_not_matter() -> None:
    x = tracks(20, 3)
    layer = InOrder(NAMES)
    expected = numpy_of(layer(x))
    for order in permutations(range(3)):
        np.testing.assert_array_equal(numpy_of(layer(x[:, list(order)])), expected)


def test_tracks_without_charge_are_sorted_by_pt() -> None:
    x = np.array([[[1.0, 0.3, 0.1], [5.0, 0.2, 0.4], [3.0, 0.1, 0.2]]], np.float32)
    found = numpy_of(InOrder(("pt", "eta", "phi"))(x))
    np.testing.assert_array_equal(found[0, :, 0], [5.0, 3.0, 1.0])


def test_equal_tracks_stay_as_they_are() -> None:
    x = np.array([[[1.0, 0.0, 0.1, 1.0], [1.0, 0.0, 0.2, 1.0]]], np.float32)
    np.testing.assert_array_equal(numpy_of(InOrder(NAMES)(x)), x)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_event_encoder_equals_plain_numpy(number: int) -> None:
    rng = np.random.default_rng(3)
    shapes = [(6, number, width) for width in (4, 6, 2)]
    plain, waves, angles = (rng.uniform(-2.0, 2.0, s).astype(np.float32) for s in shapes)
    separations = Separations(low=0.1, scales=(0.2, 0.7))
    found = numpy_of(EventEncoder(separations)((plain, waves, angles)))
    for i in range(6):
        log_pt = plain[i, :, 0]
        rows = np.concatenate([plain[i], waves[i], np.exp(-log_pt)[:, None]], axis=1)
        expected = [*rows.ravel(), log_pt.max(), log_pt.min(), np.log(np.exp(log_pt).sum())]
        pairs = [angles[i, a] - angles[i, b] for a, b in combinations(range(number), 2)]
        d_eta, d_phi = np.reshape(pairs, (-1, 2)).T
        d_phi = (d_phi + np.pi) % (2.0 * np.pi) - np.pi
        delta_r = np.hypot(d_eta, d_phi)
        close = [np.exp(-np.maximum((delta_r - 0.1) / s, -1.0)) for s in (0.2, 0.7)]
        expected += np.ravel([d_eta, abs(d_phi), np.cos(d_phi), delta_r, *close]).tolist()
        np.testing.assert_allclose(found[i], expected, rtol=2e-5, atol=1e-5)


def test_a_gate_begins_closed_and_then_scales_its_network() -> None:
    gate = Gate((5, 4), "silu", Initializers(1), name="gate")
    x = np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32)
    np.testing.assert_array_equal(numpy_of(gate(x)[0]), 0.0)
    gate.factor.assign([1.0])
    once = numpy_of(gate(x)[0])
    gate.factor.assign([-2.0])
    assert np.ptp(once) > 0.0
    np.testing.assert_allclose(numpy_of(gate(x)[0]), -2.0 * once, rtol=1e-6)
