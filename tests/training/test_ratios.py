"""Ratios of two samples from files to numbers; the true logarithm of the ratio is linear."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon import ConfigError, InputError, LearnedRatio, RatioWarning
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies.ratio import given_path
from hepsilon.training.ratios import SidesOfRatio, learned_config, train_ratio
from tests.helpers.ratio_toys import ratio_config, true_log_ratio, two_jets


def flat(values: Any) -> Any:
    return np.asarray(ak.to_numpy(ak.flatten(values, axis=1)))


def test_ratio_is_near_the_true_one(learned_ratio: LearnedRatio) -> None:
    events = two_jets(2000, 7, numerator=False)
    found = learned_ratio.evaluate(events, replicas=50, out_of_domain="ignore")
    inside = flat(found.in_domain)
    difference = np.log(flat(found.ratio)) - flat(true_log_ratio(events.Jet))
    error = np.log(flat(found.replicas)).std(axis=1)
    assert np.sqrt(np.mean(difference[inside] ** 2)) < 0.15
    assert np.mean((difference[inside] / error[inside]) ** 2) < 4.0  # one for a perfect error
    assert found.ratio.to_list() == learned_ratio(events, out_of_domain="ignore").to_list()


def test_normalisation_is_imposed_and_reported(learned_ratio: LearnedRatio) -> None:
    card = learned_ratio.found
    assert card.mean == pytest.approx(1.0, abs=5.0 * card.mean_error)
    assert card.constant == pytest.approx(1.0, rel=0.05)
    assert card.n_normalised > 2 * card.n_entries
    assert 0.0 < card.constant_error < card.mean_error
    events = two_jets(4000, 8, numerator=False)
    found = learned_ratio.reweight(events, events.genWeight, out_of_domain="ignore")
    assert found.mean == pytest.approx(1.0, abs=0.05)
    assert found.n_effective < found.n_effective_before
    assert ak.num(found.weights).to_list() == ak.num(events.Jet).to_list()
    assert "normalisation" in str(card)
    replicas = learned_ratio.replicas(events, n_replicas=100)
    own = np.repeat(ak.to_numpy(events.genWeight), ak.num(events.Jet))
    means = own @ flat(replicas) / own.sum() / found.mean
    # each replica is normalised, within the error of the constant and what sample means differ by
    assert np.mean(means) == pytest.approx(1.0, abs=4.0 * np.std(means) / 10.0 + 2e-3)
    assert np.std(means) == pytest.approx(card.constant_error, rel=0.5)


def test_reweighted_denominator_has_the_means_of_the_numerator(learned_ratio: LearnedRatio) -> None:
    events = two_jets(4000, 9, numerator=False)
    weights = flat(learned_ratio.reweight(events, out_of_domain="ignore").weights)
    for name, expected in (("pt", 65.0), ("eta", 0.4)):
        values = flat(events.Jet[name])
        mean = np.average(values, weights=weights)
        assert mean == pytest.approx(expected, abs=0.15 * values.std())


def test_handle_pickles_and_is_a_ratio_of_objects(learned_ratio: LearnedRatio) -> None:
    events = two_jets(20, 7, numerator=False)
    again = pickle.loads(pickle.dumps(learned_ratio))
    assert (
        again(events, out_of_domain="ignore").to_list()
        == learned_ratio(events, out_of_domain="ignore").to_list()
    )
    assert learned_ratio.task.features == ("pt", "eta")
    assert not learned_ratio.needs_partners
    assert "LearnedRatio" in repr(learned_ratio)


def test_outside_of_either_sample_is_outside(learned_ratio: LearnedRatio) -> None:
    jets = ak.Array([[{"pt": 60.0, "eta": 0.0}, {"pt": 2000.0, "eta": 0.0}]])
    assert learned_ratio.in_domain(jets).to_list() == [[True, False]]
    with pytest.warns(hepsilon.OutOfDomainWarning), pytest.warns(RatioWarning, match="1 of 2"):
        found = learned_ratio.evaluate(jets)
    assert found.clipped.to_list() == [[False, True]]
    assert found.ratio.to_list()[0][1] == 100.0


def test_ratio_of_efficiencies_shares_its_draws(ratio_of_efficiencies: LearnedRatio) -> None:
    events = two_jets(2000, 7, numerator=False)
    found = ratio_of_efficiencies.evaluate(events, replicas=50, out_of_domain="ignore")
    assert flat(found.ratio).mean() == pytest.approx(1.0 / 0.875, rel=0.08)
    above, below = (
        ratio_of_efficiencies.efficiency(side).evaluate(events, replicas=50, out_of_domain="ignore")
        for side in ("numerator", "denominator")
    )
    np.testing.assert_allclose(
        flat(found.replicas), flat(above.replicas) / flat(below.replicas), rtol=1e-12
    )
    assert ratio_of_efficiencies.task.features == ("pt", "eta")


def test_scale_factors_of_both_kinds(
    learned_ratio: LearnedRatio, ratio_of_efficiencies: LearnedRatio
) -> None:
    jets = two_jets(50, 3, numerator=False).Jet
    eps = ratio_of_efficiencies.efficiency("denominator")(jets, out_of_domain="ignore")
    factors = ratio_of_efficiencies.scale_factors(jets, out_of_domain="ignore")
    weight = hepsilon.truth_tag_weight(eps, 1, at_least=True, scale_factors=factors, jets=None)
    above = ratio_of_efficiencies.efficiency("numerator")(jets, out_of_domain="ignore")
    expected = hepsilon.truth_tag_weight(above, 1, at_least=True, jets=None)
    np.testing.assert_allclose(weight, expected, rtol=1e-9)
    shape = learned_ratio.scale_factors(jets, out_of_domain="ignore")
    direct = hepsilon.direct_tag_weight(jets.fired, shape)
    np.testing.assert_allclose(direct, ak.prod(learned_ratio(jets, out_of_domain="ignore"), axis=1))
    with pytest.raises(InputError, match="direct tagging"):
        hepsilon.truth_tag_weight(eps, 1, scale_factors=shape)


def test_field_tells_the_samples_apart(ratio_samples: tuple[Path, Path], tmp_path: Path) -> None:
    both = ak.concatenate([ak.from_parquet(path) for path in ratio_samples])
    ak.to_parquet(both, str(tmp_path / "both.parquet"))
    config = ratio_config({"field": "isData"})
    columns = read_columns([str(tmp_path / "both.parquet")], config, progress=False)
    parts = [ak.num(ak.from_parquet(path).Jet).to_numpy().sum() for path in ratio_samples]
    assert np.count_nonzero(columns.passed > 0.5) == parts[0]
    assert len(columns.passed) == sum(parts)


@pytest.mark.parametrize(
    ("value", "words"),
    [(2, "isData tells the samples of the ratio apart: .* received 2"), (1, "isData = 0 has Jet")],
)
def test_field_that_does_not_tell_is_named(tmp_path: Path, value: int, words: str) -> None:
    events = ak.concatenate([two_jets(50, 1, numerator=n) for n in (True, False)])
    both = tmp_path / "both.parquet"
    ak.to_parquet(ak.with_field(events, np.full(len(events), value), "isData"), str(both))
    with pytest.raises(InputError, match=words):
        train_ratio(
            ratio_config({"field": "isData"}), tmp_path / "x.hepsilon", [both], progress=False
        )


def test_what_tells_the_samples_apart_is_no_feature() -> None:
    features = {"features": ["pt", "isData", "eta"], "passed": {"field": "fired"}}
    config = ratio_config({"field": "isData", "kind": "efficiency"}, task=features)
    with pytest.raises(ConfigError, match="'isData' tells the two samples apart"):
        learned_config(config)


def test_weights_of_objects_subtract(ratio_samples: tuple[Path, Path]) -> None:
    own = read_columns(
        [str(ratio_samples[0])],
        ratio_config({"field": "isData"}, task={"object_weight": "sweight"}),
        progress=False,
    )
    events = ak.from_parquet(ratio_samples[0])
    assert own.n_events == len(own.nodes)
    expected = ak.sum(events.genWeight * events.Jet.sweight)
    assert own.weights.sum() == pytest.approx(expected)
    assert own.weights.min() < 0.0


def test_file_in_both_samples_is_refused(ratio_samples: tuple[Path, Path], tmp_path: Path) -> None:
    copied = shutil.copy(ratio_samples[0], tmp_path / "other_name.parquet")
    with pytest.raises(InputError, match="is a file of the numerator, too"):
        SidesOfRatio(ratio_config(), [ratio_samples[0]], [str(copied)])


def test_sample_that_is_not_named_is_asked_for(ratio_samples: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="the denominator of the ratio is not named"):
        SidesOfRatio(ratio_config(), [ratio_samples[0]], None)
    with pytest.raises(ConfigError, match="denominator of its own"):
        SidesOfRatio(ratio_config({"field": "isData"}), [ratio_samples[0]], [ratio_samples[1]])


def test_network_of_all_objects_together_is_refused(
    ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    config = ratio_config(model={"architecture": "gnn", "width": 8, "blocks": 1})
    with pytest.raises(ConfigError, match="every object is an entry of its own"):
        train_ratio(
            config, tmp_path / "x.hepsilon", [ratio_samples[0]], [ratio_samples[1]], progress=False
        )
    with pytest.raises(ConfigError, match="train_ratio"):
        hepsilon.train(ratio_config(), [ratio_samples[0]], tmp_path / "x.hepsilon", progress=False)


@pytest.mark.slow
def test_conditional_ratio_leaves_what_is_given(
    ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    config = ratio_config({"given": ["eta"]}, training={"epochs": 6})
    out = tmp_path / "ratio.hepsilon"
    train_ratio(config, out, [ratio_samples[0]], [ratio_samples[1]], progress=False)
    ratio, given = LearnedRatio.load(out), LearnedRatio.load(given_path(out))
    assert given.task.features == ("eta",)
    events = two_jets(1500, 7, numerator=False)
    total = true_log_ratio(events.Jet)
    of_eta = true_log_ratio(ak.with_field(events.Jet, 62.5, "pt"))  # where that of pt is one
    for found, expected in ((given, of_eta), (ratio, total - of_eta)):
        difference = np.log(flat(found(events, out_of_domain="ignore"))) - flat(expected)
        assert np.std(difference) < 0.4 * np.std(flat(expected))


@pytest.mark.slow
def test_networks_that_are_replicas_are_normalised_each(
    ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "ratio.hepsilon"
    config = ratio_config(
        model={"members": 3, "resampling": "bootstrap"}, training={"epochs": 3, "bias_term": False}
    )
    train_ratio(config, out, [ratio_samples[0]], [ratio_samples[1]], progress=False)
    ratio = LearnedRatio.load(out)
    assert len(ratio.found.network_constants) == 4
    events = two_jets(1500, 1, numerator=False)  # those of the training
    own = np.repeat(ak.to_numpy(events.genWeight), ak.num(events.Jet))
    means = own @ flat(ratio.replicas(events)) / own.sum()
    np.testing.assert_allclose(means, 1.0, atol=1e-4)


@pytest.mark.slow
def test_whole_ratio_is_the_product_with_both_errors(
    ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    config = ratio_config({"given": ["eta"]}, training={"epochs": 3})
    out = tmp_path / "ratio.hepsilon"
    train_ratio(config, out, [ratio_samples[0]], [ratio_samples[1]], progress=False)
    ratio, given = LearnedRatio.load(out), LearnedRatio.load(given_path(out))
    whole, events = ratio.whole(), two_jets(200, 7, numerator=False)
    found = [r.evaluate(events, out_of_domain="ignore") for r in (ratio, given, whole)]
    values = [flat(each.ratio) for each in found]
    np.testing.assert_allclose(values[2], values[0] * values[1], rtol=1e-9)
    drawn = [flat(each.replicas) for each in found]
    np.testing.assert_allclose(drawn[2], drawn[0] * np.roll(drawn[1], 1, axis=1), rtol=1e-9)
    inside = [flat(each.in_domain) for each in found]
    np.testing.assert_array_equal(inside[2], inside[0] & inside[1])
    with pytest.raises(ConfigError, match="conditional on nothing"):
        given.whole()
    with pytest.raises(ConfigError, match="expected the ratio of"):
        hepsilon.ProductRatio(ratio, ratio)
