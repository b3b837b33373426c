"""Efficiencies at given momenta, and gradients against finite differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest

import hepsilon
from hepsilon import ConfigError, EfficiencyMap, FieldEfficiency, InputError
from hepsilon.efficiencies.gradients import probability_slopes
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.phase_space import at_momenta
from tests.helpers.network_toys import NETWORKS
from tests.helpers.processes import python
from tests.helpers.track_toys import random_tracks
from tests.helpers.untrained import Make

Array = npt.NDArray[Any]
EVENTS = ("product", "event gnn", "event mlp", "event paper mlp")
OBJECTS = ("mlp", "paper mlp", "points mlp")
STEP = 2e-3
"""Small against the momenta, large against the round-off of float32."""


def network(untrained: Make, name: str) -> NetworkEfficiency:
    """Network with random weights, evaluated by Keras."""
    task, options = NETWORKS[name]
    made = untrained(task, **options)
    return hepsilon.load(made.path, backend="tensorflow")


def momenta_of(tracks: ak.Array) -> Array:
    """Four-momenta of pairs of tracks."""
    p = np.stack([ak.to_numpy(tracks[name]) for name in ("px", "py", "pz", "mass")], axis=2)
    energy = np.sqrt(np.sum(p**2, axis=2, keepdims=True))
    return np.concatenate([energy, p[..., :3]], axis=2)


def pairs(n: int, seed: int = 3) -> tuple[Array, Array]:
    """Momenta and charges of events with two tracks, of which either may come first."""
    tracks = random_tracks([2] * n, seed)
    return momenta_of(tracks), ak.to_numpy(tracks.charge)


def jets(n: int) -> tuple[Array, Array]:
    """Momenta and flavours of events with three jets."""
    rng = np.random.default_rng(4)
    pt, eta, phi = (rng.uniform(*b, (n, 3)) for b in ((30, 200), (-2, 2), (-3, 3)))
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=2)
    return p, rng.choice([5, 4, 0], (n, 3))


def differences(function: Any, points: Array, step: float) -> Array:
    """Derivatives of one number per event by all components, shape of the points."""
    found = np.empty_like(points)
    for index in np.ndindex(points.shape[1:]):
        shift = np.zeros(points.shape[1:])
        shift[index] = step
        found[(slice(None), *index)] = (function(points + shift) - function(points - shift)) / 2.0
    return found / step


@pytest.mark.parametrize("name", EVENTS)
def test_events_agree_with_records_and_differences(untrained: Make, name: str) -> None:
    efficiency = network(untrained, name)
    points, charge = pairs(40)
    options: dict[str, Any] = {"charge": charge, "out_of_domain": "ignore"}
    found = at_momenta(efficiency, points, gradient=True, **options)
    records = random_tracks([2] * 40, 3)
    np.testing.assert_allclose(found.eps, efficiency(records, out_of_domain="ignore"), atol=2e-6)
    assert found.gradient is not None
    assert found.gradient.shape == points.shape
    expected = differences(lambda p: at_momenta(efficiency, p, **options).eps, points, STEP)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.gradient, expected, atol=0.02 * scale)
    assert np.abs(found.gradient - expected).mean() < 2e-3 * scale
    assert not found.gradient[..., 0].any()  # these depend on no energy


def test_order_of_the_particles_is_that_given(untrained: Make) -> None:
    efficiency = network(untrained, "event mlp")  # puts the positive track first
    points, charge = pairs(40)
    options: dict[str, Any] = {"gradient": True, "out_of_domain": "ignore"}
    found = at_momenta(efficiency, points, charge=charge, **options)
    swapped = at_momenta(efficiency, points[:, ::-1], charge=charge[:, ::-1], **options)
    np.testing.assert_allclose(found.eps, swapped.eps, atol=2e-6)
    np.testing.assert_allclose(found.gradient, swapped.gradient[:, ::-1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_agree_with_differences(untrained: Make, name: str) -> None:
    efficiency = network(untrained, name)
    points, flavour = jets(20)
    options: dict[str, Any] = {"hadronFlavour": flavour, "out_of_domain": "ignore"}
    found = at_momenta(efficiency, points, gradient=True, **options)
    n_points = len(efficiency.working_points)
    several = () if n_points == 1 else (n_points,)
    assert found.eps.shape == (20, 3, *several)
    assert found.gradient is not None
    assert found.gradient.shape == (20, 3, *several, 3)
    for component in range(3):
        shift = np.zeros(3)
        shift[component] = step = 0.2
        sides = (at_momenta(efficiency, points + s * shift, **options).eps for s in (1, -1))
        expected = np.subtract(*sides) / (2.0 * step)
        scale = np.abs(found.gradient).max()
        np.testing.assert_allclose(found.gradient[..., component], expected, atol=0.02 * scale)


def test_slopes_of_features_are_jagged(untrained: Make) -> None:
    efficiency = network(untrained, "mlp")
    rng = np.random.default_rng(5)
    jagged = ak.unflatten(
        ak.zip({"pt": rng.uniform(30, 100, 6), "eta": rng.uniform(-1, 1, 6),
                "phi": rng.uniform(-3, 3, 6), "hadronFlavour": [5, 4, 0, 5, 4, 0]}),
        [2, 0, 3, 1],
    )  # fmt: skip
    eps, slopes = efficiency.value_and_gradient(jagged, out_of_domain="ignore")
    assert list(slopes) == [n for n in efficiency.task.features if n != "hadronFlavour"]
    assert ak.num(slopes["pt"]).to_list() == ak.num(eps).to_list() == [2, 0, 3, 1]
    moved = jagged
    moved["pt"] = jagged.pt + 0.5
    up = efficiency(moved, out_of_domain="ignore")
    moved["pt"] = jagged.pt - 1.0
    expected = ak.flatten(up - efficiency(moved, out_of_domain="ignore"))
    np.testing.assert_allclose(ak.flatten(slopes["pt"]), expected, atol=2e-3)


def test_slopes_of_working_points() -> None:
    logits = np.random.default_rng(6).normal(size=(5, 3))
    from hepsilon.efficiencies.network import to_probability

    found = probability_slopes(to_probability(logits, 2.0))
    for column in range(3):
        shift = np.zeros(3)
        shift[column] = 1e-5
        sides = to_probability(logits + shift, 2.0), to_probability(logits - shift, 2.0)
        expected = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(found[:, :, column], expected, rtol=1e-6, atol=1e-9)


def test_units_of_the_task() -> None:
    """Momenta are in GeV whatever the task's records are in."""
    task, _ = NETWORKS["mlp"]
    in_mev = task.model_copy(update={"unit": "MeV", "selection": ()})
    efficiency = FieldEfficiency("px", task=in_mev)
    assert efficiency.task is not None
    point = np.array([[[3e-4, 0.0, 1.0]]])
    np.testing.assert_allclose(at_momenta(efficiency, point).eps, [[0.3]])


def test_what_has_no_gradient(untrained: Make, toy_map: EfficiencyMap) -> None:
    points, flavour = jets(2)
    with pytest.raises(ConfigError, match="EfficiencyMap has no gradient"):
        at_momenta(toy_map, points, gradient=True, hadronFlavour=flavour)
    with pytest.raises(ConfigError, match="depends on the other objects"):
        at_momenta(network(untrained, "gnn"), points, gradient=True, hadronFlavour=flavour)
    with pytest.raises(ConfigError, match="no gradient here"):
        at_momenta(toy_map, points, gradient=True, out_of_domain=toy_map, hadronFlavour=flavour)


def test_a_graph_has_no_gradients(exported: Any) -> None:
    path, (points, charge) = exported("event mlp").path, pairs(2)
    options: dict[str, Any] = {"charge": charge, "gradient": True, "out_of_domain": "ignore"}
    automatic = at_momenta(hepsilon.load(path), points, **options)  # values from the graph
    by_keras = at_momenta(hepsilon.load(path, backend="tensorflow"), points, **options)
    np.testing.assert_allclose(automatic.gradient, by_keras.gradient, rtol=1e-4, atol=1e-7)
    efficiency = hepsilon.load(path, backend="onnxruntime")
    with pytest.raises(ConfigError, match=r'OnnxEngine has no gradients; .*backend="tensorflow"'):
        at_momenta(efficiency, points, **options)


@pytest.mark.parametrize("shape", [(2, 4), (2, 2, 5), (2, 0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected the shape"):
        at_momenta(FieldEfficiency("known"), np.ones(shape))


def test_bad_points_are_refused(untrained: Make) -> None:
    efficiency = network(untrained, "event mlp")
    points, charge = pairs(3)
    broken = points.copy()
    broken[1, 0, 2] = np.nan
    with pytest.raises(InputError, match="1 of 24 numbers are NaN"):
        at_momenta(efficiency, broken, charge=charge)
    with pytest.raises(InputError, match=r"charge: expected \(3, 2\) numbers"):
        at_momenta(efficiency, points, charge=charge[:2])
    with pytest.raises(InputError, match="px is among the momenta"):
        at_momenta(efficiency, points, charge=charge, px=charge)


def test_points_along_the_beam_have_no_gradient(untrained: Make) -> None:
    efficiency = network(untrained, "mlp")
    points, flavour = jets(3)
    points[1, 0, :2] = 0.0
    with pytest.raises(InputError, match=r"1 of 3 points have no gradient|NaN or infinite"):
        at_momenta(efficiency, points, gradient=True, hadronFlavour=flavour, out_of_domain="ignore")


def test_no_points(untrained: Make) -> None:
    points, charge = pairs(3)
    found = at_momenta(network(untrained, "event mlp"), points[:0], charge=charge[:0])
    assert found.eps.shape == (0,)


SCRIPT = """
import sys
import numpy as np
import hepsilon
from hepsilon.efficiencies.phase_space import at_momenta
efficiency = hepsilon.load(sys.argv[1], backend="jax")
data = np.load(sys.argv[2])
found = at_momenta(
    efficiency, data["points"], charge=data["charge"], gradient=True, out_of_domain="ignore"
)
np.testing.assert_allclose(found.eps, data["eps"], atol=1e-5)
scale = np.abs(data["gradient"]).max()
np.testing.assert_allclose(found.gradient, data["gradient"], atol=1e-4 * scale)
"""


@pytest.mark.slow
def test_jax_has_the_same_gradients(untrained: Make, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    efficiency = network(untrained, "event mlp")
    points, charge = pairs(10)
    found = at_momenta(efficiency, points, charge=charge, gradient=True, out_of_domain="ignore")
    file = tmp_path / "expected.npz"
    np.savez(file, points=points, charge=charge, eps=found.eps, gradient=found.gradient)
    python(SCRIPT, efficiency.path, file, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
