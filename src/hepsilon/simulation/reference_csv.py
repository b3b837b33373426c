"""Conversion of the CSV data of the public reference code to ROOT files in the usual layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv

from hepsilon._system.extras import needs
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.simulation.amplitudes import meson_mass
from hepsilon.simulation.detector import Tracks
from hepsilon.simulation.writer import (
    CHUNK_EVENTS,
    Branches,
    event_numbers,
    track_records,
    write_trees,
)

__all__ = ["REFERENCE_COLUMNS", "convert_csv"]

REFERENCE_COLUMNS = (
    *(f"p{axis}{track}_{kind}" for kind in ("gen", "rec") for track in (1, 2) for axis in "xyz"),
    "pidCode1",
    "pidCode2",
    "reco",
)
"""Columns of the CSV file in their order; a header line is optional."""


def _read(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}")
    with path.open(encoding="utf-8") as file:
        first = [cell.strip() for cell in file.readline().split(",")]
    if len(first) != len(REFERENCE_COLUMNS):
        raise InputError(
            f"{path}: expected the {len(REFERENCE_COLUMNS)} columns {list(REFERENCE_COLUMNS)}, "
            f"received {len(first)} in the first line"
        )
    has_header = first[0] == REFERENCE_COLUMNS[0]
    if has_header and first != list(REFERENCE_COLUMNS):
        raise InputError(f"{path}: expected the header {list(REFERENCE_COLUMNS)}, received {first}")
    options = pyarrow.csv.ReadOptions(
        column_names=list(REFERENCE_COLUMNS), skip_rows=int(has_header)
    )
    types = {name: pyarrow.float64() for name in REFERENCE_COLUMNS}
    try:
        table = pyarrow.csv.read_csv(
            path, options, convert_options=pyarrow.csv.ConvertOptions(column_types=types)
        )
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is no CSV file of numbers: {error}") from None
    return {name: table[name].to_numpy() for name in REFERENCE_COLUMNS}


def _tracks(columns: dict[str, Array], kind: str, rows: slice) -> Tracks:
    px, py, pz = (
        np.stack([columns[f"p{axis}{track}_{kind}"][rows] for track in (1, 2)], axis=1)
        for axis in "xyz"
    )
    return Tracks(px, py, pz, np.broadcast_to([1, -1], px.shape))


def convert_csv(
    source: str | Path,
    out: str | Path,
    *,
    particle: str = "pi+",
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a CSV file of the reference code as a ROOT file, in the layout of ``simulate tracks``.

    The first track is taken as the positive one; the particle codes are not used.

    Parameters
    ----------
    source : path-like
        CSV file with :data:`REFERENCE_COLUMNS`, momenta in GeV.
    out : path-like
        ROOT file to write; it appears only when complete.
    particle : str, default "pi+"
        Particle that both tracks are taken for, which gives their mass.
    progress : callable, optional
        Function that is called with the number of events after each chunk.

    Returns
    -------
    pathlib.Path
        The ROOT file.

    Raises
    ------
    ConfigError
        If the package ``particle`` is not installed.
    InputError
        If the file is missing, empty or of another layout, a value is not a finite number, the
        response ``reco`` is neither 0 nor 1, or the particle is unknown.
    ConfigError
        If the particle package is not installed.
    """
    needs("converting tracks", "particle")
    from particle import ParticleNotFound

    source = Path(source)
    try:
        mass = meson_mass(particle)
    except ParticleNotFound:
        raise InputError(f"unknown particle {particle!r}; names are such as pi+, K+") from None
    columns = _read(source)
    reco = columns["reco"]
    if not len(reco):
        raise InputError(f"{source} holds no events")
    bad = int(np.count_nonzero((reco != 0) & (reco != 1)))
    if bad:
        raise InputError(f"{source}: {bad} of {len(reco)} values of 'reco' are neither 0 nor 1")
    for name in REFERENCE_COLUMNS[:12]:
        used = np.ones(len(reco), bool) if name.endswith("gen") else reco == 1
        bad = int(np.count_nonzero(~np.isfinite(columns[name][used])))
        if bad:
            raise InputError(f"{source}: {bad} values of {name!r} are not finite")

    def branches(chunk: int, size: int) -> Branches:
        rows = slice(chunk * CHUNK_EVENTS, chunk * CHUNK_EVENTS + size)
        selected = reco[rows] == 1
        return {
            **event_numbers(1, chunk, size),
            "reco": selected,
            "Track": track_records(_tracks(columns, "gen", rows), mass),
            "TrackReco": track_records(_tracks(columns, "rec", rows), mass, selected),
        }

    return write_trees(out, len(reco), branches, progress)
