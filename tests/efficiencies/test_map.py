from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from scipy import stats

from hepsilon import (
    ArtifactError,
    ConfigError,
    DomainError,
    EfficiencyMap,
    HepsilonError,
    InputError,
    OutOfDomainWarning,
    Task,
    load,
)
from hepsilon.config import BinAxis, MapConfig, Passed
from hepsilon.data.features import feature_matrix
from hepsilon.data.selection import passed
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.artifact import write_artifact
from hepsilon.efficiencies.card import SourceFile
from hepsilon.plotting import plot_map
from tests.helpers import strategies as sts
from tests.helpers.toys import rows

Array = npt.NDArray[Any]

TASK = Task(
    features=("pt", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="tag"),
)
TWO_BINS = MapConfig(axes={"pt": BinAxis(edges=(20.0, 50.0, 100.0))})


def sample(
    pt: Any, flavour: Any, passed: Any, weights: Any = None, *, per_event: int = 1
) -> TrainingColumns:
    """Columns of events with ``per_event`` objects each."""
    nodes = np.stack([np.asarray(pt, np.float32), np.asarray(flavour, np.float32)], axis=1)
    n_events = len(nodes) // per_event
    return TrainingColumns(
        offsets=np.arange(n_events + 1) * per_event,
        nodes=nodes,
        passed=np.asarray(passed, np.float32),
        weights=np.ones(n_events) if weights is None else np.asarray(weights, float),
        keys=np.arange(n_events, dtype=np.uint64),
    )


def records(pt: Any, flavour: Any) -> ak.Array:
    return ak.zip({"pt": ak.Array(pt), "hadronFlavour": ak.Array(flavour)})


ALL_JETS = sample(
    pt=[30, 30, 40, 60, 25, 35],
    flavour=[5, 5, 5, 5, 4, 4],
    passed=[1, 0, 1, 0, 1, 1],
)


@pytest.fixture
def two_bins() -> EfficiencyMap:
    return EfficiencyMap.fit(TASK, ALL_JETS, TWO_BINS)


# values


def test_values_are_those_computed_by_hand(two_bins: EfficiencyMap) -> None:
    # b: 2 of 3 and 0 of 1 passed, prior 1/2; c: 2 of 2 passed, prior 1; light: none, prior 4/6
    expected = [[(2 + 0.5) / 4, (0 + 0.5) / 2], [1.0, 1.0], [4 / 6, 4 / 6]]
    np.testing.assert_allclose(two_bins.values(), expected, rtol=1e-8)


def test_values_lie_strictly_inside_the_unit_interval(two_bins: EfficiencyMap) -> None:
    assert ((two_bins.values() > 0.0) & (two_bins.values() < 1.0)).all()


@pytest.mark.parametrize("passed", [0, 1])
def test_values_stay_inside_where_all_objects_of_a_category_agree(passed: int) -> None:
    many = sample([30.0] * 1001, [5] * 1000 + [4], [passed] * 1000 + [1 - passed])
    values = EfficiencyMap.fit(TASK, many, TWO_BINS).values()
    assert ((values > 0.0) & (values < 1.0)).all()


def test_objects_are_looked_up_in_their_bins(two_bins: EfficiencyMap) -> None:
    eps = two_bins(records([[30.0, 60.0], [], [49.9]], [[5, 5], [], [4]]))
    assert str(eps.type) == "3 * var * float64"
    assert eps.to_list() == [
        [pytest.approx(0.625), pytest.approx(0.25)],
        [],
        [pytest.approx(1.0)],
    ]


def test_lower_edges_belong_to_their_bin(two_bins: EfficiencyMap) -> None:
    eps = two_bins(records([[20.0, 50.0]], [[5, 5]]))
    assert eps.to_list() == [[pytest.approx(0.625), pytest.approx(0.25)]]


def test_the_order_of_the_features_of_the_task_does_not_matter(two_bins: EfficiencyMap) -> None:
    task = TASK.model_copy(update={"features": ("hadronFlavour", "pt")})
    columns = TrainingColumns(
        ALL_JETS.offsets, ALL_JETS.nodes[:, ::-1], ALL_JETS.passed, ALL_JETS.weights, ALL_JETS.keys
    )
    other = EfficiencyMap.fit(task, columns, TWO_BINS)
    np.testing.assert_array_equal(other.values(), two_bins.values())


def test_the_default_binning_is_that_of_the_public_code() -> None:
    task = Task(features=("pt", "eta"), passed=Passed(field="tag"))
    fitted = EfficiencyMap.fit(task, sample([30, 60], [0.1, 1.2], [1, 0]))
    assert fitted.values().shape == (19, 10)


def test_a_map_without_categories_has_one_prior() -> None:
    task = Task(features=("pt", "hadronFlavour"), passed=Passed(field="tag"))
    values = EfficiencyMap.fit(task, ALL_JETS, TWO_BINS).values()
    np.testing.assert_allclose(values, [(4 + 4 / 6) / 6, (0 + 4 / 6) / 2])


def test_the_card_describes_the_sample(two_bins: EfficiencyMap) -> None:
    card = two_bins.card
    assert (card.n_events, card.n_objects, card.unphysical) == (6, 6, 0)
    assert card.passed_rate == pytest.approx(4 / 6)
    assert card.edges == {"pt": (20.0, 50.0, 100.0)}
    assert two_bins.task == TASK


# weights


def test_a_common_factor_of_the_weights_changes_nothing(two_bins: EfficiencyMap) -> None:
    scaled = sample(ALL_JETS.nodes[:, 0], ALL_JETS.nodes[:, 1], ALL_JETS.passed, [0.25] * 6)
    other = EfficiencyMap.fit(TASK, scaled, TWO_BINS)
    np.testing.assert_allclose(other.values(), two_bins.values())
    np.testing.assert_allclose(other.interval(), two_bins.interval())


def test_weighted_values_use_the_effective_number_of_objects() -> None:
    weighted = sample([30, 30, 30], [5, 5, 5], [1, 0, 0], [2.0, 1.0, 1.0])
    value = EfficiencyMap.fit(TASK, weighted, TWO_BINS).values()[0, 0]
    n_effective, ratio = 4.0**2 / (4.0 + 1.0 + 1.0), 0.5
    assert value == pytest.approx((n_effective * ratio + 0.5) / (n_effective + 1.0))


def test_the_weight_of_an_event_is_that_of_all_its_objects() -> None:
    together = sample([30, 40, 30, 40], [5] * 4, [1, 1, 0, 0], [3.0, 1.0], per_event=2)
    apart = sample([30, 40, 30, 40], [5] * 4, [1, 1, 0, 0], [3.0, 3.0, 1.0, 1.0])
    np.testing.assert_array_equal(
        EfficiencyMap.fit(TASK, together, TWO_BINS).values(),
        EfficiencyMap.fit(TASK, apart, TWO_BINS).values(),
    )


def test_negative_weights_give_values_inside_the_unit_interval_and_are_counted() -> None:
    # first bin: (1 + 1) / (1 + 1 - 1) = 2; second bin: a negative sum of weights
    columns = sample(
        [30, 30, 30, 60, 25], [5, 5, 5, 5, 4], [1, 1, 0, 1, 1], [1.0, 1.0, -1.0, -0.5, 1.0]
    )
    fitted = EfficiencyMap.fit(TASK, columns, TWO_BINS)
    assert fitted.card.unphysical == 2
    assert ((fitted.values() > 0.0) & (fitted.values() < 1.0)).all()
    assert np.isfinite(fitted.interval()).all()


def test_a_bin_with_a_negative_sum_of_weights_is_out_of_domain() -> None:
    columns = sample([30, 30, 60], [5, 5, 5], [1, 0, 1], [1.0, 1.0, -0.5])
    fitted = EfficiencyMap.fit(TASK, columns, TWO_BINS)
    assert fitted.in_domain(records([[30.0, 60.0]], [[5, 5]])).to_list() == [[True, False]]


# interval


def test_interval_is_that_of_clopper_and_pearson(two_bins: EfficiencyMap) -> None:
    low, high = two_bins.interval()
    tail = stats.norm.sf(1.0)
    assert low[0, 0] == pytest.approx(stats.beta.ppf(tail, 2, 2), abs=1e-4)
    assert high[0, 0] == pytest.approx(stats.beta.isf(tail, 3, 1), abs=1e-4)


def test_interval_of_a_bin_without_objects_is_everything(two_bins: EfficiencyMap) -> None:
    low, high = two_bins.interval()
    assert (low[2, 0], high[2, 0]) == (0.0, 1.0)


def test_interval_contains_the_true_efficiency_at_least_as_often_as_stated() -> None:
    # 300 bins of 40 objects. An interval of exactly 68.27 % would cover fewer bins than required
    # here with a probability of 1e-6; Clopper-Pearson covers more.
    rng = np.random.default_rng(5)
    n_bins, n = 300, 40
    truth = rng.uniform(0.02, 0.98, n_bins)
    pt = np.repeat(np.arange(n_bins) + 0.5, n)
    passed = rng.uniform(size=pt.size) < np.repeat(truth, n)
    config = MapConfig(axes={"pt": BinAxis(edges=tuple(np.arange(n_bins + 1.0)))})
    fitted = EfficiencyMap.fit(TASK, sample(pt, np.full(pt.size, 5), passed), config)
    low, high = (bound[0] for bound in fitted.interval())
    covered = int(((low <= truth) & (truth <= high)).sum())
    assert covered >= stats.binom.ppf(1e-6, n_bins, 0.6827)


def test_values_are_close_to_the_true_efficiency() -> None:
    # Chi-squared test of 50 bins of 4000 objects, false-alarm rate 1e-6.
    rng = np.random.default_rng(6)
    truth = rng.uniform(0.1, 0.9, 50)
    pt = np.repeat(np.arange(50) + 0.5, 4000)
    passed = rng.uniform(size=pt.size) < np.repeat(truth, 4000)
    config = MapConfig(axes={"pt": BinAxis(edges=tuple(np.arange(51.0)))})
    fitted = EfficiencyMap.fit(TASK, sample(pt, np.full(pt.size, 5), passed), config)
    chi2 = np.sum((fitted.values()[0] - truth) ** 2 / (truth * (1.0 - truth) / 4000))
    assert stats.chi2.sf(chi2, 50) > 1e-6


# domain

OUTSIDE = records([[30.0, 10.0, 150.0], [], [60.0]], [[5, 5, 5], [], [4]])


def test_bins_without_objects_are_counted(two_bins: EfficiencyMap) -> None:
    assert two_bins.n_empty == 3  # c-jets above 50 GeV, and both of light jets


def test_outside_the_binning_the_nearest_bin_counts(two_bins: EfficiencyMap) -> None:
    eps = two_bins(OUTSIDE, out_of_domain="ignore")
    assert eps[0].to_list() == pytest.approx([0.625, 0.625, 0.25])


def test_outside_the_binning_and_empty_bins_are_out_of_domain(two_bins: EfficiencyMap) -> None:
    assert two_bins.in_domain(OUTSIDE).to_list() == [[True, False, False], [], [False]]


def test_unknown_categories_are_out_of_domain(two_bins: EfficiencyMap) -> None:
    tau = records([[30.0]], [[15]])
    assert two_bins.in_domain(tau).to_list() == [[False]]
    (value,) = ak.flatten(two_bins(tau, out_of_domain="ignore"))
    assert 0.0 < value < 1.0


def test_out_of_domain_objects_are_counted_in_a_warning(two_bins: EfficiencyMap) -> None:
    with pytest.warns(OutOfDomainWarning, match="3 of 4 objects.*2 in pt"):
        two_bins(OUTSIDE)


def test_empty_bins_are_named_where_they_are_the_only_reason(two_bins: EfficiencyMap) -> None:
    with pytest.warns(OutOfDomainWarning, match="1 of 1 objects.*empty bins"):
        two_bins(OUTSIDE[2:])


def test_out_of_domain_objects_can_be_an_error(two_bins: EfficiencyMap) -> None:
    with pytest.raises(DomainError, match="3 of 4 objects"):
        two_bins(OUTSIDE, out_of_domain="raise")


def test_another_map_can_stand_in_out_of_domain(two_bins: EfficiencyMap) -> None:
    wide = MapConfig(axes={"pt": BinAxis(edges=(0.0, 1000.0))})
    everywhere = sample([30.0] * 6, [5, 5, 4, 4, 0, 0], [1, 0, 1, 0, 1, 0])
    fallback = EfficiencyMap.fit(TASK, everywhere, wide)
    eps = two_bins(OUTSIDE, out_of_domain=fallback)
    assert eps.to_list() == [
        [pytest.approx(0.625), pytest.approx(0.5), pytest.approx(0.5)],
        [],
        [pytest.approx(0.5)],
    ]


@pytest.mark.parametrize(
    ("edges", "value"), [((20.0, 50.0), 50.0), ((0.7, 1.5), 0.7)], ids=["upper", "lower in float32"]
)
def test_objects_on_the_edge_of_the_domain_are_counted(
    edges: tuple[float, float], value: float
) -> None:
    middle = sum(edges) / 2
    config = MapConfig(axes={"pt": BinAxis(edges=edges)})
    fitted = EfficiencyMap.fit(TASK, sample([middle, value], [5, 5], [0, 1]), config)
    on_edge = records([[value]], [[5]])
    assert fitted.in_domain(on_edge).to_list() == [[True]]
    assert fitted(on_edge).to_list() == [[pytest.approx(0.5)]]


# contracts

RNG = np.random.default_rng(7)
FITTED = EfficiencyMap.fit(
    TASK,
    sample(RNG.uniform(20.0, 600.0, 500), RNG.choice([5, 4, 0], 500), RNG.uniform(size=500) < 0.4),
    MapConfig(axes={"pt": BinAxis(edges=(20.0, 50.0, 100.0, 300.0, 600.0))}),
)


@given(jets=sts.jet_records(), cut=sts.BOUND)
def test_results_do_not_depend_on_the_chunks(jets: ak.Array, cut: int) -> None:
    parts = [FITTED(part, out_of_domain="ignore") for part in (jets[:cut], jets[cut:])]
    together = FITTED(jets, out_of_domain="ignore")
    assert ak.array_equal(ak.concatenate(parts), together)


@given(pair=sts.jets_and_order())
def test_reordering_objects_reorders_results(pair: tuple[ak.Array, ak.Array]) -> None:
    jets, order = pair
    permuted = FITTED(jets[order], out_of_domain="ignore")
    assert permuted.to_list() == FITTED(jets, out_of_domain="ignore")[order].to_list()


@given(jets=sts.jet_records())
def test_every_value_is_a_bin_of_the_map(jets: ak.Array) -> None:
    eps = ak.flatten(FITTED(jets, out_of_domain="ignore"))
    assert set(eps.to_list()) <= set(FITTED.values().ravel().tolist())


def test_the_order_of_the_sample_does_not_matter() -> None:
    order = np.random.default_rng(8).permutation(6)
    shuffled = EfficiencyMap.fit(TASK, ALL_JETS.take(order), TWO_BINS)
    direct = EfficiencyMap.fit(TASK, ALL_JETS, TWO_BINS)
    np.testing.assert_array_equal(shuffled.values(), direct.values())


def test_a_fit_does_not_change_the_sample() -> None:
    nodes, weights = ALL_JETS.nodes.copy(), ALL_JETS.weights.copy()
    EfficiencyMap.fit(TASK, ALL_JETS, TWO_BINS)
    np.testing.assert_array_equal(ALL_JETS.nodes, nodes)
    np.testing.assert_array_equal(ALL_JETS.weights, weights)


def test_uint8_flavours_are_looked_up(jets: ak.Array) -> None:
    signed = ak.with_field(jets, ak.values_astype(jets.hadronFlavour, np.int32), "hadronFlavour")
    eps = FITTED(jets, out_of_domain="ignore")
    assert eps.to_list() == FITTED(signed, out_of_domain="ignore").to_list()
    _, nodes = feature_matrix(jets, TASK.features)
    assert len(ak.flatten(eps)) == len(nodes)


# files


def test_a_loaded_map_equals_the_saved_one(two_bins: EfficiencyMap, tmp_path: Path) -> None:
    loaded = load(two_bins.save(tmp_path / "map.hepsilon"))
    assert isinstance(loaded, EfficiencyMap)
    assert loaded.card == two_bins.card
    np.testing.assert_array_equal(loaded.values(), two_bins.values())
    np.testing.assert_array_equal(loaded.interval(), two_bins.interval())
    inside = records([[30.0], []], [[5], []])
    assert loaded(inside).to_list() == two_bins(inside).to_list()


def test_saving_twice_gives_the_same_bytes(two_bins: EfficiencyMap, tmp_path: Path) -> None:
    first, second = (two_bins.save(tmp_path / name).read_bytes() for name in "ab")
    assert first == second


def test_the_card_names_the_files(tmp_path: Path) -> None:
    source = SourceFile(name="jets.root", sha256="1" * 64)
    fitted = EfficiencyMap.fit(TASK, ALL_JETS, TWO_BINS, (source,))
    assert EfficiencyMap.load(fitted.save(tmp_path / "map")).card.files == (source,)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("value", np.full((3, 3), 0.5)),
        ("value", np.full((3, 2), np.nan)),
        ("value", np.full((3, 2), "half")),
        ("surprise", np.full((3, 2), 0.5)),
    ],
    ids=["shape", "NaN", "text", "unknown"],
)
def test_maps_with_other_arrays_are_refused(
    two_bins: EfficiencyMap, tmp_path: Path, name: str, array: Array
) -> None:
    low, high = two_bins.interval()
    arrays = {"value": two_bins.values(), "low": low, "high": high, "n_effective": low}
    with pytest.raises(ArtifactError):
        load(write_artifact(tmp_path / "map", two_bins.card, {"map": arrays | {name: array}}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("value", lambda a: a + 1.0),
        ("value", lambda a: -a),
        ("value", lambda a: a * 0.0),
        ("low", lambda a: a - 1.0),
        ("low", lambda a: a + 0.9),
        ("high", lambda a: a + 1.0),
        ("n_effective", lambda a: a - 2.0),
    ],
)
def test_maps_whose_numbers_make_no_sense_are_refused(
    two_bins: EfficiencyMap, tmp_path: Path, name: str, change: Any
) -> None:
    arrays = {key: array.copy() for key, array in two_bins._arrays.items()}
    arrays[name] = change(arrays[name])
    with pytest.raises(ArtifactError, match=r"expected efficiencies in \(0, 1\)"):
        load(write_artifact(tmp_path / "map", two_bins.card, {"map": arrays}))


def test_efficiencies_that_rise_along_the_working_points_are_refused(tmp_path: Path) -> None:
    arrays = POINTS._arrays | {"value": POINTS.values()[..., ::-1]}
    with pytest.raises(ArtifactError, match="that fall along the working points"):
        load(write_artifact(tmp_path / "map", POINTS.card, {"map": arrays}))


@pytest.mark.parametrize("edges", [(100.0, 50.0, 20.0), (20.0, 20.0, 100.0), (20.0,), ()])
def test_edges_that_do_not_increase_are_refused(
    two_bins: EfficiencyMap, tmp_path: Path, edges: tuple[float, ...]
) -> None:
    name = next(iter(two_bins.card.edges))
    card = two_bins.card.model_copy(update={"edges": two_bins.card.edges | {name: edges}})
    with pytest.raises(ArtifactError, match=rf"edges\.{name}"):
        load(write_artifact(tmp_path / "map", card, {"map": two_bins._arrays}))


def test_edges_of_other_features_are_refused(two_bins: EfficiencyMap, tmp_path: Path) -> None:
    edges = {f"{name}2": each for name, each in two_bins.card.edges.items()}
    card = two_bins.card.model_copy(update={"edges": edges})
    with pytest.raises(ArtifactError, match="expected edges of"):
        load(write_artifact(tmp_path / "map", card, {"map": two_bins._arrays}))


def test_a_map_without_arrays_is_refused(two_bins: EfficiencyMap, tmp_path: Path) -> None:
    card = two_bins.card.model_copy(update={"arrays": ()})
    with pytest.raises(ArtifactError):
        load(write_artifact(tmp_path / "map", card, {}))


def test_another_kind_is_refused(two_bins: EfficiencyMap, tmp_path: Path) -> None:
    card = two_bins.card.model_copy(update={"kind": "network"})
    path = write_artifact(tmp_path / "map", card, {"map": {}})
    with pytest.raises(ArtifactError, match="kind"):
        EfficiencyMap.load(path)


# refusals


@pytest.mark.parametrize("passed", [0, 1])
def test_a_sample_with_one_response_is_refused(passed: int) -> None:
    with pytest.raises(InputError, match="expected some that pass and some that do not"):
        EfficiencyMap.fit(TASK, sample([30, 60], [5, 4], [passed] * 2), TWO_BINS)


@pytest.mark.parametrize("name", ["mass", "hadronFlavour"])
def test_axes_must_be_numeric_features_of_the_task(name: str) -> None:
    config = MapConfig(axes={name: BinAxis(edges=(0.0, 1.0))})
    with pytest.raises(ConfigError, match=f"'{name}'.*not among the numeric features"):
        EfficiencyMap.fit(TASK, ALL_JETS, config)


@pytest.mark.parametrize(
    "columns",
    [
        sample([10.0, 200.0], [5, 5], [1, 0]),
        sample([30.0, 30.0], [5, 5], [1, 0], [1.0, -1.0]),
    ],
    ids=["all outside the binning", "no total weight"],
)
def test_samples_without_any_bin_content_are_refused(columns: TrainingColumns) -> None:
    with pytest.raises(HepsilonError):
        EfficiencyMap.fit(TASK, columns, TWO_BINS)


# several working points


def points_task(*names: str) -> Task:
    cuts = tuple(float(number) for number in range(len(names)))
    return TASK.model_copy(update={"passed": Passed(field="tag", above=cuts, names=names)})


THREE = points_task("L", "M", "T")
FOUR_BINS = MapConfig(axes={"pt": BinAxis(edges=(20.0, 50.0, 100.0, 300.0, 600.0))})


def binned_sample(size: int, seed: int, *, negative: bool = False) -> TrainingColumns:
    """Jets that pass 0 to 3 working points; weights around 1, or a third of them negative."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2.0, size)
    if negative:
        weights *= np.where(rng.uniform(size=size) < 1 / 3, -1.0, 1.0)
    numbers = rng.choice(4, size, p=[0.5, 0.2, 0.2, 0.1])
    return sample(rng.uniform(20.0, 600.0, size), rng.choice([5, 4, 0], size), numbers, weights)


def above(columns: TrainingColumns, number: int) -> TrainingColumns:
    """The same jets with the response to one working point."""
    return replace(columns, passed=(columns.passed > number).astype(np.float32))


POINTS_SAMPLE = binned_sample(500, seed=9)
POINTS = EfficiencyMap.fit(THREE, POINTS_SAMPLE, FOUR_BINS)


def test_values_of_several_working_points_by_hand() -> None:
    jets = sample([30, 30, 30, 60, 25], [5, 5, 5, 5, 4], [0, 2, 3, 1, 3])
    fitted = EfficiencyMap.fit(THREE, jets, TWO_BINS)
    # b: of 4 jets 3, 2, 1 pass; light jets: of 5 jets 4, 3, 2
    low = [(2 + 3 / 4) / 4, (2 + 2 / 4) / 4, (1 + 1 / 4) / 4]
    high = [(1 + 3 / 4) / 2, (0 + 2 / 4) / 2, (0 + 1 / 4) / 2]
    np.testing.assert_allclose(fitted.values()[0], [low, high])
    np.testing.assert_allclose(fitted.values()[2], [[4 / 5, 3 / 5, 2 / 5]] * 2)
    eps = fitted(records([[30.0, 60.0], []], [[5, 5], []]))
    assert eps.to_list() == [[pytest.approx(low), pytest.approx(high)], []]


def test_several_working_points_are_maps_of_each_alone() -> None:
    low, high = POINTS.interval()
    assert POINTS.values().shape == low.shape == high.shape == (3, 4, 3)
    for number in range(3):
        alone = EfficiencyMap.fit(TASK, above(POINTS_SAMPLE, number), FOUR_BINS)
        np.testing.assert_array_equal(POINTS.values()[..., number], alone.values())
        np.testing.assert_array_equal(low[..., number], alone.interval()[0])
        np.testing.assert_array_equal(high[..., number], alone.interval()[1])
        assert POINTS.n_empty == alone.n_empty
    assert POINTS.working_points == ("L", "M", "T")
    assert POINTS.card.unphysical == 0


@pytest.mark.parametrize("seed", range(5))
def test_values_fall_from_one_working_point_to_the_next(seed: int) -> None:
    """Few jets in many bins; positive weights leave nothing to correct."""
    fine = MapConfig(axes={"pt": BinAxis(edges=tuple(np.linspace(20.0, 600.0, 30)))})
    fitted = EfficiencyMap.fit(THREE, binned_sample(100, seed), fine)
    assert fitted.n_empty > 0
    assert fitted.card.unphysical == 0
    assert (np.diff(fitted.values(), axis=-1) <= 0.0).all()


def test_negative_weights_never_let_a_tighter_working_point_be_the_more_efficient() -> None:
    # b below 50 GeV: 1 - 1 + 1 of 1 - 1 + 1 + 1 pass the looser one, 1 + 1 the tighter one
    jets = sample([30, 30, 30, 30, 60], [5, 5, 5, 5, 4], [3, 1, 0, 3, 0], [1.0, -1.0, 1.0, 1.0, 1])
    fitted = EfficiencyMap.fit(points_task("L", "T"), jets, TWO_BINS)
    alone = [
        EfficiencyMap.fit(TASK, above(jets, number), TWO_BINS).values()[0, 0] for number in (0, 1)
    ]
    assert alone[0] < alone[1]
    assert fitted.values()[0, 0].tolist() == [alone[0], alone[0]]
    # and the bins without jets of b (priors 1/2 and 1) and light jets (1/3 and 2/3)
    assert fitted.card.unphysical == 4


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_negative_weights_give_monotone_values_and_replicas(seed: int) -> None:
    jets = binned_sample(60, seed, negative=True)
    fitted = EfficiencyMap.fit(THREE, jets, FOUR_BINS)
    values = fitted.values()
    assert ((values > 0.0) & (values < 1.0)).all()
    assert (np.diff(values, axis=-1) <= 0.0).all()
    singles = [EfficiencyMap.fit(TASK, above(jets, number), FOUR_BINS) for number in range(3)]
    rising = np.count_nonzero(np.diff([single.values() for single in singles], axis=0) > 0.0)
    assert rising > 0
    assert fitted.card.unphysical == sum(s.card.unphysical for s in singles) + rising
    draws = rows(fitted.replicas(EVERY_BIN))
    assert ((draws > 0.0) & (draws < 1.0)).all()
    assert (np.diff(draws, axis=1) <= 0.0).all()


def test_a_map_of_several_working_points_survives_its_file(tmp_path: Path) -> None:
    loaded = load(POINTS.save(tmp_path / "map.hepsilon"))
    assert isinstance(loaded, EfficiencyMap)
    assert loaded.card == POINTS.card
    np.testing.assert_array_equal(loaded.values(), POINTS.values())
    np.testing.assert_array_equal(loaded.interval(), POINTS.interval())
    inside = records([[30.0, 400.0], []], [[5, 4], []])
    for found, expected in (
        (loaded(inside), POINTS(inside)),
        (loaded.replicas(inside), POINTS.replicas(inside)),
    ):
        assert ak.array_equal(found, expected)


@pytest.mark.parametrize("points", [1, 2])
def test_arrays_of_another_number_of_working_points_are_refused(
    tmp_path: Path, points: int
) -> None:
    low, high = POINTS.interval()
    arrays = {"low": low, "high": high, "n_effective": low[..., 0]}
    value = POINTS.values()[..., :points]
    path = write_artifact(tmp_path / "map", POINTS.card, {"map": arrays | {"value": value}})
    with pytest.raises(ArtifactError, match=r"value: expected finite numbers of shape \(3, 4, 3\)"):
        load(path)


@given(jets=sts.jet_records(), cut=sts.BOUND)
def test_several_working_points_do_not_depend_on_the_chunks(jets: ak.Array, cut: int) -> None:
    parts = [POINTS.evaluate(part, out_of_domain="ignore") for part in (jets[:cut], jets[cut:])]
    together = POINTS.evaluate(jets, out_of_domain="ignore")
    n_jets = int(ak.sum(ak.num(jets)))
    for name, shape in (("eps", (n_jets, 3)), ("replicas", (n_jets, 3, 20)), ("in_domain", n_jets)):
        joined = ak.concatenate([getattr(part, name) for part in parts])
        assert ak.num(joined).to_list() == ak.num(jets).to_list()
        found = ak.to_numpy(ak.flatten(joined, axis=1))
        np.testing.assert_array_equal(found.reshape(shape), rows(getattr(together, name)))
        assert rows(getattr(together, name)).shape == np.empty(shape).shape


# replicas

INSIDE = records([[30.0, 70.0], [], [200.0, 400.0]], [[5, 4], [], [0, 5]])


@pytest.mark.parametrize("fitted", [FITTED, POINTS], ids=["one", "three"])
def test_replicas_are_the_same_in_every_call(fitted: EfficiencyMap) -> None:
    found = fitted.replicas(INSIDE)
    assert ak.array_equal(fitted.replicas(INSIDE), found)
    assert ak.array_equal(fitted.evaluate(INSIDE).replicas, found)
    assert not ak.array_equal(fitted.replicas(INSIDE, seed=2), found)
    np.testing.assert_array_equal(rows(fitted.replicas(INSIDE)[2:]), rows(found)[2:])
    assert rows(found).shape == (*rows(fitted(INSIDE)).shape, 20)
    assert rows(fitted.replicas(INSIDE, n_replicas=7)).shape[-1] == 7


def test_objects_of_one_bin_fluctuate_together() -> None:
    pair = rows(POINTS.replicas(records([[30.0, 31.0, 30.0]], [[5, 5, 4]])))
    np.testing.assert_array_equal(pair[0], pair[1])
    assert (pair[0] != pair[2]).all()


EVERY_BIN = records([[30.0, 70.0, 200.0, 400.0] * 3], [np.repeat([5, 4, 0], 4)])
SPARSE = EfficiencyMap.fit(THREE, binned_sample(90, seed=10), FOUR_BINS)
N_DRAWS = 20_000


@pytest.mark.parametrize("fitted", [FITTED, POINTS, SPARSE], ids=["one", "three", "sparse"])
def test_replicas_have_mean_and_variance_of_the_posterior(fitted: EfficiencyMap) -> None:
    """Beta: mean p, variance p (1 - p) / (n_eff + 2); of several working points each alone.

    Both within 5.5 standard deviations, that of the variance from the kurtosis of the Beta
    distribution: 168 tests at most, false-alarm rate 7e-6.
    """
    draws = rows(fitted.replicas(EVERY_BIN, n_replicas=N_DRAWS, seed=3))
    p = rows(fitted(EVERY_BIN, out_of_domain="ignore"))
    n_effective = np.repeat(fitted._arrays["n_effective"].ravel(), p.size // 12).reshape(p.shape)
    assert (n_effective.min() == 0.0) == (fitted is SPARSE)  # draws from the prior alone, too
    variance = p * (1.0 - p) / (n_effective + 2.0)
    assert np.abs((draws.mean(axis=-1) - p) / np.sqrt(variance / N_DRAWS)).max() < 5.5
    a, b = (n_effective + 1.0) * p, (n_effective + 1.0) * (1.0 - p)
    excess = stats.beta.stats(a, b, moments="k")
    pull = (draws.var(axis=-1) / variance - 1.0) / np.sqrt((excess + 2.0) / N_DRAWS)
    smooth = np.minimum(a, b) > 1.0  # else 20,000 draws are too few for a Gaussian variance
    assert smooth.sum() >= 12
    assert np.abs(pull[smooth]).max() < 5.5


def test_replicas_fall_from_one_working_point_to_the_next() -> None:
    draws = rows(POINTS.replicas(EVERY_BIN, n_replicas=500))
    assert ((draws > 0.0) & (draws < 1.0)).all()
    assert (np.diff(draws, axis=1) <= 0.0).all()
    assert (draws.std(axis=-1) > 0.0).all()


def test_working_points_without_jets_between_them_have_the_same_replicas() -> None:
    """In one category, that is: no b jet passes just the loosest one."""
    jets = sample([30, 30, 30, 30, 30, 60], [5, 5, 5, 4, 4, 4], [0, 2, 2, 0, 1, 2])
    fitted = EfficiencyMap.fit(points_task("L", "T"), jets, TWO_BINS)
    b, c = rows(fitted.replicas(records([[30.0, 30.0]], [[5, 4]])))
    np.testing.assert_array_equal(b[0], b[1])
    assert (c[0] > c[1]).any()


def test_the_plot_has_one_row_for_each_working_point() -> None:
    figure = plot_map(POINTS)
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "pt"]
    titles = [axes.get_title() for axes in panels]
    expected = [f"{flavour}, {name}" for name in "LMT" for flavour in ("b", "c", "light")]
    assert titles == expected
    drawn = [axes.patches[0].get_data().values for axes in panels]
    np.testing.assert_array_equal(drawn, np.moveaxis(POINTS.values(), -1, 0).reshape(9, 4))


def test_replicas_refuse_a_seed_that_is_no_whole_number(two_bins: EfficiencyMap) -> None:
    with pytest.raises(ValueError, match="expected a whole number as seed"):
        two_bins.replicas(records([[30.0]], [[5]]), seed=1.5)  # type: ignore[arg-type]


def test_hundreds_of_working_points_have_their_own_values() -> None:
    """More than a byte can count: the efficiency of cut i is the share of scores above it."""
    cuts = np.linspace(0.1, 0.9, 200)
    task = TASK.model_copy(update={"passed": Passed(field="score", above=tuple(cuts.tolist()))})
    score = np.random.default_rng(3).uniform(size=1000)
    number = passed(ak.zip({"score": ak.unflatten(score, 1)}), task)
    assert ak.to_numpy(ak.flatten(number)).tolist() == np.searchsorted(cuts, score).tolist()
    counts = ak.to_numpy(ak.flatten(number)).astype(np.float32)
    jets = replace(binned_sample(1000, 3), passed=counts)
    values = EfficiencyMap.fit(task, jets, FOUR_BINS).values()
    assert values.shape == (3, 4, 200)
    for point in (0, 100, 127, 128, 199):
        single = EfficiencyMap.fit(TASK, above(jets, point), FOUR_BINS)
        np.testing.assert_allclose(values[..., point], single.values(), rtol=1e-12)
