"""Fields of the records, or what computes them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ConfigError, InputError
from hepsilon.arrays import fields
from hepsilon.arrays.fields import (
    available,
    derived_field,
    field,
    inputs_of,
    partners_of,
    register_field,
)

RECORDS = ak.Array([[{"pt": 3.0, "eta": 0.5}, {"pt": 4.0, "eta": -1.0}], []])


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that a test may change."""
    monkeypatch.setattr(fields, "DERIVED", dict(fields.DERIVED))


def scaled(records: ak.Array, scale: float) -> ak.Array:
    return records["pt"] * scale


def other(records: ak.Array, scale: float) -> ak.Array:
    return records["pt"] + scale


def test_a_field_of_the_records_goes_before_what_computes_it() -> None:
    register_field("mine", ("pt",), scale=2.0)(scaled)
    assert field(RECORDS, "mine").to_list() == [[6.0, 8.0], []]
    given = ak.with_field(RECORDS, RECORDS.eta, "mine")
    assert field(given, "mine").to_list() == [[0.5, -1.0], []]
    assert "mine" not in ak.fields(RECORDS)


@pytest.mark.parametrize(
    ("function", "inputs", "parameters"),
    [(other, ("pt",), 2.0), (scaled, ("eta",), 2.0), (scaled, ("pt",), 3.0)],
)
def test_a_name_means_one_thing(function, inputs, parameters) -> None:
    register_field("mine", ("pt",), scale=2.0)(scaled)
    register_field("mine", ("pt",), scale=2.0)(scaled)  # a module may be imported twice
    with pytest.raises(ConfigError, match="the name 'mine' of a derived field is taken"):
        register_field("mine", inputs, scale=parameters)(function)
    with pytest.raises(ConfigError, match="'proximity'"):
        register_field("proximity", ("pt",), scale=2.0)(scaled)


def test_fields_may_be_computed_from_fields_that_are_computed() -> None:
    register_field("first", ("pt",), scale=2.0)(scaled)
    register_field("second", ("first",))(lambda records: records["first"] + 1.0)
    assert field(RECORDS, "second").to_list() == [[7.0, 9.0], []]
    assert inputs_of("second") == ("first",)
    assert available(frozenset({"pt"}), "second")
    assert not available(frozenset({"eta"}), "second")


def test_what_is_missing_is_named_with_its_inputs() -> None:
    register_field("first", ("charge",))(lambda records: records["charge"])
    with pytest.raises(InputError, match=r"'first' \(computed from \['charge'\]\).*'eta'"):
        field(RECORDS, "first")
    with pytest.raises(InputError, match="expected the field 'unknown', received"):
        field(RECORDS, "unknown")
    assert derived_field("unknown") is None
    assert inputs_of("unknown") == ()


def test_circles_end() -> None:
    register_field("one", ("two",))(lambda records: records["two"])
    register_field("two", ("one",))(lambda records: records["one"])
    assert not available(frozenset({"pt"}), "one")
    assert available(frozenset({"two"}), "one")
    with pytest.raises(InputError, match="'one'"):
        field(RECORDS, "one")


def test_fields_that_look_at_partners_are_known() -> None:
    register_field("alone", ("pt",))(lambda records: records["pt"])
    register_field("crowd", ("pt",), partners=True)(lambda records: records["pt"])
    assert partners_of(["pt", "alone", "crowd", "n_close"]) == ["crowd", "n_close"]


@given(
    st.lists(
        st.tuples(st.floats(0.1, 1e3), st.floats(-4.0, 4.0), st.floats(-3.1, 3.1)),
        min_size=1,
        max_size=6,
    )
)
def test_momenta_are_computed_both_ways(values) -> None:
    pt, eta, phi = (np.array(column) for column in zip(*values, strict=True))
    jets = ak.Array([[{"pt": p, "eta": e, "phi": f} for p, e, f in values]])
    components = ak.zip({name: field(jets, name) for name in ("px", "py", "pz")})
    np.testing.assert_allclose(ak.to_numpy(components.pz[0]), pt * np.sinh(eta), rtol=1e-12)
    for name, known in (("pt", pt), ("eta", eta), ("phi", phi)):
        found = ak.to_numpy(field(components, name)[0])
        np.testing.assert_allclose(found, known, rtol=1e-9, atol=1e-12)
