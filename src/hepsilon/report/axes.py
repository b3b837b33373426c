"""The part of the page about the axes: what they show, what they do not, and how to pin them."""

from __future__ import annotations

import numpy as np

from hepsilon.closure.model import AxisClosure, Closure
from hepsilon.data.units import IN_GEV
from hepsilon.histograms.observables import GEV, INVERSE_GEV
from hepsilon.processors.observables import MANY_OUTSIDE
from hepsilon.report.content import Section, Table

__all__ = ["axes_sections", "binning_toml"]

ORIGINS = {
    "given": "given",
    "default": "default",
    "correction": "bin-by-bin correction",
    "sample": "proposed from the sample",
}
PROPOSED = (
    "Ranges were proposed from the first events of the sample. To keep them for other samples, put "
    "them into the configuration."
)


def axes_sections(closure: Closure) -> list[Section]:
    """Section with the axes, what was left out, and the ranges that can be pinned.

    Parameters
    ----------
    closure : Closure
        Content of ``closure.json``.

    Returns
    -------
    list of Section
        One section; none where nothing is known about axes.
    """
    if not closure.axes and not closure.left_out:
        return []
    header = ["observable", "range", "from", "entries", "NaN", "outside"]
    many, toml = _many(closure), binning_toml(closure)
    left_out = "; ".join(f"{name} ({why})" for name, why in closure.left_out.items())
    return [
        Section(
            "Axes",
            table=Table(header, _rows(closure)),
            warnings=[f"Entries that no bin shows: {'; '.join(many)}"] if many else [],
            remarks=[f"Observables that were left out: {left_out}"] if left_out else [],
            folded=(PROPOSED, toml) if toml else None,
        )
    ]


def _rows(closure: Closure) -> list[list[str]]:
    """One row for each axis."""
    rows = []
    for name, axis in closure.axes.items():
        for number, edges in enumerate(axis.edges):
            rows.append(
                [
                    name if len(axis.edges) == 1 else f"{name}, {'xy'[number]}",
                    f"{edges[0]:.6g} to {edges[-1]:.6g} {axis.unit[number]}".strip(),
                    ORIGINS[axis.origin[number]],
                    f"{axis.entries:,}",
                    f"{axis.not_a_number:,}",
                    f"{axis.outside[number]:.2%}",
                ]
            )
    return rows


def _many(closure: Closure) -> list[str]:
    """Observables of which values are NaN, or many entries outside, with the numbers."""
    found = []
    for name, axis in closure.axes.items():
        if axis.not_a_number:
            found.append(f"{name}: {axis.not_a_number:,} values are NaN")
        many = [share for share in axis.outside if share > MANY_OUTSIDE]
        found += [f"{name}: {share:.1%} are outside of the axis" for share in many]
    return found


def binning_toml(closure: Closure) -> str:
    """Write all bins as a section of the configuration, if some were proposed from the sample.

    Parameters
    ----------
    closure : Closure
        Content of ``closure.json``.

    Returns
    -------
    str
        All observables, since those that a section does not name are not filled, in the unit of the
        task; empty if no range was proposed.
    """
    if not any("sample" in axis.origin for axis in closure.axes.values()):
        return ""
    in_gev = IN_GEV[closure.task.unit]
    sections: dict[str, str] = {}
    for name, axis in closure.axes.items():
        if len(axis.names) == 2:
            bins = [len(edges) - 1 for edges in axis.edges]
            x, y = axis.names
            sections[name] = f'x = "{x}"\ny = "{y}"\nbins = {bins}'
        for number, part in enumerate(axis.names):
            if len(axis.names) == 1 or part not in sections:
                sections[part] = _numbers(axis, number, in_gev)
    return "\n\n".join(f"[observables.{n}]\n{text}" for n, text in sections.items()) + "\n"


def _numbers(axis: AxisClosure, number: int, in_gev: float) -> str:
    """Keys of one axis: equal bins, or edges."""
    factor = {GEV: 1.0 / in_gev, INVERSE_GEV: in_gev}.get(axis.unit[number], 1.0)
    edges = np.asarray(axis.edges[number])
    low, high = (float(f"{edge * factor:.12g}") for edge in (edges[0], edges[-1]))
    if np.allclose(edges, np.linspace(edges[0], edges[-1], len(edges)), rtol=1e-12):
        return f"bins = {len(edges) - 1}\nmin = {low}\nmax = {high}"
    return f"edges = {[float(f'{edge * factor:.12g}') for edge in edges]}"
