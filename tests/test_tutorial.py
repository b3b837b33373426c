"""Every block of the tutorial and of the README runs, in the order in which a reader copies them.

Only sizes differ from the page: fewer events, a smaller network, one epoch and two observables.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
README = (ROOT / "README.md").read_text()
EVENTS = "1500"
SMALL = """width = 8
blocks = 1

[training]
epochs = 1

[observables.pt]
[observables.delta_r]
"""

pytestmark = [
    pytest.mark.filterwarnings("ignore::hepsilon.errors.OutOfDomainWarning"),
    pytest.mark.slow,
]


def blocks(page: str) -> list[tuple[str, str]]:
    """Languages and texts of the fenced blocks."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def run_commands(text: str) -> list[str]:
    """Run the lines of a shell block that call hepsilon, with fewer events; give their names."""
    from hepsilon.cli.parser import main

    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line.startswith("hepsilon ")]
    for line in lines:
        small = re.sub(r"-n \d+", f"-n {EVENTS}", line)
        assert main(shlex.split(small)[1:]) == 0, line
    return [line.split()[1] for line in lines]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """Folder, names and commands after all blocks of the tutorial."""
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("tutorial")
    names: dict[str, Any] = {}
    commands: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, text in blocks(TUTORIAL):
            match language:
                case "toml":
                    (folder / "jets.toml").write_text(text + SMALL)
                case "sh":
                    commands += run_commands(text)
                case "python":
                    exec(compile(text, "docs/tutorial.md", "exec"), names)
                case _:
                    assert language == "text"
    return folder, names, commands


def test_commands_of_the_tutorial_run(
    tutorial: tuple[Path, dict[str, Any], list[str]],
) -> None:
    folder, _, commands = tutorial
    assert commands == ["simulate"] * 3 + ["map", "train", "closure"]
    assert "<html" in (folder / "closures" / "index.html").read_text()
    assert (folder / "closures" / "boosted" / "report.html").exists()


def test_python_of_the_tutorial_runs(tutorial: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, names, _ = tutorial
    assert names["weight"].shape == (int(EVENTS),)
    assert np.all((names["weight"] >= 0) & (names["weight"] <= 1))
    assert {"tags_efficiencyUp", "tags_efficiencyDown"} <= set(names["weights"].variations)


def test_lines_of_the_readme_run(
    tutorial: tuple[Path, dict[str, Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from coffea.analysis_tools import Weights

    folder, done, _ = tutorial
    monkeypatch.chdir(folder)
    names = {"events": done["events"], "weights": Weights(int(EVENTS))}
    (text,) = (text for language, text in blocks(README) if language == "python")
    exec(compile(text, "README.md", "exec"), names)
    np.testing.assert_allclose(names["weights"].weight(), done["weights"].weight())
    assert len(names["tagged"]) == int(EVENTS)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_commands_of_the_readme_are_targets() -> None:
    """What they do takes minutes: the demo runs in tests/demo, the tests are these."""
    (text,) = (text for language, text in blocks(README) if language == "sh")
    commands = [line.partition("#")[0].split() for line in text.splitlines()]
    assert commands == [["make", "demo"], ["make", "test"]]
    for command in commands:
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_is_short() -> None:
    """Five lines, one picture, two commands, three lines; all else is on the site."""
    assert README.count("![") == 1
    assert len(README.splitlines()) < 60
    opening = README.partition("![")[0].strip().splitlines()[1:]
    assert len([line for line in opening if line]) == 5
