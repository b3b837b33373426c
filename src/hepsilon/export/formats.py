"""Formats that networks are exported to, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hepsilon._system.files import atomic_path
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.choice import ONNX
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ConfigError
from hepsilon.export.onnx import add_graph
from hepsilon.export.triton import triton_config

__all__ = ["FORMATS", "export"]


def export(path: str | Path, format_: str, out: str | Path) -> Path:
    """Write the networks of an artifact in another form.

    Parameters
    ----------
    path : str or Path
        The artifact.
    format_ : {"onnx", "hepsilon", "triton"}
        ``"onnx"``, a graph; ``"hepsilon"``, the artifact with that graph in it; or ``"triton"``, a
        model repository: a folder that holds the folder of the model.
    out : str or Path
        File or folder to write. The name of the model in a repository is the artifact's.

    Returns
    -------
    Path
        File or folder that was written.

    Raises
    ------
    ArtifactError
        If the artifact is damaged, holds no network, or the graph differs from it.
    ConfigError
        If the format is unknown, the output is the input or a file of another kind, or if what the
        conversion needs is not installed.
    """
    if format_ not in WRITERS:
        raise ConfigError(f"expected a format of {FORMATS}, received {format_!r}")
    out = Path(out)
    if format_ == "triton":
        check_folder(out)
    else:  # an artifact may take the place of itself
        kind = "onnx" if format_ == "onnx" else "artifact"
        check_outputs({out: kind}, [path] if format_ == "onnx" else ())
    WRITERS[format_](NetworkEfficiency.load(path), out)
    return out


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
    _write(out, _graph_of(efficiency))


def _write_artifact(efficiency: NetworkEfficiency, out: Path) -> None:
    add_graph(efficiency, out)


def _write_repository(efficiency: NetworkEfficiency, out: Path) -> None:
    name = Path(efficiency.path).stem
    _write(out / name / "1" / ONNX, _graph_of(efficiency))
    _write(out / name / "config.pbtxt", triton_config(name, efficiency.card).encode())


WRITERS: dict[str, Callable[[NetworkEfficiency, Path], None]] = {
    "onnx": _write_graph,
    "hepsilon": _write_artifact,
    "triton": _write_repository,
}
"""Writer of each format."""

FORMATS = tuple(WRITERS)
"""Names of the formats."""
