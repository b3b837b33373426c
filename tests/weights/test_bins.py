from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, ScaleFactors, ScaleFactorWarning
from hepsilon.weights.bins import BELOW_ONE, TagBins
from tests.helpers import strategies as sts
from tests.helpers import tag_reference as ref

Array = npt.NDArray[Any]

OFFSETS = np.array([0, 2, 2, 3])
EPS = np.array([[0.75, 0.5], [0.5, 0.125], [0.25, 0.0]])
JETS = ref.jagged(EPS, OFFSETS)
NAMED = {"M": JETS[..., 0], "T": JETS[..., 1]}
ONE = JETS[..., 0]
PLAIN_BINS = [[0.25, 0.25, 0.5], [0.5, 0.375, 0.125], [0.75, 0.25, 0.0]]


def like(values: Any) -> ak.Array:
    """One number or row for each of the jets."""
    return ref.jagged(np.asarray(values), OFFSETS)


# bins


def test_bins_lie_between_the_working_points() -> None:
    bins = TagBins.of(JETS)
    assert bins.weights.tolist() == PLAIN_BINS
    assert bins.offsets.tolist() == [0, 2, 2, 3]
    assert bins.working_points == (0, 1)
    assert (bins.n_bins, bins.n_above_one, bins.n_unordered) == (3, 0, 0)


@pytest.mark.parametrize(
    "eps",
    [
        JETS,
        ak.from_regular(JETS, axis=2),
        ak.values_astype(JETS, np.float32),
        NAMED,
        {"M": JETS[..., :1], "T": JETS[..., 1:]},
    ],
    ids=["regular", "lists", "float32", "names", "names of columns of one"],
)
def test_names_and_trailing_axes_say_the_same(eps: Any) -> None:
    assert TagBins.of(eps).weights.tolist() == PLAIN_BINS


def test_names_come_from_the_mapping_or_the_argument() -> None:
    assert TagBins.of(NAMED).working_points == ("M", "T")
    assert TagBins.of(JETS, working_points=["M", "T"]).working_points == ("M", "T")
    assert TagBins.of(NAMED, working_points=["M", "T"]).working_points == ("M", "T")


def test_two_orders_of_names_contradict_each_other() -> None:
    with pytest.raises(InputError, match=r"eps: expected the working points \['T', 'M'\]"):
        TagBins.of(NAMED, working_points=["T", "M"])


@pytest.mark.parametrize("names", [["M"], ["M", "M"], ["L", "M", "T"]])
def test_other_numbers_of_names_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="expected 2 distinct working points"):
        TagBins.of(JETS, working_points=names)


def test_no_working_points_are_refused() -> None:
    with pytest.raises(InputError, match="eps: expected at least one working point"):
        TagBins.of({})


@pytest.mark.parametrize("other", [ONE[:2], ONE[[2, 1, 0]], JETS])
def test_named_efficiencies_of_other_jets_are_refused(other: ak.Array) -> None:
    with pytest.raises(InputError, match="eps T: expected one number for each jet"):
        TagBins.of({"M": ONE, "T": other})


@given(events=ref.jets_of_events())
def test_bins_of_any_jets_sum_to_one(events: tuple[Array, Array]) -> None:
    offsets, eps = events
    weights = TagBins.of(ref.jagged(eps, offsets)).weights
    assert (weights >= 0.0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(weights, np.array(ref.exact_bins(eps), float).reshape(weights.shape))


def test_bins_do_not_share_memory_with_the_efficiencies() -> None:
    before = JETS.to_list()
    TagBins.of(JETS).weights[:] = 7.0
    assert JETS.to_list() == before


@pytest.mark.parametrize("bad", [np.nan, -1e-9, 1.0 + 1e-9, np.inf])
def test_what_is_no_probability_is_counted(bad: float) -> None:
    with pytest.raises(InputError, match=r"eps: 2 of 6 values are NaN or outside \[0, 1\]"):
        TagBins.of(like([[0.5, bad], [0.5, 0.5], [0.5, bad]]))


def test_efficiencies_that_rise_are_counted_by_jet() -> None:
    eps = like([[0.2, 0.3, 0.4], [0.5, 0.5, 0.5], [0.5, 0.6, 0.1]])
    expected = r"2 of 3 jets have a higher efficiency at a tighter .* \['L', 'M', 'T'\] from"
    with pytest.raises(InputError, match=expected):
        TagBins.of(eps, working_points=["L", "M", "T"])


def test_round_off_between_working_points_is_no_rise() -> None:
    eps = np.array([[0.5, 0.5 + 5e-10]] * 3)
    bins = TagBins.of(like(eps))
    assert bins.weights[:, 1].tolist() == [0.0] * 3
    with pytest.raises(InputError, match="3 of 3 jets"):
        TagBins.of(like([[0.5, 0.5 + 2e-9]] * 3))


# events without jets


@pytest.mark.parametrize("nothing", [JETS[1:2], JETS[:0], JETS[JETS[..., 0] > 2.0]])
def test_chunks_without_jets_keep_their_working_points(nothing: ak.Array) -> None:
    bins = TagBins.of(nothing, scale_factors=nothing)
    assert bins.weights.shape == (0, 3)
    assert bins.working_points == (0, 1)
    assert bins.offsets.tolist() == [0] * (len(nothing) + 1)


def test_chunks_without_jets_of_no_known_width_take_it_from_the_names() -> None:
    nothing = ak.Array([[[0.5, 0.25]], []])[1:]
    assert "2 * float" not in str(nothing.type)
    bins = TagBins.of(nothing, working_points=["M", "T"], scale_factors=nothing)
    assert bins.weights.shape == (0, 3)


# which jets count


@pytest.mark.parametrize(
    ("jets", "index", "offsets"),
    [
        (None, None, [0, 2, 2, 3]),
        (slice(0, 2), [0, 1, 2], [0, 2, 2, 3]),
        (slice(1), [0, 2], [0, 1, 1, 2]),
        (slice(1, 3), [1], [0, 1, 1, 1]),
        (slice(None, None, -1), [1, 0, 2], [0, 2, 2, 3]),
        (slice(5, None), [], [0, 0, 0, 0]),
        (ak.Array([[False, True], [], [True]]), [1, 2], [0, 1, 1, 2]),
        (ak.Array([[False, False], [], [False]]), [], [0, 0, 0, 0]),
    ],
)
def test_jets_that_count(jets: Any, index: list[int] | None, offsets: list[int]) -> None:
    bins = TagBins.of(JETS, jets=jets)
    chosen = range(3) if index is None else index
    assert bins.offsets.tolist() == offsets
    assert bins.weights.tolist() == [PLAIN_BINS[i] for i in chosen]
    assert bins.index is None if index is None else bins.index.tolist() == index
    assert bins.all_offsets.tolist() == [0, 2, 2, 3]


END = st.none() | st.integers(-4, 4)


@given(n=sts.counts(6), start=END, stop=END, step=st.sampled_from([None, 1, 2, -1]))
def test_slices_are_those_of_awkward(
    n: list[int], start: int | None, stop: int | None, step: int | None
) -> None:
    chosen = slice(start, stop, step)
    rows = ref.jagged(np.arange(sum(n), dtype=float)[:, None] / 100, sts.offsets(n))[..., 0]
    bins = TagBins.of(rows, jets=chosen)
    expected = rows[:, chosen]
    assert np.diff(bins.offsets).tolist() == ak.num(expected).to_list()
    assert bins.weights[:, 1].tolist() == ak.flatten(expected).to_list()


@pytest.mark.parametrize(
    "mask",
    [
        ak.Array([[True], [], [True]]),
        ak.Array([[True, True], [True], []]),
        ak.Array([[True, True], []]),
    ],
    ids=["fewer", "of other events", "fewer events"],
)
def test_masks_of_other_jets_are_refused(mask: ak.Array) -> None:
    with pytest.raises(InputError, match=r"jets: expected 1 number\(s\) for each of 3 jets"):
        TagBins.of(JETS, jets=mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (ak.Array([[True, None], [], [True]]), "jets: 1 of 3 objects are missing"),
        (ak.Array([[True, True], None, [True]]), "option-typed event axis"),
        (ak.Array([[0, 2], [], [1]]), "jets: expected a boolean for each jet"),
        (ak.Array([True, False, True]), "expected a jagged array"),
    ],
)
def test_masks_that_are_none_are_refused(mask: ak.Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TagBins.of(JETS, jets=mask)


@pytest.mark.parametrize("jets", [2, [True, False], np.array([[True]]), "all"])
def test_other_choices_of_jets_are_refused(jets: Any) -> None:
    with pytest.raises(TypeError, match="jets: expected a slice, a jagged mask or None"):
        TagBins.of(JETS, jets=jets)


@given(events=ref.jets_of_events(), data=st.data())
def test_numbers_of_chosen_jets_return_to_their_places(
    events: tuple[Array, Array], data: st.DataObject
) -> None:
    offsets, eps = events
    size = len(eps)
    mask = data.draw(ref.flags_of(size))
    bins = TagBins.of(ref.jagged(eps, offsets), jets=ref.jagged(mask, offsets))
    spread = bins.jagged(np.arange(1, mask.sum() + 1), fill=0)
    assert ak.flatten(spread, axis=1).tolist() == np.where(mask, np.cumsum(mask), 0).tolist()
    assert ak.num(spread).tolist() == np.diff(offsets).tolist()


# scale factors


def test_scale_factors_multiply_cumulative_efficiencies() -> None:
    bins = TagBins.of(JETS, scale_factors=like([[0.8, 0.5], [1.2, 2.0], [1.0, 1.0]]))
    expected = [[0.4, 0.35, 0.25], [0.4, 0.35, 0.25], [0.75, 0.25, 0.0]]
    np.testing.assert_allclose(bins.weights, expected, rtol=1e-14)


def test_scale_factors_of_bins_multiply_the_bins() -> None:
    factors = [[2.0, 1.0, 0.5], [1.0, 0.0, 3.0], [1.0, 1.0, 1.0]]
    bins = TagBins.of(JETS, scale_factors=ScaleFactors(like(factors), {}, "bin"))
    np.testing.assert_array_equal(bins.weights, np.multiply(PLAIN_BINS, factors))


@given(events=ref.jets_of_events())
def test_scale_factors_of_one_change_nothing(events: tuple[Array, Array]) -> None:
    offsets, eps = events
    jets = ref.jagged(eps, offsets)
    ones = ref.jagged(np.ones_like(eps), offsets)
    np.testing.assert_array_equal(
        TagBins.of(jets, scale_factors=ones).weights, TagBins.of(jets).weights
    )


def test_named_scale_factors_go_with_their_working_point() -> None:
    factors = {"M": like([0.8, 1.2, 1.0]), "T": like([0.5, 2.0, 1.0])}
    swapped = {name: factors[name] for name in ("T", "M")}
    expected = TagBins.of(NAMED, scale_factors=factors).weights
    np.testing.assert_array_equal(TagBins.of(NAMED, scale_factors=swapped).weights, expected)
    by_position = TagBins.of(JETS, scale_factors=factors).weights
    np.testing.assert_array_equal(by_position, expected)


def test_scale_factors_of_other_working_points_are_refused() -> None:
    factors = {"M": like([1.0, 1.0, 1.0]), "L": like([1.0, 1.0, 1.0])}
    with pytest.raises(InputError, match=r"expected the working points \['M', 'T'\]"):
        TagBins.of(NAMED, scale_factors=factors)


def test_products_above_one_are_taken_as_one_and_counted_by_jet() -> None:
    eps = like([[0.9, 0.8], [0.5, 0.4], [0.95, 0.1]])
    factors = like([[1.5, 1.5], [1.0, 1.0], [1.2, 1.0]])
    expected = r"^of 3 jets 2 have SF \* eps above 1 \(taken as 1\)$"
    bins = TagBins.of(eps, scale_factors=factors)
    with pytest.warns(ScaleFactorWarning, match=expected):
        bins.warn()
    assert (bins.n_above_one, bins.n_unordered) == (2, 0)
    np.testing.assert_allclose(
        bins.weights, [[0.0, 0.0, 1.0], [0.5, 0.1, 0.4], [0.0, 0.9, 0.1]], atol=1e-15
    )


def test_products_out_of_order_are_taken_as_the_looser_one_and_counted_by_jet() -> None:
    eps = like([[0.8, 0.7, 0.6], [0.5, 0.4, 0.3], [0.5, 0.4, 0.3]])
    factors = like([[0.5, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.5, 1.0]])
    expected = r"^of 3 jets 2 have SF \* eps above that of a looser working point \(taken as it\)$"
    bins = TagBins.of(eps, scale_factors=factors)
    with pytest.warns(ScaleFactorWarning, match=expected):
        bins.warn()
    assert (bins.n_above_one, bins.n_unordered) == (0, 2)
    np.testing.assert_allclose(
        bins.weights,
        [[0.6, 0.0, 0.0, 0.4], [0.5, 0.1, 0.1, 0.3], [0.5, 0.3, 0.0, 0.2]],
        atol=1e-15,
    )


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([1.4, 0.5], [0.0, 0.75, 0.25]),
        ([1.4, 2.5], [0.0, 0.0, 1.0]),
        ([0.2, 4.0], [0.85, 0.0, 0.15]),
        ([4.0 / 3.0, 2.0], [0.0, 0.0, 1.0]),
        ([1.0, 1.5], [0.25, 0.0, 0.75]),
    ],
    ids=["above one", "both above one", "out of order", "both one", "equal"],
)
def test_a_bound_below_one_leaves_no_bin_empty(factors: list[float], expected: list[float]) -> None:
    """coffea keeps ratios: what has a weight in a variation needs one in the nominal factors."""
    bins = TagBins.of(JETS[:1], scale_factors=like([factors] * 3)[:1], most=BELOW_ONE)
    assert (bins.weights > 0.0).all()
    np.testing.assert_allclose(bins.weights[0], expected, atol=3e-16)
    exact = TagBins.of(JETS[:1], scale_factors=like([factors] * 3)[:1])
    np.testing.assert_allclose(exact.weights[0], expected, atol=2e-16)


def test_both_repairs_are_told_in_one_warning() -> None:
    factors = like([[1.4, 0.5], [0.2, 1.0], [1.0, 1.0]])
    with pytest.warns(ScaleFactorWarning, match="1 have .* above 1 .* and 1 have") as record:
        TagBins.of(JETS, scale_factors=factors).warn()
    assert len(record) == 1


def test_only_jets_that_count_are_counted_in_the_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bins = TagBins.of(ONE, jets=slice(1, None), scale_factors=like([9.0, 1.0, 9.0]))
        bins.warn()
        bins.warn()
    assert bins.n_above_one == 0


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("kind", ["working_point", "bin"])
def test_scale_factors_that_are_none_are_counted(bad: float, kind: Any) -> None:
    values = np.ones((3, 3 if kind == "bin" else 2))
    values[1:, 0] = bad
    with pytest.raises(InputError, match=r"scale factors: 2 of \d values are negative, NaN or inf"):
        TagBins.of(JETS, scale_factors=ScaleFactors(like(values), {}, kind))


@pytest.mark.parametrize(
    "factors",
    [
        ONE,
        like(np.ones((3, 3))),
        JETS[:2],
        JETS[[2, 1, 0]],
        ScaleFactors(JETS, {}, "bin"),
        ScaleFactors(like(np.ones((3, 4))), {}, "bin"),
    ],
)
def test_scale_factors_of_other_shapes_are_refused(factors: Any) -> None:
    with pytest.raises(InputError, match=r"scale factors: expected [23] number\(s\) for each of 3"):
        TagBins.of(JETS, scale_factors=factors)


def test_scale_factors_of_jets_are_refused() -> None:
    with pytest.raises(InputError, match="discriminant are for direct tagging"):
        TagBins.of(ONE, scale_factors=ScaleFactors(ONE, {}, "jet"))


def test_plain_factors_are_those_of_working_points() -> None:
    factors = ScaleFactors.of(ONE)
    assert factors.kind == "working_point"
    assert factors.varied() == {}
    assert ScaleFactors.of(factors) is factors


def test_every_variation_becomes_scale_factors_of_its_own() -> None:
    up, down = ONE * 1.1, ONE * 0.9
    varied = ScaleFactors(ONE, {"hf": (up, down), "lf": (down, up)}, "bin").varied()
    assert list(varied) == ["hf", "lf"]
    for pair, expected in ((varied["hf"], (up, down)), (varied["lf"], (down, up))):
        for factors, nominal in zip(pair, expected, strict=True):
            assert factors.nominal is nominal
            assert (factors.kind, dict(factors.variations)) == ("bin", {})


# jets that stay directly tagged

DIRECT = ak.Array([[True, False], [], [True]])
PASSED = ak.Array([[2, 0], [], [0]])


def test_direct_jets_weigh_one_in_their_own_bin() -> None:
    bins = TagBins.of(JETS, direct=DIRECT, tagged=PASSED)
    assert bins.weights.tolist() == [[0.0, 0.0, 1.0], PLAIN_BINS[1], [1.0, 0.0, 0.0]]


def test_direct_jets_weigh_their_ratio_of_data_to_simulation() -> None:
    factors = like([[0.8, 0.5], [1.2, 2.0], [1.4, 1.0]])
    bins = TagBins.of(JETS, scale_factors=factors, direct=DIRECT, tagged=PASSED)
    expected = [[0.0, 0.0, 0.5], [0.4, 0.35, 0.25], [0.65 / 0.75, 0.0, 0.0]]
    np.testing.assert_allclose(bins.weights, expected, rtol=1e-14)


def test_direct_jets_that_do_not_count_have_no_weight() -> None:
    bins = TagBins.of(JETS, jets=slice(1, None), direct=DIRECT, tagged=PASSED)
    assert bins.weights.tolist() == [PLAIN_BINS[1]]
    bins = TagBins.of(JETS, jets=slice(0, 1), direct=DIRECT, tagged=PASSED)
    assert bins.weights.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


def test_impossible_bins_are_counted() -> None:
    eps = like([[1.0, 0.5], [0.5, 0.5], [0.5, 0.0]])
    everything = ak.Array([[True, True], [], [True]])
    impossible = ak.Array([[0, 1], [], [2]])
    ones = like(np.ones((3, 2)))
    with pytest.raises(InputError, match="3 of 3 directly tagged jets are in a bin of which"):
        TagBins.of(eps, scale_factors=ones, direct=everything, tagged=impossible)
    possible = ak.Array([[1, 2], [], [0]])
    bins = TagBins.of(eps, scale_factors=ones, direct=everything, tagged=possible)
    assert bins.weights.max(axis=1).tolist() == [1.0] * 3


def test_only_direct_jets_must_be_possible() -> None:
    eps = like([[1.0, 0.5], [0.5, 0.5], [0.5, 0.0]])
    options = {"direct": ak.Array([[False, True], [], [False]]), "tagged": PASSED * 0}
    bins = TagBins.of(eps, scale_factors=like(np.ones((3, 2))), **options)
    assert bins.weights[1].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("options", [{"direct": DIRECT}, {"tagged": PASSED}])
def test_direct_and_tagged_go_together(options: dict[str, ak.Array]) -> None:
    with pytest.raises(InputError, match="expected both of direct and tagged"):
        TagBins.of(JETS, **options)


@pytest.mark.parametrize("tagged", [[[3, 0], [], [0]], [[0.5, 0], [], [0]]])
def test_tags_that_no_bin_has_are_refused(tagged: Any) -> None:
    with pytest.raises(InputError, match=r"tagged: expected how many of 2 .* 1 of 3"):
        TagBins.of(JETS, direct=DIRECT, tagged=ak.Array(tagged))


@pytest.mark.parametrize("tagged", [[[-1, 0], [], [0]], [[np.nan, 0], [], [0]]])
def test_negative_tags_are_refused(tagged: Any) -> None:
    with pytest.raises(InputError, match="tagged: 1 of 3 values are negative, NaN or infinite"):
        TagBins.of(JETS, direct=DIRECT, tagged=ak.Array(tagged))


@pytest.mark.parametrize("name", ["direct", "tagged"])
@pytest.mark.parametrize("bad", [DIRECT[:2], DIRECT[[2, 1, 0]], JETS])
def test_direct_tags_of_other_jets_are_refused(name: str, bad: ak.Array) -> None:
    options = {"direct": DIRECT, "tagged": PASSED} | {name: bad}
    with pytest.raises(InputError, match=rf"{name}: expected 1 number\(s\) for each of 3 jets"):
        TagBins.of(JETS, **options)


def test_booleans_are_the_tags_of_one_working_point() -> None:
    bins = TagBins.of(ONE, direct=DIRECT, tagged=ak.Array([[True, True], [], [False]]))
    assert bins.weights.tolist() == [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]


# weights of jets


@given(columns=sts.flat_columns(ref.FACTOR))
def test_weighted_jets_have_one_bin(columns: tuple[Array, ...]) -> None:
    offsets, factors = columns
    bins = TagBins.weighted(*[ref.jagged(factors, offsets)] * 2, None)
    assert bins.weights.tolist() == [[f] for f in factors]
    assert bins.working_points == ()


def test_weighted_jets_can_be_chosen() -> None:
    assert TagBins.weighted(ONE, ONE, slice(1, None)).weights.tolist() == [[0.5]]


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_weights_of_jets_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="scale factors: 1 of 3 values are negative, NaN"):
        TagBins.weighted(ONE, like([1.0, bad, 1.0]), None)


@pytest.mark.parametrize("other", [ONE[:2], ONE[[2, 1, 0]], JETS])
def test_weights_of_other_jets_than_the_tagged_ones_are_refused(other: ak.Array) -> None:
    with pytest.raises(InputError, match=r"scale factors: expected 1 number\(s\) for each of 3"):
        TagBins.weighted(DIRECT, other, None)
