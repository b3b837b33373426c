"""The notebooks run from the first to the last cell, and are kept without outputs."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    """What makes pages of notebooks, and runs them."""
    file = ROOT / "docs" / "_ext" / "notebooks.py"
    spec = importlib.util.spec_from_file_location("notebooks", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, *sources: str) -> Path:
    """Write a notebook whose cells are all code."""
    cells = [{"cell_type": "code", "source": source} for source in sources]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["efficiency_inversion", "truth_tagging"]


@each_notebook
def test_it_is_kept_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    for cell in content["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_truth_tagging_agrees_with_direct_tagging(notebooks: ModuleType) -> None:
    outputs = notebooks.run(ROOT / "examples" / "notebooks" / "truth_tagging.ipynb")
    text = "".join(output.text for output in outputs)
    assert "direct       :  3.00 events, worth  3.0" in text
    (worth,) = re.findall(r"truth tagging: .* worth (.*)", text)
    assert float(worth) > 10
    (pull,) = re.findall(r"difference: (.*) standard deviations", text)
    assert abs(float(pull)) < 3  # a fixed sample and a fixed seed
    assert len(outputs[-1].pictures) == 1


def test_inversion_gives_back_the_events(notebooks: ModuleType) -> None:
    pytest.importorskip("keras")
    outputs = notebooks.run(
        ROOT / "examples" / "notebooks" / "efficiency_inversion.ipynb", TF_CPP_MIN_LOG_LEVEL="3"
    )
    text = "".join(output.text for output in outputs)
    found = re.findall(r"^(\w[\w ]*?) *: +(\d+) \+- +(\d+) events of (\d+)", text, re.MULTILINE)
    assert [name for name, *_ in found] == ["product", "factorised map", "true E"]
    for name, total, error, expected in found:
        assert abs(int(total) - int(expected)) < 3 * int(error), name  # with a fixed seed
    assert sum(len(output.pictures) for output in outputs) == 1


def test_a_cell_that_fails_is_named(notebooks: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.ipynb", "x = 1", "x / 0")
    with pytest.raises(RuntimeError, match=r"(?s)bad, code cell 2.*ZeroDivisionError"):
        notebooks.run(path)


def test_a_page_shows_what_cells_print(notebooks: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "good.ipynb", "x = 2", "print('twice', 2 * x)")
    outputs = notebooks.run(path)
    assert [output.text for output in outputs] == ["", "twice 4\n"]
    page = notebooks.page(path, outputs)
    assert page.count("```python") == 2
    assert "```text\ntwice 4\n```" in page
    assert "```text" not in notebooks.page(path)
