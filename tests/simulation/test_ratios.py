"""Samples of known density ratio. Every statistical test fails in less than 1e-5 of the seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepsilon.cli.parser import main
from hepsilon.simulation import write_ratio_jets
from hepsilon.simulation.ratios import OVERLAPS, SIDES, log_density, ratio_jets, sweights

SIGMAS = 4.5


def sample(side: str, n: int = 20_000, **options: Any) -> Any:
    return ratio_jets(np.random.default_rng([7, SIDES.index(side)]), n, side, **options)


def log_ratio(jets: Any, overlap: str) -> Any:
    top, bottom = (log_density(side, OVERLAPS[overlap][side], jets) for side in SIDES)
    return top - bottom


def by_event(values: Any, jets: Any) -> Any:
    """Sums of the jets of each event: jets of an event share their position."""
    return np.add.reduceat(values, jets.offsets[:-1])


@pytest.mark.parametrize(("overlap", "covered"), [("good", 1.0), ("partial", None), ("none", 0.0)])
def test_ratio_has_the_mean_of_what_is_covered(overlap: str, covered: float | None):
    if covered is None:
        low, high, end = np.exp(-np.array([20.0, 120.0, 400.0]) / 75.0)
        covered = (low - high) / (low - end)
    jets = sample("denominator", overlap=overlap)
    off = by_event(np.exp(log_ratio(jets, overlap)) - covered, jets)
    assert abs(off.sum()) <= SIGMAS * np.sqrt((off**2).sum())


def test_ratio_carries_the_denominator_into_the_numerator():
    top, bottom = sample("numerator"), sample("denominator")
    ratio = np.exp(log_ratio(bottom, "good"))
    functions = {
        "pt": lambda jets: np.log(jets.pt),
        "b": lambda jets: jets.flavour == 5,
        "shape": lambda jets: jets.shape,
        "shape of close jets": lambda jets: jets.shape * (jets.nearest < 0.4),
        "shape of forward jets": lambda jets: jets.shape * (np.abs(jets.eta) > 1.8),
        "width": lambda jets: jets.shape**2,
    }
    for name, function in functions.items():
        is_, made = function(top), ratio * function(bottom)
        error = np.hypot(
            *(
                by_event(x - x.mean(), jets).std() * np.sqrt(len(jets.counts)) / len(x)
                for x, jets in ((is_, top), (made, bottom))
            )
        )
        assert abs(made.mean() - is_.mean()) < SIGMAS * error, name
        if name in ("pt", "b", "shape"):  # without the ratio it does not
            assert abs(function(bottom).mean() - is_.mean()) > 10.0 * error, name


def test_sweights_give_the_signal():
    jets = sample("numerator", background=0.5)
    rng = np.random.default_rng(3)
    flat, peak = rng.uniform(0.0, 10.0, len(jets.pt)), rng.normal(5.0, 0.5, len(jets.pt))
    mass = np.where(jets.background, flat, peak)
    weight = sweights(mass)
    assert weight.min() < 0.0
    signal = ~jets.background
    # the sum is the fitted number: its error is that of the fit
    assert abs(weight.sum() - signal.sum()) < SIGMAS * np.sqrt((weight**2).sum())
    mean = (weight * jets.shape).sum() / weight.sum()
    expected = jets.shape[signal].mean()
    error = np.sqrt((weight**2 * (jets.shape - mean) ** 2).sum()) / weight.sum()
    assert abs(mean - expected) < SIGMAS * error
    assert abs(jets.shape.mean() - expected) > 10.0 * error


def test_branches_of_a_file(tmp_path: Path):
    out = tmp_path / "numerator.root"
    arguments = ["simulate", "ratio-numerator", "-n", "500", "--seed", "3", "--background", "0.3"]
    assert main([*arguments, "--overlap", "partial", "--out", str(out)]) == 0
    events = uproot.open(out)["Events"].arrays()
    again = write_ratio_jets(
        tmp_path / "again.root", 500, side="numerator", overlap="partial", background=0.3, seed=3
    )
    assert ak.array_equal(events, uproot.open(again)["Events"].arrays())
    jets = ak.flatten(events.Jet_trueRatio), ak.flatten(events.Jet_pt)
    assert ak.all(np.isinf(jets[0]) == (jets[1] > 120.0))
    product = ak.to_numpy(ak.prod(events.Jet_trueRatio, axis=1))
    np.testing.assert_allclose(product, events.trueEventRatio, rtol=1e-9)
    tagged = ak.flatten(events.Jet_discriminant > 0.0)
    eps = ak.flatten(events.Jet_trueEfficiency)
    assert abs(ak.sum(tagged) - ak.sum(eps)) < SIGMAS * np.sqrt(ak.sum(eps * (1.0 - eps)))
    assert ak.min(events.Jet_sWeight) < 0.0
    assert ak.all(events.isNumerator)


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "data"},
        {"side": "numerator", "overlap": "some"},
        {"side": "numerator", "background": 1.0},
        {"side": "denominator", "background": 0.1},
        {"side": "numerator", "n_events": 0},
    ],
)
def test_what_no_sample_can_be_is_an_error(wrong: dict[str, Any], tmp_path: Path):
    with pytest.raises(ValueError, match="expected"):
        write_ratio_jets(tmp_path / "x.root", **({"n_events": 5} | wrong))


def test_options_of_another_kind_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "x.root")
    assert main(["simulate", "jets", "-n", "5", "--overlap", "none", "--out", out]) == 2
    assert "--overlap" in capsys.readouterr().err
    arguments = ["simulate", "ratio-denominator", "-n", "5", "--final-state", "KK", "--out", out]
    assert main(arguments) == 2
    assert "simulate tracks" in capsys.readouterr().err
