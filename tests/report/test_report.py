from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import hist
import numpy as np
import pytest
import uhi.io.json
from matplotlib.figure import Figure

from hepsilon import plotting
from hepsilon.closure import closure_report
from hepsilon.errors import ConfigError
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.plotting.plot import Plot
from hepsilon.plotting.style import save_figure
from hepsilon.processors import TruthTagging
from hepsilon.report import summary_rows, write_closure
from hepsilon.report.page import Origin, page
from hepsilon.report.text import number_text
from tests.helpers.tag_toys import POINTS_TASK, points_jets, true_points
from tests.helpers.toys import TASK, events_of, half, tagged_jets


def closure_of(jets, efficiencies, task=TASK, **arguments):
    observables = [o for o in JET_OBSERVABLES if o.name in ("pt", "pair_mass")]
    processor = TruthTagging(task, efficiencies, observables=observables, **arguments)
    output = processor.process(events_of(jets))["sample"]
    return output, closure_report(output, task, efficiencies, ["<a>&b.root"])


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
    assert {"tag_counts.png", "gain_pt.png", "pair_mass_2plus_tags.png"} <= names
    assert not [name for name in names if not re.fullmatch(r"\w+\.\w+", name, re.ASCII)]
    assert all(path.suffix in (".json", ".html", ".png") for path in folder.iterdir())
    assert (folder / "pt.png").read_bytes().startswith(b"\x89PNG")


def test_closure_json_is_the_report(folder, closure):
    def refuse(constant):
        raise AssertionError(constant)

    text = (folder / "closure.json").read_text()
    assert json.loads(text, parse_constant=refuse) == closure[1].as_dict()


def test_page_is_self_contained(folder):
    page = (folder / "report.html").read_text()
    sources = re.findall(r"""\ssrc\s*=\s*["']([^"']*)""", page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    anchors = re.findall(r"""href="([^"]*)\"""", page)
    assert all(f'id="{anchor.removeprefix("#")}"' in page for anchor in anchors)
    assert "http:" not in page
    assert "https:" not in page


def test_page_shows_every_picture_with_words(folder):
    page = (folder / "report.html").read_text()
    pictures = [path.stem for path in folder.glob("*.png")]
    assert page.count("<img") == len(pictures)
    for name in pictures:
        assert f'id="plot-{name}"' in page
    alternatives = re.findall(r'<img alt="([^"]*)"', page)
    assert all(len(text) > 30 for text in alternatives)
    assert "pt (b): observed and expected. truth: chi2/ndf " in " ".join(alternatives)


def test_filters_name_what_is_drawn(folder):
    page = (folder / "report.html").read_text()
    assert set(re.findall(r'data-observable="([^"]*)"', page)) >= {"pt", "pair_mass", "tag_counts"}
    for category in ("b", "c-light", "2+ tags"):
        assert f'<option value="{category}">' in page
        assert f'data-category="{category}"' in page


def test_page_says_where_it_comes_from(closure):
    report = closure[1]
    made = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    text = page(report, origin=Origin("hepsilon closure <x>", made))
    assert "2026-03-04 05:06 UTC" in text
    assert "hepsilon closure &lt;x&gt;" in text
    assert "version of numpy" in text
    assert "Efficiencies</h2>" not in text


@pytest.mark.slow
def test_page_shows_cards_and_trainings(points_network, toy_map, closure, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    efficiencies = {"map": toy_map, "net": points_network, "half": half}
    write_closure(tmp_path, *closure, efficiencies)
    text = (tmp_path / "report.html").read_text()
    assert text.count("<img") == 1
    assert "Training of net" in text
    assert "<h3>map</h3>" in text
    assert "<h3>half</h3>" not in text


def test_pictures_in_other_formats(closure, tmp_path, monkeypatch):
    plots = {"weights": Plot(Figure(), "weights")}
    monkeypatch.setattr(plotting, "closure_plots", lambda _: plots)
    write_closure(tmp_path, *closure, formats=("pdf", "svg"))
    first = {path.name: path.read_bytes() for path in tmp_path.glob("weights.*")}
    assert set(first) == {"weights.pdf", "weights.svg"}
    assert first["weights.pdf"].startswith(b"%PDF")
    write_closure(tmp_path, *closure, formats=("pdf", "svg"))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("weights.*")} == first
    with pytest.raises(ConfigError, match="expected a picture ending in"):
        save_figure(Figure(), tmp_path / "a.bmp")


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


def test_replicas_come_back_through_uhi(folder, closure):
    with (folder / "histograms.json").open() as file:
        found = json.load(file, object_hook=uhi.io.json.object_hook)["efficiency_replicas"]
    expected = closure[0]["efficiency_replicas"]["map"]
    assert list(found) == ["map"]
    assert set(found["map"]) == set(expected) == {"pt", "pair_mass", "tag_counts"}
    for name, filled in expected.items():
        histogram = hist.Hist(found["map"][name])
        assert histogram.axes == filled.axes
        np.testing.assert_allclose(histogram.values(), filled.values(), rtol=1e-12)


def rows_of(page, heading):
    """Cells of the first table after a heading, row by row."""
    table = page.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]


def test_page_has_a_table_of_numbers_of_tags(folder, closure):
    header, *rows = rows_of((folder / "report.html").read_text(), "Numbers of tags")
    assert header == ["tags", "observed", "truth (pull)", "map (pull)", "half (pull)"]
    assert [row[0] for row in rows] == ["0 tags", "1 tag", "2 tags", "2+ tags", "3+ tags"]
    for tags, observed, *cells in rows:
        for name, cell in zip(("truth", "map", "half"), cells, strict=True):
            found = closure[1]["efficiency"][name]["tag_counts"]["all"][tags]
            assert observed == number_text(found["observed"])
            assert cell == f"{number_text(found['expected'])} ({found['pull']:+.1f})"


def test_page_has_a_table_of_statistics(folder, closure):
    """Of all categories and conditions; without the totals of numbers of tags, which overlap."""
    header, *rows = rows_of((folder / "report.html").read_text(), "Statistics")
    assert header[:4] == ["observable", "direct", "truth", "map"]
    assert header[4] == "half, own uncertainty unknown"
    entries = closure[1]["efficiency"]
    keys = [key for key in entries["map"]["statistics_gain"] if not key.startswith("tag_counts")]
    assert [row[0] for row in rows] == keys
    assert {"pt", "pt|b", "pair_mass|c-light", "pair_mass|2+ tags"} <= set(keys)
    for key, direct, *cells in rows:
        for name, cell in zip(("truth", "map", "half"), cells, strict=True):
            total = entries[name]["statistics_gain"][key]["total"]
            assert direct == f"{total['direct']:,.0f}"
            assert cell == f"{total['truth_tagged']:,.0f} ({total['weights_only']:,.0f})"


def test_page_without_conditions_has_no_numbers_of_tags(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    write_closure(tmp_path, *closure_of(tagged_jets([2, 3]), {"half": half}, conditions={}))
    page = (tmp_path / "report.html").read_text()
    assert "Statistics" in page
    assert "Numbers of tags" not in page


def test_several_working_points_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})
    output, found = closure_of(
        points_jets([2, 3, 0, 1, 4] * 6), {"same": true_points}, POINTS_TASK, working_point="M"
    )
    write_closure(tmp_path, output, found)
    keys = [row[0] for row in rows_of((tmp_path / "report.html").read_text(), "Statistics")]
    assert {"pt", "pt|L", "pt|T"} <= set(keys)
    header, rows = summary_rows(found)
    assert header == ["method", "yield", "pt", "pair_mass", "KL [1e-4]"]
    assert rows[1][-1] == "0.00"


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
