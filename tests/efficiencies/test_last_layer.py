"""Replicas by draws of the last layers: one pass, equal to networks with other last layers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import ArtifactError, ConfigError, InputError, load
from hepsilon.efficiencies.artifact import read_arrays, write_artifact
from hepsilon.efficiencies.draws import PROBES
from hepsilon.efficiencies.last_layer import LAST_LAYER, LastLayer, between_members
from hepsilon.efficiencies.network import NetworkEfficiency, logits_of
from tests.helpers.draws import drawn_shares, last_layer_changes, moved_logits
from tests.helpers.toys import POINTS, TASK, random_jets, rows

JETS = random_jets([0, 3, 1, 5, 2], seed=4)


@pytest.fixture(scope="module")
def single(untrained: Callable[..., NetworkEfficiency]) -> NetworkEfficiency:
    return untrained(architecture="mlp", width=8, blocks=1, last_layer=True, mu=2.0)


@pytest.fixture(scope="module")
def points(untrained: Callable[..., NetworkEfficiency]) -> NetworkEfficiency:
    return untrained(POINTS, architecture="mlp", width=8, blocks=1, members=2, last_layer=True)


@pytest.fixture(scope="module")
def several(untrained: Callable[..., NetworkEfficiency]) -> NetworkEfficiency:
    return untrained(architecture="mlp", width=8, blocks=1, members=3, last_layer=True)


@pytest.fixture(scope="module")
def bootstrap(untrained: Callable[..., NetworkEfficiency]) -> NetworkEfficiency:
    options = {"resampling": "bootstrap", "members": 3, "last_layer": True}
    return untrained(architecture="mlp", width=8, blocks=1, **options)


def changed(efficiency: NetworkEfficiency, replica: int, out: Path) -> NetworkEfficiency:
    """The artifact whose last layers are those of one draw."""
    layer = efficiency.last_layer()
    step = layer.factor @ layer.draws(replica + 1)[replica]
    arrays = read_arrays(efficiency.path, efficiency.card, efficiency.hash)
    for member, change in enumerate(step):
        weights = arrays[f"member-{member}"]
        width = len(weights["logit.kernel"])  # behind it the categories of the table of rates
        kernel, table = np.split(change[:, :-1].T.astype(np.float32), [width])
        weights["logit.kernel"] = weights["logit.kernel"] + kernel
        if len(table):
            weights["rates.table"] = weights["rates.table"] + table
        weights["logit.bias"] = weights["logit.bias"] + change[:, -1].astype(np.float32)
    return NetworkEfficiency.load(write_artifact(out, efficiency.card, arrays))


@pytest.mark.parametrize("name", ["single", "points"])
def test_a_replica_is_a_network_with_another_last_layer(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Of a mean the logit moves by the mean of what the networks move by, and their differences."""
    efficiency = request.getfixturevalue(name)
    columns = efficiency.features.matrix(JETS)
    changes = last_layer_changes(efficiency, *columns, 20)
    for replica in (0, 3):
        other = changed(efficiency, replica, tmp_path / f"{replica}.hepsilon")
        before, after = (e._of_engine(*columns)[0] for e in (efficiency, other))
        moved = (after - before).mean(axis=-1)
        if name == "points":
            moved = moved + before @ between_members(4, 2)[:, replica]
        np.testing.assert_allclose(changes[..., replica], moved, atol=1e-5)
    eps = rows(efficiency(JETS)).reshape(len(changes), -1)
    replicas = rows(efficiency.replicas(JETS, n_replicas=4)).reshape(*eps.shape, 4)
    found, expected = logits_of(replicas, 1.0), moved_logits(eps, changes)[..., :4]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_fewer_replicas_are_the_first_ones_of_more(single: NetworkEfficiency) -> None:
    more = rows(single.evaluate(JETS, out_of_domain="ignore", replicas=50).replicas)
    assert more.shape == (11, 50)
    for asked, number in ((True, 20), (1, 1), (7, 7)):
        found = single.evaluate(JETS, out_of_domain="ignore", replicas=asked).replicas
        np.testing.assert_allclose(rows(found).reshape(11, -1), more[:, :number], rtol=1e-6)
    for asked in (False, 0):
        assert single.evaluate(JETS, out_of_domain="ignore", replicas=asked).replicas is None


@pytest.mark.parametrize("size", [1, 3])
def test_chunks_change_nothing(several: NetworkEfficiency, size: int) -> None:
    """Round-off of float32 is 1e-7: rows are filled up so that all are treated alike."""

    def replicas(jets: Any) -> Any:
        return rows(several.evaluate(jets, out_of_domain="ignore", replicas=5).replicas)

    parts = [replicas(JETS[i : i + size]) for i in range(0, len(JETS), size)]
    found = np.concatenate([part for part in parts if len(part)])
    np.testing.assert_allclose(found, replicas(JETS), rtol=1e-12)


def test_asking_for_replicas_does_not_change_the_efficiency(
    points: NetworkEfficiency, several: NetworkEfficiency
) -> None:
    for efficiency in (points, several):
        found = efficiency.evaluate(JETS, out_of_domain="ignore", replicas=5)
        np.testing.assert_allclose(rows(found.eps), rows(efficiency(JETS)), rtol=1e-6)


def test_replicas_of_working_points_fall_from_one_to_the_next(points: NetworkEfficiency) -> None:
    found = rows(points.replicas(JETS, n_replicas=30))
    assert found.shape == (11, 3, 30)
    assert np.all(np.diff(found, axis=1) <= 0.0)
    assert np.all((found > 0.0) & (found < 1.0))


def test_the_spread_is_that_of_the_covariance_and_of_the_members(
    several: NetworkEfficiency,
) -> None:
    """With 4000 replicas a standard deviation is known to 1.1 %; five of these are allowed."""
    offsets, nodes = several.features.matrix(JETS)
    logits, _ = several._of_engine(offsets, nodes)
    _, features = several._engine().with_features(offsets, nodes, 3)
    factor = several.last_layer().factor.astype(float)[:, 0] / 3.0
    seen = features.reshape(len(features), 3, -1)
    moved = np.einsum("nmi,mik->nk", seen, factor[:, :-1]) + factor[:, -1].sum(axis=0)
    members = logits[:, 0]
    expected = np.sqrt(np.sum(moved**2, axis=1) + members.var(axis=1, ddof=1) / 3.0)
    changes = last_layer_changes(several, offsets, nodes, 4000)[:, 0]
    np.testing.assert_allclose(changes.std(axis=1, ddof=1), expected, rtol=5 * 0.0112)
    eps, drawn = rows(several(JETS)), rows(several.replicas(JETS, n_replicas=4000))
    np.testing.assert_allclose(drawn, drawn_shares(eps[:, None], changes[:, None])[:, 0], rtol=1e-4)


def test_members_of_a_bootstrap_stay_the_replicas(bootstrap: NetworkEfficiency) -> None:
    networks = bootstrap.of_members(*bootstrap.features.matrix(JETS))
    np.testing.assert_array_equal(rows(bootstrap.replicas(JETS)), networks[:, 1:])
    np.testing.assert_array_equal(rows(bootstrap.replicas(JETS, n_replicas=2)), networks[:, 1:3])
    with pytest.raises(InputError, match=r"at most 3 replicas.*received 4"):
        bootstrap.replicas(JETS, n_replicas=4)
    drawn = load(bootstrap.path, replicas_from="last-layer")
    assert rows(drawn.replicas(JETS, n_replicas=9)).shape == (11, 9)
    np.testing.assert_allclose(rows(drawn(JETS)), networks[:, 0], rtol=1e-6)


def test_members_can_be_asked_for(several: NetworkEfficiency) -> None:
    handle = load(several.path, replicas_from="members")
    networks = handle.of_members(*handle.features.matrix(JETS))
    np.testing.assert_array_equal(rows(handle.replicas(JETS)), networks)
    again = pickle.loads(pickle.dumps(handle))
    np.testing.assert_array_equal(rows(again.replicas(JETS)), networks)


@pytest.mark.parametrize("wrong", [-1, 1.5, "all", None])
def test_other_numbers_of_replicas_are_refused(single: NetworkEfficiency, wrong: Any) -> None:
    with pytest.raises(InputError, match="whole number from 0"):
        single.evaluate(JETS, replicas=wrong)


def test_no_replica_is_no_answer(single: NetworkEfficiency) -> None:
    with pytest.raises(InputError, match="one replica or more"):
        single.replicas(JETS, n_replicas=0)


def test_replicas_that_an_artifact_does_not_have_are_refused(
    single: NetworkEfficiency, untrained: Callable[..., NetworkEfficiency]
) -> None:
    plain = untrained(TASK, architecture="mlp", width=4, blocks=1)
    with pytest.raises(ConfigError, match="train it again"):
        load(plain.path, replicas_from="last-layer")
    with pytest.raises(ConfigError, match="fewer than two networks"):
        load(single.path, replicas_from="members")
    with pytest.raises(ConfigError, match="expected replicas_from of"):
        load(single.path, replicas_from="draws")
    assert plain.evaluate(JETS, out_of_domain="ignore").replicas is None


def test_a_factor_that_the_card_does_not_describe_is_refused(
    single: NetworkEfficiency, tmp_path: Path
) -> None:
    arrays = read_arrays(single.path, single.card, single.hash)
    for number, factor in enumerate(
        (arrays[LAST_LAYER]["factor"][:, :, 1:], np.full((1, 1, 33, 5), np.nan, np.float32))
    ):
        path = tmp_path / f"{number}.hepsilon"
        write_artifact(path, single.card, arrays | {LAST_LAYER: {"factor": factor}})
        with pytest.raises(ArtifactError, match="last layer"):
            load(path).replicas(JETS)


def test_extreme_logits_stay_inside() -> None:
    changes = LastLayer(np.full((1, 2, 2, 1), 50.0, np.float32)).changes(PROBES)
    logits = np.array([[-800.0, 800.0], [800.0, -800.0], [0.0, 0.0]])
    features = np.full((3, 1), 3.0, np.float32)
    found = changes.replicas(logits, features @ changes.kernel, logits[..., None])
    assert np.all((found > 0.0) & (found < 1.0))
    assert np.all(np.diff(found, axis=1) <= 0.0)


def test_no_objects_keep_the_axis(single: NetworkEfficiency) -> None:
    found = single.replicas(JETS[:0], n_replicas=3)
    assert ak.to_numpy(ak.flatten(found)).shape == (0, 3)
