"""Templates from which no likelihood can be made are refused, with the bins and the way out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.fits.template import Channel, Templates

__all__ = ["check_likelihood", "signals_of"]

WAY_OUT = "join bins, or leave the process out"


def signals_of(found: Templates, signal: str | Sequence[str] | None) -> tuple[str, ...]:
    """Processes whose strength is free in a fit.

    Parameters
    ----------
    found : Templates
        Templates of the fit.
    signal : str or sequence of str, optional
        Names of processes; by default the first one.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    InputError
        For a process that there is not, or none.
    """
    wanted = (signal,) if isinstance(signal, str) else signal
    names = tuple(found.processes[:1] if wanted is None else wanted)
    unknown = [name for name in names if name not in found.processes]
    if unknown or not names:
        raise InputError(
            f"signal: expected one or more of the processes {list(found.processes)}, received "
            f"{unknown or 'none'}"
        )
    return names


def _bins(wrong: Array) -> str:
    numbers = np.flatnonzero(wrong).tolist()
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return f"{numbers[:10]}{more}"


def check_likelihood(found: Templates) -> None:
    """Refuse templates from which no Poisson likelihood can be made.

    Parameters
    ----------
    found : Templates
        Templates of the fit.

    Raises
    ------
    InputError
        For negative sums, variations that make a bin negative, events where none are expected, or
        channels without an observation, with the bins.
    """
    for name, channel in found.channels.items():
        for process, template in channel.processes.items():
            columns = {"": template.values}
            for key, (up, down) in template.variations.items():
                columns |= {f"{key} up: ": up, f"{key} down: ": down}
            for key, values in columns.items():
                if np.any(values < 0.0):
                    raise InputError(
                        f"{name}, {process}: {key}negative sums in the bins {_bins(values < 0.0)}, "
                        f"of which no likelihood can be made; {WAY_OUT}"
                    )
        _check_observed(name, channel)


def _check_observed(name: str, channel: Channel) -> None:
    if channel.observed is None:
        raise InputError(
            f"{name}: expected what was observed; Templates.with_expected(), or --expected, takes "
            "the sum of all processes for it"
        )
    observed = channel.observed
    if np.any(observed < 0.0):
        raise InputError(f"{name}: negative observed sums in the bins {_bins(observed < 0.0)}")
    lone = (channel.expected <= 0.0) & (observed > 0.0)
    if np.any(lone):
        raise InputError(
            f"{name}: nothing is expected in the bins {_bins(lone)}, where something was observed; "
            "join bins, or add the process that is missing"
        )
