"""Changes of a network's artifact: its card and the blobs beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hepsilon.arrays.types import Array
from hepsilon.efficiencies.artifact import read_arrays, read_blob, write_artifact
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError

__all__ = ["SAMPLE", "blobs_of", "rewritten", "sample_of", "values_on"]

SAMPLE = "sample"
"""Array group with the validation events that an artifact keeps."""


def sample_of(efficiency: NetworkEfficiency) -> dict[str, Array]:
    """Read the validation events that an artifact keeps.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network whose artifact is read.

    Returns
    -------
    dict of str to ndarray
        ``offsets``, ``nodes`` and ``weights`` (see
        :class:`hepsilon.data.training_columns.TrainingColumns`).

    Raises
    ------
    ArtifactError
        If the artifact keeps none, as those of earlier releases.
    """
    arrays = read_arrays(efficiency.path, efficiency.card, efficiency.hash)
    if SAMPLE not in arrays:
        raise ArtifactError(
            f"{efficiency.path} holds no sample to compare on; train it again with this release"
        )
    return arrays[SAMPLE]


def rewritten(
    efficiency: NetworkEfficiency, out: str | Path, blobs: dict[str, bytes], **update: Any
) -> NetworkEfficiency:
    """Write the artifact with other blobs and other fields of its card.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network whose artifact is read; its arrays stay what they are.
    out : str or Path
        File to write; it may be the artifact itself, whose handles are then refused.
    blobs : dict of str to bytes
        All content besides the arrays.
    **update : object
        Fields of the card.

    Returns
    -------
    NetworkEfficiency
        Handle of the new file, with the same backend, device and precision.
    """
    card: NetworkCard = efficiency.card.model_copy(update={"blobs": tuple(blobs), **update})
    write_artifact(out, card, read_arrays(efficiency.path, efficiency.card, efficiency.hash), blobs)
    return NetworkEfficiency.load(
        out,
        backend=efficiency.backend,
        device=efficiency.device,
        precision=efficiency.precision,
    )


def blobs_of(efficiency: NetworkEfficiency) -> dict[str, bytes]:
    """Read all content of the artifact besides its arrays, by name."""
    card = efficiency.card
    return {n: read_blob(efficiency.path, card, n, efficiency.hash) for n in card.blobs}


def values_on(efficiency: NetworkEfficiency, sample: dict[str, Array]) -> Array:
    """Efficiencies of all networks on a sample.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network or ensemble.
    sample : dict of str to ndarray
        Events from :func:`sample_of`.

    Returns
    -------
    ndarray of float64, shape (n_entries, [n_working_points,] n_members)
        For every object, or every event of a task of events.
    """
    return efficiency.of_members(sample["offsets"], sample["nodes"])
