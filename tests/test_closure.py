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
from toys import TASK, events_of, half, tagged_jets

from hepsilon import InputError, truth_tag_weight
from hepsilon.closure import MIN_VARIANCE, closure_report, compare, run_closure
from hepsilon.columns import unflatten
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.processors import TruthTagging
from hepsilon.simulation import training_jets, true_efficiency

pytest_plugins = ["trained"]

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


def test_pull_of_a_bin_without_variance_is_unknown():
    sums = np.array([1.0, 9.0])
    found = compare(np.arange(3.0), sums, sums, np.array([0.0, 9.0]))
    assert math.isnan(found.pull[0])
    assert found.as_dict()["pull"] == [None, 0.0]


# closure.json


@pytest.fixture(scope="module")
def output(toy_file, toy_map, gnn):
    return run_closure([toy_file], TASK, {"map": toy_map, "gnn": gnn, "half": half})


@pytest.fixture(scope="module")
def report(output, toy_map, gnn, toy_file):
    efficiencies = {"map": toy_map, "gnn": gnn, "half": half}
    return closure_report(output, TASK, efficiencies, [toy_file])


OBSERVABLE_KEYS = {"edges", "observed", "expected", "variance", "pull", "chi2", "ndf", "p_value"}


def test_report_has_the_keys_of_the_contract(report):
    assert {"task", "efficiency", "files", "versions", "model_hash"} <= set(report)
    assert list(report["efficiency"]) == ["truth", "map", "gnn", "half"]
    for entry in report["efficiency"].values():
        assert {"expected", "observed", "pull"} <= set(entry["overall"])
        wanted = {"observables", "clipped", "out_of_domain", "effective_sample_size"}
        assert wanted <= set(entry)
        for found in entry["observables"].values():
            assert set(found) == OBSERVABLE_KEYS
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
    report = closure_report(empty, TASK, {"map": toy_map}, [toy_file])
    json.dumps(report, allow_nan=False)
    assert report["efficiency"]["map"]["overall"]["pull"] is None
    assert report["efficiency"]["map"]["observables"]["pt"]["ndf"] == 0


@pytest.mark.parametrize("counts", [[1], [1, 1], [2]])
def test_report_of_a_few_jets_is_strict_json(toy_file, toy_map, counts):
    processor = TruthTagging(TASK, {"map": toy_map})
    output = processor.process(events_of(tagged_jets(counts)))["sample"]
    json.dumps(closure_report(output, TASK, {"map": toy_map}, [toy_file]), allow_nan=False)


@pytest.mark.parametrize("files", [[], ["missing.root"]])
def test_missing_files_are_an_input_error(files):
    with pytest.raises(InputError, match="file"):
        run_closure(files, TASK, {})
