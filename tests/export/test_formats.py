"""Errors of exports: one line on what is possible for this artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hepsilon import ConfigError
from hepsilon.efficiencies.factorised import FactorisedMap
from hepsilon.export import formats
from tests.efficiencies.test_factorised import AXES, TASK, events_of


@pytest.mark.parametrize("format_", formats.FORMATS)
def test_a_kind_that_no_format_holds_is_told_the_way_out(
    format_: str, tmp_path: Path, run: Any
) -> None:
    path = FactorisedMap.fit(TASK, events_of(600, seed=1), AXES).save(tmp_path / "map.hepsilon")
    ending = {"hepsilon": ".hepsilon", "onnx": ".onnx", "correctionlib": ".json"}.get(format_, "")
    out = tmp_path / f"out{ending}"
    with pytest.raises(ConfigError, match="is a factorised-map, which no format holds") as error:
        formats.export(path, format_, out)
    assert "'hepsilon apply'" in str(error.value)
    code, _, said = run("export", path, "--format", format_, "--out", out)
    assert code == 2
    assert said.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["map.hepsilon"]


def test_a_map_names_its_format(toy_map: Any, tmp_path: Path) -> None:
    path = toy_map.save(tmp_path / "map.hepsilon")
    for format_, name in (("onnx", "x.onnx"), ("savedmodel", "x"), ("triton", "x")):
        text = f"is a map, which is exported as correctionlib, not as {format_}"
        with pytest.raises(ConfigError, match=text):
            formats.export(path, format_, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["map.hepsilon"]
