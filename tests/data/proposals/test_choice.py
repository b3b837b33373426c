from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepsilon import InputError, load_config
from hepsilon.data.dataset import read_columns
from hepsilon.data.proposals.choice import propose
from hepsilon.data.proposals.text import proposal_text
from tests.helpers.field import damage_basket

N = 600


def write(path, columns, tree="Events"):
    with uproot.recreate(path) as file:
        file.mktree(tree, {n: ak.type(ak.Array(c)).content for n, c in columns.items()})
        if len(next(iter(columns.values()))):
            file[tree].extend(columns)
    return path


def ids():
    numbers = np.arange(N, dtype=np.uint64)
    return {"run": numbers * 0 + 1, "luminosityBlock": numbers * 0 + 1, "event": numbers}


def jets(unit=1.0, **more):
    """Jets whose score is above 0.5 for 30 %."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, N)
    size = int(counts.sum())
    fields = {
        "pt": (15.0 + rng.exponential(40.0, size)) * unit,
        "eta": rng.uniform(-3.0, 3.0, size),
        "phi": rng.uniform(-np.pi, np.pi, size),
        "mass": rng.uniform(2.0, 10.0, size) * unit,
        "hadronFlavour": rng.choice(np.array([5, 0], np.int32), size),
        "btagNew": np.where(rng.uniform(size=size) < 0.3, 0.9, 0.1) + 0.01 * rng.uniform(size=size),
        "constant": np.full(size, -1.0),
    } | {name: make(rng, size) for name, make in more.items()}
    return {f"Jet_{n}": ak.unflatten(v, counts) for n, v in fields.items()}


def tracks(unit=1.0):
    rng = np.random.default_rng(2)
    pt, eta = rng.uniform(0.3, 2.0, (2, N)) * unit, rng.uniform(2.0, 4.5, (2, N))
    phi = rng.uniform(-np.pi, np.pi, (2, N))
    columns = {}
    for i in (0, 1):
        columns[f"t{i + 1}_px"] = pt[i] * np.cos(phi[i])
        columns[f"t{i + 1}_py"] = pt[i] * np.sin(phi[i])
        columns[f"t{i + 1}_pz"] = pt[i] * np.sinh(eta[i])
        columns[f"t{i + 1}_q"] = np.full(N, 1 - 2 * i, np.int32)
    return columns | {"reco": rng.uniform(size=N) < 0.4, "eventNumber": np.arange(N)}


def config_of(proposal, tmp_path):
    """The configuration that the text of a proposal is."""
    path = tmp_path / "proposed.toml"
    path.write_text(proposal_text(proposal), encoding="utf-8")
    return load_config(path)


def test_jets_of_a_new_discriminator(tmp_path):
    weight = np.where(np.arange(N) % 4 == 0, -2.0, 2.0)
    file = write(tmp_path / "a.root", ids() | {"genWeight": weight} | jets())
    proposal = propose(file)
    config = config_of(proposal, tmp_path)
    task = config.task
    assert (task.level, task.collection, task.unit) == ("object", "Jet", "GeV")
    assert task.features == ("pt", "eta", "phi", "hadronFlavour")
    assert task.categorical == {"hadronFlavour": (5, 4, 0)}
    assert (task.passed.field, task.passed.above) == ("btagNew", (0.5,))
    assert task.weight == "genWeight"
    assert [str(cut) for cut in task.selection] == ["pt >= 20", "|eta| <= 2.5"]
    assert config.input.schema_ == "nanoaod"
    assert not config.input.branches
    assert proposal.negative_weights == 0.25
    text = proposal_text(proposal)
    assert "25.00% negative" in text
    flavours = proposal.columns["hadronFlavour"].values
    assert f"0: {flavours[0]}, 5: {flavours[5]}" in text
    assert sum(flavours.values()) == proposal.columns["pt"].n
    assert "constant" not in [column.name for column in proposal.responses]
    edges = config.map.axes["pt"].edges
    columns = read_columns(file, config, progress=False)
    assert edges[0] == 20.0
    assert columns.nodes[:, 0].max() < edges[-1]
    counts, _ = np.histogram(columns.nodes[:, 0], edges)
    assert counts.min() > 0.5 * counts.mean()


@pytest.mark.parametrize("line", ["unit = ", "passed = ", "selection = ", "weight = "])
def test_guesses_ask_to_be_confirmed(tmp_path, line):
    file = write(tmp_path / "a.root", ids() | {"genWeight": np.ones(N)} | jets())
    text = proposal_text(propose(file))
    [found] = [each for each in text.splitlines() if each.startswith(line)]
    assert found.endswith("confirm")


@pytest.mark.parametrize(("unit", "name"), [(1.0, "GeV"), (1000.0, "MeV")])
def test_unit_follows_the_range(tmp_path, unit, name):
    proposal = propose(write(tmp_path / "a.root", ids() | jets(unit)))
    task = config_of(proposal, tmp_path).task
    assert task.unit == name
    assert task.selection[0].min == 20.0 * unit
    assert f'unit = "{name}"' in proposal_text(proposal)


def test_forward_tracks_in_mev_as_numbered_branches(tmp_path):
    file = write(tmp_path / "a.root", tracks(1000.0), "DecayTree")
    config = config_of(propose(file), tmp_path)
    task = config.task
    assert (task.level, task.objects, task.order_by) == ("event", 2, "charge")
    assert task.features == ("px", "py", "pz", "charge")
    assert (task.unit, task.passed.field) == ("MeV", "reco")
    assert config.input.tree == "DecayTree"
    assert config.input.branches == {
        "px": ("t1_px", "t2_px"),
        "py": ("t1_py", "t2_py"),
        "pz": ("t1_pz", "t2_pz"),
        "charge": ("t1_q", "t2_q"),
        "mass": 139.5704,
    }
    columns = read_columns(file, config, progress=False)
    assert columns.n_events == N
    assert 0.3 < np.hypot(columns.nodes[:, 0], columns.nodes[:, 1]).min() < 0.31
    edges = config.map.axes["eta"].edges
    assert (edges[0], edges[-1]) == (2.0, 4.5)


def test_one_object_in_every_row(tmp_path):
    counts = np.random.default_rng(3).integers(1, 4, N)
    table = {n.removeprefix("Jet_"): c for n, c in jets().items()}
    size = int(counts.sum())
    flat = {n: ak.to_numpy(ak.flatten(c))[:size] for n, c in table.items()}
    flat = {n: np.resize(c, size) for n, c in flat.items()}
    flat["event"] = np.repeat(np.arange(N), counts)
    ak.to_parquet(ak.zip(flat, depth_limit=1), tmp_path / "a.parquet")
    config = config_of(propose(tmp_path / "a.parquet"), tmp_path)
    assert config.input.rows == "objects"
    columns = read_columns(tmp_path / "a.parquet", config, progress=False)
    assert columns.n_events == N
    assert len(columns.nodes) == size


def test_trigger_of_the_event_where_objects_have_no_response(tmp_path):
    rng = np.random.default_rng(4)
    momenta = {n: c for n, c in jets().items() if n[4:] in ("pt", "eta", "phi")}
    muons = {n.replace("Jet", "Muon"): c for n, c in momenta.items()}
    fired = {"HLT_Mu": rng.uniform(size=N) < 0.5, "HLT_None": np.zeros(N, bool)}
    file = write(tmp_path / "a.root", ids() | muons | fired | {"nMuon": ak.num(muons["Muon_pt"])})
    proposal = propose(file)
    config = config_of(proposal, tmp_path)
    assert (config.task.level, config.task.passed.field) == ("event", "HLT_Mu")
    assert config.task.objects is None
    assert [str(cut) for cut in config.task.event_selection] == ["nMuon >= 1"]
    assert 0 < proposal.n_without == ak.sum(ak.num(muons["Muon_pt"]) == 0)
    assert config.input.branches == {"mass": 0.1056584}
    columns = read_columns(file, config, progress=False)
    assert columns.n_events == N - proposal.n_without
    with pytest.raises(InputError, match="as response"):
        propose(file, level="object", passed="HLT_Mu")


def test_an_identification_gets_a_cut_between_its_values(tmp_path):
    def identification(rng, size):
        return rng.choice(np.array([0, 1, 2], np.uint8), size)

    columns = jets(tightId=identification)
    del columns["Jet_btagNew"]
    task = config_of(propose(write(tmp_path / "a.root", ids() | columns)), tmp_path).task
    assert (task.passed.field, task.passed.above) == ("tightId", (1.5,))


def test_working_points_and_choices_of_the_user(tmp_path):
    columns = jets(score=lambda rng, size: rng.uniform(size=size))
    file = write(tmp_path / "a.root", ids() | columns)
    points = {"T": 0.7, "L": 0.05, "M": 0.3}
    task = config_of(propose(file, passed="score", working_points=points), tmp_path).task
    assert task.passed.field == "score"
    assert task.passed.above == (0.05, 0.3, 0.7)
    assert task.passed.names == ("L", "M", "T")
    more = jets(btagPNetB=lambda rng, size: rng.uniform(size=size))
    several = write(tmp_path / "b.root", ids() | more)
    assert propose(several, tagger="PNet").responses[0].name == "btagPNetB"
    with pytest.raises(InputError, match="received 'scor'"):
        propose(file, passed="scor")
    with pytest.raises(InputError, match=r"expected a collection of \['Jet'\], received 'Muon'"):
        propose(file, collection="Muon")


def test_numbers_that_repeat_get_the_key_of_file_and_entry(tmp_path):
    columns = ids() | {"event": np.arange(N, dtype=np.uint64) // 2} | jets()
    proposal = propose(write(tmp_path / "a.root", columns))
    assert proposal.repeated == N // 2
    assert config_of(proposal, tmp_path).input.event_key == "entry"


def test_the_first_file_with_entries_and_the_largest_tree_count(tmp_path):
    empty = write(tmp_path / "a.root", {n: c[:0] for n, c in jets().items()})
    with uproot.recreate(tmp_path / "b.root") as file:
        for tree, columns in (("meta", {"x": np.arange(3)}), ("dir/tree", ids() | jets())):
            file.mktree(tree, {n: ak.type(ak.Array(c)).content for n, c in columns.items()})
            file[tree].extend(columns)
    proposal = propose([empty, tmp_path / "b.root"])
    assert (proposal.tree, proposal.other_trees) == ("dir/tree", {"meta": 3})
    assert config_of(proposal, tmp_path).input.tree == "dir/tree"


def test_a_file_without_a_response_says_what_to_fill_in(tmp_path):
    columns = {n: c for n, c in jets().items() if n[4:] in ("pt", "eta", "phi")}
    proposal = propose(write(tmp_path / "a.root", ids() | columns))
    assert not proposal.responses
    assert config_of(proposal, tmp_path).task.passed.field == "CHANGE_ME"


def test_few_entries_are_enough(tmp_path):
    file = write(tmp_path / "a.root", ids() | jets())
    proposal = propose(file, n_entries=20)
    assert (proposal.n_sample, proposal.n_entries) == (20, N)
    assert "the first 20 of 600 entries" in proposal_text(proposal)
    config_of(proposal, tmp_path)


def test_a_damaged_momentum_is_named(tmp_path):
    columns = ids() | jets()
    columns["Jet_pt"] = np.round(columns["Jet_pt"])  # which is stored compressed
    file = write(tmp_path / "a.root", columns)
    damage_basket(file, "Jet_pt", 0)
    with pytest.raises(InputError, match="is damaged: 'Jet_pt'"):
        propose(file)


def test_files_that_cannot_be_used_are_refused(tmp_path):
    no_objects = write(tmp_path / "a.root", ids() | {"MET_x": np.ones(N)})
    with pytest.raises(InputError, match="expected columns of objects with a momentum"):
        propose(no_objects)
    with pytest.raises(InputError, match="hold no entries"):
        propose(write(tmp_path / "b.root", {n: c[:0] for n, c in jets().items()}))
    with pytest.raises(InputError, match="expected a tree 'x'"):
        propose(f"{no_objects}:x")
    (tmp_path / "c.txt.gz").write_bytes(b"text")
    with pytest.raises(InputError, match="expected a ROOT, parquet or CSV file"):
        propose(tmp_path / "c.txt.gz")
    (tmp_path / "d.root").write_bytes(b"root but not more")
    with pytest.raises(InputError, match="not a readable ROOT file"):
        propose(tmp_path / "d.root")
