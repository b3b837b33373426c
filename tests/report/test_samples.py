"""Closures of several samples side by side."""

from __future__ import annotations

import json

import pytest

from hepsilon.closure import closure_report
from hepsilon.closure.universality import universality
from hepsilon.errors import InputError
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.processors import TruthTagging
from hepsilon.report import write_samples
from hepsilon.report.samples import samples_page, universality_rows
from tests.helpers.toys import TASK, events_of, half, tagged_jets


def closure_of(counts, efficiencies):
    observables = [o for o in JET_OBSERVABLES if o.name in ("pt", "pair_mass")]
    processor = TruthTagging(TASK, efficiencies, observables=observables)
    output = processor.process(events_of(tagged_jets(counts)))["sample"]
    return closure_report(output, TASK, efficiencies, ["a.root"])


@pytest.fixture(scope="module")
def closures(toy_map):
    return {
        "t<t>": closure_of([2, 3, 0, 1] * 30, {"map": toy_map, "half": half}),
        "z jets": closure_of([1, 2] * 20, {"map": toy_map}),
    }


def test_numbers_are_those_of_the_closures(closures):
    found = universality(closures)
    assert list(found.samples) == ["t<t>", "z jets"]
    assert list(found.samples["z jets"]) == ["truth", "map"]
    for sample, methods in found.samples.items():
        for name, method in methods.items():
            entry = closures[sample].efficiency[name]
            assert method.pull == entry.overall.pull
            assert method.status == closures[sample].verdict.methods[name].status
            assert set(method.observables) == {"pt", "pair_mass", "tag_counts"} & set(
                entry.observables
            )
            for observable, agreement in method.observables.items():
                assert agreement.chi2 == entry.observables[observable].chi2


def test_the_worst_sample_decides(closures):
    found = universality(closures)
    order = ["pass", "warn", "fail"]
    statuses = [closure.verdict.status for closure in closures.values()]
    assert found.status == max(statuses, key=order.index)


def test_table_has_a_row_for_each_method_and_sample(closures):
    table = universality_rows(universality(closures))
    names = [row[0] for row in table.rows]
    assert names == [
        "truth on t<t>",
        "truth on z jets",
        "map on t<t>",
        "map on z jets",
        "half on t<t>",
    ]
    assert all(len(row) == len(table.header) for row in table.rows)


def test_index_links_to_every_sample_and_escapes_names(closures, tmp_path):
    found = write_samples(tmp_path, closures)
    page = (tmp_path / "index.html").read_text()
    assert 'href="t%3Ct%3E/report.html"' in page
    assert 'href="z%20jets/report.html"' in page
    assert "t&lt;t&gt;" in page
    assert "<t>" not in page
    assert "Truth tagging: methods and samples</h2>" in page
    assert json.loads((tmp_path / "universality.json").read_text()) == found.as_dict()


def test_no_samples_are_an_error():
    with pytest.raises(InputError, match="received none"):
        universality({})


def test_the_index_leads_to_the_pages_of_trainings(closures):
    page = samples_page(closures, trainings={"b<b>": "models/b b.report.html"})
    assert '<a href="models/b%20b.report.html">b&lt;b&gt;</a>.' in page
    assert "Trainings" not in samples_page(closures)
