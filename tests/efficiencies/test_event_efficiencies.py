"""Efficiencies of events: the contracts of the protocol, for every kind of network."""

from __future__ import annotations

import pickle
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoEventsFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon import (
    ConfigError,
    DomainError,
    Efficiency,
    InputError,
    OutOfDomainWarning,
    Task,
    load,
)
from hepsilon.arrays.fields import field
from hepsilon.config import ModelConfig
from hepsilon.data.features import event_matrix
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.processors import TaskSchema
from hepsilon.training import train
from tests.helpers.track_toys import (
    PAIRS,
    TRACKS,
    Sample,
    of_task,
    random_tracks,
    shuffled,
    task_with,
    track_config,
)

ROUND_OFF = 2e-6
"""Largest difference of an efficiency between ways to give the same events."""
SINGLE = task_with(level="object", objects=None, order_by=None, fiducial=None)
"""The same features, of each track on its own."""
PRODUCT, PAPER, GNN = (
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("track_product", "track_paper_mlp", "track_gnn")
)
NAMES = [PRODUCT, "track_mlp", PAPER, GNN]


@pytest.fixture(scope="module", params=NAMES)
def network(request: pytest.FixtureRequest) -> NetworkEfficiency:
    found: NetworkEfficiency = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def tracks() -> ak.Array:
    """A dozen events inside the domain of every network."""
    return random_tracks([2] * 12, seed=7)


def numbers(eps: Any) -> Any:
    return ak.to_numpy(eps, allow_missing=False)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=0, atol=ROUND_OFF)


# the protocol


def test_every_event_has_one_number(network: NetworkEfficiency, tracks: ak.Array) -> None:
    eps = network(tracks)
    assert str(eps.type) == "12 * float64"
    assert ((numbers(eps) > 0.0) & (numbers(eps) < 1.0)).all()
    assert np.ptp(numbers(eps)) > 1e-3


def test_no_events_have_no_numbers(network: NetworkEfficiency, tracks: ak.Array) -> None:
    assert str(network(tracks[:0]).type) == "0 * float64"
    assert str(network.in_domain(tracks[:0]).type) == "0 * bool"
    assert str(network.replicas(tracks[:0]).type) == "0 * 20 * float64"


@given(data=st.data())
@settings(max_examples=8)
def test_chunks_change_only_the_round_off(network: NetworkEfficiency, data: st.DataObject) -> None:
    """eff(a) ++ eff(b) == eff(a ++ b), with empty chunks."""
    size = data.draw(st.integers(0, 12))
    cuts = data.draw(st.lists(st.integers(0, size), max_size=3))
    records = random_tracks([2] * 12, seed=8)[:size]
    bounds = [0, *sorted(cuts), size]
    together = ak.concatenate([network(records[a:b]) for a, b in pairwise(bounds)])
    assert_close(together, network(records))


def test_reordered_events_have_reordered_numbers(
    network: NetworkEfficiency, tracks: ak.Array
) -> None:
    order = np.random.default_rng(1).permutation(12)
    assert_close(network(tracks[order]), network(tracks)[order])


def test_order_of_the_tracks_in_an_event_does_not_matter(
    network: NetworkEfficiency, tracks: ak.Array
) -> None:
    other = shuffled(tracks, seed=3)
    assert other.charge.to_list() != tracks.charge.to_list()
    assert_close(network(other), network(tracks))


@pytest.mark.parametrize("name", [PRODUCT, "track_mlp", GNN])
def test_symmetric_networks_need_no_order(
    name: str, tracks: ak.Array, request: pytest.FixtureRequest
) -> None:
    unordered = of_task(request.getfixturevalue(name), task_with(order_by=None))
    assert_close(unordered(shuffled(tracks, seed=3)), unordered(tracks))


@pytest.mark.slow
def test_it_is_the_order_of_the_task_that_makes_the_mlp_of_the_paper_symmetric(
    track_paper_mlp: NetworkEfficiency, tracks: ak.Array
) -> None:
    unordered = of_task(track_paper_mlp, task_with(order_by=None))
    turned = unordered(tracks[:, ::-1])
    assert np.abs(numbers(turned) - numbers(unordered(tracks))).max() > 1e-3


def test_records_are_not_mutated(network: NetworkEfficiency, tracks: ak.Array) -> None:
    before = ak.to_list(tracks)
    network(tracks)
    network.in_domain(tracks)
    network.replicas(tracks)
    assert ak.to_list(tracks) == before


def test_fields_that_are_no_features_do_not_matter(
    network: NetworkEfficiency, tracks: ak.Array
) -> None:
    more = ak.with_field(ak.without_field(tracks, "mass"), np.nan, "junk")
    np.testing.assert_array_equal(numbers(network(more)), numbers(network(tracks)))


def test_momenta_may_be_in_the_other_notation(network: NetworkEfficiency, tracks: ak.Array) -> None:
    spherical = {name: field(tracks, name) for name in ("pt", "eta", "phi", "charge")}
    np.testing.assert_allclose(
        numbers(network(ak.zip(spherical))), numbers(network(tracks)), atol=1e-5
    )


def test_handle_pickles_to_itself(network: NetworkEfficiency, tracks: ak.Array) -> None:
    again = pickle.loads(pickle.dumps(network))
    assert again == network
    np.testing.assert_array_equal(numbers(again(tracks)), numbers(network(tracks)))


def test_artifact_is_loaded_as_what_was_trained(network: NetworkEfficiency) -> None:
    again = load(network.path)
    assert again == network
    assert isinstance(again, Efficiency)
    assert again.task.level == "event"


def test_artifact_has_nothing_that_was_not_trained(network: NetworkEfficiency) -> None:
    """No array of zeros, but for biases and bendings, which may have stayed there."""
    arrays = read_arrays(network.path, network.card, network.hash)
    for weights in arrays.values():
        assert all(weights[name].any() for name in weights if name.endswith("kernel"))


LAYOUTS = {
    "float32": lambda t: ak.values_astype(t, np.float32),
    "sliced": lambda t: ak.concatenate([random_tracks([2]), t, random_tracks([2])])[1:-1],
    "masked": lambda t: ak.concatenate([t, random_tracks([2, 2])])[np.arange(len(t) + 2) < len(t)],
    "regular": lambda t: ak.to_regular(t, axis=1),
    "reordered twice": lambda t: t[::-1][::-1],
    "packed": ak.to_packed,
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["track_product", "track_gnn"])
def test_layout_does_not_matter(
    name: str, layout: str, tracks: ak.Array, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    assert_close(found(LAYOUTS[layout](tracks)), found(tracks))


@pytest.mark.slow
def test_virtual_arrays_agree_with_plain_ones(
    track_product: NetworkEfficiency, pairs: Sample, pairs_file: Path
) -> None:
    events = NanoEventsFactory.from_root(
        {str(pairs_file): "Events"}, schemaclass=TaskSchema, mode="virtual"
    ).events()
    virtual = track_product(events.Track, out_of_domain="ignore")
    assert_close(virtual, track_product(pairs.tracks, out_of_domain="ignore"))


# numbers of tracks


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize(("counts", "wrong"), [([2, 3, 2], 1), ([1, 0], 2)])
def test_another_number_of_tracks_is_an_input_error(
    name: str, counts: list[int], wrong: int, request: pytest.FixtureRequest
) -> None:
    network, records = request.getfixturevalue(name), random_tracks(counts)
    for call in (network, network.in_domain, network.replicas):
        with pytest.raises(InputError, match=rf"expected 2 Track .* {wrong} of {len(counts)}"):
            call(records)


@pytest.mark.slow
@given(counts=st.lists(st.integers(1, 5), max_size=8), seed=st.integers(0, 5))
@settings(max_examples=10)
def test_gnn_takes_any_number_of_tracks(
    track_gnn: NetworkEfficiency, counts: list[int], seed: int
) -> None:
    """Each event on its own, whatever stands beside it, in any order of its tracks."""
    records = random_tracks(counts, seed)
    gnn = partial(track_gnn, out_of_domain="ignore")  # its sample has one to four tracks
    eps = gnn(records)
    assert str(eps.type) == f"{len(counts)} * float64"
    alone = [numbers(gnn(records[i : i + 1])) for i in range(len(counts))]
    assert_close(eps, np.concatenate([*alone, np.zeros(0)]))
    assert_close(gnn(shuffled(records, seed)), eps)


@pytest.mark.slow
def test_numbers_of_tracks_that_the_sample_did_not_have_are_out_of_domain(
    track_gnn: NetworkEfficiency,
) -> None:
    numbers_of_tracks = track_gnn.features.multiplicity
    assert numbers_of_tracks is not None
    assert (numbers_of_tracks.low, numbers_of_tracks.high) == (1, 4)
    records = random_tracks([1, 5, 4, 6], seed=7)
    assert track_gnn.in_domain(records).to_list() == [True, False, True, False]
    with pytest.raises(DomainError, match=r"2 of 4 events .*2 in the number of Track objects"):
        track_gnn(records, out_of_domain="raise")


@pytest.mark.slow
def test_gnn_needs_at_least_one_track(track_gnn: NetworkEfficiency) -> None:
    with pytest.raises(InputError, match=r"one or more Track objects .* 2 of 3 events"):
        track_gnn(random_tracks([0, 2, 0]))


@pytest.mark.slow
def test_more_tracks_are_lost_more_often(track_gnn: NetworkEfficiency) -> None:
    """A product, whatever was learned: each track is one more factor below one."""
    four = random_tracks([4] * 5, seed=2)
    logs = [np.log(numbers(track_gnn(four[:, :n]))).mean() for n in (1, 2, 4)]
    assert logs[0] > logs[1] > logs[2]


# ensembles


def test_replicas_have_one_more_axis(network: NetworkEfficiency, tracks: ak.Array) -> None:
    replicas = network.replicas(tracks)
    assert str(replicas.type) == "12 * 20 * float64"


def test_ensembles_average(track_mlp: NetworkEfficiency, tracks: ak.Array) -> None:
    members = numbers(load(track_mlp.path, replicas_from="members").replicas(tracks))
    assert members.shape == (12, 2)
    assert np.abs(members[:, 0] - members[:, 1]).max() > 1e-3
    np.testing.assert_allclose(numbers(track_mlp(tracks)), members.mean(axis=1), rtol=1e-12)


@pytest.mark.slow
def test_replicas_of_a_single_network_lie_around_it(
    track_product: NetworkEfficiency, tracks: ak.Array
) -> None:
    """The mean of 400 draws differs from the efficiency by less than five errors."""
    drawn = numbers(track_product.replicas(tracks, n_replicas=400))
    difference = drawn.mean(axis=1) - numbers(track_product(tracks))
    spread = drawn.std(axis=1, ddof=1)
    assert spread.min() > 1e-4
    assert np.all(np.abs(difference) < 5.0 * spread / 20.0)


# domain


@pytest.fixture(scope="module")
def outside(tracks: ak.Array) -> ak.Array:
    """Event 2: one track too hard; event 5: both tracks; event 9: one of an unknown charge."""
    px, charge = (ak.to_numpy(tracks[name]).copy() for name in ("px", "charge"))
    px[2, 0] = px[5, 0] = px[5, 1] = 50.0
    charge[9, 1] = 2
    changed = ak.with_field(tracks, ak.from_regular(px), "px")
    return ak.with_field(changed, ak.from_regular(charge), "charge")


OUTSIDE = [2, 5, 9]
TEXT = r"3 of 12 events are outside.*3 in px, 1 in charge"


def test_events_are_inside_with_all_their_tracks(
    network: NetworkEfficiency, tracks: ak.Array, outside: ak.Array
) -> None:
    assert ak.all(network.in_domain(tracks))
    inside = network.in_domain(outside)
    assert str(inside.type) == "12 * bool"
    assert np.flatnonzero(~numbers(inside)).tolist() == OUTSIDE


def test_domain_does_not_depend_on_the_order_of_tracks(
    network: NetworkEfficiency, outside: ak.Array
) -> None:
    inside = network.in_domain(shuffled(outside, seed=4))
    assert inside.to_list() == network.in_domain(outside).to_list()


def test_default_warns_with_the_count(network: NetworkEfficiency, outside: ak.Array) -> None:
    with pytest.warns(OutOfDomainWarning, match=TEXT) as caught:
        network(outside)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_raise_policy_raises(
    network: NetworkEfficiency, tracks: ak.Array, outside: ak.Array
) -> None:
    with pytest.raises(DomainError, match=TEXT):
        network(outside, out_of_domain="raise")
    assert len(network(tracks, out_of_domain="raise")) == 12


def test_ignore_policy_is_silent_and_changes_nothing(
    network: NetworkEfficiency, outside: ak.Array
) -> None:
    with pytest.warns(OutOfDomainWarning):
        warned = network(outside)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ignored = network(outside, out_of_domain="ignore")
    np.testing.assert_array_equal(numbers(ignored), numbers(warned))


def constant(records: ak.Array) -> ak.Array:
    """An efficiency of events that anybody may write."""
    return ak.Array(np.full(len(records), 0.125))


def test_fallback_replaces_only_the_events_outside(
    network: NetworkEfficiency, outside: ak.Array
) -> None:
    found = numbers(network(outside, out_of_domain=constant))
    plain = numbers(network(outside, out_of_domain="ignore"))
    assert np.flatnonzero(found != plain).tolist() == OUTSIDE
    assert found[OUTSIDE].tolist() == [0.125] * 3


@pytest.mark.slow
def test_fallback_may_be_another_network(
    track_gnn: NetworkEfficiency, track_mlp: NetworkEfficiency, outside: ak.Array
) -> None:
    other = of_task(track_mlp)
    found = track_gnn(outside, out_of_domain=lambda x: other(x, out_of_domain="ignore"))
    expected = other(outside, out_of_domain="ignore")
    assert numbers(found)[OUTSIDE].tolist() == numbers(expected)[OUTSIDE].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        (lambda x: constant(x)[1:], "fallback: expected one number for each of 12 events"),
        (lambda x: ak.ones_like(x.px) * 0.5, "fallback: expected one number for each of 12"),
        (lambda x: constant(x) * 9.0, r"fallback: 12 of 12 values are NaN or outside \[0, 1\]"),
        (lambda x: constant(x) * np.nan, "fallback: 12 of 12 values are NaN"),
    ],
    ids=["too few", "of objects", "beyond one", "nan"],
)
def test_fallback_that_is_no_efficiency_of_events_is_an_input_error(
    track_product: NetworkEfficiency, outside: ak.Array, fallback: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        track_product(outside, out_of_domain=fallback)


# refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: ak.without_field(t, "charge"), "expected the field 'charge'"),
        (lambda t: ak.without_field(t, "pz"), "expected the field 'pz'"),
        (lambda t: ak.with_field(t, np.nan, "px"), "p[xt]: 24 (of 24 )?values are NaN"),
        (ak.flatten, "jagged"),
        (lambda t: ak.mask(t, np.arange(12) > 1), "option-typed"),
    ],
    ids=["charge", "pz", "nan", "flat", "missing events"],
)
def test_records_without_what_is_needed_are_refused(
    network: NetworkEfficiency, tracks: ak.Array, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        network(change(tracks))


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ({"architecture": "product"}, SINGLE, 'level = "event" only'),
        ({"architecture": "product", "preset": "paper"}, PAIRS, "no 'paper' preset"),
        ({"architecture": "product"}, TRACKS, "task.objects"),
        ({"architecture": "mlp"}, TRACKS, "task.objects"),
    ],
    ids=["product of objects", "paper product", "product of any number", "mlp of any number"],
)
def test_what_no_network_can_be_is_refused_before_the_training(
    model: dict[str, Any],
    task: Task,
    message: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    columns: TrainingColumns = request.getfixturevalue("pair_columns")
    config = track_config(task).model_copy(update={"model": ModelConfig(**model)})
    with pytest.raises(ConfigError, match=message):
        train(config, columns, tmp_path / "x.hepsilon")
    assert not any(tmp_path.iterdir())


# training


@pytest.mark.slow
def test_trained_card_counts_events_and_objects(
    track_product: NetworkEfficiency, pairs: Sample
) -> None:
    card = track_product.card
    assert (card.n_events, card.n_objects) == (400, 800)
    assert card.passed_rate == pytest.approx(pairs.reco.mean())
    assert card.task == PAIRS


def test_ranges_are_those_of_single_tracks(track_mlp: NetworkEfficiency, pairs: Sample) -> None:
    """Not of the first and second track: an event's order does not decide the domain."""
    spec = track_mlp.features
    assert spec.names == PAIRS.features
    nodes = event_matrix(pairs.tracks, PAIRS, PAIRS.features)[1]
    for i, feature in enumerate(spec.features[:3]):
        assert nodes[:, i].min() <= feature.low < -0.5
        assert 0.5 < feature.high <= nodes[:, i].max()
