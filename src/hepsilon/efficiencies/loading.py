"""``hepsilon.load``: any artifact as an efficiency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hepsilon.efficiencies.artifact import read_card
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.kinds import PRECISION_BOUND, Options, class_of_kind
from hepsilon.efficiencies.protocol import SupportsEfficiency
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
    replicas_from: str = "auto",
    bias_term: bool = True,
) -> Efficiency:
    """Load a network, an ensemble or a map.

    Lazy: a network's weights are read, and what evaluates them starts, on the first call. Nothing
    is ever written.

    Parameters
    ----------
    path : str or Path
        Artifact written by ``hepsilon train`` or ``hepsilon map``.
    backend : str, default "auto"
        Name of what evaluates networks: ``"onnxruntime"`` or ``"openvino"`` (they start fast, and
        need the graph that the training adds where it can), ``"tensorflow"``, ``"jax"`` or
        ``"torch"`` through Keras, ``triton+grpc://HOST:PORT/MODEL[/VERSION]`` for a
        Triton server, or ``"auto"``. All give the same efficiencies within 1e-5.
    device : str, optional
        Device of networks, such as ``"cpu"`` or ``"gpu:0"``; None for a GPU where there is one.
    precision : {"float32", "tf32", "bfloat16"}, default "float32"
        Precision of a network's matrix products; TF32 is one of GPUs, for JAX and ONNX Runtime. By
        how much bfloat16 or TF32 changes the efficiencies is measured once in each process, or, of
        bfloat16, read from the card (see
        :func:`hepsilon.efficiencies.precision.note_precision`, which writes it into the card).
    precision_bound : float, default 0.01
        Largest change of an efficiency that is accepted.
    replicas_from : {"auto", "last-layer", "members"}, default "auto"
        What the replicas of networks are. ``"last-layer"``: draws of their last layers from the
        covariance that the training has left, any number of them. ``"members"``: the networks of an
        ensemble, or those of bootstrap samples. ``"auto"``: members of bootstrap samples where
        there are some, else draws.
    bias_term : bool, default True
        Whether replicas of networks contain the bias by region that the training has found (see
        :mod:`hepsilon.uncertainty.bias`), where it has; ``replicas_from="members"`` gives networks
        as they are. The efficiency itself is equal in any case.

    Returns
    -------
    Efficiency
        Of the class that the file's kind stands for; it pickles.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or not a hepsilon artifact, is of an unknown kind, or if
        the precision changes an efficiency by more than the bound.
    ConfigError
        For a backend, precision or kind of replicas that does not exist, or replicas that the
        artifact does not have; on the first call, for a backend that is not installed.
    """
    card = read_card(path)
    kind = card.get("kind")
    kind_class = class_of_kind(kind, path, card.get("package"))
    if not issubclass(kind_class, SupportsEfficiency):
        raise ArtifactError(
            f"{path} is of the kind {kind!r}, which is no function of the records; "
            "read it with hepsilon.load_correction"
        )
    options = Options(backend, device, precision, precision_bound, replicas_from, bias_term)
    return cast(Efficiency, kind_class.opened(path, options))


def load_correction(path: str | Path, **options: Any) -> Efficiency | BinByBin:
    """Load anything that :class:`hepsilon.processors.EfficiencyInversion` corrects with.

    Parameters
    ----------
    path : str or Path
        Artifact of any kind, that of bin-by-bin corrections included.
    **options : str, float or None
        Options of :func:`load`.

    Returns
    -------
    Efficiency or BinByBin
        Of the class that the file's kind stands for.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or not a hepsilon artifact.
    """
    card = read_card(path)
    kind_class = class_of_kind(card.get("kind"), path, card.get("package"))
    return cast("Efficiency | BinByBin", kind_class.opened(path, Options(**options)))
