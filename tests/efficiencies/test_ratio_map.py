"""Binned ratios: values against sums by hand, replicas, domain, files and uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon import ArtifactError, ConfigError, InputError, RatioMap, TrainingError, fit_ratio_map
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.arrays.types import Array
from hepsilon.cli.parser import main
from hepsilon.efficiencies.correction import CorrectionEfficiency
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.export.corrections import write_correction_file
from tests.helpers.ratio_toys import ratio_config, true_log_ratio, two_jets, write_two

AXES = {
    "pt": {"edges": [30.0, 50.0, 55.0, 60.0, 65.0, 70.0, 100.0]},
    "eta": {"edges": [-3.0, 0.0, 3.0]},
}


def config_of(ratio: dict[str, Any] | None = None, **task: Any) -> hepsilon.Config:
    config = ratio_config(ratio, task=task).model_dump(exclude_unset=True)
    return hepsilon.Config.model_validate(config | {"map": {"axes": AXES}})


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_two(tmp_path_factory.mktemp("samples"), 4000)


@pytest.fixture(scope="module")
def binned(samples: tuple[Path, Path]) -> RatioMap:
    return fit_ratio_map(config_of(), [samples[0]], [samples[1]], progress=False)


@pytest.fixture(scope="module")
def of_efficiencies(samples: tuple[Path, Path]) -> RatioMap:
    config = config_of({"kind": "efficiency"}, passed={"field": "fired"})
    return fit_ratio_map(config, [samples[0]], [samples[1]], progress=False)


def flat(values: Any) -> Array:
    return ak.to_numpy(ak.flatten(values))


def sums(events: ak.Array, select: Any = None) -> Array:
    """Sums of weights in the bins of pt and eta, and of their squares."""
    weights = ak.broadcast_arrays(events.genWeight, events.Jet.pt)[0]
    rows = slice(None) if select is None else flat(select)
    edges = [AXES["pt"]["edges"], AXES["eta"]["edges"]]
    values = [flat(events.Jet.pt)[rows], flat(events.Jet.eta)[rows]]
    w = flat(weights)[rows]
    return np.stack([np.histogram2d(*values, bins=edges, weights=w**p)[0] for p in (1, 2)])


def test_values_are_ratios_of_shares(binned: RatioMap) -> None:
    (top, top2), (bottom, bottom2) = (sums(two_jets(4000, 1, numerator=n)) for n in (True, False))
    expected = (top / top.sum()) / (bottom / bottom.sum())
    well = (top**2 / top2 > 200.0) & (bottom**2 / bottom2 > 200.0)
    assert well.sum() >= 8
    # the prior of the map is worth one entry
    np.testing.assert_allclose(binned.values()[well], expected[well], rtol=0.01)
    share = bottom / bottom.sum()
    assert np.sum(share * binned.values()) == pytest.approx(1.0, abs=1e-9)
    drawn = binned.draws(400)
    np.testing.assert_allclose(np.einsum("ij,ijk->k", share, drawn), 1.0, rtol=1e-6)
    spread = np.std(np.log(drawn), axis=-1)
    error = np.sqrt(top2 / top**2 + bottom2 / bottom**2)
    # 400 draws know a spread to 3.5 %: six standard deviations, and the norm takes a little
    np.testing.assert_allclose(spread[well], error[well], rtol=0.3)


def test_bands_of_bins_hold_the_truth(binned: RatioMap) -> None:
    """Mean true ratio of a large sample in every bin against the replicas of the map."""
    events = two_jets(100_000, 77, numerator=False)
    ones = ak.with_field(events, np.ones(len(events)), "genWeight")
    below = sums(ones)[0]
    truth = np.exp(flat(true_log_ratio(events.Jet)))
    edges = [AXES["pt"]["edges"], AXES["eta"]["edges"]]
    values = flat(events.Jet.pt), flat(events.Jet.eta)
    expected = np.histogram2d(*values, bins=edges, weights=truth)[0] / below
    pull = (binned.values() - expected) / np.std(binned.draws(200), axis=-1)
    # chi2 of 12 bins: 33 has a chance of 1e-3
    assert np.sum(pull**2) < 33.0


def test_answers_and_replicas_are_those_of_the_bins(binned: RatioMap) -> None:
    events = two_jets(300, 5, numerator=False)
    found = binned.evaluate(events, out_of_domain="ignore", replicas=30)
    pt, eta = flat(events.Jet.pt), flat(events.Jet.eta)
    i = np.clip(np.digitize(pt, AXES["pt"]["edges"]) - 1, 0, 5)
    j = np.clip(np.digitize(eta, AXES["eta"]["edges"]) - 1, 0, 1)
    np.testing.assert_array_equal(flat(found.ratio), binned.values()[i, j])
    np.testing.assert_array_equal(flat(found.replicas), binned.draws(30)[i, j])
    inside = (pt >= 30.0) & (pt <= 100.0) & (np.abs(eta) <= 3.0)
    np.testing.assert_array_equal(flat(found.in_domain), inside)
    fewer = binned.evaluate(events, out_of_domain="ignore", replicas=7)
    np.testing.assert_array_equal(flat(fewer.replicas), flat(found.replicas)[:, :7])


def test_bins_without_one_of_the_samples_are_outside(samples: tuple[Path, Path]) -> None:
    config = hepsilon.Config.model_validate(
        config_of().model_dump(exclude_unset=True)
        | {"map": {"axes": AXES | {"pt": {"edges": [-500.0, 10.0, 60.0, 200.0]}}}}
    )
    found = fit_ratio_map(config, [samples[0]], [samples[1]], progress=False)
    assert found.n_empty == 2
    jets = ak.Array([[{"pt": 5.0, "eta": 0.5}, {"pt": 50.0, "eta": 0.5}]])
    assert found.in_domain(jets).to_list() == [[False, True]]


def test_file_gives_the_same_answers(binned: RatioMap, tmp_path: Path) -> None:
    path = binned.save(tmp_path / "binned.hepsilon")
    again = hepsilon.load(path)
    assert isinstance(again, RatioMap)
    events = two_jets(50, 5, numerator=False)
    mine, other = (r.replicas(events, n_replicas=5).to_list() for r in (binned, again))
    assert mine == other
    with pytest.raises(ArtifactError):
        EfficiencyMap.load(path)
    with pytest.raises(ArtifactError, match="share"):
        RatioMap(binned.card, {n: a for n, a in binned._arrays.items() if n != "share"})


def test_ratio_of_efficiencies_is_that_of_two_maps(of_efficiencies: RatioMap) -> None:
    found = []
    for numerator in (True, False):
        events = two_jets(4000, 1, numerator=numerator)
        found.append(sums(events, events.Jet.fired)[0] / sums(events)[0])
    expected = found[0] / found[1]
    busy = sums(two_jets(4000, 1, numerator=False))[0] > 200.0
    np.testing.assert_allclose(of_efficiencies.values()[busy], expected[busy], rtol=0.01)
    assert of_efficiencies.features.names == ("pt", "eta")
    drawn = of_efficiencies.draws(200)
    pull = (of_efficiencies.values() - 1.0 / 0.875) / drawn.std(axis=-1)
    assert np.sum(pull**2) < 33.0  # 12 bins, a chance of 1e-3
    jets = two_jets(50, 3, numerator=False).Jet
    up, _ = of_efficiencies.scale_factors(jets).variations["ratio"]
    assert ak.all(up > of_efficiencies(jets, out_of_domain="ignore"))


def test_it_is_a_scale_factor_and_reweights(binned: RatioMap, of_efficiencies: RatioMap) -> None:
    from coffea.analysis_tools import Weights

    events = two_jets(200, 4, numerator=False)
    inside = (events.Jet.pt > 30.0) & (events.Jet.pt < 100.0) & (abs(events.Jet.eta) < 3.0)
    events = ak.with_field(events, events.Jet[inside], "Jet")
    eps = ak.full_like(events.Jet.pt, 0.5)
    weights = Weights(len(events))
    add_truth_tag(weights, "tags", eps, 1, scale_factors=of_efficiencies, records=events.Jet)
    plain = Weights(len(events))
    add_truth_tag(plain, "tags", eps, 1)
    assert not np.allclose(weights.weight(), plain.weight())
    new = binned.reweight(events, events.genWeight)
    assert new.mean == pytest.approx(1.0, abs=0.05)


def test_correction_file_has_the_values_and_the_error(
    binned: RatioMap, of_efficiencies: RatioMap, tmp_path: Path
) -> None:
    correctionlib = pytest.importorskip("correctionlib")
    pt, eta = np.array([52.0, 62.0, 10.0, 500.0]), np.array([-1.0, 1.0, 9.0, -9.0])
    jets = ak.zip({"pt": pt[:, None], "eta": eta[:, None]})
    for number, ratio in enumerate((binned, of_efficiencies)):
        path = write_correction_file(ratio, tmp_path / f"ratio{number}.json")
        correction = correctionlib.CorrectionSet.from_file(str(path))["ratio"]
        expected = flat(ratio(jets, out_of_domain="ignore"))
        found = {name: correction.evaluate(name, pt, eta) for name in ("nominal", "up", "down")}
        np.testing.assert_allclose(found["nominal"], expected, rtol=1e-12)
        assert np.all(found["up"] > expected)
        np.testing.assert_allclose(found["up"] * found["down"], expected**2, rtol=1e-9)
    with pytest.raises(ConfigError, match="task"):  # it is no efficiency for who reads it
        CorrectionEfficiency(tmp_path / "ratio0.json")


def test_no_binned_ratio_of(samples: tuple[Path, Path], tmp_path: Path) -> None:
    top, bottom = [samples[0]], [samples[1]]
    with pytest.raises(ConfigError, match="two stages"):
        fit_ratio_map(config_of({"given": ["eta"]}), top, bottom, progress=False)
    with pytest.raises(InputError, match="file of the numerator"):
        fit_ratio_map(config_of(), top, top, progress=False)
    far = write_two(tmp_path, 300, shift=40.0)
    with pytest.raises(TrainingError, match="do not overlap"):
        fit_ratio_map(config_of(), [far[0]], [far[1]], progress=False)


CONFIG = """
[task]
features = ["pt", "eta"]
weight = "genWeight"
[task.ratio]
[input]
schema = "parquet"
[map.axes.pt]
edges = [30.0, 55.0, 65.0, 100.0]
"""


def test_command_line(
    samples: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "ratio.toml", tmp_path / "binned.hepsilon"
    config.write_text(CONFIG)
    sides = ["--numerator", str(samples[0]), "--denominator", str(samples[1])]
    assert main(["map", str(config), *sides, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "3 bins, 0 of them without entries of both samples" in said
    assert main(["info", str(out)]) == 0
    assert "denominator" in capsys.readouterr().out
    other = write_two(tmp_path, 3000, seed=9)
    command = ["closure", out, "--numerator", other[0], "--denominator", other[1]]
    assert main([*map(str, command), "--out", str(tmp_path / "closure")]) == 0
    closure = json.loads((tmp_path / "closure" / "closure.json").read_text())
    pt = closure["observables"]["pt"]
    assert pt["before"]["chi2"] > 3.0 * pt["after"]["chi2"]
    assert closure["mean"] == pytest.approx(1.0, abs=5 * closure["mean_error"])
    friend = tmp_path / "friend.parquet"
    assert main(["apply", str(out), str(other[1]), "--out", str(friend)]) == 0
    assert "Jet_ratio" in ak.from_parquet(friend).fields
    capsys.readouterr()
    assert main(["map", str(config), "--out", str(tmp_path / "x.hepsilon")]) != 0
    assert "--numerator" in capsys.readouterr().err
