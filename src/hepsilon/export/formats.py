"""Formats that networks are exported to, by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hepsilon._system.files import atomic_path
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.choice import ONNX
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ConfigError
from hepsilon.export.onnx import add_graph
from hepsilon.export.triton import triton_config

__all__ = ["FORMATS", "export"]

FORMATS = ("onnx", "hepsilon", "triton")


def export(path: str | Path, format_: str, out: str | Path) -> Path:
    """Write the networks of an artifact in another form.

    Parameters
    ----------
    path : str or Path
        The artifact.
    format_ : str
        ``"onnx"``, a graph; ``"hepsilon"``, the artifact with that graph in it; or ``"triton"``, a
        model repository: a folder that holds the folder of the model.
    out : str or Path
        File or folder to write. The name of the model in a repository is the artifact's.

    Raises
    ------
    ArtifactError
        If the artifact is damaged, holds no network, or the graph differs from it.
    ConfigError
        If the format is unknown, or if what the conversion needs is not installed.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"expected a format of {FORMATS}, received {format_!r}")
    efficiency, out = NetworkEfficiency.load(path), Path(out)
    if format_ == "hepsilon":
        add_graph(efficiency, out)
        return out
    if ONNX not in efficiency.card.blobs:
        with tempfile.TemporaryDirectory() as folder:
            full = add_graph(efficiency, Path(folder) / Path(path).name)
            graph = blobs_of(full)[ONNX]
    else:
        graph = blobs_of(efficiency)[ONNX]
    if format_ == "onnx":
        _write(out, graph)
        return out
    name = Path(path).stem
    _write(out / name / "1" / ONNX, graph)
    _write(out / name / "config.pbtxt", triton_config(name, efficiency.card).encode())
    return out


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
