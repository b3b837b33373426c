"""Small correctionlib files with the two layouts of CMS b-tagging, and what is in them."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from correctionlib import schemav2 as schema

COMB, INCL, SHAPE = "deepJet_comb", "deepJet_incl", "deepJet_shape"
FIXED = {5: COMB, 4: COMB, 0: INCL}
"""Corrections of the flavours in a file of :func:`write_fixed`."""

FIXED_INPUTS = ("systematic", "working_point", "flavor", "abseta", "pt")
SHAPE_INPUTS = ("systematic", "flavor", "abseta", "pt", "discriminant")
TYPES = {"systematic": "string", "working_point": "string", "flavor": "int"}

FIXED_SHIFTS = {
    "central": 0.0,
    "up": 0.10,
    "down": -0.10,
    "up_correlated": 0.06,
    "down_correlated": -0.06,
    "up_uncorrelated": 0.08,
    "down_uncorrelated": -0.08,
}
BASE = {"L": 0.95, "M": 0.90, "T": 0.80}
FLAVOUR_SHIFT = {5: 0.0, 4: 0.1, 0: 0.2}
PT_EDGES, ABSETA_EDGES = (20.0, 50.0, 1000.0), (0.0, 1.5, 2.5)

SHAPE_SHIFTS: dict[str, dict[int, float]] = {
    "central": {5: 0.0, 4: 0.0, 0: 0.0},
    "up_hf": {5: 0.05, 0: 0.02},
    "down_hf": {5: -0.05, 0: -0.02},
    "up_cferr1": {4: 0.3},
    "down_cferr1": {4: -0.3},
}
SLOPE = {5: (0.8, 0.4), 4: (1.0, 0.1), 0: (1.2, -0.4)}


def fixed_factor(key: str, working_point: str, flavour: int, abseta: float, pt: float) -> float:
    """Value in the file of :func:`write_fixed`.

    0.95, 0.90 and 0.80 at L, M and T, plus 0.1 for c and 0.2 for light jets, minus 0.01 from
    pt = 50 and 0.02 from abseta = 1.5 on, plus the shift of the systematic: 0.10 (up), 0.06
    (up_correlated) or 0.08 (up_uncorrelated), twice that for light jets.
    """
    shift = FIXED_SHIFTS[key] * (1 if flavour else 2)
    value = BASE[working_point] + FLAVOUR_SHIFT[flavour] + shift
    return value - 0.01 * (pt >= PT_EDGES[1]) - 0.02 * (abseta >= ABSETA_EDGES[1])


def shape_factor(key: str, flavour: int, pt: float, discriminant: float) -> float:
    """Value in the file of :func:`write_shape`; a key that it does not have for a flavour: nominal.

    0.8 + 0.4 d for b, 1 + 0.1 d for c and 1.2 - 0.4 d for light jets, plus 0.01 from pt = 50 on,
    plus the shift of the systematic: 0.05 for b and 0.02 for light jets (up_hf), 0.3 for c jets
    (up_cferr1).
    """
    constant, slope = SLOPE[flavour]
    value = constant + slope * discriminant + 0.01 * (pt >= PT_EDGES[1])
    return value + SHAPE_SHIFTS[key].get(flavour, 0.0)


def binning(name: str, edges: Any, content: Sequence[Any], flow: Any = "error") -> schema.Binning:
    return schema.Binning(
        nodetype="binning", input=name, edges=edges, content=list(content), flow=flow
    )


def category(name: str, content: dict[Any, Any], default: Any = None) -> schema.Category:
    items = [schema.CategoryItem(key=key, value=value) for key, value in content.items()]
    return schema.Category(nodetype="category", input=name, content=items, default=default)


def correction(
    name: str, inputs: Sequence[str], data: Any, types: dict[str, str] | None = None
) -> schema.Correction:
    """Numbers are real unless ``types`` says otherwise."""
    kinds = TYPES | (types or {})
    variables = [schema.Variable(name=n, type=kinds.get(n, "real")) for n in inputs]
    output = schema.Variable(name="weight", type="real")
    return schema.Correction(name=name, version=1, inputs=variables, output=output, data=data)


def write(path: Path, *corrections: schema.Correction) -> Path:
    """Write a file, compressed where it is named so."""
    text = schema.CorrectionSet(schema_version=2, corrections=list(corrections)).model_dump_json(
        exclude_unset=True
    )
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _in_bins(key: str, point: str, flavour: int) -> schema.Binning:
    """Bins of abseta, where others are an error, and of pt, where the file clamps."""
    return binning(
        "abseta",
        list(ABSETA_EDGES),
        [
            binning(
                "pt",
                list(PT_EDGES),
                [fixed_factor(key, point, flavour, eta, pt) for pt in PT_EDGES[:-1]],
                "clamp",
            )
            for eta in ABSETA_EDGES[:-1]
        ],
    )


def write_fixed(path: Path, inputs: Sequence[str] = FIXED_INPUTS) -> Path:
    """Factors at the working points L, M and T: ``deepJet_comb`` for b and c, ``deepJet_incl``.

    Parameters
    ----------
    inputs : sequence of str
        Arguments of the corrections, in any order; :func:`fixed_factor` gives the values.
    """
    corrections = []
    for name, flavours in ((COMB, (5, 4)), (INCL, (0,))):
        data = {
            key: category(
                "working_point",
                {
                    point: category("flavor", {f: _in_bins(key, point, f) for f in flavours})
                    for point in BASE
                },
            )
            for key in FIXED_SHIFTS
        }
        corrections.append(correction(name, inputs, category("systematic", data)))
    return write(path, *corrections)


def _shape(key: str, flavour: int, pt: float) -> schema.Binning:
    constant = shape_factor(key, flavour, pt, 0.0)
    formula = schema.Formula(
        nodetype="formula",
        expression=f"{constant!r} + {SLOPE[flavour][1]!r} * x",
        parser="TFormula",
        variables=["discriminant"],
    )
    return binning("discriminant", {"n": 2, "low": 0.0, "high": 1.0}, [formula] * 2)


def write_shape(path: Path) -> Path:
    """Factors of the shape, ``deepJet_shape``; see :func:`shape_factor` for the values."""
    data = {
        key: category(
            "flavor",
            {
                flavour: schema.MultiBinning(
                    nodetype="multibinning",
                    inputs=["abseta", "pt"],
                    edges=[[0.0, 2.5], [*PT_EDGES[:-1], "inf"]],
                    content=[_shape(key, flavour, pt) for pt in PT_EDGES[:-1]],
                    flow="error",
                )
                for flavour in shifts
            },
        )
        for key, shifts in SHAPE_SHIFTS.items()
    }
    return write(path, correction(SHAPE, SHAPE_INPUTS, category("systematic", data)))
