from __future__ import annotations

import os

import pytest

from hepsilon import load, load_config

V12 = os.environ.get("HEPSILON_NANOAOD_V12")


@pytest.fixture
def sample(run, tmp_path):
    assert run("simulate", "jets", "-n", 300, "--out", tmp_path / "jets.root")[0] == 0
    return tmp_path / "jets.root"


def test_standard_output_is_the_configuration(run, sample, tmp_path):
    code, out, err = run("init", sample)
    assert code == 0
    (tmp_path / "task.toml").write_text(out)
    task = load_config(tmp_path / "task.toml").task
    assert task.collection == "Jet"
    for command in ("map", "train", "closure", "apply"):
        assert f"hepsilon {command}" in err
    assert "task.toml" in err


@pytest.mark.slow
def test_it_leads_to_a_map_a_closure_and_an_application(run, sample, tmp_path):
    config, out = tmp_path / "task.toml", tmp_path / "map.hepsilon"
    assert run("init", sample, "--out", config)[0] == 0
    assert run("map", config, sample, "--out", out)[0] == 0
    assert load(out).card.n_events == 300
    assert run("closure", out, sample, "--out", tmp_path / "closure")[0] == 0
    assert run("apply", out, sample, "--out", tmp_path / "friend.root")[0] == 0


@pytest.mark.parametrize(
    "name", ["nanoaod_path", pytest.param("rntuple_path", marks=pytest.mark.slow)]
)
def test_nanoaod_leads_to_a_map(run, request, tmp_path, name):
    file, config = request.getfixturevalue(name), tmp_path / "task.toml"
    assert run("init", file, "--out", config)[0] == 0
    task = load_config(config).task
    assert task.collection == "Jet"
    assert task.passed.field.startswith("btag")
    assert task.features == ("pt", "eta", "phi", "hadronFlavour")
    code, _, err = run("map", config, file, "--out", tmp_path / "map.hepsilon")
    assert code == 0, err


@pytest.mark.slow
@pytest.mark.skipif(V12 is None, reason="needs HEPSILON_NANOAOD_V12")
def test_other_collections_of_nanoaod(run, tmp_path):
    config = tmp_path / "muons.toml"
    assert run("init", V12, "--collection", "Muon", "--out", config)[0] == 0
    task = load_config(config).task
    assert task.collection == "Muon"
    assert task.passed.field in ("mediumId", "mediumPromptId", "tightId")
    code, _, err = run("map", config, V12, "--out", tmp_path / "map.hepsilon")
    assert code == 0, err


def test_working_points_of_a_file(run, sample, tmp_path):
    from correctionlib import schemav2 as schema

    values = {"L": 0.05, "M": 0.3, "T": 0.7}
    table = schema.Correction(
        name="deepJet_wp_values",
        version=1,
        inputs=[schema.Variable(name="working_point", type="string")],
        output=schema.Variable(name="wp", type="real"),
        data=schema.Category(
            nodetype="category",
            input="working_point",
            content=[schema.CategoryItem(key=k, value=v) for k, v in values.items()],
        ),
    )
    path = tmp_path / "btag.json"
    path.write_text(schema.CorrectionSet(schema_version=2, corrections=[table]).model_dump_json())
    for number, name in enumerate((":deepJet", ":deepJet_wp_values", "")):
        config = tmp_path / f"{number}.toml"
        code, _, err = run("init", sample, "--working-points", f"{path}{name}", "--out", config)
        assert code == 0, err
        passed = load_config(config).task.passed
        assert dict(zip(passed.names, passed.above, strict=True)) == values
    code, _, err = run("init", sample, "--working-points", f"{path}:other")
    assert code == 2
    assert "deepJet_wp_values" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jets.root", "--collection", "Muon"], "expected a collection of ['Jet']"),
        (["jets.root", "--passed", "b"], "received 'b'"),
        (["none.root"], "no file"),
        (["jets.root:Other"], "expected a tree 'Other'"),
        (["jets.root", "--working-points", "none.json"], "none.json"),
    ],
)
def test_bad_input_is_exit_code_2(run, sample, monkeypatch, arguments, message):
    monkeypatch.chdir(sample.parent)
    code, out, err = run("init", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_that_exists_is_not_overwritten(run, sample, tmp_path):
    (tmp_path / "task.toml").write_text("mine")
    code, _, err = run("init", sample, "--out", tmp_path / "task.toml")
    assert code == 2
    assert "not overwritten" in err
    assert (tmp_path / "task.toml").read_text() == "mine"
