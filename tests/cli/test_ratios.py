"""Ratios of two samples from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon import LearnedRatio
from hepsilon.cli.parser import build_parser, main
from hepsilon.cli.ratios import questions_of_sides
from hepsilon.closure import trained_on
from tests.helpers.ratio_toys import write_two

TASK = """
[task]
features = ["pt", "eta"]
weight = "genWeight"
[task.ratio]
{ratio}
[input]
schema = "parquet"
[model]
architecture = "mlp"
width = 4
blocks = 1
[training]
epochs = 1
batch_events = 200
validation = 0.3
"""


def write_task(folder: Path, ratio: str = "") -> Path:
    path = folder / "ratio.toml"
    path.write_text(TASK.format(ratio=ratio))
    return path


def failing(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(list(map(str, arguments))) != 0
    return capsys.readouterr().err


def test_training_takes_the_files_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two(tmp_path, 200)
    names = 'numerator = "numerator.parquet"\ndenominator = ["denominator.parquet"]'
    task, out = write_task(tmp_path, names), tmp_path / "ratio.hepsilon"
    assert main(["train", str(task), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "ratio: normalisation" in said
    ratio = hepsilon.load(out)
    assert isinstance(ratio, LearnedRatio)
    assert [file.name for file in ratio.card.files] == [
        "numerator.parquet",
        "denominator.parquet",
    ]
    assert main(["info", str(out)]) == 0
    shown = capsys.readouterr().out
    for words in ("numerator", "denominator", "normalisation", "AUC", "clip"):
        assert words in shown
    assert main(["info", str(out), "--toml"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_closure_writes_a_verdict_a_page_and_pictures(
    learned_ratio: LearnedRatio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numerator, denominator = write_two(tmp_path, 1500, seed=5)
    command = ["closure", learned_ratio.path, "--numerator", numerator]
    command += ["--denominator", denominator, "--out", tmp_path / "closure"]
    assert main(list(map(str, command))) == 0
    shown = capsys.readouterr().out
    assert "before and after reweighting" in shown
    closure = json.loads((tmp_path / "closure" / "closure.json").read_text())
    assert closure["verdict"]["status"] in ("pass", "warn")
    pt = closure["observables"]["pt"]
    assert pt["before"]["chi2"] > 10.0 * pt["after"]["chi2"]
    assert closure["auc_before"] > 0.6 > closure["auc_after"]
    assert main(["info", str(tmp_path / "closure")]) == 0
    assert "verdict" in capsys.readouterr().out
    page = (tmp_path / "closure" / "report.html").read_text()
    assert "Closure of a ratio" in page
    assert "data:image/png" in page
    assert (tmp_path / "closure" / "pt.png").exists()


def test_closure_of_a_ratio_of_efficiencies_is_that_of_both_samples(
    ratio_of_efficiencies: LearnedRatio, ratio_samples: tuple[Path, Path]
) -> None:
    command = ["closure", ratio_of_efficiencies.path, "--out", "c"]
    command += ["--numerator", ratio_samples[0], "--denominator", ratio_samples[1]]
    args = build_parser().parse_args(list(map(str, command)))
    questions = questions_of_sides(args)
    assert list(questions) == ["numerator", "denominator"]
    for side, (config, efficiencies, _) in questions.items():
        assert config.task.ratio is None
        assert config.task.features == ("pt", "eta")
        assert list(efficiencies) == ["numerator", "denominator"]
        # files of the training are found
        assert trained_on(efficiencies, [ratio_samples[0]])[side] == [ratio_samples[0].name]


@pytest.mark.slow
def test_table_of_a_ratio_of_efficiencies_has_the_other_one_with_the_error_of_the_ratio(
    ratio_of_efficiencies: LearnedRatio, tmp_path: Path
) -> None:
    numerator, denominator = write_two(tmp_path, 400, seed=5)
    command = ["closure", ratio_of_efficiencies.path, "--out", tmp_path / "c"]
    command += ["--numerator", numerator, "--denominator", denominator]
    assert main(list(map(str, command))) == 0
    table = json.loads((tmp_path / "c" / "universality.json").read_text())
    found = table["samples"]["denominator"]["denominator"]["dependence"]["numerator"]
    events = ak.from_parquet(denominator)
    weights = ak.to_numpy(events.genWeight)
    drawn = []
    for side in ("numerator", "denominator"):
        eps = ratio_of_efficiencies.efficiency(side).evaluate(events, out_of_domain="ignore")
        drawn.append(weights @ ak.to_numpy(ak.sum(eps.replicas, axis=1)))
    ratio = drawn[0] / drawn[1]
    difference = found["totals"]["all"] if "totals" in found else found
    assert difference["relative_difference"] == pytest.approx(ratio.mean() - 1.0, abs=0.02)
    # what both share cancels: the replicas are those of the ratio
    assert difference["error"] == pytest.approx(ratio.std(ddof=1), rel=0.1)


def test_closure_on_the_files_of_the_training_fails(
    learned_ratio: LearnedRatio, ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ["closure", learned_ratio.path, "--numerator", ratio_samples[0]]
    command += ["--denominator", ratio_samples[1], "--out", tmp_path / "closure"]
    assert main([*map(str, command), "--fail-on", "fail"]) == 3


def test_apply_writes_the_ratio(
    learned_ratio: LearnedRatio, ratio_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "friend.parquet"
    command = ["apply", learned_ratio.path, ratio_samples[1], "--out", out]
    assert main([*map(str, command), "--replicas", "updown"]) == 0
    friend, events = ak.from_parquet(out), ak.from_parquet(ratio_samples[1])
    expected = learned_ratio(events, out_of_domain="ignore")
    found, up, down = (friend[f"Jet_ratio{end}"] for end in ("", "_up", "_down"))
    np.testing.assert_allclose(ak.flatten(found), ak.flatten(expected), rtol=1e-6)
    assert ak.all(up > found)
    np.testing.assert_allclose(ak.flatten(up * down), ak.flatten(found**2), rtol=1e-5)


def test_export_is_a_correction_or_refused(
    learned_ratio: LearnedRatio,
    ratio_of_efficiencies: LearnedRatio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    correctionlib = pytest.importorskip("correctionlib", "2.9")
    out = tmp_path / "ratio.json"
    export = ["export", "--format", "correctionlib", "--out", str(out)]
    assert main([*export, learned_ratio.path]) == 0
    pt, eta = np.array([50.0, 60.0, 70.0, 1e4]), np.array([0.0, 1.0, -1.0, 9.0])
    correction = correctionlib.CorrectionSet.from_file(str(out))["ratio"]
    jets = ak.Array({"pt": pt[:, None], "eta": eta[:, None]})
    jets = ak.zip({name: jets[name] for name in ak.fields(jets)})
    expected = ak.flatten(learned_ratio(jets, out_of_domain="ignore"))
    np.testing.assert_allclose(correction.evaluate(pt, eta), expected, rtol=1e-4)
    capsys.readouterr()
    other = tmp_path / "other.json"
    said = failing(
        capsys, "export", "--format", "correctionlib", "--out", other, ratio_of_efficiencies.path
    )
    assert "two efficiencies" in said
    assert "hepsilon apply" in said
    graph = tmp_path / "other.onnx"
    said = failing(capsys, "export", "--format", "onnx", "--out", graph, learned_ratio.path)
    assert "hepsilon apply" in said


def test_samples_and_tasks_must_fit(
    learned_ratio: LearnedRatio,
    ratio_samples: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task, out = write_task(tmp_path), ["--out", tmp_path / "x.hepsilon"]
    file = ratio_samples[0]
    assert "is not named" in failing(capsys, "train", task, *out)
    assert "--numerator FILES" in failing(capsys, "train", task, file, *out)
    assert "--numerator FILES" in failing(capsys, "map", task, file, *out)
    said = failing(capsys, "closure", learned_ratio.path, file, "--out", tmp_path / "c")
    assert "expected --numerator FILES" in said
    twice = ["--numerator", file, "--denominator", file, "--out", tmp_path / "c"]
    said = failing(capsys, "closure", learned_ratio.path, *twice)
    assert "is a file of the numerator, too" in said
    friend = tmp_path / "friend.parquet"
    said = failing(capsys, "apply", learned_ratio.path, file, "--tags", "2", "--out", friend)
    assert "no probability of tags" in said
    plain = tmp_path / "plain.toml"
    plain.write_text('[task]\nfeatures = ["pt"]\npassed = { field = "fired" }\n')
    said = failing(capsys, "train", plain, "--numerator", file, *out)
    assert "asks for an efficiency" in said
    assert "expected FILES" in failing(capsys, "train", plain, *out)


def test_files_may_stand_behind_the_options() -> None:
    for command in (["a.root", "--out", "x"], ["--out", "x", "a.root"]):
        args = build_parser().parse_args(["train", "task.toml", *command])
        assert args.files == ["a.root"]
    both = ["--numerator", "a.root", "b.root", "--denominator", "c.root", "--out", "x"]
    args = build_parser().parse_args(["train", "task.toml", *both])
    assert (args.files, args.numerator, args.denominator) == ([], ["a.root", "b.root"], ["c.root"])
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "task.toml", "--out", "x", "a.root", "--unknown"])


def test_other_commands_say_what_a_ratio_is_not(
    learned_ratio: LearnedRatio,
    ratio_samples: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "closure"
    command = ["closure", learned_ratio.path, "--numerator", ratio_samples[0]]
    command += ["--denominator", ratio_samples[1], "--out", out]
    assert main(list(map(str, command))) == 0
    said = failing(capsys, "merge", tmp_path / "both", out, out)
    assert "closure of a ratio of two samples" in said
    assert "--numerator" in said
    said = failing(
        capsys,
        "recalibrate",
        learned_ratio.path,
        ratio_samples[1],
        "--out",
        tmp_path / "x.hepsilon",
    )
    assert "no response to be recalibrated on" in said
