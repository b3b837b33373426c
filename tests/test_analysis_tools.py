from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
import pytest
from coffea.analysis_tools import PackedSelection, Weights
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import (
    InputError,
    ScaleFactors,
    ScaleFactorWarning,
    at_least,
    exactly,
    truth_tag_weight,
)
from hepsilon.analysis_tools import (
    add_inversion,
    add_truth_tag,
    add_weight,
    fill_objects,
    shifted_efficiencies,
    tag_cutflow,
)
from hepsilon.arrays.columns import unflatten
from hepsilon.weights import EfficiencyVariations, mirrored_efficiencies
from tests.helpers import strategies as sts
from tests.helpers import tag_reference as ref

Array = npt.NDArray[Any]

EPS = ak.Array([[0.7, 0.2, 0.9], [], [0.5], [0.25, 0.5]])
GENERATOR = np.array([1.0, -2.0, 3.0, 0.5])
SF = EPS * 0.0 + 0.9
UP, DOWN = SF + 0.1, SF - 0.2
FACTORS = ScaleFactors(SF, {"heavy": (UP, DOWN), "light": (SF, UP)})
SPREAD = np.array([-0.01, 0.0, 0.02])
REPLICAS = ref.jagged(ak.to_numpy(ak.flatten(EPS))[:, None] + SPREAD, np.array([0, 3, 3, 4, 6]))


def generated() -> Weights:
    """Weights with those of the generator."""
    weights = Weights(4, storeIndividual=True)
    weights.add("generator", GENERATOR.copy())
    return weights


# a weight and its variations


def test_a_weight_alone() -> None:
    weights = generated()
    assert add_weight(weights, "w", np.array([1.0, 2.0, 0.0, 4.0])) == ()
    assert weights.weight().tolist() == [1.0, -4.0, 0.0, 2.0]
    assert weights.variations == set()


def test_variations_come_back_from_coffea() -> None:
    weights = generated()
    nominal, up, down = np.array([[1.0, 2.0, 0.0, 4.0], [1.5, 2.5, 0.0, 3.0], [0.5, 0.0, 0.0, 5.0]])
    assert add_weight(weights, "w", nominal, {"x": (up, down), "y": (down, nominal)}) == (
        "w_x",
        "w_y",
    )
    expected = {"w_xUp": up, "w_xDown": down, "w_yUp": down, "w_yDown": nominal}
    assert weights.variations == set(expected)
    for name, own in expected.items():
        np.testing.assert_allclose(weights.weight(name), GENERATOR * own, rtol=1e-15)


def test_the_arrays_of_the_caller_stay_as_they_are() -> None:
    columns = [np.array([1.0, 2.0, 0.0, 4.0]), np.array([3.0, 3.0, 0.0, 3.0]), np.full(4, 0.0)]
    before = [c.copy() for c in columns]
    weights = generated()
    add_weight(weights, "w", columns[0], {"x": (columns[1], columns[2]), "y": (columns[1],) * 2})
    for column, old in zip(columns, before, strict=True):
        np.testing.assert_array_equal(column, old)
    weights.weight("w_xUp")
    columns[0][:] = 7.0
    assert weights.weight().tolist() == [1.0, -4.0, 0.0, 2.0]


def test_one_array_may_be_nominal_and_both_variations() -> None:
    same = np.array([1.0, 2.0, 0.0, 4.0])
    weights = generated()
    add_weight(weights, "w", same, {"x": (same, same)})
    for name in ("w_xUp", "w_xDown"):
        np.testing.assert_array_equal(weights.weight(name), weights.weight())


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_other_types_of_numbers_become_float64(dtype: type) -> None:
    weights = generated()
    nominal = np.array([1, 1, 0, 1], dtype)
    add_weight(weights, "w", nominal, {"x": (nominal, nominal)})
    assert weights.weight().tolist() == [1.0, -2.0, 0.0, 0.5]
    assert weights.weight("w_xUp").tolist() == [1.0, -2.0, 0.0, 0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    good, wrong = np.ones(4), np.array([1.0, bad, bad, 1.0])
    weights = generated()
    with pytest.raises(InputError, match="w nominal: 2 of 4 values are NaN or infinite"):
        add_weight(weights, "w", wrong)
    with pytest.raises(InputError, match="w xUp: 2 of 4 values are NaN or infinite"):
        add_weight(weights, "w", good, {"x": (wrong, good)})
    with pytest.raises(InputError, match="w xDown: 2 of 4 values are NaN or infinite"):
        add_weight(weights, "w", good, {"x": (good, wrong)})
    assert weights.weight().tolist() == GENERATOR.tolist()
    assert weights.variations == set()


def test_variations_of_a_nominal_weight_of_zero_are_refused() -> None:
    nominal, up = np.array([1.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.1, 0.0, 1.0])
    weights = generated()
    with pytest.raises(
        InputError, match=r"w xDown: 1 of 4 events have a weight here but a nominal"
    ):
        add_weight(weights, "w", nominal, {"x": (nominal, up)})
    assert weights.weight().tolist() == GENERATOR.tolist()


@pytest.mark.parametrize("size", [0, 1, 3, 5])
def test_weights_of_another_number_of_events_are_refused(size: int) -> None:
    weights = generated()
    with pytest.raises(
        InputError, match=rf"w nominal: expected one weight for each of 4 .*\({size},"
    ):
        add_weight(weights, "w", np.ones(size))
    with pytest.raises(InputError, match="w xUp: expected one weight for each of 4 events"):
        add_weight(weights, "w", np.ones(4), {"x": (np.ones(size), np.ones(4))})
    with pytest.raises(InputError, match="w nominal: expected one weight"):
        add_weight(weights, "w", np.ones((4, 1)))


def test_coffea_refuses_a_name_that_is_taken() -> None:
    weights = generated()
    add_weight(weights, "w", np.ones(4))
    with pytest.raises(ValueError, match="'w' already exists"):
        add_weight(weights, "w", np.ones(4))
    with pytest.raises(ValueError, match="Avoid using 'Up' and 'Down'"):
        add_weight(weights, "wUp", np.ones(4))


# truth tags


def test_the_nominal_truth_tag_weight() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1)
    expected = truth_tag_weight(EPS, 1)
    np.testing.assert_array_equal(tag.weight, expected)
    np.testing.assert_array_equal(weights.weight(), GENERATOR * expected)
    assert tag.possible.tolist() == [True, False, True, True]
    assert (tag.variations, tag.n_above_one) == ((), 0)


def test_variations_of_scale_factors_become_those_of_the_weight() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, at_least=True, jets=None, scale_factors=FACTORS)
    assert tag.variations == ("btag_heavy", "btag_light")
    own = {
        None: SF,
        "btag_heavyUp": UP,
        "btag_heavyDown": DOWN,
        "btag_lightUp": SF,
        "btag_lightDown": UP,
    }
    for name, factors in own.items():
        expected = truth_tag_weight(EPS, 1, at_least=True, jets=None, scale_factors=factors)
        np.testing.assert_allclose(weights.weight(name), GENERATOR * expected, rtol=1e-14)


def test_plain_scale_factors_have_no_variations() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, scale_factors=SF)
    assert tag.variations == ()
    np.testing.assert_array_equal(tag.weight, truth_tag_weight(EPS, 1, scale_factors=SF))


def test_all_options_reach_the_truth_tag_weight() -> None:
    eps = ak.Array([[[0.7, 0.5], [0.2, 0.1], [0.9, 0.6]], [], [[0.5, 0.2]], [[0.4, 0.3]] * 2])
    options: dict[str, Any] = {
        "jets": ak.Array([[True, False, True], [], [True], [True, True]]),
        "working_points": ["M", "T"],
        "direct": ak.Array([[True, True, False], [], [False], [False, False]]),
        "tagged": ak.Array([[2, 0, 0], [], [0], [0, 0]]),
    }
    condition = at_least(1, "T") & exactly(2, "M")
    up, down = (ak.ones_like(eps) * f for f in (1.05, 0.9))
    factors = ScaleFactors(ak.ones_like(eps), {"x": (up, down)})
    weights = generated()
    tag = add_truth_tag(weights, "btag", eps, condition, scale_factors=factors, **options)
    for name, own in ((None, factors), ("btag_xUp", up), ("btag_xDown", down)):
        expected = truth_tag_weight(eps, condition, scale_factors=own, **options)
        np.testing.assert_allclose(weights.weight(name), GENERATOR * expected, rtol=1e-14)
    assert tag.possible.tolist() == [True, False, False, True]


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@given(events=ref.jets_of_events(inside=True), data=st.data())
def test_coffea_returns_every_variation(events: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, eps = events
    eps = 0.8 * eps
    condition = data.draw(ref.conditions(eps.shape[1]))
    nominal, up, down = (
        ref.jagged(data.draw(ref.columns_of(*eps.shape, 0.6, 1.2)), offsets) for _ in range(3)
    )
    weights = Weights(len(offsets) - 1)
    factors = ScaleFactors(nominal, {"x": (up, down)})
    jets = ref.jagged(eps, offsets)
    add_truth_tag(weights, "btag", jets, condition, jets=None, scale_factors=factors)
    for name, own in ((None, nominal), ("btag_xUp", up), ("btag_xDown", down)):
        expected = truth_tag_weight(jets, condition, jets=None, scale_factors=own)
        np.testing.assert_allclose(weights.weight(name), expected, rtol=1e-13)


def test_the_input_stays_as_it_is() -> None:
    arrays = [EPS, SF, UP, DOWN, REPLICAS]
    before = [a.tolist() for a in arrays]
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, scale_factors=FACTORS, replicas=REPLICAS)
    assert [a.tolist() for a in arrays] == before
    kept = weights.weight("btag_heavyUp").copy()
    tag.weight[:] = 7.0
    np.testing.assert_array_equal(weights.weight("btag_heavyUp"), kept)
    np.testing.assert_array_equal(weights.partial_weight(["btag"]), weights.weight() / GENERATOR)


def test_jets_above_one_are_counted() -> None:
    eps = ak.Array([[[0.9, 0.8], [0.5, 0.4]], [], [[0.9, 0.1]], []])
    factors = ak.ones_like(eps) * 1.3
    with pytest.warns(ScaleFactorWarning, match="of 3 jets 2 have"):
        tag = add_truth_tag(generated(), "btag", eps, 1, jets=None, scale_factors=factors)
    assert tag.n_above_one == 2


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@pytest.mark.parametrize("nominal", [1.2, 1.25, 2.0])
def test_variations_of_products_above_one_come_back(nominal: float) -> None:
    # 1.25 * 0.8 is 1 exactly: without a bound below 1, coffea could not scale a weight of zero
    def like(rows: Any) -> ak.Array:
        return ref.jagged(np.broadcast_to(rows, (3, 2)), np.array([0, 2, 2, 2, 3]))

    eps = like([[0.8, 0.7], [0.9, 0.8], [0.8, 0.8]])
    factors = ScaleFactors(like(nominal), {"x": (like(1.3), like([0.9, 0.6]))})
    for condition in (exactly(1, 0), exactly(0, 0), exactly(1, 0) & exactly(0, 1), at_least(1, 1)):
        weights = generated()
        add_truth_tag(weights, "btag", eps, condition, scale_factors=factors)
        for name, own in (
            (None, factors),
            ("btag_xUp", factors.variations["x"][0]),
            ("btag_xDown", factors.variations["x"][1]),
        ):
            expected = GENERATOR * truth_tag_weight(eps, condition, scale_factors=own)
            np.testing.assert_allclose(weights.weight(name), expected, rtol=1e-12, atol=1e-14)


def test_truth_tagging_refuses_what_the_weight_refuses() -> None:
    weights = generated()
    with pytest.raises(InputError, match="NaN or outside"):
        add_truth_tag(weights, "btag", EPS + 1.0)
    with pytest.raises(InputError, match="expected a working point"):
        add_truth_tag(weights, "btag", EPS, exactly(1, "M"))
    with pytest.raises(InputError, match="truth tagging needs them for every bin"):
        add_truth_tag(weights, "btag", EPS, scale_factors=ScaleFactors(SF, {}, "jet"))
    bad = ScaleFactors(SF, {"x": (SF, ak.Array([[-1.0, 1, 1], [], [1], [1, 1]]))})
    with pytest.raises(InputError, match="scale factors: 1 of 6 values are negative"):
        add_truth_tag(weights, "btag", EPS, 1, scale_factors=bad)
    with pytest.raises(InputError, match="btag nominal: expected one weight for each of 4 events"):
        add_truth_tag(weights, "btag", EPS[:3], 1)
    with pytest.raises(ValueError, match="'generator' already exists"):
        add_truth_tag(weights, "generator", EPS, 1)
    np.testing.assert_array_equal(weights.weight(), GENERATOR)


def test_variations_of_an_impossible_event_are_refused() -> None:
    zero = ak.Array([[0.0, 1.0], [], [], []])
    factors = ScaleFactors(zero, {"x": (ak.ones_like(zero), zero)})
    with pytest.raises(InputError, match="btag xUp: 1 of 4 events have a weight here"):
        add_truth_tag(generated(), "btag", ak.ones_like(zero) * 0.5, 2, scale_factors=factors)


@pytest.mark.parametrize("events", [EPS[1:2], EPS[:0]], ids=["no jets", "no events"])
def test_chunks_without_jets_are_weighted(events: ak.Array) -> None:
    weights = Weights(len(events))
    factors = ScaleFactors(events, {"x": (events, events)})
    replicas = REPLICAS[1:2] if len(events) else REPLICAS[:0]
    tag = add_truth_tag(weights, "btag", events, 0, scale_factors=factors, replicas=replicas)
    assert tag.variations == ("btag_x", "btag_efficiency")
    for name in (None, "btag_xUp", "btag_efficiencyDown"):
        assert weights.weight(name).tolist() == [1.0] * len(events)


def test_cutflows_take_the_possible_events_in_place_of_the_cut() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, jets=None, scale_factors=FACTORS)
    selection = PackedSelection()
    selection.add("jets", ak.to_numpy(ak.num(EPS) > 1))
    selection.add("tags", tag.possible)
    for modifier in (None, "btag_heavyUp"):
        flow = selection.cutflow("jets", "tags", weights=weights, weightsmodifier=modifier).result()
        weight = weights.weight(modifier)
        assert list(flow.nevcutflow) == [4, 2, 2]
        assert list(flow.nevonecut) == [4, 2, 3]
        expected = [weight.sum(), weight[[0, 3]].sum(), weight[[0, 3]].sum()]
        np.testing.assert_allclose(flow.wgtevcutflow, expected, rtol=1e-14)
    # nothing with a weight is cut away
    np.testing.assert_array_equal(weights.weight()[~tag.possible], 0.0)


def selected() -> PackedSelection:
    selection = PackedSelection()
    selection.add("trigger", np.array([True, True, True, False]))
    selection.add("tags", np.array([True, False, True, True]))
    selection.add("mass", np.array([True, True, True, True]))
    return selection


def test_tags_count_from_their_step_on() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, jets=None)
    rows = tag_cutflow(selected(), weights, {"tags": "btag"})
    both = GENERATOR * tag.weight
    expected = {
        "initial": GENERATOR.sum(),
        "trigger": GENERATOR[:3].sum(),
        "tags": both[[0, 2]].sum(),
        "mass": both[[0, 2]].sum(),
    }
    assert list(rows) == list(expected)
    assert rows == pytest.approx(expected)


def test_every_step_has_its_own_tags() -> None:
    weights = generated()
    loose = add_truth_tag(weights, "loose", EPS, 1, at_least=True).weight
    tight = add_truth_tag(weights, "tight", EPS, 0, jets=slice(2, None)).weight
    rows = tag_cutflow(selected(), weights, {"mass": "tight", "trigger": "loose"})
    expected = {
        "initial": GENERATOR.sum(),
        "trigger": (GENERATOR * loose)[:3].sum(),
        "tags": (GENERATOR * loose)[[0, 2]].sum(),
        "mass": (GENERATOR * loose * tight)[[0, 2]].sum(),
    }
    assert rows == pytest.approx(expected)


def test_a_cutflow_without_tags_is_that_of_coffea() -> None:
    weights = generated()
    rows = tag_cutflow(selected(), weights, {})
    flow = selected().cutflow(*selected().names, weights=weights).result()
    assert list(rows) == list(flow.labels)
    assert list(rows.values()) == pytest.approx(list(flow.wgtevcutflow))


def test_tags_of_a_step_that_is_missing_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected steps of \['trigger', 'tags', 'mass'\].*'b'"):
        tag_cutflow(selected(), generated(), {"b": "generator"})


def test_tags_that_no_weight_is_called_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected weights of \['generator'\].*'btag'"):
        tag_cutflow(selected(), generated(), {"tags": "btag"})


# efficiencies and their replicas


def test_shifts_multiply_the_odds() -> None:
    up, down = shifted_efficiencies(EPS, REPLICAS)
    eps = ak.to_numpy(ak.flatten(EPS))
    factor = 1.0 + np.std(SPREAD, ddof=1) / (eps * (1.0 - eps))
    odds = eps / (1.0 - eps)
    for shifted, expected in ((up, odds * factor), (down, odds / factor)):
        np.testing.assert_allclose(ak.flatten(shifted), expected / (1.0 + expected), rtol=1e-13)
        assert ak.num(shifted).tolist() == [3, 0, 1, 2]


def test_small_shifts_are_one_standard_deviation() -> None:
    spread = 1e-5 * SPREAD
    eps = ak.to_numpy(ak.flatten(EPS))
    replicas = ref.jagged(eps[:, None] + spread, np.array([0, 3, 3, 4, 6]))
    up, down = shifted_efficiencies(EPS, replicas)
    sigma = np.std(spread, ddof=1)
    np.testing.assert_allclose(ak.flatten(up) - eps, sigma, rtol=1e-5)
    np.testing.assert_allclose(eps - ak.flatten(down), sigma, rtol=1e-5)


@pytest.mark.parametrize("eps", [1e-9, 1e-3, 0.5, 0.999])
def test_large_shifts_stay_bounded(eps: float) -> None:
    """Replicas of 0 and 1 are spread as far as replicas can be."""
    up, down = shifted_efficiencies(ak.Array([[eps]]), ak.Array([[[0.0, 1.0, 0.0, 1.0]]]))
    assert 0.0 < down[0, 0] < eps < up[0, 0] < 1.0


@given(columns=sts.flat_columns(ref.INSIDE), data=st.data())
def test_shifted_efficiencies_stay_inside(columns: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, eps = columns
    n = data.draw(st.integers(2, 4))
    rows = data.draw(ref.columns_of(len(eps), n, 0.01, 0.99))
    jets = unflatten(eps, offsets)
    up, down = shifted_efficiencies(jets, ref.jagged(rows, offsets))
    assert ak.all((down > 0.0) & (down <= jets * (1 + 1e-12)), axis=None)
    assert ak.all((up < 1.0) & (up >= jets * (1 - 1e-12)), axis=None)


def test_equal_replicas_shift_nothing() -> None:
    up, down = shifted_efficiencies(EPS, ak.from_regular(REPLICAS[..., [1, 1, 1]], axis=2))
    np.testing.assert_allclose(ak.flatten(up), ak.flatten(EPS), rtol=1e-14)
    np.testing.assert_allclose(ak.flatten(down), ak.flatten(EPS), rtol=1e-14)


def test_replicas_vary_the_weight() -> None:
    weights = generated()
    tag = add_truth_tag(weights, "btag", EPS, 1, scale_factors=FACTORS, replicas=REPLICAS)
    assert tag.variations == ("btag_heavy", "btag_light", "btag_efficiency")
    for name, eps in zip(("Up", "Down"), shifted_efficiencies(EPS, REPLICAS), strict=True):
        expected = GENERATOR * truth_tag_weight(eps, 1, scale_factors=SF)
        np.testing.assert_allclose(weights.weight(f"btag_efficiency{name}"), expected, rtol=1e-13)


@pytest.mark.parametrize(
    "bad",
    [REPLICAS[..., :1], EPS, REPLICAS[:3], REPLICAS[[1, 0, 2, 3]]],
    ids=["one", "no axis", "fewer events", "other jets"],
)
def test_replicas_of_other_jets_are_refused(bad: ak.Array) -> None:
    with pytest.raises(InputError, match="replicas: expected two or more for each jet"):
        shifted_efficiencies(EPS, bad)


@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_efficiencies_that_cannot_shift_are_refused(bad: float) -> None:
    eps = ak.Array([[bad, 0.2, 0.9], [], [0.5], [0.25, bad]])
    with pytest.raises(
        InputError, match=r"eps: expected values inside \(0, 1\), received [12] of 6"
    ):
        shifted_efficiencies(eps, REPLICAS)


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_replicas_that_are_no_efficiencies_are_refused(bad: float) -> None:
    rows = ak.to_numpy(ak.flatten(REPLICAS)).copy()
    rows[2:4, 1] = bad
    with pytest.raises(InputError, match=r"replicas: 2 of 18 values are NaN or outside \[0, 1\]"):
        shifted_efficiencies(EPS, ref.jagged(rows, np.array([0, 3, 3, 4, 6])))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_efficiency_is_not_shifted(bad: float) -> None:
    eps = ak.Array([[bad, 0.2, 0.9], [], [0.5], [0.25, 0.5]])
    with pytest.raises(InputError, match="eps: 1 of 6 values are NaN or outside"):
        shifted_efficiencies(eps, REPLICAS)


def test_other_simulations_vary_the_weight() -> None:
    weights, other = generated(), 0.9 * EPS
    tag = add_truth_tag(weights, "btag", EPS, 1, replicas=REPLICAS, alternatives={"shower": other})
    assert tag.variations == ("btag_efficiency", "btag_shower")
    down = mirrored_efficiencies(EPS, other)[1]
    for name, eps in (("Up", other), ("Down", down)):
        expected = GENERATOR * truth_tag_weight(eps, 1)
        np.testing.assert_allclose(weights.weight(f"btag_shower{name}"), expected, rtol=1e-13)


def test_other_simulations_need_a_free_name_and_one_array() -> None:
    with pytest.raises(InputError, match="two variations have the same name"):
        add_truth_tag(generated(), "b", EPS, 1, replicas=REPLICAS, alternatives={"efficiency": EPS})
    with pytest.raises(InputError, match="alternatives go with one array"):
        add_truth_tag(generated(), "b", {"M": EPS}, 1, alternatives={"shower": EPS})


def test_replicas_need_one_array_and_a_free_name() -> None:
    with pytest.raises(InputError, match="replicas go with one array of efficiencies"):
        add_truth_tag(generated(), "btag", {"M": EPS}, 1, replicas=REPLICAS)
    taken = ScaleFactors(SF, {"efficiency": (UP, DOWN)})
    with pytest.raises(InputError, match=r"\['efficiency'\]: two variations have the same name"):
        add_truth_tag(generated(), "btag", EPS, 1, scale_factors=taken, replicas=REPLICAS)
    two = ak.Array([[[0.5, 0.2]], [], [], []])
    with pytest.raises(InputError, match="several working points need variations"):
        add_truth_tag(generated(), "btag", two, 1, replicas=two)
    with pytest.raises(InputError, match="variations need the replicas"):
        add_truth_tag(generated(), "btag", EPS, 1, categories=EPS)


def test_few_directions_become_variations_of_several_working_points() -> None:
    """By flavour; each is the weight of the shifted efficiencies, and the nominal one stays."""
    eps = ak.concatenate([EPS[..., None], 0.4 * EPS[..., None]], axis=2)
    offsets = np.array([0, 3, 3, 4, 6])
    steps = np.random.default_rng(1).normal(0.0, 0.01, (6, 1, 9))
    drawn = unflatten(ak.to_numpy(ak.flatten(eps))[..., None] + steps * [[1.0], [0.4]], offsets)
    flavour = ak.Array([[5, 0, 5], [], [0], [5, 4]])
    options = {"categories": flavour}
    names = {"b": 5, "light": (4, 0)}
    variations = EfficiencyVariations.of(eps, drawn, names=names, at_most=1, **options)
    weights, condition = generated(), at_least(1, 0) & at_least(1, 1)
    tag = add_truth_tag(
        weights, "btag", eps, condition, replicas=drawn, variations=variations, **options
    )
    expected = ("b_0", "b_rest", "light_0", "light_rest")
    assert tag.variations == tuple(f"btag_eff_{name}" for name in expected)
    np.testing.assert_allclose(tag.weight, truth_tag_weight(eps, condition))
    for name, pair in variations.shifted(eps, drawn, **options).items():
        for side, shifted in zip(("Up", "Down"), pair, strict=True):
            found = weights.weight(f"btag_eff_{name}{side}")
            np.testing.assert_allclose(found, GENERATOR * truth_tag_weight(shifted, condition))


def test_shifts_of_no_jets() -> None:
    for eps, replicas in (
        (EPS[:0], REPLICAS[:0]),
        (EPS[1:2], REPLICAS[1:2]),
        (EPS[1:2], ak.from_regular(REPLICAS, axis=2)[1:2]),
    ):
        up, down = shifted_efficiencies(eps, replicas)
        assert up.tolist() == down.tolist() == eps.tolist()


# fills of objects


PT = ak.Array([[35.0, 55.0, 15.0], [], [75.0], [35.0, 35.0]])


def pt_histogram() -> hist.Hist[Any]:
    return hist.Hist.new.Reg(4, 0.0, 80.0, name="pt").Weight()


def test_every_object_is_filled_with_its_weight() -> None:
    histogram = pt_histogram()
    fill_objects(histogram, GENERATOR, EPS, pt=PT)
    assert histogram.values().tolist() == pytest.approx([0.9, 0.7 + 0.125 + 0.25, 0.2, 1.5])
    assert histogram.variances().tolist() == pytest.approx(
        [0.81, 0.49 + 0.125**2 + 0.0625, 0.04, 2.25]
    )


def test_objects_without_a_weight_of_their_own_have_that_of_the_event() -> None:
    histogram = pt_histogram()
    fill_objects(histogram, GENERATOR, pt=PT)
    assert histogram.values().tolist() == [1.0, 2.0, 1.0, 3.0]


@given(columns=sts.flat_columns(sts.PT, ref.FACTOR), data=st.data())
def test_fills_are_those_of_spread_columns(columns: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, pt, own = columns
    n = len(offsets) - 1
    event = data.draw(sts.column(n, st.floats(-2.0, 2.0)))
    met = data.draw(sts.column(n, st.floats(0.0, 100.0)))
    filled, expected = (
        hist.Hist.new.Reg(5, 0.0, 500.0, name="pt").Reg(4, 0.0, 100.0, name="met").Weight()
        for _ in range(2)
    )
    fill_objects(filled, event, unflatten(own, offsets), pt=unflatten(pt, offsets), met=met)
    counts = np.diff(offsets)
    expected.fill(
        np.repeat(met, counts) * 0.0 + pt, np.repeat(met, counts), weight=own * event.repeat(counts)
    )
    np.testing.assert_array_equal(filled.view(flow=True), expected.view(flow=True))


def test_axes_of_objects_events_and_all() -> None:
    histogram = (
        hist.Hist.new.StrCat([], growth=True, name="dataset")
        .Reg(4, 0.0, 80.0, name="pt")
        .Int(0, 4, name="event")
        .IntCat([0, 5], name="flavour")
        .Weight()
    )
    flavour = ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index64([0, 3, 3, 4, 6]),
            ak.contents.NumpyArray(np.array([5, 0, 0, 5, 5, 0], np.uint8)),
        )
    )
    fill_objects(
        histogram,
        GENERATOR,
        EPS,
        dataset="ttbar",
        pt=PT,
        event=ak.Array([0, 1, 2, 3]),
        flavour=flavour,
    )
    fill_objects(histogram, GENERATOR, dataset="other", pt=PT, event=np.arange(4), flavour=5)
    view = histogram[{"dataset": "ttbar"}].values()
    assert view[1, 0, 1] == pytest.approx(0.7)
    assert view[3, 2, 1] == pytest.approx(1.5)
    assert view[1, 3].tolist() == pytest.approx([0.25, 0.125])
    assert view.sum() == pytest.approx(1.8 + 1.5 + 0.375)
    assert histogram[{"dataset": "other", "flavour": 1j * 5}].values().sum() == 3 + 3 + 1


@pytest.mark.parametrize("kind", ["list", "numpy", "awkward"])
def test_categories_of_events_are_spread(kind: str) -> None:
    names = ["a", "b", "b", "c"]
    column = {"list": names, "numpy": np.array(names), "awkward": ak.Array(names)}[kind]
    histogram = hist.Hist.new.StrCat([], growth=True, name="channel").Weight()
    fill_objects(histogram, GENERATOR, EPS, channel=column)
    found = {name: histogram[name].value for name in histogram.axes[0]}
    assert found == pytest.approx({"a": 1.8, "b": 1.5, "c": 0.375})


def test_one_value_for_all_objects_is_enough() -> None:
    histogram = hist.Hist.new.StrCat([], growth=True, name="dataset").Int(0, 3, name="n").Weight()
    fill_objects(histogram, GENERATOR, EPS, dataset="ttbar", n=1)
    assert histogram["ttbar", 1j].value == pytest.approx(1.8 + 1.5 + 0.375)


@pytest.mark.parametrize("events", [slice(1, 2), slice(0, 0)], ids=["no objects", "no events"])
def test_nothing_is_filled_without_objects(events: slice) -> None:
    histogram = pt_histogram()
    fill_objects(histogram, GENERATOR[events], EPS[events], pt=PT[events])
    fill_objects(histogram, GENERATOR[events], EPS[events], pt=50.0)
    assert histogram.sum(flow=True).value == 0.0


def test_variations_of_the_event_weight_are_filled() -> None:
    weights = generated()
    add_truth_tag(weights, "btag", EPS, 1, scale_factors=FACTORS)
    for modifier in (None, "btag_heavyUp", "btag_heavyDown"):
        histogram = pt_histogram()
        fill_objects(histogram, weights.weight(modifier), pt=PT)
        w = weights.weight(modifier)
        expected = [w[0], w[0] + 2.0 * w[3], w[0], w[2]]
        assert histogram.values().tolist() == pytest.approx(expected)


def test_fills_leave_their_columns_alone() -> None:
    event, own = GENERATOR.copy(), EPS.tolist()
    fill_objects(pt_histogram(), event, EPS, pt=PT)
    np.testing.assert_array_equal(event, GENERATOR)
    assert EPS.tolist() == own


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_objects_with_a_weight_that_is_not_finite_are_refused(bad: float) -> None:
    histogram = pt_histogram()
    with pytest.raises(InputError, match="weight: 2 of 6 values are NaN or infinite"):
        fill_objects(histogram, np.array([1.0, 1.0, 1.0, bad]), EPS, pt=PT)
    with pytest.raises(InputError, match="weight: 1 of 6 values are NaN or infinite"):
        fill_objects(histogram, GENERATOR, ak.Array([[1, 1, bad], [], [1], [1, 1]]), pt=PT)
    assert histogram.sum(flow=True).value == 0.0


def test_a_weight_of_an_event_without_objects_need_not_be_finite() -> None:
    fill_objects(pt_histogram(), np.array([1.0, np.nan, 1.0, 1.0]), EPS, pt=PT)


@pytest.mark.parametrize(
    "other", [PT[:, :1], PT[[1, 0, 2, 3]], PT[:3], REPLICAS], ids=["fewer", "order", "events", "3D"]
)
def test_columns_of_other_objects_are_refused(other: ak.Array) -> None:
    with pytest.raises(InputError, match="object_weight: expected one number for each object"):
        fill_objects(pt_histogram(), GENERATOR[: len(PT)], other, pt=PT)
    histogram = hist.Hist.new.Reg(4, 0.0, 80.0, name="pt").Reg(4, 0.0, 80.0, name="y").Weight()
    with pytest.raises(InputError, match="y: expected one number for each object"):
        fill_objects(histogram, GENERATOR, pt=PT, y=other)


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_weights_and_columns_of_other_events_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=rf"event_weight: expected 4 events, received \({size},\)"):
        fill_objects(pt_histogram(), np.ones(size), EPS, pt=PT)
    with pytest.raises(InputError, match=r"pt: expected one value, or one for each of 4 events or"):
        fill_objects(pt_histogram(), GENERATOR, EPS, pt=np.ones(size))


def test_weights_of_objects_as_those_of_events_are_refused() -> None:
    with pytest.raises(InputError, match="event_weight: expected 4 events"):
        fill_objects(pt_histogram(), 1.0, EPS, pt=PT)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a jagged array"):
        fill_objects(pt_histogram(), GENERATOR, ak.Array(GENERATOR), pt=1.0)


def test_fills_without_a_jagged_column_are_refused() -> None:
    with pytest.raises(InputError, match="expected a jagged column, one number per object"):
        fill_objects(pt_histogram(), GENERATOR, pt=GENERATOR)


def test_missing_objects_are_refused() -> None:
    with pytest.raises(InputError, match="pt: 1 of 6 objects are missing"):
        fill_objects(pt_histogram(), GENERATOR, EPS, pt=ak.mask(PT, PT > 20.0))


# inversion


def events_of(n: int = 400) -> tuple[ak.Array, ak.Array]:
    """Efficiencies of events and replicas, moved by two directions of the logits."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=n)
    steps = rng.normal(size=(2, 50)) * [[0.1], [0.04]]
    moved = logits[:, None] + steps[0] + logits[:, None] * steps[1]
    return ak.Array(1 / (1 + np.exp(-logits))), ak.Array(1 / (1 + np.exp(-moved)))


def test_inversion_has_the_variations_of_the_efficiency() -> None:
    eps, replicas = events_of()
    weights = Weights(len(eps))
    variations = EfficiencyVariations.of(eps, replicas, share=0.999)
    found = add_inversion(weights, "inverse", eps, replicas=replicas, variations=variations)
    assert found.variations[0] == "inverse_eff_0"
    assert found.variations[-1] == "inverse_eff_rest"
    np.testing.assert_allclose(weights.weight(), 1.0 / ak.to_numpy(eps))
    # together they have the spread of the sum over the replicas, to first order
    spread = np.std(np.sum(1.0 / ak.to_numpy(replicas), axis=0), ddof=1)
    steps = [
        weights.weight(f"{name}Down").sum() - weights.weight(f"{name}Up").sum()
        for name in found.variations
    ]
    assert 0.5 * np.sqrt(np.sum(np.square(steps))) == pytest.approx(spread, rel=0.1)
    assert found.jensen is not None
    bias = np.mean(1.0 / ak.to_numpy(replicas), axis=1) - 1.0 / np.mean(replicas, axis=1)
    assert np.sum(found.jensen) == pytest.approx(np.sum(bias), rel=0.15)


def test_inversion_alone_and_with_an_envelope() -> None:
    eps, replicas = events_of(20)
    weights = Weights(20)
    alone = add_inversion(weights, "inverse", eps)
    assert (alone.variations, alone.jensen) == ((), None)
    weights = Weights(20)
    found = add_inversion(weights, "inverse", eps, replicas=replicas)
    assert found.variations == ("inverse_efficiency",)
    up, down = (weights.weight(f"inverse_efficiency{side}") for side in ("Up", "Down"))
    assert np.all(up < weights.weight())  # a larger efficiency is a smaller weight
    assert np.all(down > weights.weight())


def test_inversion_with_another_simulation() -> None:
    eps, replicas = events_of(20)
    other = 1.0 / (1.0 + 1.5 * (1.0 / eps - 1.0))  # odds by 1.5 lower
    mirror = 1.0 / (1.0 + (1.0 / eps - 1.0) / 1.5)
    for drawn in (None, replicas):
        weights = Weights(20)
        found = add_inversion(
            weights, "inverse", eps, replicas=drawn, alternatives={"shower": other}
        )
        names = () if drawn is None else ("inverse_efficiency",)
        assert found.variations == (*names, "inverse_shower")
        for side, expected in (("Up", other), ("Down", mirror)):
            np.testing.assert_allclose(weights.weight(f"inverse_shower{side}"), 1.0 / expected)
    with pytest.raises(InputError, match="the same name"):
        add_inversion(
            Weights(20), "inverse", eps, replicas=replicas, alternatives={"efficiency": other}
        )
    with pytest.raises(InputError, match="expected one efficiency for each of"):
        add_inversion(Weights(20), "inverse", eps, alternatives={"shower": other[:5]})


def test_inversion_holds_its_floor() -> None:
    weights = Weights(2)
    found = add_inversion(
        weights, "inverse", ak.Array([0.5, 1e-6]), floor=0.01,
        replicas=ak.Array([[0.4, 0.6], [1e-6, 2e-6]]),
    )  # fmt: skip
    assert found.inverse.n_clipped == 1
    assert weights.weight()[1] == 100.0
    assert weights.weight("inverse_efficiencyDown")[1] == 100.0


def test_inversion_refuses_what_does_not_go_together() -> None:
    eps, replicas = events_of(20)
    variations = EfficiencyVariations.of(eps, replicas)
    with pytest.raises(InputError, match="variations need the replicas"):
        add_inversion(Weights(20), "inverse", eps, variations=variations)
    for wrong in (replicas[:5], replicas[:, :1], eps):
        with pytest.raises(InputError, match="two or more for each of 20 events"):
            add_inversion(Weights(20), "inverse", eps, replicas=wrong)
    with pytest.raises(InputError, match="replicas"):
        add_inversion(Weights(20), "inverse", eps, replicas=replicas + 1.0)
