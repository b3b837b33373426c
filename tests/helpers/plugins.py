"""Packages with entry points, as an installer leaves them."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, package: str, code: str, points: str) -> None:
    """Write a package of one module with its entry points into a folder of ``sys.path``."""
    folder.mkdir(exist_ok=True)
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
