from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepsilon import (
    ConfigError,
    EfficiencyMap,
    HepsilonError,
    InputError,
    at_least,
    truth_tag_weight,
)
from hepsilon.analysis_tools import shifted_efficiencies
from hepsilon.config import Cut, InputConfig, MapConfig
from hepsilon.data.dataset import read_columns
from hepsilon.processors.apply import apply_efficiency, entry_columns
from tests.helpers.toys import TASK, mlp_config

AXES = {"axes": {"pt": {"edges": (20.0, 100.0, 200.0, 600.0)}}}


@pytest.fixture(scope="module")
def events(toy_file):
    """Events of the training sample."""
    return uproot.open(toy_file)["Events"].arrays()


@pytest.fixture(scope="module")
def selecting(toy_file):
    """A map of jets above 50 GeV, in events with four jets or more."""
    cuts = {"selection": (Cut(field="pt", min=50.0),)}
    task = TASK.model_copy(update=cuts | {"event_selection": (Cut(field="nJet", min=4.0),)})
    columns = read_columns([toy_file], mlp_config(task))
    return EfficiencyMap.fit(task, columns, MapConfig.model_validate(AXES))


def friend(path: Path, name: str = "Events") -> ak.Array:
    if path.suffix == ".parquet":
        return ak.from_parquet(path)
    return uproot.open(path)[name].arrays()


def applied(efficiency, file, out, **options):
    return apply_efficiency(efficiency, file, out, progress=False, **options)


def at_selected(values, selected):
    """Values of the selected objects, without option type."""
    return values[selected]


@pytest.mark.parametrize(
    ("name", "ntuple"), [("f.root", False), ("f.root", True), ("f.parquet", 0)]
)
@pytest.mark.parametrize("chunksize", [170, 100_000])
def test_friend_beside_the_file_is_what_evaluate_gives(
    selecting, toy_file, events, tmp_path, name, ntuple, chunksize
):
    out = tmp_path / name
    result = applied(selecting, toy_file, out, replicas=3, rntuple=ntuple, chunksize=chunksize)
    columns, found = friend(out), selecting.evaluate(events, out_of_domain="ignore")
    assert len(columns) == len(events)
    for number in ("run", "luminosityBlock", "event"):
        assert ak.all(columns[number] == events[number])
    assert ak.all(ak.num(columns.Jet_eps) == ak.num(events.Jet_pt))
    selected = columns.Jet_selected
    assert ak.all(selected == found.kept)
    assert 0 < ak.sum(selected) < ak.sum(ak.num(events.Jet_pt))
    assert ak.all(at_selected(columns.Jet_eps, selected) == found.eps)
    assert ak.all(at_selected(columns.Jet_in_domain, selected) == found.in_domain)
    for i in range(3):
        replica = at_selected(columns[f"Jet_eps_replica{i}"], selected)
        assert ak.all(replica == found.replicas[..., i])
    assert ak.all(np.isnan(columns.Jet_eps[~selected]))
    assert not ak.any(columns.Jet_in_domain[~selected])
    assert "Jet_eps_replica3" not in columns.fields
    assert result.files == (out,)
    assert (result.n_entries, result.n_objects) == (len(events), ak.sum(ak.num(events.Jet_pt)))
    assert result.n_selected == ak.sum(selected)
    assert result.n_out_of_domain == ak.sum(~found.in_domain)


def test_events_that_are_not_selected_keep_their_place(selecting, toy_file, events, tmp_path):
    out = tmp_path / "f.root"
    result = applied(selecting, toy_file, out, tags=["1+"])
    columns, passes = friend(out), ak.to_numpy(events.nJet) >= 4
    assert 0 < passes.sum() < len(events)
    assert np.array_equal(ak.to_numpy(columns.event_selected), passes)
    assert result.n_events == passes.sum()
    assert ak.all(np.isnan(ak.flatten(columns.Jet_eps[~passes])))
    assert np.array_equal(np.isnan(columns.tags_1plus), ~passes)


def test_several_working_points_and_conditions_on_them(points_map, toy_file, events, tmp_path):
    out = tmp_path / "f.root"
    applied(points_map, toy_file, out, tags=["2+@M & 1+@T", "2"])
    columns, found = friend(out), points_map.evaluate(events, out_of_domain="ignore")
    for number, name in enumerate("LMT"):
        assert ak.all(columns[f"Jet_eps_{name}"] == found.eps[..., number])
    condition = at_least(2, "M") & at_least(1, "T")
    expected = truth_tag_weight(found.eps, condition, jets=None, working_points=list("LMT"))
    assert np.array_equal(ak.to_numpy(columns["tags_2plus_M_1plus_T"]), expected)
    expected = truth_tag_weight(found.eps, 2, jets=None)
    assert np.array_equal(ak.to_numpy(columns.tags_2), expected)


def test_up_and_down_are_those_of_the_library(toy_map, toy_file, events, tmp_path):
    out = tmp_path / "f.root"
    applied(toy_map, toy_file, out, replicas="updown", tags=["2"])
    columns, found = friend(out), toy_map.evaluate(events, out_of_domain="ignore")
    up, down = shifted_efficiencies(found.eps, found.replicas)
    assert ak.all(columns.Jet_eps_up == up)
    assert ak.all(columns.Jet_eps_down == down)
    for name, eps in {"up": up, "down": down}.items():
        weight = truth_tag_weight(eps, 2, jets=None)
        assert np.array_equal(ak.to_numpy(columns[f"tags_2_{name}"]), weight)


def test_all_replicas_and_their_weights(ensemble, toy_file, events, tmp_path):
    out = tmp_path / "f.parquet"
    applied(ensemble, toy_file, out, replicas="all", tags=["2"])
    columns, found = friend(out), ensemble.evaluate(events, out_of_domain="ignore")
    for i in (0, 1, 19):
        replica = found.replicas[..., i]
        assert ak.all(abs(columns[f"Jet_eps_replica{i}"] - replica) < 2e-6)
        weight = truth_tag_weight(replica, 2, jets=None)
        np.testing.assert_allclose(columns[f"tags_2_replica{i}"], weight, rtol=0, atol=1e-5)
    assert "Jet_eps_replica20" not in columns.fields


@pytest.mark.slow
def test_tasks_of_events_have_one_number_for_each(track_mlp, pairs_file, tmp_path):
    out = tmp_path / "f.root"
    result = applied(track_mlp, pairs_file, out)
    events = uproot.open(pairs_file)["Events"].arrays()
    columns, found = friend(out), track_mlp.evaluate(events, out_of_domain="ignore")
    assert np.array_equal(ak.to_numpy(columns.eps), ak.to_numpy(found.eps))
    assert np.array_equal(ak.to_numpy(columns.in_domain), ak.to_numpy(found.in_domain))
    assert ak.all(columns.selected)
    assert result.n_objects == result.n_entries == len(events)


def written(path: Path, columns: dict, name: str = "Events") -> Path:
    with uproot.recreate(path) as file:
        file.mktree(name, {n: ak.type(ak.Array(c)).content for n, c in columns.items()})
        if len(next(iter(columns.values()))):
            file[name].extend(columns)
    return path


def part_of(events: ak.Array, start: int, stop: int, shift: int = 0) -> dict:
    columns = {n: events[n][start:stop] for n in events.fields if n != "nJet"}
    return columns | {"event": columns["event"] + shift}


def test_one_output_for_each_input_or_one_for_all(toy_map, events, tmp_path):
    (tmp_path / "in").mkdir()
    a = written(tmp_path / "in" / "a.root", part_of(events, 0, 40))
    empty = written(tmp_path / "in" / "b.root", part_of(events, 0, 0))
    c = written(tmp_path / "in" / "c.root", part_of(events, 40, 100))
    files = [str(f) for f in (a, empty, c)]
    whole = toy_map.evaluate(events[:100], out_of_domain="ignore").eps
    result = applied(toy_map, files, tmp_path / "out")
    assert sorted(result.files) == [tmp_path / "out" / f"{n}.root" for n in "abc"]
    assert ak.all(friend(tmp_path / "out" / "a.root").Jet_eps == whole[:40])
    assert ak.all(friend(tmp_path / "out" / "c.root").Jet_eps == whole[40:])
    nothing = friend(tmp_path / "out" / "b.root")
    assert len(nothing) == 0
    assert "Jet_eps" in nothing.fields
    applied(toy_map, files, tmp_path / "one.root")
    assert ak.all(friend(tmp_path / "one.root").Jet_eps == whole)


def test_a_row_for_each_row_where_rows_are_objects(toy_map, toy_jets, tmp_path):
    counts = ak.to_numpy(ak.num(toy_jets))
    table = {n: ak.flatten(toy_jets[n]) for n in ("pt", "eta", "phi", "hadronFlavour")}
    table["event"] = np.repeat(np.arange(len(counts)), counts)
    ak.to_parquet(ak.zip(table, depth_limit=1), tmp_path / "rows.parquet")
    config = InputConfig(schema="base", rows="objects")
    applied(toy_map, tmp_path / "rows.parquet", tmp_path / "f.parquet", config=config)
    columns = friend(tmp_path / "f.parquet")
    expected = toy_map(toy_jets, out_of_domain="ignore")
    assert len(columns) == counts.sum()
    assert ak.all(columns.Jet_eps == ak.flatten(expected))
    assert ak.all(columns.event == table["event"])


def test_a_row_for_each_row_of_a_task_of_events(track_mlp, pairs, tmp_path):
    table = {n: ak.flatten(pairs.tracks[n]) for n in ("px", "py", "pz", "charge")}
    table["event"] = np.repeat(np.arange(len(pairs)), 2)
    ak.to_parquet(ak.zip(table, depth_limit=1), tmp_path / "rows.parquet")
    config = InputConfig(schema="base", rows="objects")
    applied(track_mlp, tmp_path / "rows.parquet", tmp_path / "f.parquet", config=config)
    columns = friend(tmp_path / "f.parquet")
    expected = ak.to_numpy(track_mlp(pairs.tracks, out_of_domain="ignore"))
    assert np.array_equal(ak.to_numpy(columns.eps), np.repeat(expected, 2))
    assert np.array_equal(ak.to_numpy(columns.event), table["event"])


def test_neither_response_nor_weight_is_needed(toy_map, events, tmp_path):
    columns = part_of(events, 0, 50)
    lacking = {n: c for n, c in columns.items() if n not in ("Jet_discriminant", "genWeight")}
    data = written(tmp_path / "data.root", lacking)
    applied(toy_map, data, tmp_path / "f.root")
    expected = toy_map.evaluate(events[:50], out_of_domain="ignore").eps
    assert ak.all(friend(tmp_path / "f.root").Jet_eps == expected)


def test_damaged_numbers_are_an_error_or_have_no_answer(toy_map, events, tmp_path):
    columns = part_of(events, 0, 50)
    pt = ak.to_numpy(ak.flatten(columns["Jet_pt"])).copy()
    pt[3] = np.nan
    columns["Jet_pt"] = ak.unflatten(pt, ak.num(columns["Jet_pt"]))
    file, out = written(tmp_path / "nan.root", columns), tmp_path / "f.root"
    with pytest.raises(InputError, match="pt: 1 of"):
        applied(toy_map, file, out)
    assert not list(tmp_path.glob("*f.*root"))
    config = InputConfig(schema="nanoaod", damaged="skip")
    result = applied(toy_map, file, out, config=config)
    bad = ak.to_numpy(ak.any(np.isnan(columns["Jet_pt"]), axis=1))
    assert result.n_damaged == bad.sum() == 1
    found = friend(out)
    assert np.array_equal(~ak.to_numpy(found.event_selected), bad)
    assert ak.all(np.isnan(found.Jet_eps[bad]))
    expected = toy_map.evaluate(events[:50][~bad], out_of_domain="ignore").eps
    assert ak.all(found.Jet_eps[~bad] == expected)


def test_an_input_is_never_overwritten(toy_map, events, tmp_path):
    a = written(tmp_path / "a.root", part_of(events, 0, 10))
    before = a.read_bytes()
    for out in (a, tmp_path):
        with pytest.raises(HepsilonError, match="is not overwritten"):
            applied(toy_map, a, out)
    assert a.read_bytes() == before


def test_two_inputs_do_not_share_an_output(toy_map, events, tmp_path):
    files = []
    for i, folder in enumerate("xy"):
        (tmp_path / folder).mkdir()
        part = part_of(events, 10 * i, 10 * i + 10)
        files.append(written(tmp_path / folder / "a.root", part))
    with pytest.raises(InputError, match="several inputs"):
        applied(toy_map, files, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": ["two"]}, "expected numbers of tags"),
        ({"tags": ["2@T"]}, "working point"),
    ],
)
def test_what_the_efficiency_does_not_have_is_refused(
    toy_map, toy_file, tmp_path, options, message
):
    with pytest.raises(ConfigError, match=message):
        applied(toy_map, toy_file, tmp_path / "f.root", **options)
    assert not list(tmp_path.iterdir())


def test_a_function_that_knows_no_error_has_no_replicas(untrained, toy_file, tmp_path):
    network = untrained(architecture="mlp", width=4, blocks=1)
    with pytest.raises(ConfigError, match="no replicas"):
        applied(network, toy_file, tmp_path / "f.root", replicas="updown")


def test_more_replicas_than_there_are_are_refused(untrained, toy_file, tmp_path):
    network = untrained(architecture="mlp", width=4, blocks=1, members=3, resampling="bootstrap")
    with pytest.raises(InputError, match="at most 3 replicas"):
        applied(network, toy_file, tmp_path / "f.root", replicas=4)


def test_tags_are_for_objects(track_mlp, pairs_file, tmp_path):
    with pytest.raises(ConfigError, match='level = "object"'):
        applied(track_mlp, pairs_file, tmp_path / "f.root", tags=["2"])


@pytest.mark.parametrize("name", ["f.txt", "f.h5"])
def test_unknown_endings_are_refused(toy_map, toy_file, tmp_path, name):
    with pytest.raises(InputError, match="expected a file ending in"):
        applied(toy_map, toy_file, tmp_path / name)


def test_columns_of_a_chunk_of_any_schema(toy_map, events):
    """Used in a processor, which has events in memory."""
    nested = ak.zip(
        {
            "Jet": ak.zip({n[4:]: events[n] for n in events.fields if n.startswith("Jet_")}),
            **{n: events[n] for n in ("run", "luminosityBlock", "event")},
        },
        depth_limit=1,
    )
    columns, counted = entry_columns(nested, toy_map)
    expected = toy_map.evaluate(events, out_of_domain="ignore").eps
    assert np.array_equal(columns.objects["eps"], ak.to_numpy(ak.flatten(expected)))
    assert counted.n_entries == len(events)
