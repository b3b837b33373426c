"""Two-sample test of a closure as tables, for terminal and page."""

from __future__ import annotations

from hepsilon.closure.model import Closure
from hepsilon.closure.two_sample_record import Region, TwoSample
from hepsilon.report.content import Section, Table
from hepsilon.report.text import signed_text

__all__ = ["two_sample_rows", "two_sample_sections"]

MEANING = (
    "Boosted trees were fitted to what the efficiency leaves, and asked about events that they had "
    "not seen: can they tell what passed from everything weighted with the efficiency? An area "
    "under the curve of one half means no. Chance: mean and standard deviation of the area where "
    "responses are drawn from the efficiency, the fit of the trees included; the p-value is the "
    "rank among these, by the sample alone and with the efficiency's own error. Response: area "
    "under the curve of the response by the efficiency, and with what the trees add. Loss: by how "
    "much they lower the cross-entropy."
)
REGIONS = (
    "Passed over expected where the trees see most and least, and in bins of the most important "
    "features that deviate most. They were chosen among many."
)


def _tests(closure: Closure) -> dict[str, TwoSample]:
    """Tests by method, where they were asked for."""
    return {m: e.two_sample for m, e in closure.efficiency.items() if e.two_sample is not None}


def _chances(test: TwoSample) -> list[str]:
    own = test.with_own_error
    return [
        f"{test.by_sample.mean:.4f} ± {test.by_sample.spread:.4f}",
        f"{test.by_sample.p_value:.2g}",
        "-" if own is None else f"{own.p_value:.2g}",
    ]


def _features(test: TwoSample, most: int) -> str:
    return ", ".join(f"{n} {share:.0%}" for n, share in list(test.features.items())[:most])


def two_sample_rows(closure: Closure) -> Table | None:
    """Table of the tests, one row for each method.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    Table or None
        None where no test was asked for.
    """
    tests = _tests(closure)
    if not tests:
        return None
    header = ["method", "area", "chance", "p-value", "with own error", "features"]
    rows = [[m, f"{t.auc:.4f}", *_chances(t), _features(t, 2)] for m, t in tests.items()]
    return Table(header, rows)


def two_sample_sections(closure: Closure) -> list[Section]:
    """Sections with the tests and the regions where they succeed.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    list of Section
        One, and one more with the regions of each method; none where no test was asked for.
    """
    tests = _tests(closure)
    if not tests:
        return []
    header = ["method", "entries", "area", "chance", "p-value", "with own error", "response"]
    rows = [
        [
            method,
            f"{test.n_entries:,}",
            f"{test.auc:.4f}",
            *_chances(test),
            f"{test.response_auc:.4f}, {test.response_auc_with_trees:.4f}",
            f"{-test.loss_gain:+.2g} ± {test.loss_gain_error:.1g}",
        ]
        for method, test in tests.items()
    ]
    found = [Section("Two-sample test", [MEANING], Table([*header, "loss"], rows))]
    for method, test in tests.items():
        regions = Table(
            ["region", "share of the weight", "passed / expected", "pull"],
            [[r.text, f"{r.share:.1%}", _ratio(r), signed_text(r.pull)] for r in test.regions],
        )
        title = f"Regions of the two-sample test, {method}"
        texts = [f"Features that the trees use: {_features(test, 6)}.", REGIONS]
        found.append(Section(title, texts, regions))
    return found


def _ratio(region: Region) -> str:
    return "-" if region.ratio is None else f"{region.ratio:.3f} ± {region.error:.3f}"
