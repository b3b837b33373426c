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
from hepsilon.training.ratios import SidesOfRatio, train_ratio
from tests.helpers.ratio_toys import ratio_config, true_log_ratio, two_jets, write_two


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_two(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def learned(samples: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> LearnedRatio:
    out = tmp_path_factory.mktemp("ratio") / "ratio.hepsilon"
    numerator, denominator = map(str, samples)
    config = ratio_config({"numerator": numerator, "denominator": denominator})
    train_ratio(config, out, progress=False)
    ratio = hepsilon.load(out)
    assert isinstance(ratio, LearnedRatio)
    return ratio


@pytest.fixture(scope="module")
def of_efficiencies(
    samples: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> LearnedRatio:
    out = tmp_path_factory.mktemp("ratio") / "efficiencies.hepsilon"
    config = ratio_config({"kind": "efficiency"}, task={"passed": {"field": "fired"}})
    train_ratio(config, out, [samples[0]], [samples[1]], progress=False)
    return LearnedRatio.load(out)


def flat(values: Any) -> Any:
    return np.asarray(ak.to_numpy(ak.flatten(values, axis=1)))


def test_ratio_is_near_the_true_one(learned: LearnedRatio) -> None:
    events = two_jets(2000, 7, numerator=False)
    found = learned.evaluate(events, replicas=50)
    inside = flat(found.in_domain)
    difference = np.log(flat(found.ratio)) - flat(true_log_ratio(events.Jet))
    error = np.log(flat(found.replicas)).std(axis=1)
    assert np.sqrt(np.mean(difference[inside] ** 2)) < 0.15
    # within the error, up to what a network of eight units cannot know: three false alarms of 1e3
    assert np.mean((difference[inside] / error[inside]) ** 2) < 5.0
    assert found.ratio.to_list() == learned(events, out_of_domain="ignore").to_list()


def test_normalisation_is_imposed_and_reported(learned: LearnedRatio) -> None:
    card = learned.found
    assert card.mean == pytest.approx(1.0, abs=5.0 * card.mean_error)
    assert card.constant == pytest.approx(1.0 / card.mean, rel=0.05)
    events = two_jets(4000, 8, numerator=False)
    found = learned.reweight(events, events.genWeight, out_of_domain="ignore")
    assert found.mean == pytest.approx(1.0, abs=0.05)
    assert found.n_effective < found.n_effective_before
    means = (np.asarray(ak.to_numpy(events.genWeight)),)
    assert len(found.weights) == len(means[0])
    assert "normalisation" in str(card)


def test_reweighted_denominator_has_the_means_of_the_numerator(learned: LearnedRatio) -> None:
    events = two_jets(4000, 9, numerator=False)
    weights = flat(learned.reweight(events, out_of_domain="ignore").weights)
    for name, expected in (("pt", 65.0), ("eta", 0.4)):
        values = flat(events.Jet[name])
        mean = np.average(values, weights=weights)
        assert mean == pytest.approx(expected, abs=0.15 * values.std())


def test_handle_pickles_and_is_a_ratio_of_objects(learned: LearnedRatio) -> None:
    events = two_jets(20, 7, numerator=False)
    again = pickle.loads(pickle.dumps(learned))
    assert (
        again(events, out_of_domain="ignore").to_list()
        == learned(events, out_of_domain="ignore").to_list()
    )
    assert learned.task.features == ("pt", "eta")
    assert not learned.needs_partners
    assert "LearnedRatio" in repr(learned)


def test_outside_of_either_sample_is_outside(learned: LearnedRatio) -> None:
    jets = ak.Array([[{"pt": 60.0, "eta": 0.0}, {"pt": 2000.0, "eta": 0.0}]])
    assert learned.in_domain(jets).to_list() == [[True, False]]
    with pytest.warns(hepsilon.OutOfDomainWarning), pytest.warns(RatioWarning, match="1 of 2"):
        found = learned.evaluate(jets)
    assert found.clipped.to_list() == [[False, True]]
    assert found.ratio.to_list()[0][1] == 100.0


def test_ratio_of_efficiencies_shares_its_draws(of_efficiencies: LearnedRatio) -> None:
    events = two_jets(2000, 7, numerator=False)
    found = of_efficiencies.evaluate(events, replicas=50, out_of_domain="ignore")
    assert flat(found.ratio).mean() == pytest.approx(1.0 / 0.875, rel=0.08)
    above, below = (
        of_efficiencies.efficiency(side).evaluate(events, replicas=50, out_of_domain="ignore")
        for side in ("numerator", "denominator")
    )
    np.testing.assert_allclose(
        flat(found.replicas), flat(above.replicas) / flat(below.replicas), rtol=1e-12
    )
    assert of_efficiencies.task.features == ("pt", "eta")


def test_scale_factors_of_both_kinds(learned: LearnedRatio, of_efficiencies: LearnedRatio) -> None:
    jets = two_jets(50, 3, numerator=False).Jet
    eps = of_efficiencies.efficiency("denominator")(jets, out_of_domain="ignore")
    factors = of_efficiencies.scale_factors(jets, out_of_domain="ignore")
    weight = hepsilon.truth_tag_weight(eps, 1, at_least=True, scale_factors=factors, jets=None)
    above = of_efficiencies.efficiency("numerator")(jets, out_of_domain="ignore")
    expected = hepsilon.truth_tag_weight(above, 1, at_least=True, jets=None)
    np.testing.assert_allclose(weight, expected, rtol=1e-9)
    shape = learned.scale_factors(jets, out_of_domain="ignore")
    direct = hepsilon.direct_tag_weight(jets.fired, shape)
    np.testing.assert_allclose(direct, ak.prod(learned(jets, out_of_domain="ignore"), axis=1))
    with pytest.raises(InputError, match="direct tagging"):
        hepsilon.truth_tag_weight(eps, 1, scale_factors=shape)


def test_field_tells_the_samples_apart(samples: tuple[Path, Path], tmp_path: Path) -> None:
    both = ak.concatenate([ak.from_parquet(path) for path in samples])
    ak.to_parquet(both, str(tmp_path / "both.parquet"))
    config = ratio_config({"field": "isData"})
    columns = read_columns([str(tmp_path / "both.parquet")], config, progress=False)
    parts = [ak.num(ak.from_parquet(path).Jet).to_numpy().sum() for path in samples]
    assert np.count_nonzero(columns.passed > 0.5) == parts[0]
    assert len(columns.passed) == sum(parts)


def test_weights_of_objects_subtract(samples: tuple[Path, Path]) -> None:
    own = read_columns(
        [str(samples[0])],
        ratio_config({"field": "isData"}, task={"object_weight": "sweight"}),
        progress=False,
    )
    events = ak.from_parquet(samples[0])
    assert own.n_events == len(own.nodes)
    expected = ak.sum(events.genWeight * events.Jet.sweight)
    assert own.weights.sum() == pytest.approx(expected)
    assert own.weights.min() < 0.0


def test_file_in_both_samples_is_refused(samples: tuple[Path, Path], tmp_path: Path) -> None:
    copied = shutil.copy(samples[0], tmp_path / "other_name.parquet")
    with pytest.raises(InputError, match="is a file of the numerator, too"):
        SidesOfRatio(ratio_config(), [samples[0]], [str(copied)])


def test_sample_that_is_not_named_is_asked_for(samples: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="the denominator of the ratio is not named"):
        SidesOfRatio(ratio_config(), [samples[0]], None)
    with pytest.raises(ConfigError, match="denominator of its own"):
        SidesOfRatio(ratio_config({"field": "isData"}), [samples[0]], [samples[1]])


def test_network_of_all_objects_together_is_refused(
    samples: tuple[Path, Path], tmp_path: Path
) -> None:
    config = ratio_config(model={"architecture": "gnn", "width": 8, "blocks": 1})
    with pytest.raises(ConfigError, match="every object is an entry of its own"):
        train_ratio(config, tmp_path / "x.hepsilon", [samples[0]], [samples[1]], progress=False)
    with pytest.raises(ConfigError, match="train_ratio"):
        hepsilon.train(ratio_config(), [samples[0]], tmp_path / "x.hepsilon", progress=False)
