"""Sections of the page on domain and provenance, and cards that say who made them."""

from __future__ import annotations

import json

import awkward as ak
import pytest

import hepsilon
from hepsilon._system.command import today
from hepsilon.closure import closure_report, run_closure
from hepsilon.processors import TruthTagging
from hepsilon.report.domain import domain_sections
from hepsilon.report.page import page
from hepsilon.simulation.writer import write_jets
from tests.helpers.toys import TASK, events_of, half, tagged_jets


@pytest.fixture(scope="module")
def closure(toy_map, toy_file):
    efficiencies = {"map": toy_map, "half": half}
    output = run_closure([toy_file], TASK, efficiencies)
    return closure_report(output, TASK, efficiencies, [toy_file])


def test_files_are_named_with_their_entries(closure, toy_file):
    assert "toy.root, 600 entries" in page(closure)


def test_files_of_one_name_have_their_own_entries(toy_map, toy_file, tmp_path):
    for folder, (number, seed) in {"a": (40, 8), "b": (70, 9)}.items():
        (tmp_path / folder).mkdir()
        write_jets(tmp_path / folder / "jets.root", number, seed=seed)
    files = [tmp_path / "a" / "jets.root", tmp_path / "b" / "jets.root"]
    output = run_closure(files, TASK, {"map": toy_map})
    text = page(closure_report(output, TASK, {"map": toy_map}, files))
    assert "jets.root, 40 entries" in text
    assert "jets.root, 70 entries" in text


def test_domain_is_a_section_of_methods_that_know_theirs(closure):
    (section,) = domain_sections(closure)
    assert [row[0] for row in section.table.rows] == ["truth", "map"]
    assert closure.efficiency["half"].out_of_domain.weight is None


def test_weight_outside_of_the_domain_is_that_of_the_expected_tags(toy_map):
    jets = tagged_jets([2, 3, 1] * 20)
    far = ak.Array(jets)
    far["pt"] = ak.where(ak.local_index(jets.pt) == 0, 900.0, jets.pt)
    output = TruthTagging(TASK, {"map": toy_map}).process(events_of(far))["sample"]
    eps = toy_map(far, out_of_domain="ignore")
    outside = ~toy_map.in_domain(far)
    expected = ak.sum(eps[outside]) / ak.sum(eps)
    found = closure_report(output, TASK, {"map": toy_map}, ["a.root"]).efficiency["map"]
    assert found.out_of_domain.count == ak.sum(outside) >= 60
    assert found.out_of_domain.weight == pytest.approx(expected)


def test_maps_of_the_command_line_say_command_and_date(run, toy_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    config = tmp_path / "map.toml"
    config.write_text(
        '[task]\nfeatures = ["pt", "eta", "hadronFlavour"]\n'
        'passed = { field = "discriminant", above = [0.0] }\n'
        "categorical = { hadronFlavour = [5, 4, 0] }\n"
    )
    out = tmp_path / "map.hepsilon"
    code, _, errors = run("map", config, toy_file, "--out", out)
    assert code == 0, errors
    made = hepsilon.load(out).card.made
    assert made.command.startswith("hepsilon map")
    assert made.date == "1970-01-02" == today()
    code, shown, _ = run("info", out)
    assert "1970-01-02" in shown
    assert "efficiency 0." in shown
    code, shown, _ = run("info", out, "--json")
    rates = [part["rates"] for part in json.loads(shown)["sample"]["categories"]]
    assert all(0.0 < rate < 1.0 for (rate,) in rates)


def test_what_is_made_from_python_has_no_date(toy_map):
    assert toy_map.card.made is None
