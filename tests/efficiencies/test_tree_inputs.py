from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import vector
from hypothesis import given

from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.tree_inputs import FAR, input_names, tree_inputs
from tests.helpers import strategies as sts
from tests.helpers.toys import TASK, random_jets, task_of
from tests.helpers.track_toys import PAIRS, TRACKS, random_tracks, shuffled, task_with

vector.register_awkward()
FOUR = task_with(objects=4, order_by=None)
FIVE = task_with(objects=5, order_by=None)


def of_jets(jets: ak.Array, task=TASK, partners: bool = True) -> np.ndarray:
    return tree_inputs(task, partners, *feature_matrix(jets, task.features))


def of_tracks(tracks: ak.Array, task=PAIRS) -> np.ndarray:
    return tree_inputs(task, True, *event_matrix(tracks, task, task.features))


def column(inputs: np.ndarray, task, name: str, partners: bool = True) -> np.ndarray:
    return inputs[:, input_names(task, partners).index(name)]


@pytest.mark.parametrize("partners", [True, False])
@pytest.mark.parametrize("task", [TASK, task_of("pt"), task_of("pt", "eta", "phi")])
def test_every_column_of_objects_has_a_name(task, partners):
    found = of_jets(random_jets([2, 0, 1, 3]), task, partners)
    assert found.shape == (6, len(input_names(task, partners)))
    assert found.dtype == np.float32


@pytest.mark.parametrize(("task", "counts"), [(PAIRS, [2] * 3), (TRACKS, [1, 4, 2])])
def test_every_column_of_events_has_a_name(task, counts):
    assert of_tracks(random_tracks(counts), task).shape == (3, len(input_names(task, True)))


@pytest.mark.parametrize(("task", "n"), [(FOUR, 4), (FIVE, 5)])
def test_of_many_objects_only_sums_are_inputs(task, n):
    assert of_tracks(random_tracks([n] * 3), task).shape == (3, len(input_names(task, True)))
    assert any(name.startswith("delta phi") for name in input_names(task, True)) == (n == 4)


@given(sts.jet_records())
def test_distances_to_the_two_nearest(jets):
    found = of_jets(jets)
    expected = []
    for event in jets:
        eta, phi = (np.asarray(event[name], np.float64) for name in ("eta", "phi"))
        delta = phi[:, None] - phi
        distances = np.hypot(eta[:, None] - eta, np.arctan2(np.sin(delta), np.cos(delta)))
        others = [np.sort(np.delete(row, i)) for i, row in enumerate(distances)]
        expected += [[*row, FAR, FAR][:2] for row in others]
    expected = np.reshape(expected, (-1, 2))
    for i, name in enumerate(("delta R to the nearest", "delta R to the second nearest")):
        np.testing.assert_allclose(column(found, TASK, name), expected[:, i], atol=1e-3, rtol=1e-5)
    counts = ak.to_numpy(ak.num(jets))
    np.testing.assert_array_equal(
        column(found, TASK, "number of objects"), np.repeat(counts, counts)
    )


@given(sts.jets_and_order())
def test_another_order_of_jets_gives_the_like_in_that_order(jets_and_order):
    jets, order = jets_and_order
    offsets, rows = feature_matrix(jets, TASK.features)
    places = ak.flatten(order + offsets[:-1])
    np.testing.assert_array_equal(of_jets(jets[order]), of_jets(jets)[ak.to_numpy(places)])
    assert len(rows) == len(places)


def test_the_features_of_the_nearest():
    jets = random_jets([3])
    jets["eta"], jets["phi"] = ak.Array([[0.0, 1.0, 1.5]]), ak.Array([[0.0, 3.1, -3.1]])
    found = of_jets(jets)
    nearest = column(found, TASK, "pt of the nearest")
    np.testing.assert_array_equal(nearest, np.float32(jets.pt[0][[1, 2, 1]]))
    seam = np.hypot(0.5, 2.0 * np.pi - 6.2)
    np.testing.assert_allclose(column(found, TASK, "delta R to the nearest")[1:], seam, rtol=1e-6)


def test_a_jet_alone_has_no_nearest():
    found = of_jets(random_jets([1]))
    assert column(found, TASK, "delta R to the nearest")[0] == np.float32(FAR)
    assert column(found, TASK, "pt of the nearest")[0] == MISSING


@pytest.mark.parametrize("task", [PAIRS, TRACKS, FOUR])
def test_the_order_of_tracks_does_not_matter(task):
    tracks = random_tracks([task.objects or 3] * 20, seed=4)
    np.testing.assert_array_equal(of_tracks(tracks, task), of_tracks(shuffled(tracks, 5), task))


def test_pairs_of_tracks_are_described_by_charge():
    tracks = random_tracks([2] * 50, seed=3)
    found = of_tracks(tracks)
    ordered = tracks[ak.argsort(tracks.charge, axis=1, ascending=False)]
    p = ak.zip({n: ordered[n] for n in ("px", "py", "pz")}, with_name="Momentum3D")
    np.testing.assert_allclose(column(found, PAIRS, "pt 1"), p.pt[:, 0], rtol=1e-5)
    np.testing.assert_allclose(column(found, PAIRS, "pt smallest"), ak.min(p.pt, axis=1), rtol=1e-5)
    difference = p[:, 0].deltaphi(p[:, 1])
    np.testing.assert_allclose(column(found, PAIRS, "delta phi 1-2"), difference, atol=1e-5)
    distance = p[:, 0].deltaR(p[:, 1])
    for name in ("delta R 1-2", "delta R smallest"):
        np.testing.assert_allclose(column(found, PAIRS, name), distance, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", [PAIRS, TRACKS])
def test_chunks_of_events_change_nothing(task):
    tracks = random_tracks([2] * 30, seed=6)
    parts = [of_tracks(tracks[start:stop], task) for start, stop in ((0, 0), (0, 7), (7, 30))]
    np.testing.assert_array_equal(np.concatenate(parts), of_tracks(tracks, task))
