"""The report: one self-contained HTML page of a closure."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

from hepsilon.report.tables import (
    chi2_rows,
    gain_rows,
    html_table,
    number_text,
    outside_text,
    percent_text,
    summary_rows,
    tag_counts_section,
)

__all__ = ["page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .8rem;
  text-align: right; border-bottom: 1px solid #ddd; } th:first-child, td:first-child {
  text-align: left; } .bad { color: #b00020; font-weight: 600; }
figure { display: inline-block; width: 48%; margin: .5rem 0; vertical-align: top; }
figure.wide { width: 98%; } figure img { max-width: 100%; }
.scroll { overflow-x: auto; } figcaption { text-align: center; color: #666; }
"""
WIDE = ("efficiency_", "pulls_", "residuals", "tag_counts")
"""Pictures with several panels beside each other."""


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report page, pictures inside."""
    images = "".join(
        f'<figure class="{"wide" if name.startswith(WIDE) else ""}"><img alt="{html.escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in pictures.items()
    )
    body = _inversion_body if report["task"].get("level") == "event" else _tagging_body
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hepsilon closure</title>'
        f"<style>{STYLE}</style><h1>Closure</h1>{body(report)}"
        f"<h2>Distributions</h2>{images}</html>\n"
    )


def _tagging_body(report: Mapping[str, Any]) -> str:
    """Tables of a closure of truth tagging."""
    details = [
        [
            name,
            f"{entry['overall']['observed']:.1f}",
            f"{entry['overall']['expected']:.1f}",
            outside_text(entry),
        ]
        for name, entry in report["efficiency"].items()
    ]
    counts = f"{report['n_events']:,} events, {report['n_objects']:,} objects"
    return (
        f"<p>{counts} from {html.escape(', '.join(report['files']))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Observed minus expected, with the variance sum w<sup>2</sup> p (1 - p): one for the "
        "true efficiency. The model's own uncertainty is not included. yield: pull of the total; "
        "KL: mean Kullback-Leibler divergence of the truth from the efficiency per object.</p>"
        f"{html_table(*summary_rows(report))}<h2>Totals</h2>"
        f"{html_table(['efficiency', 'observed', 'expected', 'out of domain'], details)}"
        f"{tag_counts_section(report)}"
        "<h2>Statistics</h2>"
        "<p>Effective number of events, (sum w)<sup>2</sup> / variance, of all bins together: of "
        "direct tagging, and of truth tagging with the variance of the efficiency itself over its "
        "replicas (in brackets without).</p>"
        f"{html_table(*gain_rows(report))}"
    )


def _inversion_body(report: Mapping[str, Any]) -> str:
    """Tables of a closure of efficiency inversion."""
    header = ["method", "corrected", "HT error", "Poisson error", "generated", "bias", "Jensen"]
    header += ["effective events", "clipped (share of the weight)", "out of domain"]
    details = []
    for name, entry in report["efficiency"].items():
        overall, clipped = entry["overall"], entry["clipped"]
        sizes = entry["effective_sample_size"]
        jensen = (
            entry["jensen"] / overall["observed"]
            if overall["observed"] and "jensen" in entry
            else None
        )
        details.append(
            [
                name,
                number_text(overall["observed"]),
                number_text(overall["horvitz_thompson_error"]),
                number_text(overall["poisson_error"]),
                number_text(overall["expected"]),
                percent_text(overall.get("relative_bias")),
                percent_text(jensen),
                number_text(next(iter(sizes.values()), None), 0),
                f"{clipped['count']:,} ({clipped['share']:.2%})",
                outside_text(entry),
            ]
        )
    counts = f"{report['n_events']:,} events, {report['n_selected']:,} selected"
    if report["n_outside"]:
        counts += f", {report['n_outside']:,} outside the fiducial region (left out)"
    return (
        f"<p>{counts}, from {html.escape(', '.join(report['files']))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Corrected minus generated, with the variance sum w<sup>2</sup> (1 - E) / E over the "
        "generated events: one for the true efficiency. The model's own uncertainty is not "
        "included. yield, pull: relative difference of the total, and in units of its error; 1D, "
        "2D: means over all observables in one and in two dimensions; KL: mean Kullback-Leibler "
        "divergence of the truth from the efficiency per event. @reco: weights and observables "
        "from reconstructed momenta, "
        "with the variance from the selected events; migrations between bins are not in it.</p>"
        f"{html_table(*summary_rows(report))}<h2>Totals</h2>"
        "<p>HT: Horvitz-Thompson, the error given the generated events. bias: that of the total "
        "without the noise of the responses, where the truth is known. Jensen: what averaging the "
        "members of an ensemble leaves of the upward bias of 1/E, from their spread.</p>"
        f"{html_table(header, details)}<h2>All observables</h2>"
        "<p>naive: the statistic of the reference code, which takes the corrected and the "
        "generated histogram as independent though they share their events; it is below one for "
        "a perfect efficiency.</p>"
        f"{html_table(*chi2_rows(report))}"
    )
