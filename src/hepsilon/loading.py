"""``hepsilon.load``: any artifact as an efficiency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hepsilon.artifact import read_card
from hepsilon.binned import BinByBin
from hepsilon.efficiency import Efficiency
from hepsilon.errors import ArtifactError
from hepsilon.factorised import FactorisedMap
from hepsilon.inference import NetworkEfficiency
from hepsilon.maps import EfficiencyMap

__all__ = ["load", "load_correction"]


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
    kinds: dict[str, Any] = {"map": EfficiencyMap, "factorised-map": FactorisedMap}
    if kind in kinds:
        found: Efficiency = kinds[kind].load(path)
        return found
    if kind == "bin-by-bin":
        raise ArtifactError(
            f"{path} holds bin-by-bin corrections, which are no function of the records; "
            "read it with hepsilon.load_correction"
        )
    raise ArtifactError(f"{path}: expected the kind 'network' or 'map', received {kind!r}")


def load_correction(path: str | Path, *, device: str | None = None) -> Efficiency | BinByBin:
    """Load anything that :class:`hepsilon.processors.EfficiencyInversion` corrects with.

    Raises
    ------
    ArtifactError : if the file is missing, damaged, or not a hepsilon artifact.
    """
    if read_card(path).get("kind") == "bin-by-bin":
        return BinByBin.load(path)
    return load(path, device=device)
