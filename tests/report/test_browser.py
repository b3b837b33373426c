"""The report page in a real browser: filters work, nothing overflows, nothing is logged."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from hepsilon.closure import closure_report
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.processors import TruthTagging
from hepsilon.report import write_closure, write_held_out, write_samples
from tests.helpers.held_out import held_out_card
from tests.helpers.network_toys import write_untrained
from tests.helpers.toys import TASK, events_of, half, tagged_jets

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason=f"there is no browser: {NAMES}"),
    pytest.mark.slow,
]

OVERFLOW = """<script>
document.title = "width " + document.documentElement.scrollWidth + " of " + window.innerWidth;
</script>"""
CHOOSE = """<script>
const form = document.querySelector(".filters");
form.elements.namedItem("observable").value = "pt";
form.elements.namedItem("text").value = "(b)";
form.dispatchEvent(new Event("input"));
document.title = form.querySelector("output").value;
</script>"""


NARROW = """<!doctype html><title></title>
<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inside = document.querySelector("iframe");
  const content = inside.contentDocument.documentElement.scrollWidth;
  document.title = "width " + content + " of " + inside.contentWindow.innerWidth;
}});
</script>"""
"""A window of Chromium is never narrower than 500 pixels, but a frame may be."""


def visit(page: Path, script: str, width: int = 1400) -> tuple[str, str]:
    """Open a copy of a page that ends with a script; give its title and the browser's log."""
    copy = page.with_name(f"copy-{page.name}")
    copy.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    arguments += [f"--window-size={width},900", "--dump-dom", copy.as_uri()]
    done = subprocess.run(
        [str(BROWSER), *arguments], capture_output=True, text=True, timeout=300, check=True
    )
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found
    return found[1], done.stderr


@pytest.fixture(scope="module")
def folder(toy_map, tmp_path_factory):
    out = tmp_path_factory.mktemp("browser")
    efficiencies = {"map": toy_map, "half": half}
    observables = [o for o in JET_OBSERVABLES if o.name in ("pt", "pair_mass")]
    processor = TruthTagging(TASK, efficiencies, observables=observables)
    output = processor.process(events_of(tagged_jets([2, 3, 0, 1] * 30)))["sample"]
    report = closure_report(output, TASK, efficiencies, ["a" * 60 + ".root"])
    write_closure(out / "sample", output, report, efficiencies)
    write_samples(out, {"sample": report})
    options = {"architecture": "mlp", "width": 4, "blocks": 1}
    card = write_untrained(out / "gnn.hepsilon", TASK, **options).card
    known = card.model_copy(update={"held_out": held_out_card()})
    write_held_out(out / "gnn.report.html", known, "gnn")
    return out


@pytest.mark.parametrize("name", ["sample/report.html", "index.html", "gnn.report.html"])
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_overflows_and_nothing_is_logged(folder, name, width):
    page = folder / name
    if width < 500:
        frame = page.with_name(f"narrow-{page.name}")
        text = NARROW.format(width=width, page=escape(page.read_text()))
        frame.write_text(f"{text}<body></body>")
        title, log = visit(frame, "")
    else:
        title, log = visit(page, OVERFLOW, width)
    content, window = map(int, re.findall(r"\d+", title))
    assert abs(window - width) <= 20  # a scroll bar may take some
    assert content <= window
    assert "CONSOLE" not in log


def test_filters_show_what_was_chosen(folder):
    page = folder / "sample" / "report.html"
    n_plots = page.read_text().count("<figure")
    title, log = visit(page, CHOOSE)
    fitting = [
        figure
        for figure in re.findall(r"<figure.*?</figure>", page.read_text(), re.DOTALL)
        if 'data-observable="pt"' in figure and "(b)" in figure
    ]
    trainings = page.read_text().count('data-observable=""')
    assert fitting
    assert title == f"{len(fitting)} of {n_plots} plots", trainings
    assert "CONSOLE" not in log
