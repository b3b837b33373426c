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
    """Validation events kept in the artifact: offsets, nodes, weights (see Columns).

    Raises
    ------
    ArtifactError
        If it has none, as those of earlier releases.
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
    """The artifact with other blobs and more in its card."""
    card: NetworkCard = efficiency.card.model_copy(update={"blobs": tuple(blobs), **update})
    write_artifact(out, card, read_arrays(efficiency.path, efficiency.card, efficiency.hash), blobs)
    return NetworkEfficiency.load(
        out,
        backend=efficiency.backend,
        device=efficiency.device,
        precision=efficiency.precision,
    )


def blobs_of(efficiency: NetworkEfficiency) -> dict[str, bytes]:
    """Content of the artifact besides its arrays."""
    card = efficiency.card
    return {n: read_blob(efficiency.path, card, n, efficiency.hash) for n in card.blobs}


def values_on(efficiency: NetworkEfficiency, sample: dict[str, Array]) -> Array:
    """Efficiencies of all networks on a sample (entries, ..., members)."""
    return efficiency.of_members(sample["offsets"], sample["nodes"])
