"""Formats that artifacts are exported to, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepsilon._system.files import atomic_path
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon.efficiencies.artifact import read_card
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.choice import ONNX
from hepsilon.efficiencies.loading import load_correction
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.ratio import LearnedRatio
from hepsilon.efficiencies.ratio_map import RatioMap
from hepsilon.errors import ConfigError
from hepsilon.export.corrections import write_correction_file
from hepsilon.export.onnx import add_graph
from hepsilon.export.onnx_forms import relative, standalone
from hepsilon.export.onnx_trees import with_trees
from hepsilon.export.registry import own_export, own_exports
from hepsilon.export.triton import triton_config

__all__ = ["FORMATS", "export"]


@dataclass(frozen=True)
class Form:
    """Form of what is written.

    Attributes
    ----------
    named : bool
        Whether an ONNX file takes the features by their names, and the numbers of objects.
    probabilities : bool
        Whether its output is the efficiency and not the logits.
    """

    named: bool = False
    probabilities: bool = False


def export(
    path: str | Path,
    format_: str,
    out: str | Path,
    *,
    named: bool = False,
    probabilities: bool = False,
) -> Path:
    """Write an artifact in another form.

    Parameters
    ----------
    path : str or Path
        The artifact.
    format_ : str
        One of the following, or one that was registered (:func:`hepsilon.export.register_export`).
        Of networks ``"onnx"``, a graph; ``"hepsilon"``, the artifact with that graph in it;
        ``"savedmodel"``, a folder of TensorFlow; ``"triton"``, a model repository: a folder that
        holds the folder of the model; of networks of single objects, and of maps,
        ``"correctionlib"``.
    out : str or Path
        File or folder to write. The name of the model in a repository is the artifact's.
    named : bool, default False
        Whether the inputs of an ONNX file are the features by their names, one number for each
        object, and ``counts``, the numbers of objects of the events, in any mixture; else ``x`` and
        ``senders`` (see :mod:`hepsilon.export.onnx`).
    probabilities : bool, default False
        Whether the output of an ONNX file is the efficiency; else the logits of all networks.

    Returns
    -------
    Path
        File or folder that was written.

    Raises
    ------
    ArtifactError
        If the artifact is damaged, or what was made differs from it.
    ConfigError
        If the format is unknown or not one of this kind of artifact, if the output is the input or
        a file of another kind, or if what the conversion needs is not installed.
    """
    if (named or probabilities) and format_ != "onnx":
        raise ConfigError(f"named inputs and probabilities are for onnx, not for {format_}")
    out = Path(out)
    own = None if format_ in FORMATS else own_export(format_)
    if own is not None:
        return own.write(load_correction(path), path, out)
    if format_ not in FORMATS:
        raise ConfigError(
            f"expected a format of {(*FORMATS, *own_exports())}, received {format_!r}; one of your "
            "own is known once its module is imported, or its package installed (see "
            "hepsilon.export.register_export)"
        )
    if format_ in FOLDERS:
        check_folder(out)
    else:  # an artifact may take the place of itself
        kind = {"hepsilon": "artifact"}.get(format_, format_)
        check_outputs({out: kind}, () if format_ == "hepsilon" else [path])
    efficiency: Any = load_correction(path)
    if efficiency.card.recalibration is not None and format_ in WITHOUT_RECALIBRATION:
        raise ConfigError(
            f"{path} is recalibrated, and a file of {format_} holds the efficiency without that: "
            "export the one that was recalibrated, or write its numbers beside the events with "
            "'hepsilon apply'"
        )
    writer = _writer(path, efficiency, format_)
    writer(efficiency, out, Form(named, probabilities))
    return out


def _writer(path: str | Path, efficiency: Any, format_: str) -> Writer:
    """Writer of a format, or one line on what is possible for this artifact."""
    kind = read_card(path).get("kind")
    writers = next((w for of_kind, w in WRITERS.items() if isinstance(efficiency, of_kind)), {})
    if format_ in writers:
        return writers[format_]
    possible = f"is exported as {', '.join(writers)}" if writers else "no format holds"
    raise ConfigError(f"{path} is a {kind}, which {possible}, not as {format_}: {WHY}")


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _graph_of(efficiency: NetworkEfficiency) -> bytes:
    """Graph of an artifact, made where it has none."""
    if ONNX in efficiency.card.blobs:
        return blobs_of(efficiency)[ONNX]
    with tempfile.TemporaryDirectory() as folder:
        full = add_graph(efficiency, Path(folder) / Path(efficiency.path).name)
        return blobs_of(full)[ONNX]


def _write_graph(efficiency: NetworkEfficiency, out: Path, form: Form) -> None:
    graph = with_trees(efficiency, _graph_of(efficiency))
    options = {"named": form.named, "probabilities": form.probabilities}
    _write(out, standalone(efficiency, graph, **options))


def _write_artifact(efficiency: NetworkEfficiency, out: Path, form: Form) -> None:
    add_graph(efficiency, out)


def _write_repository(efficiency: NetworkEfficiency, out: Path, form: Form) -> None:
    name = Path(efficiency.path).stem
    _write(out / name / "1" / ONNX, relative(efficiency, _graph_of(efficiency)))
    _write(out / name / "config.pbtxt", triton_config(name, efficiency.card).encode())


def _write_correction(efficiency: Any, out: Path, form: Form) -> None:
    write_correction_file(efficiency, out)


def _write_saved_model(efficiency: NetworkEfficiency, out: Path, form: Form) -> None:
    from hepsilon.export.saved_model import write_saved_model

    write_saved_model(efficiency, out)


Writer = Callable[[Any, Path, Form], None]
WRITERS: dict[type[Any], dict[str, Writer]] = {
    NetworkEfficiency: {
        "onnx": _write_graph,
        "hepsilon": _write_artifact,
        "savedmodel": _write_saved_model,
        "triton": _write_repository,
        "correctionlib": _write_correction,
    },
    EfficiencyMap: {"correctionlib": _write_correction},
    LearnedRatio: {"correctionlib": _write_correction},
    RatioMap: {"correctionlib": _write_correction},
}
"""Writer of each format, by the kind of the artifact."""
WITHOUT_RECALIBRATION = ("onnx", "correctionlib", "savedmodel")
"""Formats that others read, who would not recalibrate."""
FOLDERS = "savedmodel", "triton"
"""Formats that are folders."""
WHY = (
    "files of correctionlib hold bins and small networks, graphs hold networks; 'hepsilon apply' "
    "writes the numbers of any efficiency beside the events"
)
FORMATS = tuple(dict.fromkeys(name for writers in WRITERS.values() for name in writers))
"""Names of the formats."""
