"""The factorised baseline: a product of single-track efficiencies, fitted to whole events."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon import (
    ArtifactError,
    Config,
    ConfigError,
    EfficiencyMap,
    InputError,
    OutOfDomainWarning,
    Task,
    TrainingError,
    load,
)
from hepsilon.arrays.fields import field
from hepsilon.config import MapConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies import factorised as module
from hepsilon.efficiencies.factorised import FactorisedMap, track_axes, with_axes
from hepsilon.testing import check_efficiency
from tests.helpers.track_toys import PAIRS, TRACKS, columns_of, draw, random_tracks, task_with

Array = npt.NDArray[Any]

AXES = MapConfig.model_validate(
    {"axes": {"pt": {"edges": (0.2, 0.5, 1.0, 2.0)}, "eta": {"bins": 2, "min": -0.9, "max": 0.9}}}
)
TASK = task_with(features=("pt", "eta"), categorical={})
VALUES = np.array([[0.35, 0.45], [0.7, 0.6], [0.9, 0.8]])
"""True efficiencies of single tracks in these bins."""


def bins_of(columns: TrainingColumns) -> Array:
    """Flat bin of each track."""
    pt, eta = columns.nodes.T
    return 2 * np.digitize(pt, [0.5, 1.0]) + np.digitize(eta, [0.0])


def events_of(n_events: int, seed: int, tracks: int = 2, values: Array = VALUES) -> TrainingColumns:
    """Events whose efficiency is exactly the product over their tracks."""
    task = task_with(TASK, objects=tracks)
    columns = columns_of(draw([tracks] * n_events, seed), task)
    truth = values.ravel()[bins_of(columns)].reshape(-1, tracks).prod(axis=1)
    response = np.random.default_rng([seed, 2]).uniform(size=n_events) < truth
    return replace(columns, passed=np.repeat(response, tracks).astype(np.float32))


@pytest.fixture(scope="module")
def columns() -> TrainingColumns:
    return events_of(600, seed=1)


@pytest.fixture(scope="module")
def fitted(columns: TrainingColumns) -> FactorisedMap:
    return FactorisedMap.fit(TASK, columns, AXES)


# fit


@pytest.mark.parametrize("tracks", [1, 2, 4])
def test_an_exact_product_is_found_again(tracks: int) -> None:
    """The squared distance in units of the Fisher information is chi-squared with six degrees of
    freedom: false-alarm rate 1e-6 for each number of tracks."""
    n_events = 20_000
    columns = events_of(n_events, seed=2, tracks=tracks)
    task = task_with(TASK, objects=tracks)
    found = FactorisedMap.fit(task, columns, AXES).values()
    bins = bins_of(columns)
    truth = VALUES.ravel()[bins].reshape(-1, tracks).prod(axis=1)
    counts = np.zeros((n_events, VALUES.size))  # tracks of each event in each bin
    np.add.at(counts, (np.repeat(np.arange(n_events), tracks), bins), 1.0)
    slope = truth[:, None] * counts / VALUES.ravel()
    information = (slope / (truth * (1.0 - truth))[:, None]).T @ slope
    distance = (found - VALUES).ravel()
    assert stats.chi2.sf(distance @ information @ distance, VALUES.size) > 1e-6
    assert np.abs(distance).max() < 0.05


def test_efficiency_of_an_event_is_the_product_over_its_tracks(
    fitted: FactorisedMap, columns: TrainingColumns
) -> None:
    tracks = random_tracks([2] * 50, seed=4)
    found = ak.to_numpy(fitted(tracks))
    pt, eta = (ak.to_numpy(field(tracks, name)) for name in ("pt", "eta"))
    single = fitted.values()[np.digitize(pt, [0.5, 1.0]), np.digitize(eta, [0.0])]
    np.testing.assert_allclose(found, single.prod(axis=1), rtol=1e-12)


def objective(values: Array, columns: TrainingColumns, prior: float) -> tuple[float, float]:
    """Mean log-likelihood of the events, and the same with the prior of one track in each bin."""
    single = np.log(values.ravel()[bins_of(columns)])
    log_e = np.add.reduceat(single, columns.offsets[:-1])
    response = columns.passed[columns.offsets[:-1]] > 0.5
    terms = np.where(response, log_e, np.log1p(-np.exp(log_e)))
    of_prior = prior * np.log(values) + (1.0 - prior) * np.log1p(-values)
    return float(terms.mean()), float((terms.sum() + of_prior.sum()) / len(terms))


def after(iterations: int, columns: TrainingColumns, task: Task = TASK) -> FactorisedMap:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ITERATIONS", iterations)
        return FactorisedMap.fit(task, columns, AXES)


def test_likelihood_increases_with_every_iteration(columns: TrainingColumns) -> None:
    """With the prior it must, for expectation-maximisation; here it does without it, too."""
    prior = float(columns.passed.mean()) ** 0.5
    pairs = [objective(after(n, columns).values(), columns, prior) for n in range(1, 25)]
    plain, with_prior = np.array(pairs).T
    assert (np.diff(with_prior) > 0.0).all()
    assert (np.diff(plain) > 0.0).all()


def test_likelihood_on_the_card_is_that_of_the_events(
    fitted: FactorisedMap, columns: TrainingColumns
) -> None:
    expected, _ = objective(fitted.values(), columns, 0.5)
    assert fitted.card.log_likelihood == pytest.approx(expected, abs=1e-8)
    likelihoods = [after(n, columns).card.log_likelihood for n in (1, 2, 5, 20)]
    assert likelihoods == sorted(likelihoods)
    assert likelihoods[-1] < fitted.card.log_likelihood


def test_fit_has_converged(fitted: FactorisedMap, columns: TrainingColumns) -> None:
    assert 10 < fitted.card.iterations < module.ITERATIONS
    again = after(2 * fitted.card.iterations, columns)
    assert again.card.iterations == fitted.card.iterations
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOLERANCE", 1e-13)
        longer = FactorisedMap.fit(TASK, columns, AXES)
    np.testing.assert_allclose(longer.values(), fitted.values(), atol=2e-3)


def test_empty_bins_keep_the_prior(columns: TrainingColumns) -> None:
    """The mean efficiency of a single track, and are far from their neighbours' values."""
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (0.2, 0.5, 1.0, 2.0, 3.0, 9.0)}}})
    values = FactorisedMap.fit(TASK, columns, axes).values()
    np.testing.assert_allclose(values[3:], float(columns.passed.mean()) ** 0.5, rtol=1e-6)
    assert np.abs(values[:3] - values[3]).min() > 0.01


def test_prior_is_worth_one_effective_track(columns: TrainingColumns) -> None:
    """The fit ends where each bin is the mean of its posterior, by hand, of any weights."""
    weights = np.random.default_rng(5).integers(0, 4, columns.n_events).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOLERANCE", 0.0)
        values = FactorisedMap.fit(TASK, replace(columns, weights=weights), AXES).values().ravel()
    bins = bins_of(columns).reshape(-1, 2)
    response = columns.passed[::2] > 0.5
    product = values[bins].prod(axis=1)
    prior = np.average(response, weights=weights) ** 0.5
    for number, value in enumerate(values):
        passed = total = squares = 0.0
        for track in (0, 1):
            here = bins[:, track] == number
            lost = (value - product[here]) / (1.0 - product[here])
            passed += np.sum(weights[here] * np.where(response[here], 1.0, lost))
            total += np.sum(weights[here])
            squares += np.sum(weights[here] ** 2)
        effective = total**2 / squares
        expected = (effective * passed / total + prior) / (effective + 1.0)
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-4, 225892.0])
@pytest.mark.parametrize("negative", [0.0, 0.15])
def test_unit_of_the_weights_does_not_matter(
    columns: TrainingColumns, unit: float, negative: float
) -> None:
    rng = np.random.default_rng(9)
    weights = rng.gamma(4.0, size=columns.n_events)
    weights = np.where(rng.uniform(size=columns.n_events) < negative, -weights, weights)
    found, expected = (
        FactorisedMap.fit(TASK, replace(columns, weights=c * weights), AXES) for c in (unit, 1.0)
    )
    np.testing.assert_allclose(found.values(), expected.values(), rtol=1e-6)
    assert found.card.log_likelihood == pytest.approx(expected.card.log_likelihood, rel=1e-9)
    assert found.card.passed_rate == pytest.approx(expected.card.passed_rate, rel=1e-9)


def test_bins_with_a_negative_sum_of_weights_keep_the_prior(columns: TrainingColumns) -> None:
    hard = (columns.nodes[:, 0] > 1.0).reshape(-1, 2).any(axis=1)
    weights = np.where(hard, -1.0 / np.count_nonzero(columns.nodes[:, 0] > 1.0), 1.0)
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (0.2, 1.0, 2.0)}}})
    found = FactorisedMap.fit(TASK, replace(columns, weights=weights), axes).values()
    response = columns.passed[::2]
    prior = np.average(response, weights=weights) ** 0.5
    assert found[1] == pytest.approx(prior, rel=1e-6)
    soft = response[~hard].mean() ** 0.5
    assert found[0] == pytest.approx(soft, abs=0.01)


def test_weights_without_a_positive_sum_are_refused(columns: TrainingColumns) -> None:
    with pytest.raises(TrainingError, match="positive sum of weights of 600 events"):
        FactorisedMap.fit(TASK, replace(columns, weights=np.zeros(600)), AXES)


@given(seed=st.integers(0, 1000))
def test_order_of_events_and_tracks_does_not_matter(
    columns: TrainingColumns, fitted: FactorisedMap, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    other = columns.take(rng.permutation(columns.n_events))
    order = (np.arange(len(other.nodes)).reshape(-1, 2)[:, ::-1]).ravel()
    other = replace(other, nodes=other.nodes[order])
    np.testing.assert_allclose(
        FactorisedMap.fit(TASK, other, AXES).values(), fitted.values(), rtol=1e-9
    )


def test_any_number_of_tracks_can_be_fitted() -> None:
    task = task_with(TRACKS, features=("pt", "eta"), categorical={})
    counts = np.random.default_rng(3).integers(1, 5, 500).tolist()
    found = FactorisedMap.fit(task, columns_of(draw(counts, 3), task), AXES)
    one, three = (random_tracks([n] * 5, seed=6) for n in (1, 3))
    each = ak.to_numpy(found(ak.unflatten(ak.flatten(three), 1)))
    np.testing.assert_allclose(found(three), each.reshape(5, 3).prod(axis=1), rtol=1e-12)
    assert len(found(one)) == 5


def test_scale_between_charges_does_not_matter_for_the_event() -> None:
    """With one track of each charge only products are known; they still are found."""
    axes = MapConfig.model_validate({"axes": {"charge": {"edges": (-2.0, 0.0, 2.0)}}})
    task = task_with(features=("charge",), categorical={})
    columns = columns_of(draw([2] * 2000, seed=8), task)
    found = FactorisedMap.fit(task, columns, axes)
    eps = ak.to_numpy(found(random_tracks([2] * 3)))
    np.testing.assert_allclose(eps, columns.passed.mean(), atol=2e-3)


# protocol


def test_results_are_of_events(fitted: FactorisedMap) -> None:
    tracks = random_tracks([2] * 6)
    assert str(fitted(tracks).type) == "6 * float64"
    assert str(fitted.in_domain(tracks).type) == "6 * bool"
    assert ak.all(fitted.in_domain(tracks))


@pytest.mark.parametrize("cuts", [[], [0], [3, 3], [1, 4, 6]])
def test_chunks_change_nothing(fitted: FactorisedMap, cuts: list[int]) -> None:
    tracks = random_tracks([2] * 6)
    bounds = [0, *cuts, 6]
    parts = [fitted(tracks[a:b]) for a, b in pairwise(bounds)]
    assert ak.concatenate(parts).to_list() == fitted(tracks).to_list()


def test_events_with_a_track_outside_the_binning_are_out_of_domain(fitted: FactorisedMap) -> None:
    tracks = ak.zip(
        {
            "pt": [[0.3, 0.3], [0.3, 7.0], [0.3, 2.0], [0.1, 0.3]],
            "eta": [[0.1, 0.1], [0.1, 0.1], [0.9, -0.9], [0.1, 1.1]],
            "charge": [[1, -1]] * 4,
        }
    )
    assert fitted.in_domain(tracks).to_list() == [True, False, True, False]
    with pytest.warns(OutOfDomainWarning, match=r"2 of 4 events .*2 in pt, 1 in eta"):
        eps = fitted(tracks)
    nearest = ak.with_field(tracks, [[0.3, 0.3], [0.3, 1.9], [0.3, 1.9], [0.3, 0.3]], "pt")
    nearest = ak.with_field(nearest, [[0.1, 0.1]] * 2 + [[0.8, -0.8], [0.1, 0.8]], "eta")
    assert eps.to_list() == fitted(nearest).to_list()


def test_another_number_of_tracks_is_an_input_error(fitted: FactorisedMap) -> None:
    with pytest.raises(InputError, match="1 of 2 events have another number"):
        fitted(random_tracks([2, 3]))


# configuration


def test_task_of_objects_is_refused(columns: TrainingColumns) -> None:
    task = task_with(TASK, level="object", objects=None, order_by=None, fiducial=None)
    with pytest.raises(ConfigError, match='level = "event"'):
        FactorisedMap.fit(task, columns, AXES)


def test_axes_that_are_no_features_are_refused(columns: TrainingColumns) -> None:
    with pytest.raises(ConfigError, match=r"map axes \['phi'\] are not among the features"):
        FactorisedMap.fit(TASK, columns, track_axes())


@pytest.mark.parametrize("response", [0.0, 1.0])
def test_response_that_never_varies_is_refused(columns: TrainingColumns, response: float) -> None:
    constant = replace(columns, passed=np.full_like(columns.passed, response))
    with pytest.raises(InputError, match="reco"):
        FactorisedMap.fit(TASK, constant, AXES)


def test_columns_are_read_with_the_axes_as_features() -> None:
    config = with_axes(Config(task=PAIRS, map=AXES))
    assert (config.task.features, config.task.categorical) == (("pt", "eta"), {})
    assert config.map == AXES
    others = {"features": config.task.features, "categorical": {}}
    assert config.task == PAIRS.model_copy(update=others)


def test_default_axes_are_those_of_tracks() -> None:
    config = with_axes(Config(task=PAIRS))
    assert config.task.features == ("pt", "eta", "phi")
    assert config.map == track_axes()
    assert {n: len(a.edges) - 1 for n, a in config.map.axes.items()} == {
        "pt": 10,
        "eta": 9,
        "phi": 36,
    }


def test_charges_can_be_an_axis() -> None:
    axes = MapConfig.model_validate({"axes": {"charge": {"edges": (-2.0, 0.0, 2.0)}}})
    config = with_axes(Config(task=PAIRS, map=axes))
    columns = columns_of(draw([2] * 50), config.task)
    found = FactorisedMap.fit(config.task, columns, config.map)
    assert found.values().shape == (2,)
    assert ak.all(found.in_domain(random_tracks([2] * 3)))


# files


@pytest.fixture(scope="module")
def path(fitted: FactorisedMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("map") / "map.hepsilon")


def test_map_survives_the_round_trip_through_a_file(fitted: FactorisedMap, path: Path) -> None:
    again = load(path)
    assert isinstance(again, FactorisedMap)
    assert again.card == fitted.card
    assert again.hash
    np.testing.assert_array_equal(again.values(), fitted.values())
    tracks = random_tracks([2] * 6)
    assert again(tracks).to_list() == fitted(tracks).to_list()


def test_map_pickles(fitted: FactorisedMap) -> None:
    tracks = random_tracks([2] * 6)
    assert pickle.loads(pickle.dumps(fitted))(tracks).to_list() == fitted(tracks).to_list()


def test_map_keeps_the_contracts(fitted: FactorisedMap) -> None:
    check_efficiency(fitted, random_tracks([2] * 6))
    alone = fitted.replicas(random_tracks([2] * 6))
    assert str(alone.type) == "6 * 1 * float64"  # without an uncertainty of its own


def test_card_says_what_the_map_was_made_from(
    fitted: FactorisedMap, columns: TrainingColumns
) -> None:
    card = fitted.card
    assert (card.kind, card.n_events, card.n_objects) == ("factorised-map", 600, 1200)
    assert card.passed_rate == pytest.approx(columns.passed.mean())
    assert card.edges == {"pt": (0.2, 0.5, 1.0, 2.0), "eta": (-0.9, 0.0, 0.9)}
    assert card.task == TASK


def npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def card_with(changes: dict[str, Any]) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


def edges_with(change: Callable[[Any], Any], name: str | None = None) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        card = json.loads(content)
        first, *rest = card["edges"].items()
        card["edges"] = dict([(name or first[0], change(first[1])), *rest])
        return json.dumps(card).encode()

    return damage


VALUE, CARD = "map/value.npy", "card.json"
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "wrong shape": (VALUE, lambda _: npy(np.full((2, 3), 0.5))),
    "above one": (VALUE, lambda _: npy(np.full((3, 2), 1.5))),
    "zero": (VALUE, lambda _: npy(np.zeros((3, 2)))),
    "nan": (VALUE, lambda _: npy(np.full((3, 2), np.nan))),
    "text": (VALUE, lambda _: npy(np.full((3, 2), "0.5"))),
    "integers": (VALUE, lambda _: npy(np.ones((3, 2), int))),
    "missing": (VALUE, lambda _: None),
    "not an array": (VALUE, lambda _: b"zeros"),
    "another array": ("map/error.npy", lambda _: npy(np.full((3, 2), 0.5))),
    "another file": ("code.py", lambda _: b"print()"),
    "other edges": (CARD, card_with({"edges": {"pt": [0.2, 2.0]}})),
    "falling edges": (CARD, edges_with(lambda edges: edges[::-1])),
    "edges of something else": (CARD, edges_with(lambda edges: edges, "other")),
    "other kind": (CARD, card_with({"kind": "map"})),
    "unknown key": (CARD, card_with({"surprise": 1})),
    "other arrays": (CARD, card_with({"arrays": ["value"]})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_files_with_other_content_are_refused(path: Path, tmp_path: Path, damage: str) -> None:
    entry, change = DAMAGE[damage]
    with zipfile.ZipFile(path) as old:
        entries: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
    entries[entry] = change(entries.get(entry) or b"")
    with zipfile.ZipFile(tmp_path / "x.hepsilon", "w") as new:
        for name, content in entries.items():
            if content is not None:
                new.writestr(name, content)
    with pytest.raises(ArtifactError):
        load(tmp_path / "x.hepsilon")


def test_another_artifact_is_not_taken_for_a_map(path: Path) -> None:
    with pytest.raises(ArtifactError, match="kind"):
        EfficiencyMap.load(path)
    with pytest.raises(ArtifactError, match="no model or map file"):
        FactorisedMap.load(path.with_name("missing"))
