"""Features of one's own: what an artifact says of them, and what another process makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, EfficiencyMap, InputError, load
from hepsilon.arrays import fields
from hepsilon.arrays.fields import derived_field, register_field
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.derived import Derived
from hepsilon.histograms.methods import ALL, DIRECT
from hepsilon.training import train
from tests.helpers.field import config, events, write_tree
from tests.helpers.plugins import install
from tests.helpers.processes import python
from tests.helpers.toys import rows

FEATURES = {"features": ["half_pt", "eta", "hadronFlavour"]}
AXES = {"half_pt": {"edges": [10.0, 30.0, 500.0]}}


def half(records: ak.Array, scale: float) -> ak.Array:
    return records["pt"] * scale


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry in which the field is computed, for one test."""
    monkeypatch.setattr(fields, "DERIVED", dict(fields.DERIVED))
    register_field("half_pt", ("pt",), scale=0.5)(half)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("events") / "events.root", events(400))


@pytest.fixture(scope="module", params=["map", "network"])
def saved(request: Any, path: Path) -> Path:
    """An artifact that depends on the field."""
    settings, out = config(FEATURES, map={"axes": AXES}), path.with_name(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "DERIVED", dict(fields.DERIVED))
        register_field("half_pt", ("pt",), scale=0.5)(half)
        if request.param == "network":
            return Path(train(settings, [path], out).efficiency.path)
        columns = read_columns([path], settings, progress=False)
        return EfficiencyMap.fit(settings.task, columns, settings.map).save(out)


def test_an_artifact_says_how_a_field_is_computed(saved: Path) -> None:
    feature = {f.name: f for f in load(saved).features.features}
    module = __name__
    assert feature["half_pt"].derived == Derived(
        inputs=("pt",), parameters={"scale": 0.5}, module=module
    )
    assert feature["hadronFlavour"].derived is None


def test_a_field_is_computed_where_it_is_registered(saved: Path) -> None:
    efficiency, jets = load(saved), events(20, 7)["Jet"]
    given = ak.with_field(jets, jets.pt * 0.5, "half_pt")
    np.testing.assert_array_equal(
        rows(efficiency(jets, out_of_domain="ignore")),
        rows(efficiency(given, out_of_domain="ignore")),
    )


def test_another_process_is_told_what_to_import(saved: Path) -> None:
    """It computes nothing, unless the records have the field; after the import it does."""
    code = """
import sys, awkward as ak
from hepsilon import InputError, load
efficiency = load(sys.argv[1])
records = ak.Array([[{"pt": 60.0, "eta": 0.5, "hadronFlavour": 5}]])
try:
    efficiency(records)
except InputError as error:
    print(error)
with_field = ak.with_field(records, records.pt * 0.5, "half_pt")
first = efficiency(with_field, out_of_domain="ignore").to_list()
from hepsilon.arrays.fields import register_field
@register_field("half_pt", ("pt",), scale=0.5)
def anything(records, scale):
    return records["pt"] * scale
print(efficiency(records, out_of_domain="ignore").to_list() == first)
"""
    told, same = python(code, str(saved)).splitlines()
    assert (
        "the field 'half_pt', computed from ['pt'] with {'scale': 0.5}, is not registered" in told
    )
    assert f"import '{__name__}'" in told
    assert same == "True"


@pytest.mark.parametrize(
    ("inputs", "parameters", "text"),
    [
        (("pt",), {"scale": 0.25}, r"with \{'scale': 0.5\}.*here with \['pt'\] with.*0.25"),
        (("eta",), {"scale": 0.5}, r"from \['pt'\].*registered here with \['eta'\]"),
    ],
)
def test_another_definition_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch, inputs: Any, parameters: Any, text: str
) -> None:
    efficiency, jets = load(saved), events(5)["Jet"]
    known = fields.DERIVED.pop("half_pt")
    register_field("half_pt", inputs, **parameters)(known.function)
    with pytest.raises(InputError, match=text):
        efficiency(jets)


def test_inputs_that_are_computed_themselves_are_compared(path: Path) -> None:
    register_field("quarter_pt", ("half_pt",), factor=0.5)(quarter)
    task = {"features": ["quarter_pt", "eta", "hadronFlavour"]}
    settings = config(task, map={"axes": {"quarter_pt": {"edges": [5.0, 15.0, 500.0]}}})
    columns = read_columns([path], settings, progress=False)
    efficiency = EfficiencyMap.fit(settings.task, columns, settings.map)
    jets = events(5)["Jet"]
    np.testing.assert_allclose(rows(efficiency(jets)) > 0.0, True)
    known = fields.DERIVED.pop("half_pt")
    register_field("half_pt", ("pt",), scale=0.4)(known.function)
    with pytest.raises(InputError, match="the field 'half_pt' was computed"):
        efficiency(jets)


def quarter(records: ak.Array, factor: float) -> ak.Array:
    return records["half_pt"] * factor


def test_definitions_of_momenta_are_not_noted() -> None:
    assert Derived.of("pt") is None
    assert Derived.of("unknown") is None
    built_in = Derived.of("n_close")
    assert built_in is not None
    assert (built_in.parameters, built_in.partners) == ({"radius": 1.0}, True)


def test_an_entry_point_registers_a_field_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Point:
        def load(self) -> None:
            register_field("of_a_package", ("pt",))(half)

    monkeypatch.setattr(fields, "_plugins", lambda: {"of_a_package": Point()})
    found = derived_field("of_a_package")
    assert found is not None
    assert found.inputs == ("pt",)
    assert derived_field("of_no_package") is None


def test_fields_that_are_computed_from_each_other_end() -> None:
    register_field("one", ("other",))(half)
    register_field("other", ("one",))(half)
    found = Derived.of("one")
    assert found is not None
    assert list(found.fields) == ["other"]


def test_a_closure_names_what_is_not_registered(
    saved: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    efficiency = load(saved)
    expected = run_closure([path], efficiency.task, {"own": efficiency}).observables
    monkeypatch.delitem(fields.DERIVED, "half_pt")
    with pytest.raises(InputError, match=r"'Jet_half_pt'.*'half_pt', computed from.*import"):
        run_closure([path], efficiency.task, {"own": efficiency})
    register_field("half_pt", ("pt",), scale=0.5)(half)
    again = run_closure([path], efficiency.task, {"own": efficiency}).observables
    assert all(again[name] == expected[name] for name in expected)


def test_a_response_may_be_computed(path: Path) -> None:
    """By hand: the jets whose half of the momentum is above 30 GeV."""
    task = {"features": ["eta", "hadronFlavour"], "passed": {"field": "half_pt", "above": [30.0]}}
    settings = config(task, map={"axes": {"eta": {"edges": [-2.5, 2.5]}}})
    jets = events(400)["Jet"]
    expected = int(ak.sum(jets.pt * 0.5 > 30.0))
    assert np.sum(read_columns([path], settings, progress=False).passed) == expected
    output = run_closure([path], settings.task, {}, config=settings.input)
    direct = output.observables["pt"][{"method": DIRECT, "category": ALL}]
    assert direct.sum(flow=True).value == expected


REGISTERING = """
from hepsilon.arrays.fields import register_field

@register_field("of_a_package", ("pt",))
def anything(records):
    return records["pt"]
"""


@pytest.mark.parametrize("group", ["hepsilon.features", "hepsilon_fields"])
@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        (("field_package",), REGISTERING, None),
        (("field_package", "other_fields"), REGISTERING, r"one entry point 'of_a_package'"),
        (("field_package",), "", "of field_package of hepsilon.features.*registers no field"),
        (("field_package",), "1 / 0", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_installed_packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    packages: tuple[str, ...],
    code: str,
    text: str | None,
) -> None:
    for name in packages:
        install(tmp_path / "site", name, code, f"[{group}]\nof_a_package = {name}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    fields._plugins.cache_clear()
    try:
        if text is None:
            found = derived_field("of_a_package")
            assert found is not None
            assert found.inputs == ("pt",)
        else:
            with pytest.raises(ConfigError, match=text):
                derived_field("of_a_package")
        assert derived_field("pt") is fields.DERIVED["pt"]
    finally:
        fields._plugins.cache_clear()
        sys.modules.pop("field_package", None)
