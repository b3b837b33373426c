"""Formats that artifacts are exported to, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hepsilon._system.files import atomic_path
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.choice import ONNX
from hepsilon.efficiencies.loading import load_correction
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ConfigError
from hepsilon.export.corrections import write_correction_file
from hepsilon.export.onnx import add_graph
from hepsilon.export.onnx_trees import with_trees
from hepsilon.export.triton import triton_config

__all__ = ["FORMATS", "export"]


def export(path: str | Path, format_: str, out: str | Path) -> Path:
    """Write an artifact in another form.

    Parameters
    ----------
    path : str or Path
        The artifact.
    format_ : {"onnx", "hepsilon", "triton", "correctionlib"}
        Of networks ``"onnx"``, a graph; ``"hepsilon"``, the artifact with that graph in it; or
        ``"triton"``, a model repository: a folder that holds the folder of the model. Of maps
        ``"correctionlib"``.
    out : str or Path
        File or folder to write. The name of the model in a repository is the artifact's.

    Returns
    -------
    Path
        File or folder that was written.

    Raises
    ------
    ArtifactError
        If the artifact is damaged, or the graph differs from it.
    ConfigError
        If the format is unknown or not one of this kind of artifact, if the output is the input or
        a file of another kind, or if what the conversion needs is not installed.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"expected a format of {FORMATS}, received {format_!r}")
    out = Path(out)
    if format_ == "triton":
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
    for kind_of, writers in WRITERS.items():
        if isinstance(efficiency, kind_of):
            if format_ in writers:
                writers[format_](efficiency, out)
                return out
            possible, name = ", ".join(writers), KINDS[kind_of]
            raise ConfigError(f"{path} is a {name}, which is exported as {possible}: {WHY}")
    raise ConfigError(f"{path} is no network and no map, the kinds that are exported")


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


def _write_graph(efficiency: NetworkEfficiency, out: Path) -> None:
    _write(out, with_trees(efficiency, _graph_of(efficiency)))


def _write_artifact(efficiency: NetworkEfficiency, out: Path) -> None:
    add_graph(efficiency, out)


def _write_repository(efficiency: NetworkEfficiency, out: Path) -> None:
    name = Path(efficiency.path).stem
    _write(out / name / "1" / ONNX, _graph_of(efficiency))
    _write(out / name / "config.pbtxt", triton_config(name, efficiency.card).encode())


WRITERS: dict[type[Any], dict[str, Callable[[Any, Path], Any]]] = {
    NetworkEfficiency: {
        "onnx": _write_graph,
        "hepsilon": _write_artifact,
        "triton": _write_repository,
    },
    EfficiencyMap: {"correctionlib": write_correction_file},
}
"""Writer of each format, by the kind of the artifact."""
WITHOUT_RECALIBRATION = ("onnx", "correctionlib")
"""Formats that others read, who would not recalibrate."""
KINDS: dict[type[Any], str] = {NetworkEfficiency: "network", EfficiencyMap: "map"}
WHY = (
    "files of correctionlib hold bins, graphs hold networks; 'hepsilon apply' writes the numbers "
    "of any efficiency beside the events"
)
FORMATS = tuple(name for writers in WRITERS.values() for name in writers)
"""Names of the formats."""
