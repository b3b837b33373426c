from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import load_config
from hepsilon.config.toml import as_toml, toml_key, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.booleans() | st.integers(-(2**60), 2**60) | TEXT
VALUES = st.recursive(
    PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(TEXT, VALUES)
def test_values_are_read_as_they_were(key, value):
    assert tomllib.loads(f"{toml_key(key)} = {toml_value(value)}") == {key: value}


@pytest.mark.parametrize("path", sorted(Path("training").glob("*.toml")), ids=lambda p: p.stem)
def test_configurations_are_read_as_they_were(path, tmp_path):
    config = load_config(path)
    (tmp_path / "again.toml").write_text(as_toml(config), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config


def test_branches_and_observables_are_read_as_they_were(tmp_path):
    (tmp_path / "one.toml").write_text("""
        [task]
        level = "event"
        collection = "t"
        objects = 2
        features = ["px", "py", "pz"]
        unit = "MeV"
        passed = { field = "reco" }
        [task.fiducial]
        cuts = [{ field = "eta", min = 2.0, max = 4.5 }]
        outside = "drop"
        [input]
        schema = "base"
        tree = "dir/tree"
        [input.branches]
        px = ["t1_px", "t2_px"]
        mass = 139.57
        [input.reconstructed]
        px = ["r1_px", "r2_px"]
        [observables.pt]
        bins = 10
        ["observables"."pt 2"]
        field = "pt"
        [map.axes]
        pt = { edges = [100.0, 200.0, 900.0] }
    """)
    config = load_config(tmp_path / "one.toml")
    (tmp_path / "again.toml").write_text(as_toml(config), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config
