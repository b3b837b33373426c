"""Workspaces of HistFactory in JSON, as pyhf and cabinetry read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.fits.checks import check_likelihood, signals_of
from hepsilon.fits.template import Template, Templates

__all__ = ["workspace"]

VARIATIONS = "histosys", "normsys"
"""Modifiers that are one parameter where they have one name."""
STRENGTH = "mu"
"""Name of the strength of the signal; with several ones that of each follows it."""


def workspace(
    found: Templates, *, signal: str | Sequence[str] | None = None, name: str = "hepsilon"
) -> dict[str, Any]:
    """Workspace of HistFactory: plain data for ``pyhf.Workspace`` or a JSON file.

    Systematic variations, those of efficiencies among them, are ``histosys`` (equal names are one
    parameter in all channels and processes), errors of the normalisation ``normsys``, and the
    statistical errors of all processes of a channel together one ``staterror``.

    Parameters
    ----------
    found : Templates
        Templates with what was observed.
    signal : str or sequence of str, optional
        Processes whose strength is free: ``mu``, or for several ``mu_PROCESS``; by default the
        first one.
    name : str, default "hepsilon"
        Name of the measurement.

    Returns
    -------
    dict
        The workspace, of version 1.0.0 of its schema.

    Raises
    ------
    InputError
        If no likelihood can be made of the templates, or a variation has the name of a strength or
        of the statistical errors of a channel.
    """
    check_likelihood(found)
    signals = signals_of(found, signal)
    strengths = {each: STRENGTH if len(signals) == 1 else f"{STRENGTH}_{each}" for each in signals}
    channels = [
        {
            "name": channel,
            "samples": [
                {
                    "name": process,
                    "data": template.values.tolist(),
                    "modifiers": _modifiers(template, channel, strengths.get(process)),
                }
                for process, template in each.processes.items()
            ],
        }
        for channel, each in found.channels.items()
    ]
    observations = [
        {"name": channel, "data": _plain(each.observed)} for channel, each in found.channels.items()
    ]
    _check_names(channels)
    config = {"poi": strengths[signals[0]], "parameters": []}
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": name, "config": config}],
        "version": "1.0.0",
    }


def _check_names(channels: list[dict[str, Any]]) -> None:
    """Refuse one name for parameters of two kinds."""
    kinds: dict[str, set[str]] = {}
    for modifier in (m for c in channels for s in c["samples"] for m in s["modifiers"]):
        kind = "variation" if modifier["type"] in VARIATIONS else str(modifier["type"])
        kinds.setdefault(modifier["name"], set()).add(kind)
    wrong = next((name for name, found in kinds.items() if len(found) > 1), None)
    if wrong is not None:
        other = ", ".join(kinds[wrong] - {"variation"})
        raise InputError(
            f"the variation {wrong!r} has the name of the {other} in the workspace; give it "
            "another name"
        )


def _plain(values: Array | None) -> list[float]:
    return [] if values is None else values.tolist()


def _modifiers(template: Template, channel: str, strength: str | None) -> list[dict[str, Any]]:
    """Modifiers of one sample."""
    found: list[dict[str, Any]] = []
    if strength is not None:
        found.append({"name": strength, "type": "normfactor", "data": None})
    for name, (up, down) in template.variations.items():
        data: Any = {"hi_data": up.tolist(), "lo_data": down.tolist()}
        found.append({"name": name, "type": "histosys", "data": data})
    for name, (high, low) in template.norms.items():
        found.append({"name": name, "type": "normsys", "data": {"hi": high, "lo": low}})
    if np.any(template.variances > 0.0):
        errors = np.sqrt(template.variances).tolist()
        found.append({"name": f"staterror_{channel}", "type": "staterror", "data": errors})
    return found
