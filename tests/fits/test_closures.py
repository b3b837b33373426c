"""Histograms of closures: from the folder of the command to files of a fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepsilon import ConfigError, InputError
from hepsilon.cli import main
from hepsilon.fits import ClosureFolder, closure_templates
from hepsilon.simulation import write_jets

TASK = """\
[task]
features = ["pt", "eta", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "tagger", above = [0.5] }

[observables.pt]
edges = [20, 50, 80, 120, 200, 600]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Closures of two samples, of one map, and one of another map."""
    folder = tmp_path_factory.mktemp("closures")
    config = folder / "task.toml"
    config.write_text(TASK)
    files = {n: write_jets(folder / f"{n}.root", 600, seed=s) for s, n in enumerate("abc", 1)}
    found = {}
    for made_from in "ac":
        efficiency = folder / f"{made_from}.hepsilon"
        assert main(["map", str(config), str(files[made_from]), "--out", str(efficiency)]) == 0
        for name in "bc":
            out = found[made_from + name] = folder / f"closure-{made_from}{name}"
            arguments = [str(config), str(files[name]), "--efficiency", f"map={efficiency}"]
            assert main(["closure", *arguments, "--out", str(out)]) in {0, 3}
    return found


@pytest.mark.slow
def test_a_process_is_what_the_closure_has(folders: dict[str, Path]) -> None:
    folder = ClosureFolder.read(folders["ab"])
    closure = json.loads((folders["ab"] / "closure.json").read_text())
    own = closure["efficiency"]["map"]["observables"]["pt|b"]
    found = closure_templates({"b": folder}, observables=["pt"], categories=["b"])
    channel = found.channels["pt_b"]
    template = channel.processes["b"]
    np.testing.assert_allclose(template.values, own["expected"])
    np.testing.assert_allclose(channel.observed, own["observed"])
    np.testing.assert_allclose(template.covariance, own["covariance"], rtol=1e-5)
    np.testing.assert_allclose(np.diag(template.covariance), own["efficiency_variance"])


@pytest.mark.slow
def test_one_artifact_is_one_efficiency(folders: dict[str, Path]) -> None:
    same = {name: ClosureFolder.read(folders[name]) for name in ("ab", "ac")}
    names = list(closure_templates(same, observables=["pt"]).shares)
    assert names[:2] == ["eff_0", "eff_1"]
    other = {name: ClosureFolder.read(folders[name]) for name in ("ab", "cb")}
    found = closure_templates(other, observables=["pt"])
    assert {"eff_ab_0", "eff_cb_0"} <= set(found.shares)
    channel = found.channels["pt"]
    twice = closure_templates({"b": other["ab"]}, observables=["pt"]).channels["pt"]
    np.testing.assert_allclose(channel.observed, 2.0 * twice.observed)


@pytest.mark.slow
def test_command_writes_all_formats(folders: dict[str, Path], tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    closure = str(folders["ab"])
    for format_, out in (("root", "t.root"), ("hepdata", "tables")):
        assert main(["histograms", closure, "--format", format_, "--out", str(tmp_path / out)]) == 0
    options = ["--observable", "pt", "--category", "b", "--category", "light"]
    for format_, out in (("pyhf", "w.json"), ("combine", "card.txt")):
        arguments = [f"ttbar={closure}", *options, "--format", format_]
        assert main(["histograms", *arguments, "--out", str(tmp_path / out)]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"t.root", "tables", "w.json", "card.txt", "card.root"}
    capsys.readouterr()
    arguments = [f"ttbar={closure}", "--format", "root", "--out", str(tmp_path / "t.root")]
    assert main(["histograms", *arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["channels"]["pt"]["bins"] == [5]
    assert summary["variations"]["eff_0"] > 0.0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["ab", "--format", "pyhf", "--out", "w.json"], "choose one --observable of pt"),
        (
            [
                "ab",
                "--format",
                "pyhf",
                "--out",
                "w.json",
                "--observable",
                "pt",
                "--category",
                "b",
                "--category",
                "all",
            ],
            "the category 'all' holds",
        ),
        (["ab", "ab", "--format", "root", "--out", "w.root"], "two closures have one name"),
        (["ab", "--format", "root", "--out", "w.root", "--observable", "mass"], "no observable"),
        (["ab", "--format", "root", "--out", "w.root", "--category", "muon"], "no category"),
        (["ab", "--format", "root", "--out", "w.root", "--efficiency", "gnn"], "received 'gnn'"),
        (["ab", "--format", "root", "--out", "w.root", "--efficiency", "direct"], "['map']"),
        (["none", "--format", "root", "--out", "w.root"], "expected a folder"),
        (["ab", "--format", "root", "--out", "w.json"], "expected a ROOT file"),
    ],
)
def test_bad_requests_say_what_to_do(
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(folders.get(argument, argument)) for argument in arguments]
    assert main(["histograms", *given]) == 2
    assert text in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_damaged_folders_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no histograms\.json"):
        ClosureFolder.read(tmp_path)
    for text in ("{", "[]", "{}", '{"observables": {"pt": {"axes": 1}}}', '{"observables": {}}'):
        (tmp_path / "histograms.json").write_text(text)
        (tmp_path / "closure.json").write_text((folders["ab"] / "closure.json").read_text())
        with pytest.raises(InputError, match=r"cannot be read|not as 'hepsilon closure' writes"):
            ClosureFolder.read(tmp_path)


@pytest.mark.slow
def test_an_efficiency_must_be_chosen_among_several(folders: dict[str, Path]) -> None:
    folder = ClosureFolder.read(folders["ab"])
    assert folder.efficiency() == "map"
    with pytest.raises(ConfigError, match="received 'all'"):
        folder.efficiency("all")
