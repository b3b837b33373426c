"""``hepsilon.load``: any artifact as an efficiency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepsilon.efficiencies.artifact import read_card
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.precision import PRECISION_BOUND, accepted
from hepsilon.errors import ArtifactError

if TYPE_CHECKING:
    from hepsilon.efficiencies.bin_by_bin import BinByBin

__all__ = ["load", "load_correction"]


def load(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str | None = None,
    precision: str = "float32",
    precision_bound: float = PRECISION_BOUND,
) -> Efficiency:
    """Load a network, an ensemble or a map.

    Lazy: a network's weights are read, and what evaluates them starts, on the first call.

    Parameters
    ----------
    path : str or Path
        Artifact written by ``hepsilon train`` or ``hepsilon map``.
    backend : str, default "auto"
        What evaluates networks: ``"onnxruntime"`` or ``"openvino"`` (they start fast, and need the
        graph that the training adds where it can), ``"tensorflow"``, ``"jax"`` or ``"torch"``
        through Keras, ``triton+grpc://HOST:PORT/MODEL[?timeout=30&retries=5]`` for a Triton server,
        or ``"auto"``. All give the same efficiencies within 1e-5.
    device : str, optional
        For networks, such as ``"cpu"`` or ``"gpu:0"``; None for a GPU where there is one.
    precision : str, default "float32"
        Of a network's matrix products, ``"float32"`` or ``"bfloat16"``. What bfloat16 changes is
        measured when it is first used, and noted in the card.
    precision_bound : float, default PRECISION_BOUND
        Largest change of an efficiency that is accepted.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or not a hepsilon artifact, or if the precision changes an
        efficiency by more than the bound.
    ConfigError
        For a backend or precision that does not exist; on the first call, for a backend that is not
        installed.
    """
    kind = read_card(path).get("kind")
    if kind == "network":
        efficiency = NetworkEfficiency.load(
            path, backend=backend, device=device, precision=precision
        )
        return accepted(efficiency, precision_bound)
    if kind == "map":  # imported here: a worker with a network starts faster without
        from hepsilon.efficiencies.map import EfficiencyMap

        return EfficiencyMap.load(path)
    if kind == "factorised-map":
        from hepsilon.efficiencies.factorised import FactorisedMap

        return FactorisedMap.load(path)
    if kind == "bin-by-bin":
        raise ArtifactError(
            f"{path} holds bin-by-bin corrections, which are no function of the records; "
            "read it with hepsilon.load_correction"
        )
    raise ArtifactError(f"{path}: expected the kind 'network' or 'map', received {kind!r}")


def load_correction(path: str | Path, **options: Any) -> Efficiency | BinByBin:
    """Load anything that :class:`hepsilon.processors.EfficiencyInversion` corrects with.

    With the options of :func:`load`.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or not a hepsilon artifact.
    """
    if read_card(path).get("kind") == "bin-by-bin":
        from hepsilon.efficiencies.bin_by_bin import BinByBin

        return BinByBin.load(path)
    return load(path, **options)
