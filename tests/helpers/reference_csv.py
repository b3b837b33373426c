"""Files in the form of the reference code of efficiency inversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hepsilon.simulation.reference_csv import REFERENCE_COLUMNS


def rows(n: int, seed: int = 1) -> np.ndarray:
    """Random momenta, pions, and a response."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, 15)).round(5)
    table[:, 12:14] = (211, -211)
    table[:, 14] = rng.integers(0, 2, n)
    return table


def write(path: Path, table: np.ndarray, header: bool = False) -> Path:
    """Write the rows as CSV."""
    lines = [",".join(f"{value:.8g}" for value in row) for row in table]
    path.write_text("\n".join(([",".join(REFERENCE_COLUMNS)] if header else []) + lines) + "\n")
    return path
