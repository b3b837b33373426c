"""Configurations that strangers can write: errors of a few lines, within little memory and time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ConfigError
from hepsilon.config import MapConfig, ModelConfig, load_config
from hepsilon.config.file import LARGEST

TASK = """
[task]
features = ["pt"]
passed = { field = "tag" }
"""


def refused(path: Path, text: str | bytes) -> str:
    """The error of a configuration, which comes at once and is short."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert time.process_time() - start < 20.0
    assert len(str(caught.value)) < 6000
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000 + "]" * 100_000, "is not valid TOML: its values are nested"),
        (".".join("a" * 20_000) + " = 1", "TOML|unknown key"),
        ("a = " + "9" * 5000, "is not valid TOML: .*4300 digits"),
        (b'a = "\xff"', "is not valid TOML: .*utf-8"),
        ("a = ", "is not valid TOML"),
        (b"PK\x03\x04" + bytes(5 << 20), "an artifact or archive"),
        (b"root\x00\x00\xf6", "received .* a ROOT file"),
        ("root = 1", "unknown key"),
        ("#" * (LARGEST + 1), "is longer than"),
    ],
    ids=["deep", "dotted", "digits", "bytes", "cut", "artifact", "events", "a key", "long"],
)
def test_files_that_cannot_be_read_are_refused(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    found = refused(tmp_path / "task.toml", text)
    assert any(part in found for part in message.replace(".*", "|").split("|"))


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="null byte"):
        load_config("a\0b.toml")


def test_many_wrong_keys_are_told_in_a_few_lines(tmp_path: Path) -> None:
    keys = "".join(f"key{i} = 1\n" for i in range(20_000))
    found = refused(tmp_path / "task.toml", TASK + keys)
    assert len(found.splitlines()) == 22
    assert found.endswith("and 19980 more")


def test_long_values_are_told_in_short(tmp_path: Path) -> None:
    found = refused(tmp_path / "task.toml", TASK + f'[training]\nmu = "{"x" * 100_000}"\n')
    assert "training.mu: " in found
    found = refused(tmp_path / "task.toml", TASK + f"[training]\n{'x' * 100_000} = 1\n")
    assert "training.xxx" in found


@pytest.mark.parametrize("seed", [-1, 2**64, 2**70, 1.5, True, "1"])
def test_seeds_that_are_none_are_refused(tmp_path: Path, seed: object) -> None:
    shown = str(seed).lower() if isinstance(seed, bool) else repr(seed).replace("'", '"')
    assert "training.seed" in refused(tmp_path / "t.toml", f"{TASK}[training]\nseed = {shown}\n")


def test_bins_that_no_memory_holds_are_refused_before_they_are_made() -> None:
    axis = {"bins": 2_000_000_000, "min": 0.0, "max": 1.0}
    with pytest.raises(ConfigError, match="less than or equal to 5000000"):
        MapConfig.model_validate({"axes": {"pt": axis}})
    axes = {name: axis | {"bins": 3000} for name in ("pt", "eta")}
    with pytest.raises(ConfigError, match="expected at most 5000000 bins, received 9000000"):
        MapConfig.model_validate({"axes": axes})


@pytest.mark.parametrize("size", ["members", "width", "blocks"])
def test_networks_that_no_memory_holds_are_refused(size: str) -> None:
    with pytest.raises(ConfigError, match=f"{size}: Input should be less than"):
        ModelConfig.model_validate({size: 10**9})


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_file_holds_the_error_is_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    for start in (b"", TASK.encode()):
        path.write_bytes(start + content)
        with contextlib.suppress(ConfigError):
            load_config(path)
