"""Two samples with Gaussian features of equal widths: the logarithm of their ratio is linear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepsilon import Config
from hepsilon.arrays.types import Array

SHIFT = {"pt": 5.0, "eta": 0.4}
"""Means of the numerator minus those of the denominator."""
WIDTH = {"pt": 10.0, "eta": 1.0}


def two_jets(n: int, seed: int, *, numerator: bool, shift: float = 1.0) -> ak.Array:
    """Events with one to three jets, and a weight of every event and of every jet."""
    rng = np.random.default_rng([seed, numerator])
    counts = rng.integers(1, 4, n)
    total = int(counts.sum())
    columns: dict[str, Array] = {}
    for name, width in WIDTH.items():
        mean = 60.0 if name == "pt" else 0.0
        columns[name] = rng.normal(mean + shift * numerator * SHIFT[name], width, total)
    columns["phi"] = rng.uniform(-3.1, 3.1, total)
    # efficiency to pass: 0.6 with a common slope, lower by an eighth in the denominator
    slope = 0.6 + 0.02 * (columns["pt"] - 60.0) / 10.0
    columns["fired"] = rng.random(total) < slope * (1.0 if numerator else 0.875)
    # a tenth has a weight that subtracts it, as sWeights of background do
    columns["sweight"] = np.where(rng.random(total) < 0.1, -0.3, 1.0)
    jets = ak.zip({name: ak.unflatten(values, counts) for name, values in columns.items()})
    numbers = {"run": np.ones(n, np.int64), "luminosityBlock": np.ones(n, np.int64)}
    numbers |= {"event": np.arange(n), "isData": np.full(n, int(numerator))}
    numbers["genWeight"] = rng.uniform(0.5, 1.5, n)
    return ak.zip({"Jet": jets, **numbers}, depth_limit=1)


def write_two(folder: Path, n: int = 1500, seed: int = 1, shift: float = 1.0) -> tuple[Path, Path]:
    """Files of the numerator and the denominator."""
    paths = folder / "numerator.parquet", folder / "denominator.parquet"
    for path, numerator in zip(paths, (True, False), strict=True):
        ak.to_parquet(two_jets(n, seed, numerator=numerator, shift=shift), str(path))
    return paths


def true_log_ratio(jets: ak.Array, shift: float = 1.0) -> Any:
    """Logarithm of the ratio of the densities."""
    found = 0.0
    for name, width in WIDTH.items():
        mean, moved = (60.0 if name == "pt" else 0.0), shift * SHIFT[name]
        found = found + moved * (jets[name] - mean - 0.5 * moved) / width**2
    return found


def ratio_config(ratio: dict[str, Any] | None = None, **sections: Any) -> Config:
    """Smallest network for a ratio in pt and eta."""
    task: dict[str, Any] = {"features": ["pt", "eta"], "weight": "genWeight", "ratio": ratio or {}}
    training = {"epochs": 12, "batch_events": 250, "learning_rate": 2e-2, "validation": 0.3}
    return Config.model_validate(
        {
            "task": task | sections.pop("task", {}),
            "input": {"schema": "parquet"} | sections.pop("input", {}),
            "model": {"architecture": "mlp", "width": 8, "blocks": 1} | sections.pop("model", {}),
            "training": training | sections.pop("training", {}),
        }
    )
