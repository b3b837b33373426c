from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, TrainingError
from hepsilon.arrays import geometry
from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.fields import DERIVED
from hepsilon.data import features
from hepsilon.data.features import Feature, FeatureSpec, feature_matrix, fit_features
from tests.helpers.toys import task_of

NAMES = ("pt", "eta", "phi", "hadronFlavour")


def fitted(jets: ak.Array, *names: str) -> FeatureSpec:
    _, nodes = feature_matrix(jets, names)
    return fit_features(task_of(*names), nodes, np.ones(len(nodes)))


def one_column(name: str, values: list[float], weights: list[float] | None = None) -> Feature:
    column = np.array(values, np.float32)[:, np.newaxis]
    spec = fit_features(task_of(name), column, np.array(weights or [1.0] * len(values)))
    return spec.features[0]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_moments_do_not_depend_on_what_is_taken_at_once(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, 60)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    nodes = rng.normal(50.0, 2.0, (offsets[-1], 2)).astype(np.float32)
    nodes[:, 1] = rng.choice([5, 4, 0], len(nodes))
    of_events = rng.uniform(0.0, 3.0, 60)
    of_objects = np.repeat(of_events, counts)
    monkeypatch.setattr(features, "BLOCK_OBJECTS", size)
    task = task_of("pt", "hadronFlavour")
    spec = fit_features(task, nodes, of_objects)
    assert fit_features(task, nodes, of_events, offsets) == spec
    pt, values = spec.features[0], nodes[:, 0].astype(np.float64)
    mean = np.average(values, weights=of_objects)
    assert pt.mean == pytest.approx(mean, rel=1e-13)
    variance = np.average((values - mean) ** 2, weights=of_objects)
    assert pt.std == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert (pt.low, pt.high) == (values.min(), values.max())


def test_unknown_categories_are_counted_in_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BLOCK_OBJECTS", 2)
    nodes = np.array([[1], [5], [4], [0], [5], [1], [2]], np.float32)
    with pytest.raises(TrainingError, match=r"3 training objects have \[1\.0, 2\.0\]"):
        fit_features(task_of("hadronFlavour"), nodes, np.ones(7))


# matrix


def test_matrix_has_the_features_as_columns_in_order(jets: ak.Array) -> None:
    offsets, nodes = feature_matrix(jets, NAMES)
    assert offsets.tolist() == [0, 3, 3, 4, 8, 10]
    assert nodes.dtype == np.float32
    for column, name in enumerate(NAMES):
        expected = ak.to_numpy(ak.flatten(jets[name])).astype(np.float32)
        np.testing.assert_array_equal(nodes[:, column], expected)


def test_spec_gives_the_same_matrix(jets: ak.Array) -> None:
    _, nodes = fitted(jets, *NAMES).matrix(jets)
    np.testing.assert_array_equal(nodes, feature_matrix(jets, NAMES)[1])


def test_neighbour_summaries_are_features(jets: ak.Array) -> None:
    assert {"proximity", "n_close"} <= set(DERIVED)
    _, nodes = feature_matrix(jets, ("n_close", "proximity"))
    np.testing.assert_array_equal(nodes[:, 0], ak.flatten(geometry.count_close(jets)))
    np.testing.assert_allclose(nodes[:, 1], ak.flatten(geometry.proximity(jets)), rtol=1e-6)


def test_a_field_of_the_records_takes_precedence_over_a_summary(jets: ak.Array) -> None:
    _, nodes = feature_matrix(ak.with_field(jets, jets.pt, "n_close"), ("n_close",))
    np.testing.assert_array_equal(nodes[:, 0], feature_matrix(jets, ("pt",))[1][:, 0])


def test_matrix_of_no_objects_is_empty(jets: ak.Array) -> None:
    for records in (jets[:0], jets[1:2]):
        offsets, nodes = feature_matrix(records, NAMES)
        assert nodes.shape == (0, 4)
        assert len(offsets) == len(records) + 1


def test_matrix_does_not_change_the_records(jets: ak.Array) -> None:
    before = ak.copy(jets)
    feature_matrix(jets, (*NAMES, "proximity"))
    assert ak.array_equal(jets, before)


def test_a_missing_field_is_named(jets: ak.Array) -> None:
    with pytest.raises(InputError, match=r"expected the field 'btag'.*'pt'"):
        feature_matrix(jets, ("btag",))


def test_missing_values_are_refused_with_the_field(jets: ak.Array) -> None:
    masked = ak.with_field(jets, ak.mask(jets.pt, jets.pt > 50.0), "pt")
    with pytest.raises(InputError, match="pt: 4 of 10 objects are missing"):
        feature_matrix(masked, ("pt",))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_in_float32_are_counted(jets: ak.Array, bad: float) -> None:
    broken = ak.with_field(jets, ak.where(jets.pt > 100.0, bad, jets.pt), "pt")
    with pytest.raises(InputError, match="pt: 2 of 10 values are NaN or infinite"):
        feature_matrix(broken, NAMES)


def test_check_finite_returns_finite_values() -> None:
    column = np.array([1.0, -2.0])
    assert check_finite(column, "weight") is column


# fit


def test_units_and_kinds_follow_the_names(jets: ak.Array) -> None:
    spec = fitted(jets, "pt", "eta", "phi", "mass", "hadronFlavour")
    assert spec.names == ("pt", "eta", "phi", "mass", "hadronFlavour")
    assert [f.unit for f in spec.features] == ["GeV", "", "rad", "GeV", ""]
    kinds = ["numeric", "numeric", "angle", "numeric", "categorical"]
    assert [f.kind for f in spec.features] == kinds


def test_any_azimuth_is_an_angle() -> None:
    assert one_column("MET_phi", [0.0, 1.0]).kind == "angle"
    assert one_column("phi_quality", [0.0, 1.0]).kind == "numeric"


def test_moments_are_weighted() -> None:
    values, weights = [10.0, 20.0, 60.0], [1.0, 2.0, 3.0]
    feature = one_column("pt", values, weights)
    mean = (10.0 + 2 * 20.0 + 3 * 60.0) / 6.0
    variance = ((10 - mean) ** 2 + 2 * (20 - mean) ** 2 + 3 * (60 - mean) ** 2) / 6.0
    assert feature.mean == pytest.approx(mean)
    assert feature.std == pytest.approx(variance**0.5)


def test_the_range_is_that_of_the_values() -> None:
    feature = one_column("pt", [30.5, 20.25, 600.0])
    assert (feature.low, feature.high) == (20.25, 600.0)


def test_categories_are_those_of_the_task(jets: ak.Array) -> None:
    assert fitted(jets, "hadronFlavour").features[0].categories == (5, 4, 0)


def test_unknown_categories_in_training_are_counted_and_listed() -> None:
    nodes = np.array([[5], [21], [4], [21], [7]], np.float32)
    with pytest.raises(TrainingError, match=r"hadronFlavour: .*3 training objects have \[7.0, 21"):
        fit_features(task_of("hadronFlavour"), nodes, np.ones(5))


@pytest.mark.parametrize("value", [0.0, 40.0, 1e6])
def test_a_constant_feature_is_refused(value: float) -> None:
    with pytest.raises(TrainingError, match=r"pt: expected values with a spread"):
        one_column("pt", [value, value, value])


def test_a_spread_carried_by_no_weight_is_refused() -> None:
    with pytest.raises(TrainingError, match="spread"):
        one_column("pt", [40.0, 40.0, 90.0], [1.0, 1.0, 0.0])


def test_no_objects_to_train_on_are_refused() -> None:
    with pytest.raises(TrainingError, match="no objects"):
        fit_features(task_of("pt"), np.empty((0, 1), np.float32), np.empty(0))


# domain


def test_training_objects_are_in_the_domain(jets: ak.Array) -> None:
    spec = fitted(jets, *NAMES)
    assert spec.in_domain(spec.matrix(jets)[1]).all()


@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_the_edges_of_the_range_are_inclusive_in_float32(values: list[float]) -> None:
    column = np.array(values, np.float32)
    low, high = float(column.min()), float(column.max())
    feature = Feature(name="pt", kind="numeric", low=low, high=high)
    assert feature.covers(column).all()
    beyond = np.nextafter(np.array([low, high], np.float32), np.float32([-np.inf, np.inf]))
    assert not feature.covers(beyond).any()


@given(low=st.floats(-100.0, 0.0), high=st.floats(1.0, 100.0))
def test_edges_that_float32_cannot_hold_are_inclusive(low: float, high: float) -> None:
    feature = Feature(name="pt", kind="numeric", low=low, high=high)
    assert feature.covers(np.array([low, high], np.float32)).all()


@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20, unique=True))
def test_the_range_survives_json(values: list[float]) -> None:
    column = np.array(values, np.float32)
    spec = FeatureSpec(
        features=(
            Feature(name="pt", kind="numeric", low=float(column.min()), high=float(column.max())),
        )
    )
    again = FeatureSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.in_domain(column[:, np.newaxis]).all()


def test_unknown_categories_are_out_of_domain() -> None:
    feature = Feature(name="hadronFlavour", kind="categorical", categories=(5, 4, 0))
    column = np.array([0, 4, 5, 15, -5, 4.5], np.float32)
    assert feature.covers(column).tolist() == [True, True, True, False, False, False]


def test_every_angle_is_covered() -> None:
    feature = Feature(name="phi", kind="angle", low=-1.0, high=1.0)
    assert feature.covers(np.array([-3.1, 0.0, 3.1], np.float32)).all()


def test_an_object_is_in_the_domain_where_all_features_are_covered() -> None:
    spec = FeatureSpec(
        features=(
            Feature(name="pt", kind="numeric", low=20.0, high=100.0),
            Feature(name="eta", kind="numeric", low=-2.5, high=2.5),
        )
    )
    nodes = np.array([[50, 0], [10, 0], [50, 3], [10, 3]], np.float32)
    assert spec.in_domain(nodes).tolist() == [True, False, False, False]
    covered = {name: inside.tolist() for name, inside in spec.covers(nodes).items()}
    assert covered == {"pt": [True, False, True, False], "eta": [True, True, False, False]}
