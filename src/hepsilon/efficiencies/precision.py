"""A lower precision of the matrix products: what it changes, measured before it is accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from hepsilon._system.forks import guarded_fork
from hepsilon.efficiencies.artifact_edits import blobs_of, rewritten, sample_of, values_on
from hepsilon.efficiencies.cards import PrecisionCard
from hepsilon.efficiencies.engines.choice import chosen
from hepsilon.efficiencies.kinds import PRECISION_BOUND
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError, ConfigError

__all__ = ["PRECISION_BOUND", "check_precision", "measure_precision", "note_precision"]

# Module level: a process measures a network once, however often it is loaded.
_MEASURED: dict[tuple[str, str, str | None, str], PrecisionCard] = {}
_LOCK = Lock()
guarded_fork(_LOCK)


def measure_precision(efficiency: NetworkEfficiency) -> PrecisionCard:
    """Measure by how much the efficiency's precision changes it, against float32.

    Both are evaluated on the validation events that the artifact keeps. The result is kept for the
    rest of the process; nothing is written (see :func:`note_precision`).

    Parameters
    ----------
    efficiency : NetworkEfficiency
        A network with a lower precision.

    Returns
    -------
    PrecisionCard
        Largest and rms change of an efficiency, and that of the expected number.

    Raises
    ------
    ArtifactError
        If the artifact keeps no events to compare on, as those of earlier releases.
    """
    key = efficiency.hash, _backend(efficiency), efficiency.device, efficiency.precision
    with _LOCK:
        if key not in _MEASURED:
            _MEASURED[key] = _measured(efficiency)
        return _MEASURED[key]


def note_precision(
    path: str | Path,
    precision: str = "bfloat16",
    *,
    backend: str = "auto",
    device: str | None = None,
    out: str | Path | None = None,
) -> PrecisionCard:
    """Measure by how much a lower precision changes a network, and write that into its artifact.

    :func:`hepsilon.load` then need not measure it in every process. The content of the file
    changes, and so does its hash: a handle made of it before is refused from then on, load it
    again, or write another file with ``out``.

    Parameters
    ----------
    path : str or Path
        Artifact with a network or an ensemble.
    precision : str, default "bfloat16"
        Precision of the matrix products; float32 is what it is compared with.
    backend : str, default "auto"
        Backend that computes in it, as of :func:`hepsilon.load`.
    device : str, optional
        Device of the backend, as of :func:`hepsilon.load`.
    out : str or Path, optional
        File to write instead of ``path``.

    Returns
    -------
    PrecisionCard
        Largest and rms change of an efficiency, and that of the expected number.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, holds no network, or keeps no events to compare on.
    ConfigError
        For float32, a precision that does not exist, or a backend that does not have it.
    OSError
        If the file cannot be written.
    """
    efficiency = NetworkEfficiency.load(path, backend=backend, device=device, precision=precision)
    if precision == "float32":
        raise ConfigError("expected a lower precision such as 'bfloat16', received 'float32'")
    if precision != "bfloat16":
        raise ConfigError(f"the card has a place for bfloat16 only, not for {precision!r}")
    change = measure_precision(efficiency)
    rewritten(efficiency, out or path, blobs_of(efficiency), bfloat16=change)
    return change


def check_precision(efficiency: NetworkEfficiency, bound: float) -> PrecisionCard:
    """Refuse a precision that changes an efficiency by more than ``bound``.

    The card's measurement is used where it is one with this backend; else it is measured.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        A network with a lower precision.
    bound : float
        Largest change of an efficiency that is accepted.

    Returns
    -------
    PrecisionCard
        The measurement.

    Raises
    ------
    ArtifactError
        With the measurement, if it is above the bound or not a number.
    """
    change = efficiency.card.bfloat16 if efficiency.precision == "bfloat16" else None
    if change is None or change.backend != _backend(efficiency):
        change = measure_precision(efficiency)
    if not change.largest_difference <= bound:
        raise ArtifactError(
            f"{efficiency.path}: {efficiency.precision} changes an efficiency by "
            f"{change.largest_difference:.2g} (rms {change.rms_difference:.2g}, expected number "
            f"by {change.closure_change:.2g}); at most {bound:g} is accepted. Use float32, or "
            "give a larger precision_bound"
        )
    return change


def _backend(efficiency: NetworkEfficiency) -> str:
    return chosen(efficiency.card, efficiency.backend, efficiency.device, efficiency.precision)


def _measured(efficiency: NetworkEfficiency) -> PrecisionCard:
    sample = sample_of(efficiency)
    low = values_on(efficiency, sample)
    exact = values_on(replace(efficiency, precision="float32"), sample)
    weights = np.repeat(sample["weights"], np.diff(sample["offsets"]))
    if len(weights) != len(exact):  # one efficiency for each event
        weights = sample["weights"]
    nominal = [values[..., efficiency.card.nominal].mean(axis=-1) for values in (low, exact)]
    totals = [np.tensordot(weights, values, axes=1) for values in nominal]
    return PrecisionCard(
        backend=_backend(efficiency),
        n_objects=len(exact),
        largest_difference=float(np.abs(low - exact).max()),
        rms_difference=float(np.sqrt(np.mean((low - exact) ** 2))),
        closure_change=float(np.max(np.abs(totals[0] / totals[1] - 1.0))),
    )
