"""Efficiencies of two simulations: differences with errors, in records, tables and commands."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepsilon import EfficiencyMap
from hepsilon.closure import closure_report, run_closure
from hepsilon.closure.dependence import RatioBins, dependence_of
from hepsilon.closure.universality import universality
from hepsilon.config import MapConfig
from hepsilon.report.dependence import dependence_rows, dependence_sections
from hepsilon.report.samples import universality_rows
from tests.helpers.toys import TASK, half
from tests.helpers.track_toys import PAIRS, draw, efficiency_of, write_sample


def lower(records):
    """One third less than one half."""
    return half(records) * (2.0 / 3.0)


@pytest.fixture(scope="module")
def other_map(toy_columns):
    """A map of one bin for each flavour."""
    axes = {"pt": {"edges": (20.0, 600.0)}}
    return EfficiencyMap.fit(TASK, toy_columns, MapConfig.model_validate({"axes": axes}))


@pytest.fixture(scope="module")
def found(toy_file, toy_map, other_map):
    efficiencies = {"map": toy_map, "half": half, "other": other_map, "lower": lower}
    output = run_closure([toy_file], TASK, efficiencies)
    against = ["other", "lower"]
    return output, closure_report(output, TASK, efficiencies, [toy_file], against=against)


def test_ratio_of_two_functions_by_hand(found):
    _, closure = found
    depends = closure.efficiency["half"].dependence["lower"]
    for ratio in depends.totals.values():
        assert ratio.relative_difference == pytest.approx(-1 / 3)
        assert ratio.error is ratio.pull is None
    bins = depends.observables["pt|b"]
    known = [x for x in bins.relative_difference if x is not None]
    assert known == pytest.approx([-1 / 3] * len(known))
    assert len(bins.error) == len(closure.efficiency["half"].observables["pt|b"].observed)


def test_error_is_that_of_both_trainings(found):
    output, closure = found
    ratio = closure.efficiency["map"].dependence["other"].totals["all"]
    this, other = (output.total_replicas[m].values() for m in ("map", "other"))
    a, b = (float(output.totals[m].value) for m in ("map", "other"))
    by_hand = np.sqrt(np.var(other, ddof=1) / a**2 + b**2 / a**4 * np.var(this, ddof=1))
    assert ratio.error == pytest.approx(by_hand)
    assert ratio.relative_difference == pytest.approx(b / a - 1)
    assert ratio.pull == pytest.approx((b / a - 1) / by_hand)


def test_categories_add_up_to_everything(found):
    output, _ = found
    totals = dependence_of(output, "half", ["other"])["other"].totals
    assert set(totals) == {"all", "b", "c", "light"}
    axis = output.observables["pt"]
    expected = {m: axis[{"method": m}] for m in ("half", "other")}
    weights = {
        c: expected["half"][{"category": c}].sum(flow=True).value for c in ("b", "c", "light")
    }
    moved = sum(totals[c].relative_difference * w for c, w in weights.items())
    mean = moved / sum(weights.values())
    assert mean == pytest.approx(totals["all"].relative_difference)


def test_alternatives_do_not_decide_and_are_compared_with_nothing(found):
    _, closure = found
    roles = {name: judged.role for name, judged in closure.verdict.methods.items()}
    assert roles["other"] == roles["lower"] == "alternative"
    assert roles["half"] == "efficiency"
    assert closure.alternatives == ["other", "lower"]
    assert closure.efficiency["other"].dependence is None
    assert closure.efficiency["truth"].dependence is None
    assert not any(reason.startswith("lower") for reason in closure.verdict.reasons)
    again = json.loads(json.dumps(closure.as_dict(), allow_nan=False))
    assert type(closure).model_validate(again) == closure


def test_tables_name_both_and_the_difference(found):
    _, closure = found
    rows = {row[0]: row for row in dependence_rows(closure).rows}
    assert set(rows) == {"other / map", "lower / map", "other / half", "lower / half"}
    assert rows["lower / half"][1] == "-33.33%"
    assert "±" in rows["other / map"][1]
    assert "sd)" in rows["other / map"][-1]
    assert len(dependence_sections(closure)) == 1
    table = universality_rows(universality({"toy": closure}))
    assert table.header[5:7] == ["other / method", "lower / method"]
    cells = {row[0]: row[5:7] for row in table.rows}
    assert cells["half on toy"][1] == "-33.33%"
    assert cells["truth on toy"] == ["-", "-"]


def test_bins_without_an_error_are_not_the_largest(found):
    _, closure = found
    whole = closure.efficiency["map"]
    compared = whole.dependence["other"]
    bins = compared.observables["pt"]
    errors = [0.0, *bins.error[1:]]  # all replicas of both agree
    changed = {"pt": RatioBins(relative_difference=bins.relative_difference, error=errors)}
    other = compared.model_copy(update={"observables": changed})
    entry = whole.model_copy(update={"dependence": {"other": other}})
    (row,) = dependence_rows(closure.model_copy(update={"efficiency": {"map": entry}})).rows
    low, high = whole.observables["pt"].edges[:2]
    assert row[-1].startswith("pt ")
    assert not row[-1].startswith(f"pt {low:.4g} to {high:.4g}")
    assert "inf" not in row[-1]


def test_without_alternatives_nothing_changes(toy_file):
    output = run_closure([toy_file], TASK, {"half": half})
    closure = closure_report(output, TASK, {"half": half}, [toy_file])
    assert dependence_rows(closure) is None
    assert not {"alternatives"} & set(closure.as_dict())


@pytest.mark.slow
def test_command_compares(run, toy_file, toy_map, other_map, tmp_path):
    this, other = tmp_path / "this.hepsilon", tmp_path / "herwig.hepsilon"
    toy_map.save(this)
    other_map.save(other)
    out, name = tmp_path / "out", "herwig"
    code, shown, errors = run("closure", this, toy_file, "--against", other, "--out", out)
    assert code == 0, errors
    assert "dependence on the simulation" in shown
    content = json.loads((out / "closure.json").read_text())
    assert content["alternatives"] == [name]
    assert set(content["efficiency"]["this"]["dependence"]) == {name}
    assert "Dependence on the simulation" in (out / "report.html").read_text()

    # what was asked of the jobs, the merged closure answers, too
    code, _, errors = run("merge", tmp_path / "merged", out)
    assert code == 0, errors
    merged = json.loads((tmp_path / "merged" / "closure.json").read_text())
    assert merged["alternatives"] == [name]
    assert merged["efficiency"]["this"]["dependence"] == content["efficiency"]["this"]["dependence"]
    assert merged.get("shared_with_training") == content.get("shared_with_training")
    assert merged["verdict"] == content["verdict"]


def one_third_more(tracks):
    """E of another simulation."""
    return np.minimum(efficiency_of(tracks) * (4.0 / 3.0), 1.0)


def test_corrected_events_by_two_simulations(tmp_path):
    sample = draw([2] * 400, seed=5)
    path = write_sample(tmp_path / "tracks.root", sample)
    efficiencies = {"this": efficiency_of, "other": one_third_more}
    output = run_closure([path], PAIRS, efficiencies)
    closure = closure_report(output, PAIRS, efficiencies, [path], against=["other"])
    depends = closure.efficiency["this"].dependence["other"]
    selected = sample.truth[sample.reco]
    sums = [np.sum(1.0 / e) for e in (selected, np.minimum(selected * (4.0 / 3.0), 1.0))]
    assert sums[1] < 0.9 * sums[0]
    assert depends.totals["all"].relative_difference == pytest.approx(sums[1] / sums[0] - 1.0)
    for bins in depends.observables.values():
        known = [x for x in bins.relative_difference if x is not None]
        assert known
        assert min(known) >= 0.75 - 1.0 - 1e-9
        assert max(known) <= 1e-9
    table = universality_rows(universality({"tracks": closure}))
    assert "other / method" in table.header
