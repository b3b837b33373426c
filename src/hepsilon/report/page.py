"""The report: one self-contained HTML page of a closure."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

from hepsilon.arrays.repeats import repeats_text
from hepsilon.closure.model import Closure, InversionClosure
from hepsilon.closure.questions import warnings_of
from hepsilon.report.axes import axes_section
from hepsilon.report.tables import presentation, summary_rows
from hepsilon.report.text import html_table
from hepsilon.report.verdict import verdict_section

__all__ = ["page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .8rem;
  text-align: right; border-bottom: 1px solid #ddd; } th:first-child, td:first-child {
  text-align: left; } .bad { color: #b00020; font-weight: 600; }
figure { display: inline-block; width: 48%; margin: .5rem 0; vertical-align: top; }
figure.wide { width: 98%; } figure img { max-width: 100%; }
.verdict ul { padding-left: 1.2rem; } .verdict > ul { list-style: none; padding-left: 0; }
.verdict li { margin: .4rem 0; } .note { color: #555; font-size: 13px; }
.pass, .warn, .fail { color: #fff; border-radius: .3rem; padding: .1rem .5rem; }
.pass { background: #1b6e3c; } .warn { background: #8a5300; } .fail { background: #b00020; }
p, li, figcaption { overflow-wrap: anywhere; } pre { overflow-x: auto; }
@media (max-width: 640px) { body { margin: 1rem auto; } figure { width: 98%; } }
.scroll { overflow-x: auto; } figcaption { text-align: center; color: #666; }
"""
WIDE = ("efficiency_", "pulls_", "residuals", "tag_counts")
"""Pictures with several panels beside each other."""


def _repeats(closure: Closure) -> list[str]:
    """A sentence about events that occur twice, if there are any."""
    if not isinstance(closure, InversionClosure):
        return []
    repeated = closure.repeated_events
    if repeated is None or not repeated.count:
        return []
    return [f"warning: {repeats_text(repeated.count, closure.n_selected)}"]


def _found(name: str, texts: Sequence[str]) -> str:
    """What the training of an efficiency found, folded up."""
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    title = f"Found in the training of {html.escape(name)}"
    return f"<details><summary>{title}</summary><ul>{lines}</ul></details>"


def page(closure: Closure, pictures: Mapping[str, bytes]) -> str:
    """The report page, pictures inside.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    pictures : mapping of str to bytes
        Pictures (PNG) by name.

    Returns
    -------
    str
        HTML that refers to no other file.
    """
    images = "".join(
        f'<figure class="{"wide" if name.startswith(WIDE) else ""}"><img alt="{html.escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in pictures.items()
    )
    warnings = [*warnings_of(closure.differences, closure.trained_on), *_repeats(closure)]
    notes = "".join(f'<p class="bad">{html.escape(warning)}</p>' for warning in warnings)
    notes += "".join(
        f"<p>{html.escape(name)} was chosen by its validation loss: {html.escape(text)}</p>"
        for name, text in closure.compared.items()
    )
    notes += "".join(_found(name, texts) for name, texts in closure.found_in_training.items())
    body = presentation(closure).body(closure, html_table(*summary_rows(closure)))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hepsilon closure</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><h1>Closure</h1>{verdict_section(closure)}{notes}{body}"
        f"{axes_section(closure)}<h2>Distributions</h2>{images}</html>\n"
    )
