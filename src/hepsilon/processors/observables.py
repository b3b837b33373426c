"""Observables that a processor can fill, and what is said about entries that are not shown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import awkward as ak

from hepsilon.errors import InputError
from hepsilon.histograms.observables import AnyObservable, split_available
from hepsilon.processors.outputs import Output

__all__ = [
    "MANY_OUTSIDE",
    "available_observables",
    "refuse_none",
    "warn_of_entries",
    "warn_of_left_out",
]

MANY_OUTSIDE = 0.01
"""Share of entries beyond an axis from which on a warning is given."""
logger = logging.getLogger("hepsilon")


def available_observables(
    observables: Sequence[Any], *records: ak.Array
) -> tuple[tuple[Any, ...], dict[str, str]]:
    """Leave out the observables that records lack a field for.

    Parameters
    ----------
    observables : sequence of Observable or Observable2D
        The observables.
    *records : ak.Array of records, jagged
        The objects, and others that the observables are filled with, too.

    Returns
    -------
    kept : tuple of Observable or Observable2D
        Those that can be filled.
    left_out : dict of str to str
        What the records lack for each of the others.

    Raises
    ------
    InputError
        If none can be filled.
    """
    kept, left_out = split_available(observables, *(ak.fields(each) for each in records))
    refuse_none(kept, left_out)
    return kept, left_out


def refuse_none(kept: Sequence[AnyObservable], left_out: Mapping[str, str]) -> None:
    """Refuse to go on where every observable was left out.

    Parameters
    ----------
    kept : sequence of Observable or Observable2D
        Those that can be filled.
    left_out : mapping of str to str
        What is missing for the others.

    Raises
    ------
    InputError
        If none is left.
    """
    if left_out and not kept:
        raise InputError(f"no observable can be filled: {left_out_text(left_out)}")


def left_out_text(left_out: Mapping[str, str]) -> str:
    """Say in one line what was left out.

    Parameters
    ----------
    left_out : mapping of str to str
        What is missing, by observable.

    Returns
    -------
    str
        Observables by what is missing.
    """
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(group)} ({reason})" for reason, group in names.items())


def warn_of_left_out(left_out: Mapping[str, str]) -> None:
    """Log one line about observables that were left out, if there are any.

    Parameters
    ----------
    left_out : mapping of str to str
        What is missing, by observable.
    """
    if left_out:
        logger.warning("observables that are left out: %s", left_out_text(left_out))


def warn_of_entries(outputs: Iterable[Output]) -> None:
    """Log what histograms do not show: observables, values that are NaN, and many outside an axis.

    Parameters
    ----------
    outputs : iterable of Output
        Outputs of a processor, one for each dataset.
    """
    for output in outputs:
        warn_of_left_out(output.left_out)
        for name, counts in output.entry_counts.items():
            total = counts.entries + counts.not_a_number
            if counts.not_a_number:
                logger.warning(
                    "%s: %d of %d values are NaN, and are in no bin",
                    name,
                    counts.not_a_number,
                    total,
                )
            axes = output.observables[name].axes[-len(counts.outside) :]
            for axis, outside, unit in zip(axes, counts.outside, counts.units, strict=True):
                if outside > MANY_OUTSIDE * counts.entries:
                    logger.warning(
                        "%s: %.1f %% of %d entries are outside of the axis, %s from %g to %g%s",
                        name,
                        100.0 * outside / counts.entries,
                        counts.entries,
                        axis.label,
                        axis.edges[0],
                        axis.edges[-1],
                        f" {unit}" if unit else "",
                    )
