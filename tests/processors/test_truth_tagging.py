"""The processor beyond one tag decision on two jets: conditions, working points, replicas."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
from scipy.special import rel_entr

from hepsilon import ConfigError, EfficiencyMap, InputError, at_least, exactly, truth_tag_weight
from hepsilon.closure import run_closure
from hepsilon.config import MapConfig, Passed
from hepsilon.data.dataset import read_columns
from hepsilon.histograms import JET_OBSERVABLES, Observable, pair_names
from hepsilon.histograms.methods import ALL, TAG_COUNTS
from hepsilon.processors import EfficiencyInversion, TruthTagging
from tests.helpers.tag_toys import (
    CUTS,
    POINTS_TASK,
    passed_points,
    points_jets,
    probability_by_hand,
    several_points,
    true_points,
)
from tests.helpers.toys import TASK, events_of, half, mlp_config
from tests.helpers.track_toys import PAIRS

PT, MASS = JET_OBSERVABLES[0], JET_OBSERVABLES[3]
COUNTED = {
    "0 tags": lambda tags: sum(tags) == 0,
    "1 tag": lambda tags: sum(tags) == 1,
    "2 tags": lambda tags: sum(tags) == 2,
    "2+ tags": lambda tags: sum(tags) >= 2,
    "3+ tags": lambda tags: sum(tags) >= 3,
}
"""What the categories of events mean."""
POINTS = {"L": 0, "M": 1, "T": 2}


def process(jets, efficiencies=None, *, task=TASK, weights=None, **arguments):
    processor = TruthTagging(task, efficiencies or {}, **arguments)
    return processor.process(events_of(jets, weights))["sample"]


@pytest.fixture(scope="module")
def jets():
    return points_jets([0, 1, 2, 3, 2, 4, 0, 5] * 15)


@pytest.fixture(scope="module")
def weights(jets):
    """Generator weights of both signs."""
    return np.random.default_rng(2).choice([-1.0, 0.5, 2.0], len(jets))


EFFICIENCIES = {
    "direct": lambda jets: ak.values_astype(jets.discriminant > 0.0, float),
    "truth": lambda jets: jets.trueEfficiency,
    "half": half,
}


@pytest.fixture(scope="module")
def output(jets, weights):
    return process(jets, {"half": half}, weights=weights)


def sums_of(observable, jets, weights):
    """Sums of weights and of their squares in the bins, flow included, by NumPy."""
    values = observable.function(jets)
    if observable.level == "object":
        values = ak.flatten(values)
    values = np.asarray(values)
    edges = np.array(observable.edges)
    bins = np.searchsorted(edges, values, side="right")[~np.isnan(values)]
    kept = weights[~np.isnan(values)]
    size = len(edges) + 1
    return np.bincount(bins, kept, size), np.bincount(bins, kept**2, size)


def flavour_pairs(jets):
    """Name of the leading pair of every event, by hand; None without one."""
    names = {5: 0, 4: 1, 0: 2}
    found = []
    for codes in ak.to_list(jets.hadronFlavour):
        pair = sorted(names[c] for c in codes[:2])
        found.append("-".join(("b", "c", "light")[i] for i in pair) if len(pair) == 2 else None)
    return np.array(found)


# conditions on all jets of the event


@pytest.mark.parametrize("method", EFFICIENCIES)
@pytest.mark.parametrize("category", COUNTED)
def test_categories_of_events_count_the_tags_of_all_jets(output, jets, weights, method, category):
    p = probability_by_hand(EFFICIENCIES[method](jets), COUNTED[category])
    found = output["observables"]["pair_mass"][{"method": method, "category": category}]
    sums, squares = sums_of(MASS, jets, weights * p)
    np.testing.assert_allclose(found.values(flow=True), sums, atol=1e-10)
    np.testing.assert_allclose(found.variances(flow=True), squares, atol=1e-10)
    assert squares.sum() > 1.0


@pytest.mark.parametrize("category", COUNTED)
def test_everything_is_what_no_tag_is_asked_of(output, jets, weights, category):
    found = output["observables"]["pair_mass"][{"method": ALL, "category": category}]
    np.testing.assert_allclose(found.values(flow=True), sums_of(MASS, jets, weights)[0])


@pytest.mark.parametrize("method", ["truth", "half"])
@pytest.mark.parametrize("category", COUNTED)
def test_binomial_variance_of_the_conditions(output, jets, weights, method, category):
    """Sum of w^2 p (1 - p): negative weights count like positive ones."""
    p = probability_by_hand(EFFICIENCIES[method](jets), COUNTED[category])
    found = output["binomial"]["pair_mass"][{"method": method, "category": category}]
    sums, _ = sums_of(MASS, jets, weights**2 * p * (1.0 - p))
    np.testing.assert_allclose(found.variances(flow=True), sums, atol=1e-10)
    view = output["binomial"][TAG_COUNTS][{"method": method, "category": ALL, "tags": category}]
    assert view.variance == pytest.approx((weights**2 * p * (1.0 - p)).sum())


@pytest.mark.parametrize("method", EFFICIENCIES)
@pytest.mark.parametrize("pair", [ALL, *pair_names((5, 4, 0))])
def test_tag_counts_are_sums_over_events(output, jets, weights, method, pair):
    """Events without a pair are in everything alone, where the spectra do not have them."""
    chosen = np.ones(len(jets), bool) if pair == ALL else flavour_pairs(jets) == pair
    filled = output["observables"][TAG_COUNTS][{"method": method, "category": pair}]
    assert list(filled.axes["tags"]) == list(COUNTED)
    for name, accepts in COUNTED.items():
        w = (weights * probability_by_hand(EFFICIENCIES[method](jets), accepts))[chosen]
        assert filled[{"tags": name}].value == pytest.approx(w.sum(), abs=1e-10)
        assert filled[{"tags": name}].variance == pytest.approx((w**2).sum(), abs=1e-10)
    assert chosen.sum() > 0


def test_sums_agree_with_the_truth_tag_weight(output, jets, weights):
    """On all jets, unlike the observable itself, whose tags are those of the leading pair."""
    w = weights * truth_tag_weight(jets.trueEfficiency, 2, at_least=True, jets=None)
    found = output["observables"]["pair_mass"][{"method": "truth", "category": "2+ tags"}]
    np.testing.assert_allclose(found.values(flow=True), sums_of(MASS, jets, w)[0], atol=1e-10)
    leading = output["observables"]["pair_mass"][{"method": "truth", "category": ALL}]
    w = weights * truth_tag_weight(jets.trueEfficiency, 2)
    np.testing.assert_allclose(leading.values(flow=True), sums_of(MASS, jets, w)[0], atol=1e-10)


@pytest.mark.parametrize("part", ["observables", "binomial"])
def test_numbers_of_tags_are_those_of_events_alone(output, part):
    for observable in JET_OBSERVABLES:
        names = set(COUNTED) & set(output[part][observable.name].axes["category"])
        assert len(names) == (0 if observable.level == "object" else 5)


def test_conditions_may_be_given(jets, weights):
    condition = at_least(2, "M") & at_least(1, "T")
    output = process(
        jets, task=POINTS_TASK, weights=weights, conditions={"2M1T": condition, "L!": exactly(1)}
    )
    filled = output["observables"][TAG_COUNTS]
    assert list(filled.axes["tags"]) == ["2M1T", "L!"]
    assert list(output["observables"]["pair_mass"].axes["category"])[-2:] == ["2M1T", "L!"]
    passing = [ak.sum(jets.tagger > cut, axis=1) for cut in CUTS.values()]
    direct = ak.to_numpy((passing[1] >= 2) & (passing[2] >= 1))
    eps = true_points(jets)
    two = truth_tag_weight(eps[:, :, 1], 2, at_least=True, jets=None)
    # without the events in which two or more pass M and none T
    none_tight = without_tight(eps[:, :, 1] - eps[:, :, 2], 1.0 - eps[:, :, 1])
    for method, p in {"direct": direct, "truth": two - none_tight}.items():
        cell = filled[{"method": method, "category": ALL, "tags": "2M1T"}]
        assert cell.value == pytest.approx((weights * p).sum(), abs=1e-9)
        assert cell.variance == pytest.approx((weights**2 * p**2).sum(), abs=1e-9)
        found = output["observables"]["pair_mass"][{"method": method, "category": "2M1T"}]
        expected = sums_of(MASS, jets, weights * p)[0]
        np.testing.assert_allclose(found.values(flow=True), expected, atol=1e-9)
    assert direct.sum() > 10


def without_tight(middle, untagged):
    """Probability of two or more jets between M and T, the others below M."""
    found = []
    for inside, below in zip(ak.to_list(middle), ak.to_list(untagged), strict=True):
        total = np.prod([a + b for a, b in zip(inside, below, strict=True)])
        none = np.prod(below)
        one = sum(
            a * np.prod([b for j, b in enumerate(below) if j != i]) for i, a in enumerate(inside)
        )
        found.append(total - none - one)
    return np.array(found)


def test_conditions_may_be_none_at_all(jets):
    output = process(jets, {"half": half}, conditions={})
    assert TAG_COUNTS not in output["observables"]
    assert list(output["observables"]["pair_mass"].axes["category"]) == [
        ALL,
        *pair_names((5, 4, 0)),
    ]


def test_condition_on_a_working_point_that_there_is_not(jets):
    with pytest.raises(InputError, match=r"expected a working point of \['L', 'M', 'T'\].*'X'"):
        TruthTagging(POINTS_TASK, {}, conditions={"x": at_least(1, "X")})


def test_efficiencies_of_the_other_level_are_named(toy_map):
    of_events = SimpleNamespace(task=PAIRS)
    with pytest.raises(ConfigError, match=r"wrong: expected an efficiency of Jet objects.* events"):
        TruthTagging(TASK, {"map": toy_map, "wrong": of_events})
    with pytest.raises(ConfigError, match=r"map: expected an efficiency of events.* Jet objects"):
        EfficiencyInversion(PAIRS, {"map": toy_map})


def test_reserved_observable_name_is_refused():
    observable = Observable(TAG_COUNTS, half, "object", (0.0, 1.0), "x")
    with pytest.raises(ConfigError, match=r"tag_counts.*reserved"):
        TruthTagging(TASK, {}, observables=[observable])


@pytest.mark.parametrize("name", [ALL, "b-light"])
def test_condition_with_the_name_of_a_category_is_refused(name):
    """hist would look up the first of the two: the condition's sums would be lost."""
    with pytest.raises(ConfigError, match=name):
        TruthTagging(TASK, {}, conditions={name: exactly(1)})


def test_working_point_with_the_name_of_a_category_is_refused():
    numbered = several_points(None, categorical={"hadronFlavour": (5, 4, 0, 1)})
    with pytest.raises(ConfigError, match=r"\['1'\].*task.passed.names"):
        TruthTagging(numbered, {})
    named = numbered.model_copy(update={"passed": POINTS_TASK.passed})
    TruthTagging(named, {})


# several working points


@pytest.fixture(scope="module", params=["L", 1, "T", -1])
def chosen(request):
    """A working point as it may be asked for, and its number."""
    return request.param, {"L": 0, 1: 1, "T": 2, -1: 2}[request.param]


@pytest.fixture(scope="module")
def points_output(jets, weights, chosen):
    return process(jets, task=POINTS_TASK, weights=weights, working_point=chosen[0])


@pytest.mark.parametrize(("method", "of"), [("direct", passed_points), ("truth", true_points)])
def test_objects_of_every_working_point(points_output, jets, weights, chosen, method, of):
    """The one that counts by flavour and in everything, the other ones as categories."""
    eps = of(jets)
    per_jet = np.repeat(weights, ak.num(jets))
    names = list(points_output["observables"]["pt"].axes["category"])
    assert names == [ALL, "b", "c", "light", *(n for n, i in POINTS.items() if i != chosen[1])]
    for name in (ALL, *names[4:]):
        number = POINTS.get(name, chosen[1])
        w = per_jet * ak.to_numpy(ak.flatten(eps[:, :, number]))
        found = points_output["observables"]["pt"][{"method": method, "category": name}]
        np.testing.assert_allclose(found.values(flow=True), sums_of(PT, jets, w)[0], atol=1e-10)
        np.testing.assert_allclose(found.variances(flow=True), sums_of(PT, jets, w)[1], atol=1e-10)
        if method == "truth":
            p = ak.to_numpy(ak.flatten(eps[:, :, number]))
            binomial = points_output["binomial"]["pt"][{"method": method, "category": name}]
            expected = sums_of(PT, jets, per_jet**2 * p * (1.0 - p))[0]
            np.testing.assert_allclose(binomial.variances(flow=True), expected, atol=1e-10)


@pytest.mark.parametrize(("method", "of"), [("direct", passed_points), ("truth", true_points)])
def test_tags_are_counted_at_the_working_point(points_output, jets, weights, chosen, method, of):
    eps = of(jets)[:, :, chosen[1]]
    filled = points_output["observables"][TAG_COUNTS][{"method": method, "category": ALL}]
    for name, accepts in COUNTED.items():
        expected = (weights * probability_by_hand(eps, accepts)).sum()
        assert filled[{"tags": name}].value == pytest.approx(expected, abs=1e-9)
    leading = points_output["observables"]["pair_mass"][{"method": method, "category": ALL}]
    w = weights * truth_tag_weight(eps, 2)
    np.testing.assert_allclose(leading.values(flow=True), sums_of(MASS, jets, w)[0], atol=1e-9)


def test_profile_and_residuals_are_those_of_the_working_point(jets, chosen):
    output = process(jets, {"s": shrunk}, task=POINTS_TASK, working_point=chosen[0])
    true = ak.to_numpy(ak.flatten(true_points(jets)[:, :, chosen[1]]))
    found = output["profiles"]["pt"][{"method": "truth", "category": sum, "x": sum}]
    assert found.value == pytest.approx(true.mean())
    eps = ak.to_numpy(ak.flatten(shrunk(jets)[:, :, chosen[1]]))
    residual = output["residual_moments"][{"method": "s", "category": sum}]
    assert residual.value == pytest.approx((eps / true - 1.0).mean())


def shrunk(records):
    """Wrong efficiencies of three working points, in other ratios to the truth."""
    eps = true_points(records)
    return ak.concatenate([eps[:, :, i : i + 1] * f for i, f in enumerate((0.9, 0.8, 0.5))], axis=2)


def test_divergence_is_that_of_all_bins(jets, chosen):
    """Whatever the working point that counts: of the response with four outcomes."""
    output = process(jets, {"s": shrunk}, task=POINTS_TASK, working_point=chosen[0])
    true, eps = (ak.to_numpy(ak.flatten(f(jets))) for f in (true_points, shrunk))
    outcomes = [np.stack([1.0 - x[:, 0], *(x[:, :-1] - x[:, 1:]).T, x[:, -1]]) for x in (true, eps)]
    by_hand = sum(rel_entr(p, q) for p, q in zip(*outcomes, strict=True))
    c = ak.to_numpy(ak.flatten(jets.hadronFlavour)) == 4
    found = output["divergence"][{"method": "s"}]
    assert found[{"category": "c"}].value == pytest.approx(by_hand[c].mean(), rel=1e-9)
    assert found[{"category": sum}].value == pytest.approx(by_hand.mean(), rel=1e-9)
    assert by_hand.mean() > 0.01


def test_working_points_without_names_are_numbers(jets, weights):
    output = process(jets, task=several_points(None), weights=weights, working_point=2)
    assert list(output["observables"]["pt"].axes["category"])[-2:] == ["0", "1"]
    named = process(jets, task=POINTS_TASK, weights=weights, working_point="T")
    for name, filled in named["observables"].items():
        found = output["observables"][name].view(flow=True)
        np.testing.assert_array_equal(found, filled.view(flow=True))


def test_only_working_point_may_have_a_name(jets, weights):
    passed = Passed(field="discriminant", above=(0.0,), names=("M",))
    task = TASK.model_copy(update={"passed": passed})
    by_name = process(jets, {"half": half}, task=task, weights=weights, working_point="M")
    expected = process(jets, {"half": half}, weights=weights)
    for name, filled in expected["observables"].items():
        found = by_name["observables"][name]
        assert list(found.axes["category"]) == list(filled.axes["category"])
        np.testing.assert_array_equal(found.view(flow=True), filled.view(flow=True))


@pytest.mark.parametrize("wrong", ["X", 3, -4, "0"])
def test_working_point_that_there_is_not(wrong):
    with pytest.raises(InputError, match=rf"\['L', 'M', 'T'\].*{wrong!r}"):
        TruthTagging(POINTS_TASK, {}, working_point=wrong)


def test_working_point_of_a_task_with_one():
    with pytest.raises(InputError, match=r"\[0\].*'M'"):
        TruthTagging(TASK, {}, working_point="M")


def falling(records):
    """Efficiencies from the tightest to the loosest."""
    return true_points(records)[:, :, ::-1]


@pytest.mark.parametrize(
    ("wrong", "message"), [(half, "each of 3 working point"), (falling, "tighter working point")]
)
def test_efficiencies_of_other_working_points_are_refused(jets, wrong, message):
    with pytest.raises(InputError, match=message):
        process(jets, {"wrong": wrong}, task=POINTS_TASK)


def test_efficiency_of_several_working_points_for_one_is_refused(jets):
    with pytest.raises(InputError, match=r"points: expected .* 1 working point"):
        process(jets, {"points": true_points})


def test_map_of_other_working_points_is_refused(jets, toy_map, points_map):
    """Whose replicas do not fit either."""
    with pytest.raises(InputError, match=r"map: expected one efficiency .* 3 working point"):
        process(jets, {"map": toy_map}, task=POINTS_TASK)
    with pytest.raises(InputError, match=r"map: expected one efficiency .* 1 working point"):
        process(jets, {"map": points_map})


# replicas: what efficiencies know of their own uncertainty


@pytest.fixture(scope="module")
def replicated(jets, weights, ensemble, toy_map):
    efficiencies = {"ensemble": ensemble, "map": toy_map, "half": half}
    return process(jets, efficiencies, weights=weights)


def test_replicas_are_there_where_the_uncertainty_is_known(replicated, toy_map, jets, ensemble):
    found = replicated["efficiency_replicas"]
    assert sorted(found) == ["ensemble", "map"]
    for name, efficiency in {"ensemble": ensemble, "map": toy_map}.items():
        n_replicas = efficiency.replicas(jets).type.content.content.size
        assert sorted(found[name]) == sorted(replicated["observables"])
        for key, histogram in found[name].items():
            assert histogram.axes["replica"].size == n_replicas
            expected = list(replicated["observables"][key].axes["category"])
            assert list(histogram.axes["category"]) == expected


@pytest.mark.parametrize("name", ["ensemble", "map"])
@pytest.mark.parametrize("number", [0, 1])
def test_every_replica_is_a_run_with_it(replicated, jets, weights, ensemble, toy_map, name, number):
    efficiency = {"ensemble": ensemble, "map": toy_map}[name]

    def replica(records):
        return efficiency.replicas(records)[:, :, number]

    expected = process(jets, {"replica": replica}, weights=weights)["observables"]
    for key, histogram in replicated["efficiency_replicas"][name].items():
        np.testing.assert_allclose(
            histogram[{"replica": number}].values(flow=True),
            expected[key][{"method": "replica"}].values(flow=True),
            rtol=1e-6,
            atol=1e-6,
            err_msg=key,
        )
    nominal = replicated["observables"]["pt"][{"method": name, "category": ALL}].values()
    found = replicated["efficiency_replicas"][name]["pt"][{"category": ALL, "replica": number}]
    assert np.abs(found.values() - nominal).max() > 1e-6


def test_replicas_may_be_left_out(jets, weights, replicated, ensemble, toy_map):
    efficiencies = {"ensemble": ensemble, "map": toy_map, "half": half}
    output = process(jets, efficiencies, weights=weights, replicas=False)
    assert output["efficiency_replicas"] == {}
    for name, filled in replicated["observables"].items():
        np.testing.assert_array_equal(output["observables"][name].view(), filled.view())


# simulated file, through coffea's runner


@pytest.fixture(scope="module")
def points_map(toy_file):
    """A map of three working points."""
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (20.0, 100.0, 200.0, 600.0)}}})
    return EfficiencyMap.fit(POINTS_TASK, read_columns([toy_file], mlp_config(POINTS_TASK)), axes)


def everything(output):
    """All histograms, by kind and name."""
    found = {}
    for kind in ("observables", "binomial", "profiles"):
        found |= {(kind, name): filled for name, filled in output[kind].items()}
    for method, histograms in output["efficiency_replicas"].items():
        found |= {(method, name): filled for name, filled in histograms.items()}
    for kind in ("residuals", "residual_moments", "divergence"):
        found[kind, ""] = output[kind]
    return found


def assert_same(found, expected):
    for name in ("n_events", "n_objects", "out_of_domain"):
        assert found[name] == expected[name]
    found, expected = everything(found), everything(expected)
    assert sorted(found) == sorted(expected)
    for key, filled in expected.items():
        view = filled.view(flow=True)
        for quantity in view.dtype.names or (None,):
            a, b = (x[quantity] if quantity else x for x in (found[key].view(flow=True), view))
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=str((key, quantity)))


@pytest.fixture(scope="module")
def file_output(toy_file, points_map):
    return run_closure([toy_file], POINTS_TASK, {"map": points_map}, working_point="M")


@pytest.mark.parametrize("chunksize", [70, 250])
def test_chunks_do_not_matter(toy_file, points_map, file_output, chunksize):
    found = run_closure(
        [toy_file], POINTS_TASK, {"map": points_map}, working_point="M", chunksize=chunksize
    )
    assert_same(found, file_output)


def test_medium_is_the_tag_with_one_working_point(toy_file, file_output):
    """A cut of 1 on ``tagger`` is that of 0 on ``discriminant``: same tags, same truth."""
    output = run_closure([toy_file], TASK, {})
    for name in ("pt", "pair_mass", TAG_COUNTS):
        for method in ("direct", "truth"):
            for category in output["observables"][name].axes["category"]:
                cell = {"method": method, "category": category}
                np.testing.assert_allclose(
                    file_output["observables"][name][cell].values(flow=True),
                    output["observables"][name][cell].values(flow=True),
                    rtol=1e-5,
                    atol=1e-6,
                )


def test_replicas_of_several_working_points(jets, weights, points_map):
    arguments = {"task": POINTS_TASK, "weights": weights, "working_point": "T"}
    output = process(jets, {"map": points_map}, **arguments)
    draws = points_map.replicas(jets)

    def replica(records):
        return draws[:, :, :, 3]

    expected = process(jets, {"replica": replica}, **arguments)["observables"]
    for key, histogram in output["efficiency_replicas"]["map"].items():
        found = histogram[{"replica": 3}].values(flow=True)
        np.testing.assert_allclose(found, expected[key][{"method": "replica"}].values(flow=True))


# nothing to fill


def plain_points(records):
    """Three efficiencies whose type does not say so where there are no jets."""
    return ak.from_regular(true_points(records), axis=None)


@pytest.mark.parametrize("counts", [[], [0], [0, 0]])
def test_chunks_without_jets(counts, jets, weights, points_map, file_output):
    """They add up with other chunks, and change nothing but the events without tags."""
    empty = points_jets([*counts, 1])[: len(counts)]
    efficiencies = {"map": points_map, "plain": plain_points}
    arguments = {"task": POINTS_TASK, "working_point": "M"}
    output = process(empty, efficiencies, **arguments)
    full = process(jets, efficiencies, weights=weights, **arguments)
    assert output["n_objects"] == 0
    assert sorted(everything(output)) == sorted(everything(full))
    for key, filled in everything(output).items():
        if key[1] != TAG_COUNTS:
            assert not filled.values(flow=True).any(), key
        (filled + everything(full)[key])
    counted = output["observables"][TAG_COUNTS][{"category": ALL}]
    for method in counted.axes["method"]:
        found = [counted[{"method": method, "tags": name}].value for name in COUNTED]
        expected = [len(counts)] * 5 if method == ALL else [len(counts), 0, 0, 0, 0]
        assert found == expected
    replicas = output["efficiency_replicas"]["map"][TAG_COUNTS][{"category": ALL, "tags": "0 tags"}]
    assert replicas.values().tolist() == [len(counts)] * 20


def test_processor_pickles(jets, weights, points_map):
    processor = TruthTagging(
        POINTS_TASK,
        {"map": points_map},
        working_point="M",
        conditions={"2M1T": at_least(2, "M") & at_least(1, "T")},
    )
    copy = pickle.loads(pickle.dumps(processor))
    found, expected = (p.process(events_of(jets, weights))["sample"] for p in (copy, processor))
    assert_same(found, expected)
    assert "2M1T" in found["observables"]["pair_mass"].axes["category"]
    assert len(pickle.dumps(processor)) < 20_000
