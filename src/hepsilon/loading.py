"""``hepsilon.load``: any artifact as an efficiency."""

from __future__ import annotations

from pathlib import Path

from hepsilon.artifact import read_card
from hepsilon.efficiency import Efficiency
from hepsilon.errors import ArtifactError
from hepsilon.inference import NetworkEfficiency
from hepsilon.maps import EfficiencyMap

__all__ = ["load"]


def load(path: str | Path, *, device: str | None = None) -> Efficiency:
    """Load a network, an ensemble or a map.

    Lazy: a network's weights are read, and TensorFlow starts, on the first call.

    Parameters
    ----------
    path : artifact written by ``hepsilon train`` or ``hepsilon map``.
    device : for networks, the Keras device such as ``"cpu"`` or ``"gpu:0"``.

    Raises
    ------
    ArtifactError : if the file is missing, damaged, or not a hepsilon artifact.
    """
    kind = read_card(path).get("kind")
    if kind == "network":
        return NetworkEfficiency.load(path, device)
    if kind == "map":
        return EfficiencyMap.load(path)
    raise ArtifactError(f"{path}: expected the kind 'network' or 'map', received {kind!r}")
