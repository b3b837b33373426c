"""Chunked, seeded writing of simulated jets as a NanoAOD-like TTree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepsilon.files import atomic_path
from hepsilon.simulation.jets import (
    JetColumns,
    alternative_jets,
    training_jets,
    true_efficiency,
)

__all__ = ["GENERATORS", "TAG_CUT", "jet_events", "write_jets"]

Generator = Callable[[np.random.Generator, int], JetColumns]

GENERATORS: dict[str, Generator] = {"jets": training_jets, "jets-alternative": alternative_jets}
CHUNK_EVENTS = 100_000
TAG_CUT = 0.0
"""A jet is tagged where its branch ``Jet_discriminant`` is above this."""


def jet_events(kind: str, chunk: int, n_events: int, seed: int) -> dict[str, Any]:
    """Branches of one chunk: a pure function of its arguments.

    ``Jet_discriminant`` is ``efficiency - score`` with a uniform score, so the cut at
    :data:`TAG_CUT` tags a jet with exactly its true efficiency (``Jet_trueEfficiency``).
    """
    kind_number = sorted(GENERATORS).index(kind)
    rng = np.random.default_rng([seed, kind_number, chunk])
    jets = GENERATORS[kind](rng, n_events)
    efficiency = true_efficiency(jets)
    score = rng.uniform(size=efficiency.size)
    columns = {
        "pt": jets.pt,
        "eta": jets.eta,
        "phi": jets.phi,
        "mass": jets.mass,
        "hadronFlavour": jets.flavour.astype(np.uint8),
        "discriminant": efficiency - score,
        "trueEfficiency": efficiency,
    }
    records = ak.zip({name: ak.unflatten(column, jets.counts) for name, column in columns.items()})
    return {
        # every (kind, seed) has a run of its own, so event numbers stay unique over files
        "run": np.full(n_events, 2 * seed - 1 + kind_number, np.uint32),
        "luminosityBlock": np.full(n_events, chunk + 1, np.uint32),
        "event": np.arange(n_events, dtype=np.uint64) + chunk * CHUNK_EVENTS + 1,
        "genWeight": np.ones(n_events, np.float32),
        "Jet": records,
    }


def write_jets(
    path: str | Path,
    n_events: int,
    *,
    kind: str = "jets",
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Simulate jets into a ROOT file (TTree ``Events``) that NanoAODSchema reads.

    Parameters
    ----------
    path : file to write; it appears only when complete.
    n_events : number of events.
    kind : ``"jets"`` (training sample) or ``"jets-alternative"`` (boosted scalar).
    seed : one or more; the same seed gives the same branches, another one other run numbers.
    progress : called with the number of events after each chunk.

    Raises
    ------
    ValueError : for an unknown kind, or a seed or a number of events below one.
    """
    if kind not in GENERATORS:
        raise ValueError(f"expected a kind out of {sorted(GENERATORS)}, received {kind!r}")
    if not 1 <= seed < 2**31:
        raise ValueError(f"expected a seed between 1 and 2^31 - 1, received {seed}")
    if n_events < 1:
        raise ValueError(f"expected at least one event, received {n_events}")
    with atomic_path(path) as temporary, uproot.recreate(temporary) as file:
        tree = None
        for chunk, start in enumerate(range(0, n_events, CHUNK_EVENTS)):
            size = min(CHUNK_EVENTS, n_events - start)
            branches = jet_events(kind, chunk, size, seed)
            if tree is None:
                types = {name: ak.type(value).content for name, value in branches.items()}
                tree = file.mktree("Events", types)
            tree.extend(branches)
            if progress is not None:
                progress(size)
    return Path(path)
