from __future__ import annotations

import itertools
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon import (
    Condition,
    InputError,
    ScaleFactors,
    at_least,
    enumerate_tags,
    exactly,
    sample_tags,
    truth_tag_weight,
)
from hepsilon.weights import assignments as assignments_module
from hepsilon.weights.assignments import MAX_ASSIGNMENTS
from tests.helpers import tag_reference as ref

Array = npt.NDArray[Any]

pytestmark = pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")

EPS = ak.Array([[0.7, 0.2, 0.9], [], [0.5], [0.25, 0.5]])


def ids(n: int, first: int = 0) -> tuple[Array, Array, Array]:
    """Run, luminosity block and number of ``n`` events."""
    event = np.arange(first, first + n)
    return np.full(n, 3), event // 100 + 1, event


@st.composite
def tagged_events(draw: st.DrawFn) -> tuple[ak.Array, Condition, dict[str, Any]]:
    """Efficiencies, a condition, and any options of truth tagging."""
    possible = draw(st.booleans())
    offsets, eps = draw(ref.jets_of_events(inside=possible))
    size, n_points = eps.shape
    options: dict[str, Any] = {}
    which = draw(st.sampled_from([None, slice(0, 2), slice(1, 3), slice(None, None, -1), "mask"]))
    options["jets"] = ref.jagged(draw(ref.flags_of(size)), offsets) if which == "mask" else which
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["working_point", "bin"]))
        width = n_points + (kind == "bin")
        factors = draw(ref.columns_of(size, width, *ref.FACTORS))
        options["scale_factors"] = ScaleFactors(ref.jagged(factors, offsets), {}, kind)
    if draw(st.booleans()) and (possible or "scale_factors" not in options):
        direct, tagged = draw(ref.direct_of(size, n_points))
        options |= {"direct": ref.jagged(direct, offsets), "tagged": ref.jagged(tagged, offsets)}
    return ref.jagged(eps, offsets), draw(ref.conditions(n_points)), options


def part(options: dict[str, Any], events: Any) -> dict[str, Any]:
    """The options of some of the events."""
    out = dict(options)
    for key, value in options.items():
        if isinstance(value, ak.Array):
            out[key] = value[events]
        elif isinstance(value, ScaleFactors):
            out[key] = ScaleFactors(value.nominal[events], {}, value.kind)
    return out


def counting(values: ak.Array, jets: Any) -> ak.Array:
    """Of the jets that count."""
    if jets is None:
        return values
    return values[jets] if isinstance(jets, ak.Array) else values[:, jets]


# one assignment per event


@given(events=tagged_events(), seed=st.integers(0, 2**64 - 1))
def test_drawn_tags_meet_the_condition_where_the_event_has_a_weight(
    events: tuple[Any, ...], seed: int
) -> None:
    eps, condition, options = events
    tags = sample_tags(eps, ids(len(eps)), condition, seed=seed, **options)
    assert ak.num(tags).tolist() == ak.num(eps).tolist()
    weight = truth_tag_weight(eps, condition, **options)
    for own, possible in zip(counting(tags, options["jets"]).tolist(), weight > 0.0, strict=True):
        if possible:
            assert ref.accepts(condition, [int(t) for t in own])
        else:
            assert not any(own)


@given(events=tagged_events())
def test_drawn_tags_are_among_the_enumerated_ones(events: tuple[Any, ...]) -> None:
    eps, condition, options = events
    drawn = counting(sample_tags(eps, ids(len(eps)), condition, **options), options["jets"])
    every = enumerate_tags(eps, condition, **options)
    for own, choices in zip(drawn.tolist(), every.tags.tolist(), strict=True):
        assert own in choices or not choices


@given(events=tagged_events(), data=st.data())
def test_draws_do_not_depend_on_chunks_and_order(
    events: tuple[Any, ...], data: st.DataObject
) -> None:
    eps, condition, options = events
    run, lumi, event = ids(len(eps))
    whole = sample_tags(eps, (run, lumi, event), condition, **options)
    order = np.array(data.draw(st.permutations(range(len(eps)))), np.int64)
    cut = data.draw(st.integers(0, len(eps)))
    for chosen in (order, order[:cut], order[cut:], slice(0, cut), slice(cut, None)):
        numbers = (run[chosen], lumi[chosen], event[chosen])
        some = sample_tags(eps[chosen], numbers, condition, **part(options, chosen))
        assert some.tolist() == whole[chosen].tolist()


def many(n: int, *jets: Any) -> ak.Array:
    """The same jets in ``n`` events."""
    return ak.from_regular(ak.Array(np.array([list(jets)] * n)), axis=1)


def test_draws_depend_on_every_number_of_the_event_and_on_the_seed() -> None:
    # Two independent draws of 500 events with probabilities of 0.5 are never the same (2^-500).
    eps = many(500, 0.5, 0.5, 0.5)
    run, lumi, event = ids(500)
    draws = [
        sample_tags(eps, numbers, 0, at_least=True, jets=None, seed=seed).tolist()
        for numbers, seed in [
            ((run, lumi, event), 1),
            ((run, lumi, event), 2),
            ((run, lumi, event), 2**64 - 1),
            ((run + 1, lumi, event), 1),
            ((run, lumi + 1, event), 1),
            ((run, lumi, event + 1), 1),
        ]
    ]
    for one, other in itertools.combinations(draws, 2):
        assert one != other
    assert sample_tags(eps, ids(500), 0, at_least=True, jets=None).tolist() == draws[0]


def test_draws_of_two_seeds_and_of_neighbouring_events_are_independent() -> None:
    # Chi-squared tests of 2 x 2 tables, false-alarm rate 3 x 3e-7.
    n = 20_000
    eps = many(n, 0.3, 0.6)
    first, second = (
        ak.to_numpy(sample_tags(eps, ids(n), 0, at_least=True, seed=seed)).astype(int)
        for seed in (1, 2)
    )
    pairs = [
        (first[:, 0], second[:, 0]),
        (first[:-1, 1], first[1:, 1]),
        (first[:, 0], first[:, 1]),
    ]
    for one, other in pairs:
        table, _, _ = np.histogram2d(one, other, bins=2)
        assert stats.chi2_contingency(table).pvalue > 3e-7


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.uint64, np.int64])
def test_draws_do_not_depend_on_the_integer_type(dtype: type) -> None:
    eps = many(50, 0.5, 0.5)
    expected = sample_tags(eps, ids(50), 1).tolist()
    assert sample_tags(eps, [c.astype(dtype) for c in ids(50)], 1).tolist() == expected
    assert sample_tags(eps, [ak.Array(c) for c in ids(50)], 1).tolist() == expected


def test_tags_of_one_working_point_are_booleans() -> None:
    tags = sample_tags(EPS, ids(4), 1)
    assert str(tags.type) == "4 * var * bool"
    tags = sample_tags(EPS, ids(4), 1, jets=EPS > 0.4)
    assert str(tags.type) == "4 * var * bool"
    assert str(enumerate_tags(EPS, 1).tags.type) == "4 * var * var * bool"


def test_tags_of_several_working_points_are_numbers() -> None:
    eps = ak.Array([[[0.5, 0.25], [0.5, 0.25]], [], [[0.5, 0.25]]])
    for jets in (None, slice(0, 1)):
        assert str(sample_tags(eps, ids(3), 1, jets=jets).type) == "3 * var * int8"
        assert str(enumerate_tags(eps, 1, jets=jets).tags.type) == "3 * var * var * int8"


def test_jets_that_do_not_count_are_not_tagged() -> None:
    eps = many(20, 1.0, 1.0, 1.0)
    assert sample_tags(eps, ids(20), 2).tolist() == [[True, True, False]] * 20
    second = sample_tags(eps, ids(20), 1, jets=slice(1, 2))
    assert second.tolist() == [[False, True, False]] * 20
    masked = sample_tags(eps, ids(20), 1, jets=ak.Array([[False, False, True]] * 20))
    assert masked.tolist() == [[False, False, True]] * 20


def test_events_of_weight_zero_are_not_tagged() -> None:
    eps = ak.Array([[1.0, 0.0], [1.0], [], [1.0, 1.0]])
    assert sample_tags(eps, ids(4), 2).tolist() == [[False] * 2, [False], [], [True, True]]


def test_certain_tags_are_drawn_as_they_are() -> None:
    tagged = ak.Array([[True, False], [False, True], [True, True]])
    assert sample_tags(tagged, ids(3), 0, at_least=True).tolist() == tagged.tolist()


TWO = [[0.6, 0.3], [0.5, 0.2], [0.8, 0.7]]
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "one working point": ([0.7, 0.2, 0.4, 0.5], 2, {}),
    "at least": ([0.7, 0.2, 0.4, 0.5], 1, {"at_least": True}),
    "small": ([1e-4, 2e-4, 3e-4], 2, {}),
    "bins": (TWO, at_least(2) & at_least(1, 1), {}),
    "exact bins": (TWO, exactly(2) & exactly(1, 1), {}),
    "scale factors": (TWO, at_least(2), {"scale_factors": [[0.9, 0.8], [1.2, 1.5], [1.2, 1.1]]}),
    "hybrid": (TWO, at_least(2), {"direct": [True, False, False], "tagged": [1, 0, 2]}),
    "all options": (
        TWO,
        at_least(1),
        {
            "jets": [True, True, False],
            "scale_factors": [[0.9, 0.8], [1.2, 1.5], [1.2, 1.1]],
            "direct": [False, True, True],
            "tagged": [0, 1, 2],
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_frequencies_of_drawn_tags_are_the_enumerated_weights(case: str) -> None:
    # Chi-squared tests of 20,000 events with the default seed, false-alarm rate 8 x 1e-7.
    n = 20_000
    eps, condition, options = CASES[case]
    columns = {k: v if v is True and k == "at_least" else many(n, *v) for k, v in options.items()}
    columns = {"jets": None} | columns
    drawn = sample_tags(many(n, *eps), ids(n), condition, **columns)
    one_event = {k: v[:1] if isinstance(v, ak.Array) else v for k, v in columns.items()}
    every = enumerate_tags(many(1, *eps), condition, **one_event)
    counted = ak.to_numpy(counting(drawn, columns["jets"] if "jets" in options else None) * 1)
    choices = {tuple(int(t) for t in tags): i for i, tags in enumerate(every.tags[0].tolist())}
    found = [choices[tuple(row)] for row in counted.tolist()]
    weights = ak.to_numpy(every.weights[0])
    expected = n * weights / weights.sum()
    assert len(expected) > 1
    assert expected.min() > 5.0
    assert stats.chisquare(np.bincount(found, minlength=len(expected)), expected).pvalue > 1e-7


def test_events_with_their_numbers_are_enough() -> None:
    run, lumi, event = ids(4)
    columns = {"event": event, "run": run, "luminosityBlock": lumi, "Jet": ak.num(EPS)}
    expected = sample_tags(EPS, (run, lumi, event), 1).tolist()
    assert sample_tags(EPS, ak.zip(columns), 1).tolist() == expected
    with pytest.raises(InputError, match="or records with these fields"):
        sample_tags(EPS, ak.zip({"run": run, "event": event}), 1)


@pytest.mark.parametrize(
    "numbers",
    [
        ids(3),
        ids(4)[:2],
        (*ids(4)[:2], np.arange(4.0)),
        (*ids(4)[:2], np.ones(4, bool)),
        (*ids(4)[:2], np.arange(8).reshape(4, 2)),
    ],
    ids=["fewer events", "two columns", "floats", "booleans", "two axes"],
)
def test_numbers_of_other_events_are_refused(numbers: Any) -> None:
    with pytest.raises(InputError, match=r"events: expected \(run, luminosityBlock, event\)"):
        sample_tags(EPS, numbers)


@pytest.mark.parametrize("function", [lambda *a, **k: sample_tags(a[0], ids(4), *a[1:], **k)])
def test_sampling_refuses_what_the_weight_refuses(function: Any) -> None:
    with pytest.raises(InputError, match="NaN or outside"):
        function(EPS + 1.0)
    with pytest.raises(InputError, match="expected a working point"):
        function(EPS, at_least(1, "M"))
    with pytest.raises(ValueError, match="zero or more"):
        function(EPS, -1)
    with pytest.raises(TypeError, match="unexpected"):
        function(EPS, 1, direction=3)


def test_no_events_have_no_tags() -> None:
    assert sample_tags(EPS[:0], ids(0), 1).tolist() == []
    every = enumerate_tags(EPS[:0], 1)
    assert every.tags.tolist() == every.weights.tolist() == every.jets(EPS[:0]).tolist() == []


# all assignments


@given(events=tagged_events())
def test_enumerated_weights_sum_to_the_truth_tag_weight(events: tuple[Any, ...]) -> None:
    eps, condition, options = events
    every = enumerate_tags(eps, condition, **options)
    weight = truth_tag_weight(eps, condition, **options)
    sums = ak.to_numpy(ak.sum(every.weights, axis=1))
    np.testing.assert_allclose(sums, weight, rtol=1e-13)
    assert ak.all(every.weights > 0.0, axis=None)


@given(events=tagged_events())
def test_enumerated_tags_are_distinct_and_meet_the_condition(events: tuple[Any, ...]) -> None:
    eps, condition, options = events
    every = enumerate_tags(eps, condition, **options)
    n_jets = ak.num(counting(eps, options["jets"])).tolist()
    assert ak.num(every.tags).tolist() == ak.num(every.weights).tolist()
    for choices, size in zip(every.tags.tolist(), n_jets, strict=True):
        found = [tuple(int(t) for t in tags) for tags in choices]
        assert len(set(found)) == len(found)
        assert all(len(tags) == size and ref.accepts(condition, tags) for tags in found)


@given(events=ref.jets_of_events(), data=st.data())
def test_enumerated_tags_are_all_with_a_weight(
    events: tuple[Array, Array], data: st.DataObject
) -> None:
    offsets, eps = events
    condition = data.draw(ref.conditions(eps.shape[1]))
    every = enumerate_tags(ref.jagged(eps, offsets), condition, jets=None)
    for e, choices, weights in zip(
        ref.each_event(offsets, eps), every.tags.tolist(), every.weights.tolist(), strict=True
    ):
        expected = {
            bins: float(w)
            for bins, w in ref.outcomes(ref.exact_bins(e))
            if w > 0 and ref.accepts(condition, bins)
        }
        found = {tuple(map(int, t)): w for t, w in zip(choices, weights, strict=True)}
        assert found == pytest.approx(expected, rel=1e-13, abs=0.0)


def test_two_of_three_jets_by_hand() -> None:
    every = enumerate_tags(ak.Array([[0.7, 0.2, 0.9]]), 2, jets=None)
    found = dict(zip(map(tuple, every.tags[0].tolist()), every.weights[0].tolist(), strict=True))
    expected = {
        (True, True, False): 0.7 * 0.2 * 0.1,
        (True, False, True): 0.7 * 0.8 * 0.9,
        (False, True, True): 0.3 * 0.2 * 0.9,
    }
    assert found == pytest.approx(expected)


@given(events=tagged_events())
def test_jets_of_assignments_are_the_tagged_ones(events: tuple[Any, ...]) -> None:
    eps, condition, options = events
    position = ak.unflatten(np.arange(ak.count(eps[..., 0], axis=None)), ak.num(eps))
    every = enumerate_tags(eps, condition, **options)
    found = every.jets(ak.zip({"number": position}))
    counted = counting(position, options["jets"]).tolist()
    expected = [
        [[p for p, t in zip(own, tags, strict=True) if t] for tags in choices]
        for own, choices in zip(counted, every.tags.tolist(), strict=True)
    ]
    assert found.number.tolist() == expected


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (slice(0, 2), [[[10, 11]], [], [], [[40, 41]]]),
        (slice(1, 3), [[[11, 12]], [], [], []]),
        ([[True, False, True], [], [True], [True, True]], [[[10, 12]], [], [], [[40, 41]]]),
        (None, [[[10, 11], [10, 12], [11, 12]], [], [], [[40, 41]]]),
    ],
)
def test_pairs_of_tagged_jets(which: Any, expected: list[Any]) -> None:
    records = ak.zip({"number": ak.Array([[10, 11, 12], [], [30], [40, 41]])})
    jets = ak.Array(which) if isinstance(which, list) else which
    found = enumerate_tags(EPS, 2, jets=jets).jets(records)
    assert [sorted(event) for event in found.number.tolist()] == expected


def test_tagged_jets_make_candidates(jets: ak.Array) -> None:
    momenta = ak.Array(
        ak.zip({n: jets[n] for n in ("pt", "eta", "phi", "mass")}, with_name="Momentum4D"),
        behavior=vector.backends.awkward.behavior,
    )
    eps = 0.1 + jets.pt / 400.0
    every = enumerate_tags(eps, 2, jets=None)
    pairs = every.jets(momenta)
    candidates = pairs[..., 0] + pairs[..., 1]
    weights, masses = every.weights, candidates.mass
    assert ak.num(masses).tolist() == ak.num(weights).tolist() == [3, 0, 0, 6, 1]
    expected = ak.combinations(momenta, 2)
    reference = (expected["0"] + expected["1"]).mass
    np.testing.assert_allclose(ak.sort(masses)[3], ak.sort(reference)[3], rtol=1e-12)
    np.testing.assert_allclose(ak.sum(weights, axis=1), truth_tag_weight(eps, 2, jets=None))


def test_jets_keep_their_behaviour_and_are_flat_by_assignment() -> None:
    records = ak.zip({"pt": EPS}, with_name="Thing")
    found = enumerate_tags(EPS, 1, at_least=True, jets=None).jets(records)
    assert "Thing" in str(found.type)
    assert found.ndim == 3


@pytest.mark.parametrize(
    "other",
    [EPS[:3], EPS[:, :1], EPS[[1, 0, 2, 3]], ak.Array([[1.0] * 3, [], [1.0], [1.0] * 3])],
    ids=["fewer events", "fewer jets", "other order", "more jets"],
)
def test_jets_of_other_events_are_refused(other: ak.Array) -> None:
    with pytest.raises(InputError, match="expected the jets whose tags were enumerated"):
        enumerate_tags(EPS, 1, jets=None).jets(other)


def test_jets_that_count_are_not_enough_for_the_jets_of_assignments() -> None:
    every = enumerate_tags(EPS, 1)
    with pytest.raises(InputError, match="expected the jets whose tags were enumerated"):
        every.jets(EPS[:, :2])


# bounds


def test_too_many_assignments_of_one_event_are_refused() -> None:
    eps = ak.Array([[0.5] * 4, [0.5] * 3, [], [0.5] * 5])
    expected = (
        r"2 of 4 events have more than 9 assignments with at least 1 at 0 "
        r"\(up to 31 for 5 jets\); count fewer jets \(jets=\), or draw one assignment with "
        r"sample_tags, or raise max_assignments"
    )
    with pytest.raises(InputError, match=expected):
        enumerate_tags(eps, 1, at_least=True, jets=None, max_assignments=9)
    every = enumerate_tags(eps, 1, at_least=True, jets=None, max_assignments=31)
    assert ak.num(every.weights).tolist() == [15, 7, 0, 31]


def test_the_default_bound_stands_before_memory_is_taken() -> None:
    with pytest.raises(InputError, match=rf"1 of 1 events have more than {MAX_ASSIGNMENTS} assig"):
        enumerate_tags(ak.Array([[0.5] * 500]), 0, at_least=True, jets=None)
    enumerate_tags(ak.Array([[0.5] * 500]), 1, jets=None)


def test_assignments_of_weight_zero_do_not_count_for_the_bound() -> None:
    eps = ak.Array([[1.0] * 40 + [0.0] * 40 + [0.5]])
    every = enumerate_tags(eps, 0, at_least=True, jets=None, max_assignments=2)
    assert ak.num(every.weights).tolist() == [2]


def test_too_many_tags_of_one_call_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments_module, "MAX_ENTRIES", 23)
    eps = ak.Array([[0.5] * 3, [0.5] * 2])  # 3 x 8 + 2 x 4 tags
    with pytest.raises(InputError, match="12 assignments of 2 events with 32 tags are too many"):
        enumerate_tags(eps, 0, at_least=True, jets=None)
    assert len(enumerate_tags(eps, 1, jets=None).weights) == 2


def test_enumerating_refuses_what_the_weight_refuses() -> None:
    with pytest.raises(InputError, match="NaN or outside"):
        enumerate_tags(EPS + 1.0)
    with pytest.raises(InputError, match="expected a working point"):
        enumerate_tags(EPS, exactly(1, "M"))
    with pytest.raises(InputError, match="jets: expected 1"):
        enumerate_tags(EPS, 1, jets=EPS[:, :1] > 0.1)


@pytest.mark.parametrize("seed", [1.5, 2.0, True, "1", None])
def test_a_seed_that_is_no_whole_number_is_refused(seed: Any) -> None:
    eps = ak.Array([[0.5, 0.5]])
    with pytest.raises(ValueError, match="expected a whole number as seed"):
        sample_tags(eps, ids(1), 1, seed=seed)


@pytest.mark.parametrize("points", [127, 128])
def test_tags_of_very_many_working_points(points: int) -> None:
    """Each jet passes all of them; more than a byte can say are refused."""
    eps = ak.Array(np.ones((1, 2, points)))
    names = [str(number) for number in range(points)]
    calls = (
        lambda: sample_tags(eps, ids(1), 0, at_least=True, working_points=names),
        lambda: enumerate_tags(eps, 0, at_least=True, working_points=names).tags[:, 0],
    )
    for call in calls:
        if points == 127:
            assert call().to_list() == [[points, points]]
        else:
            with pytest.raises(InputError, match=r"at most 127 working points .* received 128"):
                call()
