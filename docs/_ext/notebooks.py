"""Pages from the notebooks in examples/notebooks, and what runs their cells.

    python docs/_ext/notebooks.py examples/notebooks/truth_tagging.ipynb

runs a notebook without Jupyter: its code cells one after the other in one namespace. Printed text
and pictures are written as JSON, one entry for each code cell. A page names its notebook in a
comment, which is replaced when Sphinx reads the page:

    <!-- notebook: truth_tagging -->

With ``HEPSILON_NOTEBOOKS=run`` (``make notebooks``) pages show what the cells print and draw.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
COMMENT = re.compile(r"^<!-- notebook: (\w+) -->$", re.MULTILINE)
MARK = "outputs of the notebook: "


class Cell(NamedTuple):
    """One cell of a notebook."""

    kind: str
    source: str


class Output(NamedTuple):
    """Printed text of a code cell, and its pictures as base64 of PNG files."""

    text: str
    pictures: list[str]


def cells(path: Path) -> list[Cell]:
    """Cells of a notebook of format 4."""
    found = json.loads(path.read_text())["cells"]
    return [Cell(cell["cell_type"], "".join(cell["source"])) for cell in found]


def execute(path: Path) -> Iterator[Output]:
    """Run the code cells in this process; matplotlib must draw without a screen."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = [cell.source for cell in cells(path) if cell.kind == "code"]
    for number, source in enumerate(code, 1):
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            exec(compile(source, f"<{path.stem}, code cell {number}>", "exec"), namespace)
        pictures = []
        for figure in map(plt.figure, plt.get_fignums()):
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=100)
            pictures.append(base64.b64encode(picture.getvalue()).decode())
        plt.close("all")
        yield Output(text.getvalue(), pictures)


def run(path: Path, **environment: str) -> list[Output]:
    """Run a notebook in a process of its own.

    Raises
    ------
    RuntimeError
        If a cell raises; with the traceback.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(path)],
        cwd=path.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{path.name} failed:\n{done.stderr}")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(MARK))
    return [Output(*output) for output in json.loads(line.removeprefix(MARK))]


def page(path: Path, outputs: list[Output] | None = None) -> str:
    """Markdown of a notebook, with its outputs where there are any."""
    parts = []
    left = iter(outputs or ())
    for kind, source in cells(path):
        if kind != "code":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        output = next(left, None)
        if output is None:
            continue
        lines = [line for line in output.text.splitlines() if "━" not in line]  # progress
        if lines:
            parts.append("\n".join(("```text", *lines, "```")))
        for picture in output.pictures:
            data = f"data:image/png;base64,{picture}"
            parts.append(f'<img alt="Picture drawn by the cell above" src="{data}">')
    return "\n\n".join(parts)


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Replace the comment of a page by the notebook that it names."""

    def notebook(match: re.Match[str]) -> str:
        path = FOLDER / f"{match[1]}.ipynb"
        app.env.note_dependency(str(path), docname=docname)
        outputs = run(path) if os.environ.get("HEPSILON_NOTEBOOKS") == "run" else None
        return page(path, outputs)

    source[0] = COMMENT.sub(notebook, source[0])


def setup(app: Any) -> dict[str, bool]:
    """Sphinx reads pages through this."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    found = [list(output) for output in execute(Path(sys.argv[1]))]
    print(MARK + json.dumps(found))
