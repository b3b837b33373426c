"""Tables for HEPData: a folder that is ready to be packed and submitted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hepsilon._system.files import atomic_folder, write_text
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.fits.template import Axis, Channel, Template, Templates
from hepsilon.histograms.densities import unit_of

__all__ = ["write_hepdata"]

SUBMISSION = "submission.yaml"
STATISTICS = "stat"
DIGITS = 6


def write_hepdata(found: Templates, out: str | Path, *, comment: str = "") -> None:
    """Write ``submission.yaml`` and its tables.

    Every channel is a table of what is expected from each process, with the statistical error and
    every variation as an error of its own, and of what was observed; the covariance by the
    efficiency's own error is one more table for each process.

    Parameters
    ----------
    found : Templates
        Templates.
    out : str or Path
        Folder to write; all files of it change together.
    comment : str, optional
        Text about the whole submission.

    Raises
    ------
    InputError
        If two files would have one name.
    """
    tables: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, channel in found.channels.items():
        tables[name] = (_description(channel), _table(channel))
        for process, template in channel.processes.items():
            if template.covariance is not None:
                text = (
                    f"Covariance of the bins of {process} in {name} by the efficiency's own error"
                )
                tables[f"{name} covariance {process}"] = (text, _covariance(channel, template))
    files = {name: f"{name.replace(' ', '_')}.yaml" for name in tables}
    clash = [file for file, n in Counter([SUBMISSION, *files.values()]).items() if n > 1]
    if clash:
        raise InputError(
            f"two files of the submission would have the name {clash[0]!r}; name the channel or "
            "the process otherwise"
        )
    documents: list[Any] = [{"comment": comment or "Templates from hepsilon."}]
    with atomic_folder(out) as folder:
        for name, (text, table) in tables.items():
            write_text(folder / files[name], _yaml([table]))
            document = {"name": name, "description": text, "keywords": []}
            documents.append(document | {"data_file": files[name]})
        write_text(folder / SUBMISSION, _yaml(documents))


def _yaml(documents: list[Any]) -> str:
    text: str = yaml.safe_dump_all(documents, sort_keys=False, width=100, allow_unicode=True)
    return text


def _description(channel: Channel) -> str:
    """Words about a channel."""
    text = f"Sums of weights of {', '.join(channel.processes)}"
    if channel.observed is not None:
        text += ", and what was observed"
    return text + f"; {channel.outside:.2%} of the expected sum is beyond the edges"


def _header(axis: Axis) -> dict[str, str]:
    unit = unit_of(axis.label)
    name = axis.label.removesuffix(f"[{unit}]").strip() if unit else axis.label
    return {"name": name} | ({"units": unit} if unit else {})


def _ranges(axes: tuple[Axis, ...]) -> list[dict[str, Any]]:
    """Independent variables: the range of every bin on each axis."""
    numbers = np.indices([len(axis.edges) - 1 for axis in axes]).reshape(len(axes), -1)
    return [
        {
            "header": _header(axis),
            "values": [{"low": axis.edges[i], "high": axis.edges[i + 1]} for i in own.tolist()],
        }
        for axis, own in zip(axes, numbers, strict=True)
    ]


def _number(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _value(value: float, errors: list[dict[str, Any]]) -> dict[str, Any]:
    """One bin; HEPData takes no errors that are all zero, but none at all."""
    known = any(
        error.get("symerror") or any(error.get("asymerror", {}).values()) for error in errors
    )
    return {"value": _number(value)} | ({"errors": errors} if known else {})


def _errors(template: Template, number: int) -> list[dict[str, Any]]:
    """Errors of one bin: statistical, and by every variation."""
    value = template.values[number]
    found: list[dict[str, Any]] = [
        {"symerror": _number(template.variances[number] ** 0.5), "label": STATISTICS}
    ]
    pairs = {name: (up[number], down[number]) for name, (up, down) in template.variations.items()}
    pairs |= {name: (value * up, value * down) for name, (up, down) in template.norms.items()}
    for name, (up, down) in pairs.items():
        sides = {"plus": _number(up - value), "minus": _number(down - value)}
        found.append({"asymerror": sides, "label": name})
    return found


def _table(channel: Channel) -> dict[str, Any]:
    """Table of one channel."""
    columns = [
        {
            "header": {"name": "Sum of weights"},
            "qualifiers": [{"name": "process", "value": process}],
            "values": [
                _value(value, _errors(template, number))
                for number, value in enumerate(template.values.tolist())
            ],
        }
        for process, template in channel.processes.items()
    ]
    if channel.observed is not None:
        columns.append(_observed(channel.observed, channel.observed_variances))
    return {"independent_variables": _ranges(channel.axes), "dependent_variables": columns}


def _observed(values: Array, variances: Array | None) -> dict[str, Any]:
    errors = np.sqrt(np.abs(values if variances is None else variances)).tolist()
    return {
        "header": {"name": "Sum of weights"},
        "qualifiers": [{"name": "process", "value": "observed"}],
        "values": [
            _value(value, [{"symerror": _number(error), "label": STATISTICS}])
            for value, error in zip(values.tolist(), errors, strict=True)
        ],
    }


def _covariance(channel: Channel, template: Template) -> dict[str, Any]:
    """Table of a covariance: pairs of bins, by their numbers from one."""
    assert template.covariance is not None
    rows, columns = np.indices(template.covariance.shape).reshape(2, -1) + 1
    independent = [
        {"header": {"name": f"{which} bin"}, "values": [{"value": n} for n in numbers.tolist()]}
        for which, numbers in (("First", rows), ("Second", columns))
    ]
    values = [{"value": _number(v)} for v in template.covariance.ravel().tolist()]
    dependent = [{"header": {"name": "Covariance"}, "values": values}]
    return {"independent_variables": independent, "dependent_variables": dependent}
