from __future__ import annotations

import pytest

from hepsilon.data.collections import find_collections

NUMBERS = {"run", "event", "MET_pt", "MET_phi", "w"}


def found(names, scalars=NUMBERS):
    return find_collections(names, lambda name: 1 if name in scalars else 2)


def test_collections_of_nanoaod_are_lists_with_a_momentum():
    names = ["Muon_pt", "Muon_eta", "Jet_pt", "Jet_mass", "FatJet_pt", "MET_pt", "SV_x", "run"]
    collections = found(names)
    assert list(collections) == ["Jet", "FatJet", "Muon"]
    assert collections["Muon"].columns == {"pt": "Muon_pt", "eta": "Muon_eta"}


@pytest.mark.parametrize(
    ("names", "name", "field"),
    [
        (["Jet", "Jet.pt", "Jet.eta"], "Jet", {"pt": "pt", "eta": "eta"}),
        (["Jet_Px", "Jet_Py", "Jet_M"], "Jet", {"px": "Px", "py": "Py", "mass": "M"}),
        (
            ["AnalysisJetsAuxDyn.pt", "AnalysisJetsAuxDyn.m"],
            "AnalysisJets",
            {"pt": "pt", "mass": "m"},
        ),
        (["pt", "eta", "score"], "Object", {"pt": "pt", "eta": "eta"}),
    ],
)
def test_other_ways_to_write_lists(names, name, field):
    collections = found(names)
    assert list(collections) == [name]
    assert collections[name].kind == "jagged"
    assert collections[name].fields == field


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["t1_px", "t2_px", "t1_Q", "t2_Q"], "t"),
        (["px1", "px2", "Q1", "Q2"], "Object"),
        (["ak4_jet1_px", "ak4_jet2_px", "ak4_jet1_q", "ak4_jet2_q"], "ak4_jet"),
        (["mu_px_1", "mu_px_2", "mu_q_1", "mu_q_2"], "mu"),
        (["lep0_px", "lep1_px", "lep0_charge", "lep1_charge"], "lep"),
    ],
)
def test_numbered_branches_are_objects(names, name):
    collections = found([*names, "run"], {*names, "run"})
    assert list(collections) == [name]
    assert collections[name].kind == "numbered"
    assert collections[name].n_objects == 2
    fields = collections[name].fields
    assert set(fields) == {"px", "charge"}
    assert collections[name].columns[fields["px"]] == tuple(n for n in names if "px" in n)


def test_one_numbered_branch_or_a_gap_is_no_collection():
    assert not found(["t1_px", "x2_px"], {"t1_px", "x2_px"})
    assert not found(["t1_px", "t3_px"], {"t1_px", "t3_px"})


def test_rows_are_objects_only_where_nothing_else_is_found():
    table = ["event", "pt", "eta", "score"]
    assert found(table, set(table))["Object"].kind == "rows"
    assert found(["jet_pt", "jet_eta"], {"jet_pt", "jet_eta"})["jet"].kind == "rows"
    assert not found(["nJet_pt", "Jet_pt"], {"nJet_pt", "Jet_pt"}).get("nJet")
    assert list(found([*table, "Jet_pt"], set(table))) == ["Jet"]


def test_no_momentum_is_no_collection():
    assert not found(["run", "SV_x", "jetp4"])
