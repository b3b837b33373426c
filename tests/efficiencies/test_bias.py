"""Bias by region in the replicas of networks."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon import ArtifactError, load
from hepsilon.efficiencies.artifact import read_arrays, write_artifact
from hepsilon.efficiencies.artifact_edits import rewritten
from hepsilon.efficiencies.bias import BIAS, shifted
from hepsilon.efficiencies.draws import PROBES
from hepsilon.efficiencies.network import NetworkEfficiency, logits_of
from hepsilon.efficiencies.regions import Regions
from tests.helpers.draws import drawn_shares, last_layer_changes, moved_logits
from tests.helpers.toys import POINTS, TASK, random_jets, rows
from tests.helpers.track_toys import TRACKS, random_tracks

JETS = random_jets([0, 3, 1, 5, 2, 4, 1], seed=4)
SMALL = {"architecture": "mlp", "width": 8, "blocks": 1, "bias": True}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "single": (TASK, {"last_layer": True, "mu": 2.0}),
    "points": (POINTS, {"members": 2, "last_layer": True}),
    "bootstrap": (TASK, {"members": 3, "resampling": "bootstrap", "last_layer": True}),
    "bootstrap of points": (POINTS, {"members": 3, "resampling": "bootstrap"}),
    "events": (TRACKS, {"architecture": "gnn", "last_layer": True}),
}


@pytest.fixture(scope="module", params=list(KINDS))
def network(
    request: pytest.FixtureRequest, untrained: Callable[..., NetworkEfficiency]
) -> NetworkEfficiency:
    task, options = KINDS[request.param]
    return untrained(task, **(SMALL | options))


def records_for(efficiency: NetworkEfficiency) -> ak.Array:
    return random_tracks([3, 1, 2, 5], seed=3) if efficiency.task.of_events else JETS


def without(efficiency: NetworkEfficiency) -> NetworkEfficiency:
    return load(efficiency.path, bias_term=False)  # type: ignore[return-value]


def evaluated(efficiency: NetworkEfficiency, n: int) -> tuple[Any, Any]:
    """Efficiencies and replicas, with an axis of working points."""
    found = efficiency.evaluate(records_for(efficiency), out_of_domain="ignore", replicas=n)
    eps, drawn = found.eps, found.replicas
    if not efficiency.task.of_events:
        eps, drawn = rows(eps), rows(drawn)
    points = len(efficiency.working_points)
    eps, drawn = ak.to_numpy(eps), ak.to_numpy(drawn)
    return eps.reshape(len(eps), points), drawn.reshape(len(eps), points, -1)


def test_replicas_are_shifted_and_the_efficiency_is_not(network: NetworkEfficiency) -> None:
    eps, moved = evaluated(network, 3)
    plain_eps, plain = evaluated(without(network), 3)
    np.testing.assert_allclose(eps, plain_eps, rtol=1e-6)
    bias = network.bias()
    assert bias is not None
    assert without(network).bias() is None
    asked = network._asked(records_for(network))
    columns = asked.offsets, asked.nodes
    shifts = bias.shifts(network.task, network.features, *columns, PROBES).all()
    assert np.abs(shifts).min() > 0.0
    if network.draws_last_layer:
        changes = last_layer_changes(network, *columns, PROBES)
        np.testing.assert_allclose(plain, drawn_shares(eps, changes)[..., :3], rtol=1e-4)
        np.testing.assert_allclose(moved, drawn_shares(eps, changes + shifts)[..., :3], rtol=1e-4)
        return
    moves = moved_logits(eps, shifts) - logits_of(eps, 1.0)[..., None]
    expected = logits_of(plain, 1.0) + moves[..., : plain.shape[2]]
    np.testing.assert_allclose(logits_of(moved, 1.0), expected, atol=1e-4)


def test_shifts_are_sums_over_the_regions_of_an_object(
    untrained: Callable[..., NetworkEfficiency],
) -> None:
    """One region at a time, by its edges."""
    network = untrained(TASK, **SMALL, last_layer=True)
    bias = network.bias()
    assert bias is not None
    offsets, nodes = network.features.matrix(JETS)
    found = bias.shifts(network.task, network.features, offsets, nodes, 7).all()
    draws = np.random.default_rng([1, 3]).standard_normal((7, 4))
    pt, flavour = nodes[:, 0], nodes[:, 3]
    only = np.zeros_like(bias.factor)
    group = 1  # c jets in bins of pt, the first input
    first, last = bias.regions.bounds[group : group + 2]
    edges = bias.regions.edges[first:last]
    start = bias.regions.starts[group]
    only[start + 1] = bias.factor[start + 1]
    alone = type(bias)(bias.regions, only, bias.partners)
    shifts = alone.shifts(network.task, network.features, offsets, nodes, 7).all()
    inside = (flavour == 4) & (pt >= edges[0]) & (pt < edges[1])
    expected = np.where(inside[:, None], draws @ bias.factor[start + 1, 0], 0.0)
    np.testing.assert_allclose(shifts[:, 0], expected, rtol=1e-5, atol=1e-7)
    assert found.shape == (len(nodes), 1, 7)


def test_fewer_replicas_are_the_first_ones_of_more(network: NetworkEfficiency) -> None:
    _, more = evaluated(network, 3)
    _, fewer = evaluated(network, 2)
    np.testing.assert_allclose(fewer, more[..., :2], rtol=1e-5)


def test_replicas_do_not_depend_on_chunks(network: NetworkEfficiency) -> None:
    records = records_for(network)
    whole = network.evaluate(records, out_of_domain="ignore", replicas=3).replicas
    parts = [
        network.evaluate(part, out_of_domain="ignore", replicas=3).replicas
        for part in (records[:2], records[2:3], records[3:])
    ]
    flat = [ak.to_numpy(ak.flatten(x, axis=None)) for x in (whole, ak.concatenate(parts))]
    np.testing.assert_allclose(flat[1], flat[0], rtol=1e-4)


def test_a_handle_that_was_pickled_keeps_the_choice(network: NetworkEfficiency) -> None:
    for handle in (network, without(network)):
        again = pickle.loads(pickle.dumps(handle))
        assert again == handle
        assert (again.bias() is None) is (handle.bias() is None)


def test_another_process_draws_equal_replicas(
    untrained: Callable[..., NetworkEfficiency], tmp_path: Path
) -> None:
    """As Dask workers do: the draws follow from the number of the replica alone."""
    network = untrained(TASK, **SMALL, last_layer=True)
    handle, answer = tmp_path / "handle.pickle", tmp_path / "shifts.npy"
    handle.write_bytes(pickle.dumps(network))
    offsets, nodes = network.features.matrix(JETS)
    np.savez(tmp_path / "nodes.npz", offsets=offsets, nodes=nodes)
    code = (
        "import pickle, sys, numpy as np; from pathlib import Path; "
        "network = pickle.loads(Path(sys.argv[1]).read_bytes()); rows = np.load(sys.argv[2]); "
        "np.save(sys.argv[3], network._shifts(rows['offsets'], rows['nodes'], 9).all())"
    )
    arguments = [str(handle), str(tmp_path / "nodes.npz"), str(answer)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    np.testing.assert_array_equal(np.load(answer), network._shifts(offsets, nodes, 9).all())


def test_a_rewritten_artifact_keeps_it(
    untrained: Callable[..., NetworkEfficiency], tmp_path: Path
) -> None:
    network = untrained(TASK, **SMALL, last_layer=True)
    copy = rewritten(network, tmp_path / "copy.hepsilon", {})
    offsets, nodes = network.features.matrix(JETS)
    np.testing.assert_array_equal(
        copy._shifts(offsets, nodes, 4).all(), network._shifts(offsets, nodes, 4).all()
    )


@pytest.mark.parametrize("wrong", ["shape", "column", "edges", "missing", "nan", "bounds", "huge"])
def test_what_is_no_bias_is_refused(
    wrong: str, untrained: Callable[..., NetworkEfficiency], tmp_path: Path
) -> None:
    network = untrained(TASK, **SMALL, last_layer=True)
    arrays = read_arrays(network.path, network.card, network.hash)
    bias = arrays[BIAS]
    if wrong == "shape":
        bias["factor"] = bias["factor"][:, :, :2]
    if wrong == "column":
        bias["columns"] = bias["columns"] + 100
    if wrong == "edges":
        bias["edges"] = bias["edges"][::-1].copy()
    if wrong == "missing":
        del bias["bounds"]
    if wrong == "nan":
        bias["factor"] = np.full_like(bias["factor"], np.nan)
    if wrong == "bounds":
        bias["bounds"] = bias["bounds"].astype(np.float64)
    if wrong == "huge":  # finite, and infinite in float32
        bias["factor"] = np.full(bias["factor"].shape, 1e300)
    damaged = NetworkEfficiency.load(write_artifact(tmp_path / "x.hepsilon", network.card, arrays))
    damaged(JETS, out_of_domain="ignore")  # needs no bias
    with pytest.raises(ArtifactError, match=r"bias|regions"):
        damaged.evaluate(JETS, out_of_domain="ignore")


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_shifted_efficiencies_fall_and_move_their_logits(points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    eps = np.sort(rng.uniform(0.01, 0.99, (5, points)), axis=1)[:, ::-1].copy()
    networks = np.repeat(eps[..., None], 4, axis=2)
    shifts = rng.normal(0.0, 1.0, (5, points, PROBES)).astype(np.float32)
    expected = drawn_shares(eps, shifts.astype(float))[..., :4]
    moved = shifted(eps, networks, shifts)
    np.testing.assert_allclose(moved, expected, rtol=1e-4)
    assert np.all((moved > 0.0) & (moved < 1.0))
    assert np.all(np.diff(moved, axis=1) <= 0.0)


def test_missing_values_have_a_region_of_their_own() -> None:
    values = np.array([-1e30, 1.0, 2.0, 3.0, 4.0, -1e30], np.float32)[:, None]
    regions = Regions.of(values, [0], np.zeros(6, np.int64), [2])
    numbers = regions.numbers(values, np.zeros(6, np.int64))[:, 0]
    assert numbers[0] == numbers[5] == 0
    assert set(numbers[1:5]) == {1, 2}


def test_regions_say_what_is_in_them() -> None:
    values = np.array([0.5, 0.5, 1.23456, 1.5, 100.0, 100.0], np.float32)[:, None]
    regions = Regions.of(values, [0], np.zeros(6, np.int64), [3])
    names = [regions.text(region, "delta R to the nearest") for region in range(regions.size)]
    assert names[0] == "delta R to the nearest below 1.23"
    assert names[-1] == "delta R to the nearest: none"
    assert regions.text(regions.size - 1, "pt") == "pt from 100"


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_every_value_is_in_one_region_of_its_category(seed: int, bins: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 8, (40, 2)).astype(np.float32)
    categories = rng.integers(0, kinds, 40)
    regions = Regions.of(inputs, [0, 1], categories, [bins] * kinds)
    numbers = regions.numbers(inputs, categories)
    assert numbers.min() >= 0
    assert numbers.max() < regions.size
    for family in range(2):
        np.testing.assert_array_equal(regions.families[numbers[:, family]], family)
        np.testing.assert_array_equal(regions.categories[numbers[:, family]], categories)
        for category in range(kinds):  # larger values are in later regions
            mine = categories == category
            order = np.argsort(inputs[mine, family], kind="stable")
            assert np.all(np.diff(numbers[mine, family][order]) >= 0)


def test_members_that_are_asked_for_are_the_networks_themselves(
    untrained: Callable[..., NetworkEfficiency],
) -> None:
    network = untrained(TASK, **SMALL, members=3, last_layer=True)
    members = load(network.path, replicas_from="members")
    offsets, nodes = network.features.matrix(JETS)
    drawn = rows(members.evaluate(JETS, out_of_domain="ignore").replicas)
    np.testing.assert_allclose(drawn, network.of_members(offsets, nodes), rtol=1e-6)
