from __future__ import annotations

import json
import math

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chi2, kstest, norm

from hepsilon import InputError, truth_tag_weight
from hepsilon.arrays.columns import unflatten
from hepsilon.closure import (
    MIN_VARIANCE,
    closure_report,
    compare,
    compare_inversion,
    run_closure,
)
from hepsilon.closure.gain import efficiency_variance, n_replicas
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.processors import TruthTagging
from hepsilon.simulation import training_jets, true_efficiency
from tests.helpers.tag_toys import POINTS_TASK, points_jets, true_points
from tests.helpers.toys import TASK, events_of, half, tagged_jets

EXPERIMENTS = 200
FALSE_ALARM = 1e-3
"""Chance that a test of this module fails although all is well (with another seed than now)."""


# the statistic


def experiments(level: str, bias: float = 1.0):
    """Pull of the total and chi2 of many tag assignments to the same events."""
    rng = np.random.default_rng(11)
    jets = training_jets(rng, 1500)
    eps = true_efficiency(jets)
    if level == "object":
        values, edges = jets.pt, np.linspace(20.0, 600.0, 16)
        weights = rng.choice([-0.5, 1.0, 2.0], eps.size)
        p = eps
    else:
        values, edges = jets.pt[jets.offsets[:-1]], np.linspace(20.0, 600.0, 9)
        weights = rng.choice([-0.5, 1.0, 2.0], len(values))
        p = truth_tag_weight(unflatten(eps, jets.offsets), 1)

    def summed(w):
        return np.histogram(values, edges, weights=w)[0]

    found = []
    for _ in range(EXPERIMENTS):
        tags = rng.uniform(size=eps.size) < eps
        if level == "event":
            tags = truth_tag_weight(unflatten(tags, jets.offsets), 1)
        variance = summed(weights**2 * p * (1.0 - p))
        found.append(compare(edges, summed(weights * tags), bias * summed(weights * p), variance))
    return found


@pytest.fixture(scope="module", params=["object", "event"])
def true_closures(request):
    return experiments(request.param)


def test_pulls_of_the_truth_have_mean_zero_and_unit_width(true_closures):
    """Mean and variance of 200 pulls of the total, each at half the false-alarm rate."""
    pulls = [
        (c.observed.sum() - c.expected.sum()) / np.sqrt(c.variance.sum()) for c in true_closures
    ]
    limit = norm.isf(FALSE_ALARM / 4) / np.sqrt(EXPERIMENTS)
    assert abs(np.mean(pulls)) < limit
    low, high = chi2.isf([1 - FALSE_ALARM / 4, FALSE_ALARM / 4], EXPERIMENTS - 1)
    assert low < (EXPERIMENTS - 1) * np.var(pulls, ddof=1) < high


def test_p_values_of_the_truth_are_uniform(true_closures):
    """Kolmogorov-Smirnov test at the false-alarm rate."""
    assert all(c.ndf >= 4 for c in true_closures)
    assert kstest([c.p_value for c in true_closures], "uniform").pvalue > FALSE_ALARM


def test_chi2_of_the_truth_is_ndf_on_average(true_closures):
    total, ndf = (sum(getattr(c, name) for c in true_closures) for name in ("chi2", "ndf"))
    low, high = chi2.isf([1 - FALSE_ALARM / 2, FALSE_ALARM / 2], ndf)
    assert low < total < high


def test_wrong_efficiency_has_a_large_chi2():
    """40 % too high: found in every experiment."""
    assert max(c.p_value for c in experiments("object", bias=1.4)) < 1e-3


# bins


def arrays(n):
    return hnp.arrays(np.float64, n, elements=st.floats(0.0, 20.0), fill=st.nothing())


@given(st.integers(1, 12).flatmap(arrays))
def test_joined_bins_hold_the_smallest_variance(variance):
    """Every joined bin that counts does; the number of them is what ndf says."""
    n = len(variance)
    edges = np.arange(n + 1.0)
    found = compare(edges, np.zeros(n), np.zeros(n), variance)
    if variance.sum() < MIN_VARIANCE:
        assert found.ndf == 0
        assert math.isnan(found.p_value)
    else:
        assert 1 <= found.ndf <= variance.sum() / MIN_VARIANCE
    assert found.chi2 == 0.0


def test_chi2_by_hand():
    """Bins of variance 3 and 3 are joined, 6 stands alone, the rest of 1 joins it."""
    variance = np.array([3.0, 3.0, 6.0, 1.0])
    observed, expected = np.array([4.0, 5.0, 9.0, 2.0]), np.array([2.0, 4.0, 12.0, 0.0])
    found = compare(np.arange(5.0), observed, expected, variance)
    assert found.chi2 == pytest.approx(3.0**2 / 6.0 + 1.0**2 / 7.0)
    assert found.ndf == 2
    assert found.p_value == pytest.approx(chi2.sf(found.chi2, 2))
    np.testing.assert_allclose(found.pull, (observed - expected) / np.sqrt(variance))


def weighted_sums(seed: int, n: int = 400):
    """Sums of tagged entries of random weights, some of them negative."""
    rng = np.random.default_rng(seed)
    p, weights = rng.uniform(0.02, 0.9, n), rng.gamma(3.0, size=n) * rng.choice([1, 1, 1, -1], n)
    bins, tags = rng.integers(0, 12, n), rng.uniform(size=n) < p

    def summed(values):
        return np.bincount(bins, values, minlength=12)

    def sums(unit: float):
        w = unit * weights
        of_bins = summed(w * tags), summed(w * p), summed(w**2 * p * (1.0 - p))
        return *of_bins, (summed(w), summed(w**2))

    return sums


@given(st.integers(0, 2**32), st.sampled_from([1e-4, 0.001, 225892.0, 3.5e8]))
def test_unit_of_the_weights_does_not_matter(seed, unit):
    sums, edges = weighted_sums(seed), np.arange(13.0)
    found, expected = compare(edges, *sums(unit)), compare(edges, *sums(1.0))
    assert found.ndf == expected.ndf
    assert found.chi2 == pytest.approx(expected.chi2, rel=1e-9)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-6, nan_ok=True)
    np.testing.assert_allclose(found.pull, expected.pull, rtol=1e-9)


@given(st.integers(0, 2**32), st.sampled_from([1e-4, 0.001, 225892.0, 3.5e8]))
def test_unit_of_the_weights_does_not_matter_for_inversion(seed, unit):
    sums, edges = weighted_sums(seed), np.arange(13.0)
    found, expected = (compare_inversion(edges, *sums(c)[:3]) for c in (unit, 1.0))
    assert found.ndf == expected.ndf
    assert found.chi2 == pytest.approx(expected.chi2, rel=1e-9)


def test_joined_bins_of_weighted_entries_by_hand():
    """Ten entries of weight 3 and p = 0.5 in each bin: a variance of 2.5 entries, so two join."""
    n = np.full(4, 10.0)
    weights, variance = (3.0 * n, 9.0 * n), 9.0 * 0.25 * n
    observed, expected = np.array([18.0, 12.0, 15.0, 21.0]), np.full(4, 15.0)
    found = compare(np.arange(5.0), observed, expected, variance, weights)
    assert found.ndf == 2
    assert found.chi2 == pytest.approx((0.0**2 + 6.0**2) / 45.0)


def test_weights_of_both_signs_need_more_entries():
    """Weights that almost cancel: 40 of +1 and 38 of -1 are 0.05 effective entries."""
    weights, variance = (np.array([2.0]), np.array([78.0])), np.array([78.0 * 0.25])
    found = compare(np.arange(2.0), np.array([3.0]), np.array([1.0]), variance, weights)
    assert found.ndf == 0
    assert math.isnan(found.p_value)


def test_pull_of_a_bin_without_variance_is_unknown():
    sums = np.array([1.0, 9.0])
    found = compare(np.arange(3.0), sums, sums, np.array([0.0, 9.0]))
    assert math.isnan(found.pull[0])
    assert found.plain()["pull"] == [None, 0.0]


@pytest.mark.parametrize("unit", [1e-4, 0.001, 225892.0])
@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_unit_of_the_weights_does_not_matter_for_the_report(unit, negative):
    """Everything but sums of weights; from the processor to the record."""
    rng = np.random.default_rng(8)
    jets = tagged_jets([2, 3, 0, 1, 4] * 60)
    weights = rng.gamma(3.0, size=len(jets)) * np.where(
        rng.uniform(size=len(jets)) < negative, -1, 1
    )
    found, expected = (
        closure_report(
            TruthTagging(TASK, {"half": half}).process(events_of(jets, c * weights))["sample"],
            TASK,
            {"half": half},
            [],
        ).efficiency["half"]
        for c in (unit, 1.0)
    )
    assert expected.observables["pt"].ndf > 1
    assert found.overall.pull == pytest.approx(expected.overall.pull)
    for name, a in expected.observables.items():
        b = found.observables[name]
        assert (b.ndf, b.p_value) == (a.ndf, pytest.approx(a.p_value)), name
        assert b.chi2 == pytest.approx(a.chi2)
    for name, a in expected.effective_sample_size.items():
        assert found.effective_sample_size[name] == pytest.approx(a)
    for name, gain in expected.statistics_gain.items():
        bins = found.statistics_gain[name].truth_tagged
        np.testing.assert_allclose(bins, gain.truth_tagged, rtol=1e-6, atol=1e-9)


# closure.json


@pytest.fixture(scope="module")
def output(toy_file, toy_map, gnn):
    return run_closure([toy_file], TASK, {"map": toy_map, "gnn": gnn, "half": half})


@pytest.fixture(scope="module")
def report(output, toy_map, gnn, toy_file):
    efficiencies = {"map": toy_map, "gnn": gnn, "half": half}
    return closure_report(output, TASK, efficiencies, [toy_file]).as_dict()


OBSERVABLE_KEYS = {"edges", "observed", "expected", "variance", "pull", "chi2", "ndf", "p_value"}
OWN_ERROR = {"efficiency_variance", "efficiency_variance_of_sum", "sample_chi2", "sample_p_value"}
OWN_ERROR |= {"covariance"}
"""Of efficiencies that have replicas."""


def test_report_has_the_keys_of_the_contract(report):
    assert {"task", "efficiency", "files", "versions", "model_hash"} <= set(report)
    assert list(report["efficiency"]) == ["truth", "map", "gnn", "half"]
    for name, entry in report["efficiency"].items():
        own = OWN_ERROR if name in {"map", "gnn"} else set()
        assert {"expected", "observed", "pull"} <= set(entry["overall"])
        assert ("sample_pull" in entry["overall"]) == bool(own)
        assert {"efficiency_variance" in c for c in entry["tag_counts"]["all"].values()} == {
            bool(own)
        }
        wanted = {"observables", "clipped", "out_of_domain", "effective_sample_size"}
        assert wanted | {"tag_counts", "statistics_gain", "n_replicas"} <= set(entry)
        for found in entry["observables"].values():
            assert set(found) == OBSERVABLE_KEYS | own
            n = len(found["edges"]) - 1
            assert all(len(found[k]) == n for k in ("observed", "expected", "variance", "pull"))


def test_report_is_strict_json(report):
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == report


def test_observables_and_categories_are_the_keys(report):
    keys = set(report["efficiency"]["gnn"]["observables"])
    jets = ["b", "c", "light"]
    pairs = ["b-b", "b-c", "b-light", "c-c", "c-light", "light-light"]
    pairs += ["0 tags", "1 tag", "2 tags", "2+ tags", "3+ tags"]
    expected = {
        key
        for o in JET_OBSERVABLES
        for key in (o.name, *(f"{o.name}|{c}" for c in (jets if o.level == "object" else pairs)))
    }
    assert keys == expected


def test_report_says_what_was_tested(report, gnn, toy_file):
    assert report["task"]["passed"] == {"field": "discriminant", "above": [0.0]}
    assert report["files"] == [toy_file.name]
    assert report["model_hash"]["gnn"] == gnn.hash
    assert "hepsilon" in report["versions"]


def test_truth_closes(report):
    """The smallest of five p-values (which share their jets) at the false-alarm rate."""
    truth = report["efficiency"]["truth"]
    names = [o.name for o in JET_OBSERVABLES]
    assert min(truth["observables"][name]["p_value"] for name in names) > FALSE_ALARM / 5
    assert abs(truth["overall"]["pull"]) < norm.isf(FALSE_ALARM / 2)


def test_wrong_efficiency_does_not_close(report):
    wrong = report["efficiency"]["half"]
    assert wrong["observables"]["pt"]["p_value"] < 1e-6
    assert wrong["observables"]["pt"]["chi2"] > 10 * wrong["observables"]["pt"]["ndf"]
    assert abs(wrong["overall"]["pull"]) > 10


def test_overall_counts_every_object(report, toy_columns):
    """Also those outside the range of the first observable."""
    overall = report["efficiency"]["half"]["overall"]
    assert overall["observed"] == pytest.approx(toy_columns.passed.sum())
    assert overall["expected"] == pytest.approx(0.5 * len(toy_columns.nodes))


def test_effective_sample_size_is_that_of_the_weights(report, toy_jets):
    eps = ak.to_numpy(ak.flatten(toy_jets.trueEfficiency))
    found = report["efficiency"]["truth"]["effective_sample_size"]["pt"]
    assert found == pytest.approx(eps.sum() ** 2 / (eps**2).sum(), rel=1e-6)
    tags = ak.sum(toy_jets.discriminant > 0)
    assert report["direct_effective_sample_size"]["pt"] == pytest.approx(tags)


def test_distance_to_the_truth_is_reported(report):
    assert "truth" not in report["efficiency"]["truth"]
    for name in ("map", "gnn", "half"):
        entry = report["efficiency"][name]["truth"]
        assert entry["all"]["divergence"] > 0.0
        assert {"all", "b", "c", "light"} <= set(entry)


def test_report_of_a_sample_without_jets_is_strict_json(toy_file, toy_map):
    processor = TruthTagging(TASK, {"map": toy_map})
    empty = processor.process(events_of(tagged_jets([0, 0, 3])[:2]))["sample"]
    report = closure_report(empty, TASK, {"map": toy_map}, [toy_file]).as_dict()
    json.dumps(report, allow_nan=False)
    assert report["efficiency"]["map"]["overall"]["pull"] is None
    assert report["efficiency"]["map"]["observables"]["pt"]["ndf"] == 0


@pytest.mark.parametrize("counts", [[1], [1, 1], [2]])
def test_report_of_a_few_jets_is_strict_json(toy_file, toy_map, counts):
    processor = TruthTagging(TASK, {"map": toy_map})
    output = processor.process(events_of(tagged_jets(counts)))["sample"]
    report = closure_report(output, TASK, {"map": toy_map}, [toy_file]).as_dict()
    json.dumps(report, allow_nan=False)


def impossible(records):
    """No jet is ever tagged."""
    return ak.zeros_like(records.pt)


def test_infinite_divergence_is_no_number():
    """Of an efficiency that says that what happens cannot happen."""
    efficiencies = {"impossible": impossible}
    output = TruthTagging(TASK, efficiencies).process(events_of(tagged_jets([2, 3])))["sample"]
    report = closure_report(output, TASK, efficiencies, []).as_dict()
    json.dumps(report, allow_nan=False)
    assert report["efficiency"]["impossible"]["truth"]["all"]["divergence"] is None


def test_report_of_observables_of_events_alone():
    """The overall numbers are those of all objects, whatever is looked at."""
    processor = TruthTagging(TASK, {"half": half}, observables=JET_OBSERVABLES[3:])
    output = processor.process(events_of(tagged_jets([2, 3, 1, 4])))["sample"]
    report = closure_report(output, TASK, {"half": half}, []).as_dict()
    assert report["efficiency"]["half"]["overall"]["expected"] == pytest.approx(10 * 0.5)


# numbers of tags

TAGS = ("0 tags", "1 tag", "2 tags", "2+ tags", "3+ tags")
PAIRS = ("b-b", "b-c", "b-light", "c-c", "c-light", "light-light")
SAMPLES = 20


def report_of(jets, efficiencies, weights=None, task=TASK, **arguments):
    processor = TruthTagging(task, efficiencies, **arguments)
    output = processor.process(events_of(jets, weights))["sample"]
    return closure_report(output, task, efficiencies, ["toy.root"]).as_dict()


def test_tag_counts_by_hand():
    jets = tagged_jets([2, 3, 0, 1, 4] * 8, seed=4)
    weights = np.random.default_rng(1).choice([-1.0, 2.0], len(jets))
    found = report_of(jets, {"half": half}, weights)["efficiency"]
    tags = ak.to_numpy(ak.sum(jets.discriminant > 0.0, axis=1))
    assert list(found["truth"]["tag_counts"]) == ["all", *PAIRS]
    for name, entry in found.items():
        eps = {"truth": jets.trueEfficiency, "half": half(jets)}[name]
        cells = entry["tag_counts"]["all"]
        assert list(cells) == list(TAGS)
        for tag, cell in cells.items():
            n, more = int(tag[0]), "+" in tag
            p = truth_tag_weight(eps, n, at_least=more, jets=None)
            observed = weights[tags >= n if more else tags == n].sum()
            variance = (weights**2 * p * (1.0 - p)).sum()
            assert cell["observed"] == pytest.approx(observed)
            assert cell["expected"] == pytest.approx((weights * p).sum())
            assert cell["variance"] == pytest.approx(variance)
            pull = (observed - (weights * p).sum()) / variance**0.5
            assert cell["pull"] == pytest.approx(pull)


def too_low(records):
    """The true efficiency, 30 % too low."""
    return 0.7 * records["trueEfficiency"]


@pytest.fixture(scope="module")
def tag_pulls():
    """Pull of the numbers of tags, for every efficiency (samples, pairs, tags)."""
    found: dict = {"truth": [], "low": []}
    for seed in range(SAMPLES):
        jets = tagged_jets([2, 3, 4, 5] * 200, seed=100 + 2 * seed)
        weights = np.random.default_rng(seed).choice([-0.5, 1.0, 2.0], len(jets))
        entries = report_of(jets, {"low": too_low}, weights)["efficiency"]
        for name, pulls in found.items():
            cells = entries[name]["tag_counts"]
            pulls.append([[cells[pair][tag]["pull"] for tag in TAGS] for pair in PAIRS])
    return {name: np.array(pulls) for name, pulls in found.items()}


@pytest.mark.parametrize("tag", range(len(TAGS)), ids=TAGS)
def test_truth_closes_in_numbers_of_tags(tag_pulls, tag):
    """Sum of 120 squared pulls, independent (each pair has its own events): neither side.

    The false-alarm rate is shared by the five numbers of tags.
    """
    squares = (tag_pulls["truth"][:, :, tag] ** 2).sum()
    rate = FALSE_ALARM / len(TAGS)
    low, high = chi2.isf([1 - rate / 2, rate / 2], SAMPLES * len(PAIRS))
    assert low < squares < high


@pytest.mark.parametrize("tag", range(len(TAGS)), ids=TAGS)
def test_wrong_efficiency_does_not_close_in_numbers_of_tags(tag_pulls, tag):
    squares = (tag_pulls["low"][:, :, tag] ** 2).sum()
    assert chi2.sf(squares, SAMPLES * len(PAIRS)) < 1e-6


def test_numbers_of_tags_without_variance_have_no_pull():
    """One jet has never two tags."""
    cells = report_of(tagged_jets([1, 1]), {})["efficiency"]["truth"]["tag_counts"]["all"]
    zero = {"observed": 0.0, "expected": 0.0, "variance": 0.0, "pull": None}
    assert cells["2+ tags"] == zero
    assert cells["1 tag"]["pull"] is not None


def test_conditions_may_be_left_out():
    entry = report_of(tagged_jets([2, 3]), {}, conditions={})["efficiency"]["truth"]
    assert "tag_counts" not in entry
    assert "tag_counts" not in entry["statistics_gain"]


# what truth tagging gains


@pytest.fixture(scope="module")
def gain_sample(toy_map):
    """Jets, some of them below the edges of the observables, with weights of both signs."""
    jets = tagged_jets([2, 3, 0, 1, 4] * 40, seed=6)
    jets = ak.with_field(jets, ak.where(jets.pt < 40.0, 15.0, jets.pt), "pt")
    weights = np.random.default_rng(3).choice([-0.2, 1.0, 2.0], len(jets))
    efficiencies = {"map": toy_map, "half": half}
    output = TruthTagging(TASK, efficiencies).process(events_of(jets, weights))["sample"]
    return jets, weights, output, closure_report(output, TASK, efficiencies, []).as_dict()


def binned(jets, per_jet):
    """Sums over jets in the bins of pt, without and with what is outside of them."""
    edges = np.array(JET_OBSERVABLES[0].edges)
    pt = ak.to_numpy(ak.flatten(jets.pt))
    bins = np.bincount(np.searchsorted(edges, pt, side="right"), per_jet, len(edges) + 1)
    return bins[1:-1], bins.sum()


def by_hand(jets, weights, eps):
    """Effective events in the bins of pt and of all jets: S^2 / sum w^2."""
    per_jet = np.repeat(weights, ak.num(jets)) * ak.to_numpy(ak.flatten(eps))
    sums, squares = binned(jets, per_jet), binned(jets, per_jet**2)
    return (
        np.divide(sums[0] ** 2, squares[0], out=np.zeros(len(sums[0])), where=squares[0] > 0),
        sums[1] ** 2 / squares[1],
    )


def test_gain_is_that_of_effective_events(gain_sample, toy_map):
    jets, weights, _, report = gain_sample
    direct = by_hand(jets, weights, ak.values_astype(jets.discriminant > 0.0, float))
    for name, eps in {
        "half": half(jets),
        "truth": jets.trueEfficiency,
        "map": toy_map(jets, out_of_domain="ignore"),
    }.items():
        found = report["efficiency"][name]["statistics_gain"]["pt"]
        tagged = by_hand(jets, weights, eps)
        np.testing.assert_allclose(found["direct"], direct[0])
        np.testing.assert_allclose(found["weights_only"], tagged[0])
        assert found["total"]["direct"] == pytest.approx(direct[1])
        assert found["total"]["weights_only"] == pytest.approx(tagged[1])
        gain = found["total"]["truth_tagged"] / direct[1]
        assert found["total"]["gain"] == pytest.approx(gain)
        if name != "map":  # no uncertainty of its own
            assert report["efficiency"][name]["n_replicas"] == 0
            assert found["truth_tagged"] == found["weights_only"]
            assert found["total"]["truth_tagged"] == found["total"]["weights_only"]


def test_uncertainty_of_the_efficiency_is_the_variance_over_replicas(gain_sample, toy_map):
    """In the bins, and of the sum: replicas move all bins together, so it is not their sum."""
    jets, weights, output, report = gain_sample
    per_jet = np.repeat(weights, ak.num(jets))
    draws = ak.to_numpy(ak.flatten(toy_map.replicas(jets)))
    sums = [binned(jets, per_jet * draw) for draw in draws.T]
    bins = np.var([s[0] for s in sums], axis=0, ddof=1)
    total = np.var([s[1] for s in sums], ddof=1)
    np.testing.assert_allclose(efficiency_variance(output, "map", "pt"), bins)
    found = efficiency_variance(output, "map", "pt", total=True)
    np.testing.assert_allclose(found, [total])
    assert not 0.8 < total / bins.sum() < 1.25
    weighted = per_jet * ak.to_numpy(ak.flatten(toy_map(jets, out_of_domain="ignore")))
    (values, everything), (squares, all_squares) = (binned(jets, weighted**k) for k in (1, 2))
    entry = report["efficiency"]["map"]
    assert entry["n_replicas"] == n_replicas(output, "map") == draws.shape[1] == len(sums)
    gain = entry["statistics_gain"]["pt"]
    spread = squares + bins
    expected = np.divide(values**2, spread, out=np.zeros(len(values)), where=spread > 0)
    np.testing.assert_allclose(gain["truth_tagged"], expected)
    expected_total = everything**2 / (all_squares + total)
    assert gain["total"]["truth_tagged"] == pytest.approx(expected_total)
    assert gain["total"]["truth_tagged"] < gain["total"]["weights_only"]


def test_uncertainty_of_one_flavour(gain_sample, toy_map):
    jets, weights, output, _ = gain_sample
    b = ak.to_numpy(ak.flatten(jets.hadronFlavour == 5))
    per_jet = np.repeat(weights, ak.num(jets)) * b
    draws = ak.to_numpy(ak.flatten(toy_map.replicas(jets)))
    expected = np.var([binned(jets, per_jet * draw)[0] for draw in draws.T], axis=0, ddof=1)
    np.testing.assert_allclose(efficiency_variance(output, "map", "pt", "b"), expected)


@pytest.mark.parametrize("total", [False, True])
def test_without_replicas_there_is_no_variance(gain_sample, total):
    found = efficiency_variance(gain_sample[2], "half", "pt", total=total)
    assert found.shape == ((1,) if total else (len(JET_OBSERVABLES[0].edges) - 1,))
    assert not found.any()
    assert n_replicas(gain_sample[2], "half") == 0


def test_gain_has_every_observable_category_and_condition(gain_sample):
    report = gain_sample[3]
    for entry in report["efficiency"].values():
        found = entry["statistics_gain"]
        assert set(found) == {
            *entry["observables"],
            "tag_counts",
            *(f"tag_counts|{p}" for p in PAIRS),
        }
        for key, gain in found.items():
            wanted = {"direct", "truth_tagged", "weights_only"}
            counts = key.startswith("tag_counts")  # its bins share events: no total
            assert set(gain) == (wanted if counts else wanted | {"total"})
            sizes = {len(gain[k]) for k in wanted}
            assert sizes == {5 if counts else len(entry["observables"][key]["observed"])}
    json.dumps(report, allow_nan=False)


def test_truth_tagging_gains_statistics():
    """(sum p)^2 / sum p^2 is at least sum p: so is every total but for the noise of the tags.

    The ratio to what is expected of direct tagging is within four standard deviations (false
    alarms: 6e-5 for each observable).
    """
    jets = tagged_jets([2, 3, 4] * 200, seed=8)
    report = report_of(jets, {})
    found = report["efficiency"]["truth"]["statistics_gain"]
    for observable in JET_OBSERVABLES:
        total = found[observable.name]["total"]
        assert total["gain"] > (1.1 if observable.level == "object" else 1.5)
        p = jets.trueEfficiency
        p = ak.to_numpy(ak.flatten(p)) if observable.level == "object" else truth_tag_weight(p, 2)
        expected = p.sum() / (p**2).sum()
        assert total["truth_tagged"] == pytest.approx(p.sum() ** 2 / (p**2).sum())
        error = np.sqrt((p * (1 - p)).sum()) / p.sum()
        assert abs(p.sum() / total["direct"] - 1.0) < 4 * error
        assert total["gain"] == pytest.approx(expected, rel=5 * error)


def test_uncertainty_of_the_efficiency_does_not_shrink_with_the_events(toy_map):
    """Ten times the same events: ten times the effective events, but not for those of a map."""
    jets = tagged_jets([2, 3, 0, 1] * 20, seed=9)
    once, often = (
        report_of(sample, {"map": toy_map})["efficiency"]["map"]["statistics_gain"]["pt"]["total"]
        for sample in (jets, ak.concatenate([jets] * 10))
    )
    assert often["direct"] == pytest.approx(10 * once["direct"])
    assert often["weights_only"] == pytest.approx(10 * once["weights_only"])
    limit = 1.0 / (1.0 / once["truth_tagged"] - 1.0 / once["weights_only"])
    assert once["truth_tagged"] < often["truth_tagged"] < limit
    expected = 1.0 / (1.0 / limit + 0.1 / once["weights_only"])
    assert often["truth_tagged"] == pytest.approx(expected)


def test_gain_without_direct_tags_is_unknown():
    jets = tagged_jets([2, 2])
    untagged = ak.with_field(jets, jets.discriminant - 2.0, "discriminant")
    total = report_of(untagged, {})["efficiency"]["truth"]["statistics_gain"]["pt"]["total"]
    assert total["direct"] == 0.0
    assert total["gain"] is None
    assert total["truth_tagged"] > 0.0


# several working points


def test_report_of_several_working_points():
    jets = points_jets([2, 3, 0, 1, 4] * 10)
    report = report_of(jets, {"truth2": true_points}, task=POINTS_TASK, working_point="M")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["task"]["passed"]["names"] == ["L", "M", "T"]
    entry = report["efficiency"]["truth2"]
    assert entry["truth"]["all"] == {
        "divergence": 0.0,
        "residual_mean": 0.0,
        "residual_rms": 0.0,
    }
    keys = [key for key in entry["observables"] if key.startswith("pt")]
    assert keys == ["pt", "pt|b", "pt|c", "pt|light", "pt|L", "pt|T"]
    assert set(keys) <= set(entry["statistics_gain"])
    for key, name in {"pt": "Medium", "pt|L": "Loose", "pt|T": "Tight"}.items():
        observed = entry["observables"][key]["observed"]
        cut = {"Loose": 0.5, "Medium": 1.0, "Tight": 2.0}[name]
        assert sum(observed) == pytest.approx(ak.sum(jets.tagger > cut))
        expected = entry["observables"][key]["expected"]
        assert sum(expected) == pytest.approx(ak.sum(jets[f"trueEfficiency{name}"]))
    assert entry["overall"]["observed"] == pytest.approx(ak.sum(jets.tagger > 1.0))
    two = ak.sum(ak.sum(jets.tagger > 1.0, axis=1) >= 2)
    assert entry["tag_counts"]["all"]["2+ tags"]["observed"] == pytest.approx(two)


@pytest.mark.parametrize("files", [[], ["missing.root"]])
def test_missing_files_are_an_input_error(files):
    with pytest.raises(InputError, match="file"):
        run_closure(files, TASK, {})
