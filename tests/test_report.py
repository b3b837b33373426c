from __future__ import annotations

import json
import re

import hist
import numpy as np
import pytest
import uhi.io.json
from toys import TASK, events_of, half, tagged_jets

from hepsilon.closure import closure_report
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.processors import TruthTagging
from hepsilon.report import summary_rows, write_closure

pytest_plugins = ["trained"]


def closure_of(jets, efficiencies):
    observables = [o for o in JET_OBSERVABLES if o.name in ("pt", "pair_mass")]
    processor = TruthTagging(TASK, efficiencies, observables=observables)
    output = processor.process(events_of(jets))["sample"]
    return output, closure_report(output, TASK, efficiencies, ["<a>&b.root"])


@pytest.fixture(scope="module")
def closure(toy_map):
    return closure_of(tagged_jets([2, 3, 0, 1] * 30), {"map": toy_map, "half": half})


@pytest.fixture(scope="module")
def folder(closure, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "new" / "closure"
    write_closure(out, *closure)
    return out


def test_everything_is_written(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"closure.json", "report.html", "histograms.json", "pt.png", "residuals.png"} <= names
    assert all(path.suffix in (".json", ".html", ".png") for path in folder.iterdir())
    assert (folder / "pt.png").read_bytes().startswith(b"\x89PNG")


def test_closure_json_is_the_report(folder, closure):
    def refuse(constant):
        raise AssertionError(constant)

    text = (folder / "closure.json").read_text()
    assert json.loads(text, parse_constant=refuse) == json.loads(json.dumps(closure[1]))


def test_page_is_self_contained(folder):
    page = (folder / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page


def test_page_shows_every_picture_and_method(folder):
    page = (folder / "report.html").read_text()
    pictures = [path.stem for path in folder.glob("*.png")]
    assert page.count("<img") == len(pictures)
    for name in (*pictures, "truth", "map", "half"):
        assert name in page


def test_page_escapes_names(folder):
    page = (folder / "report.html").read_text()
    assert "&lt;a&gt;&amp;b.root" in page
    assert "<a>" not in page


def test_histograms_come_back_through_uhi(folder, closure):
    with (folder / "histograms.json").open() as file:
        found = json.load(file, object_hook=uhi.io.json.object_hook)
    for part in ("observables", "binomial", "profiles"):
        assert set(found[part]) == set(closure[0][part])
        for name, expected in closure[0][part].items():
            histogram = hist.Hist(found[part][name])
            assert histogram.axes == expected.axes
            for flow in (False, True):
                np.testing.assert_allclose(
                    histogram.values(flow=flow), expected.values(flow=flow), rtol=1e-12
                )
            np.testing.assert_allclose(
                histogram.variances(), expected.variances(), rtol=1e-9, equal_nan=True
            )


def test_table_has_a_row_for_each_efficiency(closure):
    header, rows = summary_rows(closure[1])
    assert header[:3] == ["method", "yield", "pt"]
    assert header[-1].startswith("KL")
    assert [row[0] for row in rows] == ["truth", "map", "half"]
    assert all(len(row) == len(header) for row in rows)
    found = closure[1]["efficiency"]["half"]["observables"]["pt"]
    assert rows[2][2] == f"{found['chi2'] / found['ndf']:.2f}"
    assert rows[0][-1] == "-"


@pytest.mark.parametrize("counts", [[1], [0, 0]])
def test_thin_samples_are_reported(toy_map, tmp_path, counts):
    jets = tagged_jets([*counts, 1])[: len(counts)]
    write_closure(tmp_path, *closure_of(jets, {"map": toy_map}))
    assert "report.html" in {path.name for path in tmp_path.iterdir()}
