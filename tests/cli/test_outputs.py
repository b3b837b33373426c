"""Outputs that would overwrite something else are refused before any work, by every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepsilon.simulation.writer import write_jets
from tests.helpers.network_toys import write_untrained

CONFIG = """
[task]
features = ["pt", "hadronFlavour"]
passed = { field = "discriminant", above = [0.0] }
[task.categorical]
hadronFlavour = [5, 4, 0]
[map.axes]
pt = { edges = [0.0, 100.0, 1000.0] }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    write_untrained(folder / "net.hepsilon", architecture="mlp", width=4, blocks=1)
    write_jets(folder / "toy.root", 300, seed=1)
    (folder / "task.toml").write_text(CONFIG)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "jets.png").write_text("notes under a strange name")
    (folder / "data").write_bytes((folder / "toy.root").read_bytes())
    (folder / "sub").mkdir()
    return folder


@pytest.fixture
def there(made, monkeypatch):
    """The folder, which no command may change."""
    monkeypatch.chdir(made)
    before = {each.name: each.is_file() and each.read_bytes() for each in made.iterdir()}
    yield made
    assert {each.name: each.is_file() and each.read_bytes() for each in made.iterdir()} == before


MAP = ["map", "task.toml", "toy.root", "--out"]
TRAIN = ["train", "task.toml", "toy.root", "--out"]
SIMULATE = ["simulate", "jets", "-n", 10, "--out"]
CLOSURE = ["closure", "net.hepsilon", "toy.root", "--out"]
APPLY = ["apply", "net.hepsilon", "toy.root", "--out"]
EXPORT = ["export", "net.hepsilon", "--format", "onnx", "--out"]


@pytest.mark.parametrize(
    "command",
    [
        *([*work, out] for work in (MAP, TRAIN) for out in ("toy.root", "task.toml", "data")),
        *([*work, out] for work in (MAP, TRAIN) for out in ("picture.png", "new.png", "sub", ".")),
        [*MAP, "jets.hepsilon"],  # its picture is no picture now
        *([*SIMULATE, out] for out in ("task.toml", "net.hepsilon", "new.json", "sub", ".")),
        *([*CLOSURE, out] for out in ("toy.root", "task.toml", "task.toml/sub")),
        *([*APPLY, out] for out in ("toy.root", "net.hepsilon", "task.toml")),
        [*APPLY, "."],  # a file for each input, under the name of the input
        *([*EXPORT, out] for out in ("net.hepsilon", "toy.root", "data", "sub", ".")),
        ["export", "net.hepsilon", "--format", "hepsilon", "--out", "toy.root"],
        ["export", "net.hepsilon", "--format", "triton", "--out", "toy.root"],
        ["precision", "net.hepsilon", "--out", "toy.root"],
        ["convert", "toy.root", "--out", "toy.root"],
        ["demo", "--out", "toy.root"],
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_files_of_another_kind_and_inputs_are_refused(there: Path, run, command) -> None:
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("hepsilon: error: ")
    assert "reading" not in err
    assert "Traceback" not in err


def test_a_null_byte_is_refused(there: Path, run) -> None:
    code, _, err = run("info", "net\0.hepsilon")
    assert code == 2
    assert "null byte" in err
