from __future__ import annotations

import json

import awkward as ak
import pytest
import uproot

from hepsilon import load_config
from hepsilon.cli import parser as cli

pytestmark = pytest.mark.slow

CONFIG = """
[task]
features = ["pt", "eta", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "discriminant", above = [0.0] }
truth = "trueEfficiency"
weight = "genWeight"
[input]
tree = "dir/tree"
[input.branches]
pt = "jet_PT"
[map.axes]
pt = { edges = [20.0, 100.0, 600.0] }
[model]
architecture = "mlp"
width = 4
blocks = 1
[training]
epochs = 1
batch_events = 100
[observables.pt]
bins = 7
min = 20.0
max = 600.0
"""


def renamed(path, out, without=()):
    """The file with the tree and the branch of the configuration."""
    with uproot.open(path) as file, uproot.recreate(out) as copy:
        columns = {n: a for n, a in file["Events"].arrays(how=dict).items() if n != "nJet"}
        columns["jet_PT"] = columns.pop("Jet_pt")
        columns = {n: a for n, a in columns.items() if n not in without}
        copy.mktree("dir/tree", {n: ak.type(a).content for n, a in columns.items()})
        copy["dir/tree"].extend(columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("closure")
    (folder / "config.toml").write_text(CONFIG)
    for seed, name in enumerate(("a", "b", "no-truth"), start=1):
        raw = folder / "raw.root"
        assert (
            cli.main(["simulate", "jets", "-n", "300", "--seed", str(seed), "--out", str(raw)]) == 0
        )
        renamed(raw, folder / f"{name}.root", ("Jet_trueEfficiency",) * (name == "no-truth"))
    for command in ("map", "train"):
        out = folder / f"{command}.hepsilon"
        arguments = [command, folder / "config.toml", folder / "a.root", "--out", out]
        assert cli.main(list(map(str, arguments))) == 0
    return folder


def closed(run, folder, tmp_path, *arguments):
    code, stdout, err = run("closure", *arguments, "--out", tmp_path / "c", "--json")
    assert code == 0, err
    report = without_times(json.loads(stdout))
    report.pop("model_hash")
    return report, err


def without_times(report):
    for differs in ("seconds", "wall_seconds", "loads"):
        report.get("run", {}).pop(differs, None)
    return report


@pytest.mark.parametrize("name", ["map", "train"])
def test_an_artifact_knows_its_question(run, folder, tmp_path, name):
    artifact, sample = folder / f"{name}.hepsilon", folder / "b.root"
    found, _ = closed(run, folder, tmp_path, artifact, sample)
    expected, _ = closed(
        run, folder, tmp_path, folder / "config.toml", sample, "--efficiency", f"{name}={artifact}"
    )
    assert found == expected
    assert list(found["direct_effective_sample_size"]) == ["pt"]  # the only observable


def test_others_may_be_compared_with_it(run, folder, tmp_path):
    other = folder / "train.hepsilon"
    arguments = [folder / "map.hepsilon", folder / "b.root", "--efficiency", f"net={other}"]
    code, stdout, err = run("closure", *arguments, "--out", tmp_path / "c")
    assert code == 0, err
    assert "map" in stdout
    assert "net" in stdout


def test_truth_that_only_the_training_had_is_left_out(run, folder, tmp_path):
    artifact = folder / "map.hepsilon"
    err = closed(run, folder, tmp_path, artifact, folder / "no-truth.root")[1]
    assert "holds no true efficiency" in err
    code, _, err = run(
        *("closure", folder / "config.toml", folder / "no-truth.root"),
        *("--efficiency", f"m={artifact}", "--out", tmp_path / "c2"),
    )
    assert code == 2  # who writes a configuration says what is there
    assert "trueEfficiency" in err


@pytest.mark.parametrize("name", ["map", "train"])
def test_the_configuration_is_written_and_read_again(run, folder, tmp_path, name):
    out = tmp_path / "again.toml"
    code, stdout, err = run("info", folder / f"{name}.hepsilon", "--toml", "--out", out)
    assert (code, stdout) == (0, "")
    assert f"wrote {out}" in err
    assert run("info", "--toml", folder / f"{name}.hepsilon")[1] == out.read_text("utf-8")
    original, again = load_config(folder / "config.toml"), load_config(out)
    for part in ("task", "input", "observables"):
        assert getattr(again, part) == getattr(original, part)
    if name == "map":
        assert again.map == original.map
    else:
        assert again.model == original.model
        assert again.training.epochs == 1
    command = "train" if name == "train" else "map"
    arguments = [command, out, folder / "a.root", "--out", tmp_path / "again.hepsilon"]
    assert run(*arguments)[0] == 0
    first, second = (cli_card(run, f) for f in (folder / f"{name}.hepsilon", arguments[-1]))
    for part in ("features", "task", "sample"):
        assert first[part] == second[part]


def cli_card(run, path):
    return json.loads(run("info", path, "--json")[1])


def test_a_file_that_exists_is_not_overwritten_by_a_configuration(run, folder):
    arguments = ["--toml", "--out", folder / "config.toml"]
    code, _, err = run("info", folder / "map.hepsilon", *arguments)
    assert code == 2
    assert "exists" in err


def test_neither_artifact_nor_efficiency_is_bad_usage(run, folder, tmp_path):
    command = ["closure", folder / "config.toml", folder / "b.root", "--out", tmp_path / "c"]
    code, _, err = run(*command)
    assert code == 2
    assert "expected an efficiency to check" in err
    assert "usage:" in err


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_an_artifact_that_is_none_is_named(run, folder, tmp_path, content):
    artifact = tmp_path / "some.hepsilon"
    if content is not None:
        artifact.write_bytes(content)
    code, _, err = run("closure", artifact, folder / "b.root", "--out", tmp_path / "c")
    assert code == 2
    assert "some.hepsilon" in err
    assert ("no model or map file" if content is None else "is not a hepsilon file") in err


def test_the_content_tells_an_artifact_under_another_name(run, folder, tmp_path):
    other = tmp_path / "efficiency.zip"
    other.write_bytes((folder / "map.hepsilon").read_bytes())
    found, _ = closed(run, folder, tmp_path, other, folder / "b.root")
    assert list(found["efficiency"]) == ["truth", "efficiency"]


def test_names_must_differ(run, folder, tmp_path):
    artifact = folder / "map.hepsilon"
    arguments = [artifact, folder / "b.root", "--efficiency", f"map={artifact}"]
    code, _, err = run("closure", *arguments, "--out", tmp_path / "c")
    assert code == 2
    assert "the same name" in err


@pytest.mark.parametrize("command", ["map", "closure"])
def test_workers_read_what_this_process_reads(run, folder, tmp_path, command):
    found = []
    for number, options in enumerate(([], ["--executor", "futures", "--workers", 2])):
        out = tmp_path / f"{number}.hepsilon"
        first = folder / ("config.toml" if command == "map" else "map.hepsilon")
        arguments = [command, first, folder / "b.root", "--out", out, "--json", *options]
        code, stdout, err = run(*arguments, "--max-events", 200)
        assert code == 0, err
        result = without_times(json.loads(stdout))
        result.pop("path", None)
        found.append(result)
    assert found[0] == found[1]


def test_a_scheduler_needs_dask(run, folder, tmp_path):
    command = ["map", folder / "config.toml", folder / "a.root", "--out", tmp_path / "m.hepsilon"]
    code, _, err = run(*command, "--scheduler", "tcp://x:1", "--executor", "futures")
    assert code == 2
    assert "--scheduler is for --executor dask" in err


@pytest.mark.parametrize(
    ("sample", "arguments", "expected"),
    [
        ("a", (), 0),
        ("a", ("--fail-on", "fail"), 3),
        ("a", ("--fail-on", "warn"), 3),
        ("b", ("--fail-on", "fail"), 0),
        ("b", ("--fail-on", "warn"), 3),
    ],
)
def test_exit_code_is_that_of_the_verdict(run, folder, tmp_path, sample, arguments, expected):
    """Sample a is that of the training: fail; sample b, of 300 events, is too small: warn."""
    out = tmp_path / "c"
    artifact = folder / "map.hepsilon"
    command = ["closure", artifact, folder / f"{sample}.root", "--out", out, *arguments]
    code, stdout, err = run(*command)
    assert code == expected, err
    verdict = json.loads((out / "closure.json").read_text())["verdict"]
    status = "fail" if sample == "a" else "warn"
    assert verdict["status"] == verdict["methods"]["map"]["status"] == status
    text = " ".join(stdout.split())
    assert f"{status} map (baseline) on {sample}.root: " in text
    assert ("trained on 1 of these files (a.root)" in text) == (sample == "a")
    assert "could not have seen less than" in text
    assert f'<strong class="{status}">{status}</strong>' in (out / "report.html").read_text()
    assert ("exit code is 3" in err) == (expected == 3)
