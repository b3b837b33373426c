"""Fields that are no features, but explain what is left: the test, and what a training says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chi2, kstest

from hepsilon import train
from hepsilon.config import Cut, Fiducial, Passed, Task
from hepsilon.training.candidates import ANSWERS, FALSE_ALARM, score_test, unused_fields
from tests.helpers.field import config, numbers, write_tree

pytestmark = pytest.mark.slow


def pseudo(seed: int, n: int = 3000, effect: float = 0.0) -> dict[str, Any]:
    """Responses of known efficiencies, a field that goes with a feature, and weights."""
    rng = np.random.default_rng(seed)
    feature = rng.normal(size=n)
    field = feature + rng.normal(size=n)
    truth = expit(0.8 * feature - 0.5 + effect * np.sin(2.0 * field))
    return {
        "passed": (rng.uniform(size=n) < truth).astype(float),
        "truth": truth,
        "feature": feature,
        "field": field,
        "weights": np.where(rng.uniform(size=n) < 0.15, -0.7, rng.exponential(1.0, n) + 0.3),
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("wrong", [False, True])
def test_p_values_of_nothing_are_uniform(weighted: bool, wrong: bool) -> None:
    """Also where the efficiency is wrong in a feature, with which the field goes.

    Of 150 samples the Kolmogorov-Smirnov test gives a false alarm with 1e-3; the seed is fixed.
    """
    p_values = []
    for seed in range(150):
        own = pseudo(seed)
        weights = own["weights"] if weighted else np.ones(len(own["passed"]))
        eps = expit(0.5 * own["feature"] - 0.4) if wrong else own["truth"]
        found = score_test(own["passed"], eps, weights, [own["feature"]], own["field"])
        p_values.append(chi2.sf(*found))
    assert kstest(p_values, "uniform").pvalue > 1e-3


def test_an_effect_is_seen() -> None:
    own = pseudo(1, 5000, 1.0)
    arguments = own["passed"], expit(0.8 * own["feature"] - 0.5), np.ones(5000), [own["feature"]]
    statistic, ndf = score_test(*arguments, own["field"])
    assert chi2.sf(statistic, ndf) < 1e-20
    statistic, ndf = score_test(*arguments, np.random.default_rng(2).normal(size=5000))
    assert chi2.sf(statistic, ndf) > 1e-3


def test_missing_values_are_a_value() -> None:
    """An effect of being there alone."""
    own = pseudo(3)
    absent = np.random.default_rng(4).uniform(size=3000) < 0.3
    passed = np.where(absent, 0.0, own["passed"])
    field = np.where(absent, np.nan, own["field"])
    statistic, ndf = score_test(passed, own["truth"], np.ones(3000), [own["feature"]], field)
    assert chi2.sf(statistic, ndf) < 1e-20


@pytest.mark.parametrize("field", [np.full(3000, 2.0), np.full(3000, np.nan)])
def test_a_constant_explains_nothing(field: Any) -> None:
    own = pseudo(5)
    found = score_test(own["passed"], own["truth"], np.ones(3000), [own["feature"]], field)
    assert found == (0.0, 0)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        *((name, True) for name in ("btagDeepFlavB", "mvaTTH", "jetId", "genJetIdx", "puIdDisc")),
        *((name, True) for name in ("trueEfficiency", "score", "particleNetAK4_B", "genWeight")),
        *((name, False) for name in ("mass", "hadronFlavour", "nConstituents", "width", "dxy")),
        *((name, False) for name in ("chHEF", "area", "nMuons", "sip3d", "ptErr", "r9", "pt")),
    ],
)
def test_answers_and_truths_are_left_out_by_their_names(name: str, left_out: bool) -> None:
    assert bool(ANSWERS.search(name)) == left_out


def sample(n: int, seed: int) -> dict[str, Any]:
    """Jets that pass by pt and by a width that is no feature."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, n)
    size = int(counts.sum())
    pt, width = rng.exponential(60.0, size) + 21.0, rng.uniform(size=size)
    eps = expit(np.log(pt / 60.0) + 3.0 * (width - 0.5))
    passed = rng.uniform(size=size) < eps
    columns = {
        "pt": pt,
        "eta": rng.uniform(-2.4, 2.4, size),
        "phi": rng.uniform(-3.1, 3.1, size),
        "width": width,
        "area": pt * 0.01 + rng.normal(0.0, 0.2, size),
        "noise": rng.normal(size=size),
        "passes": passed.astype(np.float32),
        "myTagger": eps,
    }
    jets = {k: ak.unflatten(v.astype(np.float32), counts) for k, v in columns.items()}
    return {**numbers(n, start=seed * n), "Jet": ak.zip(jets)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("left") / "jets.root", sample(4000, 1))


def settings(*features: str, **model: Any) -> Any:
    task = {"features": list(features), "categorical": {}, "weight": None}
    own = {"architecture": "mlp", "width": 8, "blocks": 1} | model
    training = {"epochs": 3, "batch_events": 200, "validation": 0.3, "learning_rate": 1e-2}
    passed = {"field": "passes"}
    return config(task | {"passed": passed}, model=own, training=training)


@pytest.mark.parametrize("model", [{}, {"members": 2, "resampling": "folds"}], ids=str)
def test_a_training_names_what_it_lacks(
    file: Path, tmp_path: Path, model: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        card = train(
            settings("pt", "eta", **model), [file], tmp_path / "m.hepsilon", progress=False
        ).efficiency.card
    (found,) = card.unused
    assert found.field == "width"
    assert found.significance > 8.0
    assert found.p_value < FALSE_ALARM
    assert found.n_tests == 4  # phi, width, area, noise
    assert "width is no feature, but explains what is left" in caplog.text


def test_events_outside_the_fiducial_region_are_left_out(tmp_path: Path) -> None:
    """Two tracks pass together by the sum of their widths, which are no features."""
    rng, n = np.random.default_rng(6), 6000
    names = "pt", "eta", "width"
    pt, eta, width = (rng.uniform(low, high, (n, 2)) for low, high in ((1, 9), (-3, 3), (0, 1)))
    passes = rng.uniform(size=n) < expit(3.0 * (width.sum(axis=1) - 1.0))
    tracks = {
        k: ak.Array(v.astype(np.float32)) for k, v in zip(names, (pt, eta, width), strict=True)
    }
    tracks = {k: ak.from_regular(v) for k, v in tracks.items()}
    file = write_tree(
        tmp_path / "tracks.root", {**numbers(n), "Track": ak.zip(tracks), "detected": passes}
    )
    own = settings("pt", "eta")
    event = {
        "level": "event",
        "collection": "Track",
        "objects": 2,
        "order_by": "pt",
        "passed": Passed(field="detected"),
        "fiducial": Fiducial(cuts=(Cut(field="eta", min=-2.5, max=2.5),), outside="drop"),
    }
    task = Task.model_validate(own.task.model_dump(include={"features"}) | event)
    own = own.model_copy(update={"task": task, "observables": {}})
    card = train(own, [file], tmp_path / "m.hepsilon", progress=False).efficiency.card
    assert [each.field for each in card.unused] == ["width"]


def test_columns_of_any_kind_do_not_cost_a_training(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("cannot be converted")

    monkeypatch.setattr("hepsilon.training.results.unused_fields", fail)
    train(settings("pt", "eta"), [file], tmp_path / "m.hepsilon", progress=False)
    assert "could not be tested: cannot be converted" in caplog.text
    assert (tmp_path / "m.hepsilon").is_file()


def test_nothing_is_named_where_all_is_known(file: Path, tmp_path: Path) -> None:
    """With a probability of a false alarm of one in a thousand; the seed is fixed."""
    card = train(
        settings("pt", "width"), [file], tmp_path / "m.hepsilon", progress=False
    ).efficiency.card
    assert card.unused == ()


def test_it_is_shown(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hepsilon.cli.parser import main

    train(settings("pt"), [file], tmp_path / "m.hepsilon", progress=False)
    assert main(["info", str(tmp_path / "m.hepsilon")]) == 0
    assert "not a feature: width" in capsys.readouterr().out


def test_columns_that_were_read_have_no_other_fields(toy_columns: Any, tmp_path: Path) -> None:
    from tests.helpers.toys import mlp_config

    result = train(mlp_config(), toy_columns, tmp_path / "m.hepsilon", progress=False)
    assert result.efficiency.card.unused == ()
    assert unused_fields.__doc__
