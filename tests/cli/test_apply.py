from __future__ import annotations

import json

import awkward as ak
import pytest
import uproot

from hepsilon import load
from hepsilon.cli import parser as cli

CONFIG = """
[task]
features = ["pt", "eta", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
selection = [{ field = "pt", min = 40.0 }]
passed = { field = "tagger", above = [0.5, 1.0], names = ["L", "M"] }
[map.axes]
pt = { edges = [20.0, 100.0, 600.0] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apply")
    (folder / "config.toml").write_text(CONFIG)
    for command in (
        ["simulate", "jets", "-n", 200, "--seed", 1, "--out", folder / "a.root"],
        ["simulate", "jets", "-n", 100, "--seed", 2, "--out", folder / "b.root"],
        ["map", folder / "config.toml", folder / "a.root", "--out", folder / "m.hepsilon"],
    ):
        assert cli.main([str(c) for c in command]) == 0
    return folder


def test_an_artifact_and_a_file_are_enough(run, folder, tmp_path):
    out = tmp_path / "new" / "friend.root"
    command = ["apply", folder / "m.hepsilon", folder / "b.root", "--out", out, "--tags", "2+@M"]
    code, stdout, err = run(*command)
    assert (code, stdout) == (0, "")
    events = uproot.open(folder / "b.root")["Events"].arrays()
    found = load(folder / "m.hepsilon").evaluate(events, out_of_domain="ignore")
    friend = uproot.open(out)["Events"].arrays()
    assert ak.all(friend.Jet_eps_M[friend.Jet_selected] == found.eps[..., 1])
    assert "tags_2plus_M" in friend.fields
    n_objects, n_selected = ak.sum(events.nJet), ak.sum(found.kept)
    assert f"100 entries: {n_selected} of {n_objects} Jet objects are selected" in err
    assert f"{ak.sum(~found.in_domain)} of them outside the region" in err
    assert f"wrote {out}" in err
    code, stdout, err = run(*command, "--json")  # a second time, in place of the first
    assert json.loads(stdout)["n_selected"] == n_selected
    assert json.loads(stdout)["files"] == [str(out)]


def test_a_folder_gets_one_file_for_each(run, folder, tmp_path):
    files = [folder / "a.root", folder / "b.root"]
    command = ["apply", folder / "m.hepsilon", *files, "--out", tmp_path / "friends"]
    assert run(*command, "--replicas", "2", "--rntuple")[0] == 0
    sizes = {p.name: uproot.open(p)["Events"].num_entries for p in (tmp_path / "friends").iterdir()}
    assert sizes == {"a.root": 200, "b.root": 100}
    assert run(*command, "--max-events", 30)[0] == 0
    assert uproot.open(tmp_path / "friends" / "a.root")["Events"].num_entries == 30


def test_branches_of_another_production_come_from_a_configuration(run, folder, tmp_path):
    events = uproot.open(folder / "b.root")["Events"].arrays()
    names = {"pt": "jet_PT", "eta": "jet_ETA", "hadronFlavour": "jet_truth"}
    with uproot.recreate(tmp_path / "other.root") as file:
        columns = {new: events[f"Jet_{old}"] for old, new in names.items()}
        file.mktree("ntuple", {n: ak.type(c).content for n, c in columns.items()})
        file["ntuple"].extend(columns)
    branches = "".join(f'{old} = "{new}"\n' for old, new in names.items())
    text = CONFIG + f'[input]\nschema = "base"\ntree = "ntuple"\n[input.branches]\n{branches}'
    (tmp_path / "other.toml").write_text(text)
    out = tmp_path / "f.root"
    command = ["apply", folder / "m.hepsilon", tmp_path / "other.root", "--out", out]
    code, _, err = run(*command)
    assert code == 2
    assert "expected a tree 'Events'" in err
    assert run(*command, "--config", tmp_path / "other.toml")[0] == 0
    found = load(folder / "m.hepsilon").evaluate(events, out_of_domain="ignore")
    friend = uproot.open(out)["ntuple"].arrays()
    assert ak.all(friend.Jet_eps_L[friend.Jet_selected] == found.eps[..., 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.root", "--out", "f.root"], "no file"),
        (["a.root", "--out", "f.txt"], "expected a file ending in .root"),
        (["a.root", "--out", "f.parquet", "--rntuple"], "is for ROOT files"),
        (["a.root", "--out", "a.root"], "is not overwritten"),
        (["a.root", "--out", "f.root", "--replicas", "many"], "expected a number, all, updown"),
        (["a.root", "--out", "f.root", "--replicas", "updown", "--tags", "2"], "one working point"),
        (["a.root:Other", "--out", "f.root"], "expected a tree 'Other'"),
        (["m.hepsilon", "--out", "f.root"], "expected a ROOT, parquet or CSV file"),
    ],
)
def test_bad_input_is_exit_code_2(run, folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.iterdir())
    code, stdout, err = run("apply", "m.hepsilon", *arguments)
    assert (code, stdout) == (2, "")
    assert message in err
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_configuration_is_no_efficiency(run, folder, tmp_path):
    code, _, err = run("apply", folder / "config.toml", folder / "a.root", "--out", tmp_path / "f")
    assert code == 2
    assert "is not a hepsilon file" in err
