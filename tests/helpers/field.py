"""Small samples in the many shapes that files have: the same jets, whatever holds them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepsilon import Config
from hepsilon.arrays.types import Array

JET_TASK: dict[str, Any] = {
    "collection": "Jet",
    "features": ["pt", "eta", "hadronFlavour"],
    "categorical": {"hadronFlavour": [5, 4, 0]},
    "selection": [{"field": "pt", "min": 20.0}],
    "passed": {"field": "score", "above": [0.5]},
    "weight": "genWeight",
}
AXES = {"pt": {"edges": [20.0, 50.0, 100.0, 1000.0]}, "eta": {"edges": [-2.5, 0.0, 2.5]}}


def config(task: dict[str, Any] | None = None, **given: Any) -> Config:
    """A configuration of the smallest network and a map, with the given sections."""
    sections: dict[str, Any] = {
        "task": JET_TASK | (task or {}),
        "model": {"architecture": "mlp", "width": 4, "blocks": 1},
        "training": {"epochs": 1, "batch_events": 500},
        "map": {"axes": AXES},
    }
    return Config.model_validate(_tuples(sections | given))


def _tuples(value: Any) -> Any:
    """Lists as they are in TOML, as the tuples that records hold."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def jets(n: int, seed: int = 0, *, at_least: int = 0) -> tuple[Array, dict[str, ak.Array]]:
    """Numbers of jets, and their jagged columns; b, c and light jets pass with 0.7, 0.2, 0.02."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(at_least, 6, n)
    size = int(counts.sum())
    flavour = rng.choice([5, 4, 0], size, p=[0.3, 0.2, 0.5])
    eps = np.where(flavour == 5, 0.7, np.where(flavour == 4, 0.2, 0.02))
    columns = {
        "pt": rng.exponential(60.0, size) + 21.0,
        "eta": rng.uniform(-2.4, 2.4, size),
        "phi": rng.uniform(-3.1, 3.1, size),
        "mass": np.full(size, 5.0),
        "hadronFlavour": flavour.astype(np.int32),
        "score": np.where(rng.uniform(size=size) < eps, 0.9, 0.1),
    }
    columns = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in columns.items()}
    return counts, {name: ak.unflatten(column, counts) for name, column in columns.items()}


def numbers(n: int, start: int = 0) -> dict[str, Array]:
    """Numbers of consecutive events."""
    one = np.ones(n, np.uint32)
    events = np.arange(start, start + n).astype(np.uint64)
    return {"run": one, "luminosityBlock": one, "event": events}


def write_tree(
    path: Path, columns: dict[str, Any], tree: str = "Events", *, parts: int = 1
) -> Path:
    """Write a TTree with so many baskets per branch; records become ``nJet, Jet_pt``..."""
    types = {
        name: ak.type(values).content if isinstance(values, ak.Array) else np.asarray(values).dtype
        for name, values in columns.items()
    }
    size = len(next(iter(columns.values())))
    bounds = np.linspace(0, size, parts + 1).astype(int)
    with uproot.recreate(path) as file:
        file.mktree(tree, types, counter_name=lambda name: f"n{name}")
        for start, stop in pairwise(bounds):
            file[tree].extend({name: values[start:stop] for name, values in columns.items()})
    return path


def events(n: int = 300, seed: int = 0, *, weight: Any = 1.0, start: int = 0) -> dict[str, Any]:
    """Columns of a NanoAOD-like file, with the jets as records."""
    weights = np.full(n, weight) if np.isscalar(weight) else np.asarray(weight)
    own = {**numbers(n, start), "genWeight": weights}
    return own | {"Jet": ak.zip(jets(n, seed)[1])}


def flat(columns: dict[str, Any], collection: str = "Jet") -> dict[str, Any]:
    """The same columns with one for each field of the records."""
    records = columns[collection]
    own = {name: values for name, values in columns.items() if name != collection}
    return own | {f"{collection}_{name}": records[name] for name in ak.fields(records)}


def damage_basket(path: Path, branch: str, number: int, tree: str = "Events") -> tuple[int, int]:
    """Destroy the content of one basket; gives its entries."""
    with uproot.open(path) as file:
        found = file[tree][branch]
        place = int(found.member("fBasketSeek")[number])
        size = int(found.member("fBasketBytes")[number])
        start, stop = found.basket_entry_start_stop(number)
    content = bytearray(path.read_bytes())
    for i in range(place + size // 2, place + size // 2 + min(60, size // 4)):
        content[i] ^= 0x5A
    path.write_bytes(content)
    return int(start), int(stop)
