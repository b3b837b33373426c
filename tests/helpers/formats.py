"""The same two jets in every event, in every kind of file that people have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import uproot

from hepsilon import Config
from tests.helpers.field import AXES, config, flat, numbers, write_tree

FIELDS = ("pt", "eta", "phi", "mass", "hadronFlavour", "score")


def sample(n: int = 300, seed: int = 0) -> dict[str, Any]:
    """Events with two jets each; b, c and light jets pass with 0.7, 0.2 and 0.1."""
    rng = np.random.default_rng(seed)
    flavour = rng.choice([5, 4, 0], (n, 2), p=[0.4, 0.3, 0.3])
    eps = np.select([flavour == 5, flavour == 4], [0.7, 0.2], 0.1)
    columns = {
        "pt": rng.exponential(60.0, (n, 2)) + 21.0,
        "eta": rng.uniform(-2.4, 2.4, (n, 2)),
        "phi": rng.uniform(-3.1, 3.1, (n, 2)),
        "mass": rng.uniform(3.0, 8.0, (n, 2)),
        "hadronFlavour": flavour.astype(np.int32),
        "score": np.where(rng.uniform(size=(n, 2)) < eps, 0.9, 0.1),
    }
    small = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in columns.items()}
    jets = ak.zip({name: ak.from_regular(ak.Array(v)) for name, v in small.items()})
    return {**numbers(n, 1), "genWeight": rng.uniform(0.5, 1.5, n), "Jet": jets}


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes
    ----------
    write : callable
        Writes the events of :func:`sample` into a folder, and gives the path.
    task, input, axes : dict
        Changes of the configuration that it needs.
    schemas : tuple of str
        Schemas of coffea under which the processors read it; none where coffea does not.
    exact : bool
        Whether it holds the very numbers, and not others that they are computed from.
    """

    write: Callable[[Path, dict[str, Any]], Path]
    task: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, Any] = field(default_factory=lambda: AXES)
    schemas: tuple[str, ...] = ()
    exact: bool = True

    def config(self) -> Config:
        """Configuration of the smallest network and a map."""
        return config(self.task, input=self.input, map={"axes": self.axes})


def _tree(folder: Path, events: dict[str, Any]) -> Path:
    return write_tree(folder / "tree.root", events)


def _in_directory(folder: Path, events: dict[str, Any]) -> Path:
    return write_tree(folder / "directory.root", events, "ntuplizer/tree")


def _rntuple(folder: Path, events: dict[str, Any]) -> Path:
    with uproot.recreate(folder / "rntuple.root") as file:
        file["Events"] = events
    return folder / "rntuple.root"


def _flat_rntuple(folder: Path, events: dict[str, Any]) -> Path:
    return _rntuple(folder, flat(events))


def _parquet(folder: Path, events: dict[str, Any]) -> Path:
    ak.to_parquet(ak.zip(events, depth_limit=1), folder / "events.parquet", row_group_size=97)
    return folder / "events.parquet"


def _flat_parquet(folder: Path, events: dict[str, Any]) -> Path:
    return _parquet(folder, flat(events))


def _nullable_parquet(folder: Path, events: dict[str, Any]) -> Path:
    """Nullable columns without a missing value, as pyarrow makes them."""
    columns = {name: pa.array(ak.to_list(values)) for name, values in flat(events).items()}
    pq.write_table(pa.table(columns), folder / "nullable.parquet")
    return folder / "nullable.parquet"


def _frame(events: dict[str, Any]) -> Any:
    """One object per row, with the numbers of its event."""
    import pandas as pd

    n, jets = len(events["event"]), events["Jet"]
    columns = {f"Jet_{name}": ak.to_numpy(ak.flatten(jets[name])) for name in FIELDS}
    own = ("run", "luminosityBlock", "event", "genWeight")
    shared = {name: np.repeat(np.asarray(events[name]), 2) for name in own}
    frame = pd.DataFrame(shared | columns)
    assert len(frame) == 2 * n
    return frame


def _rows_parquet(folder: Path, events: dict[str, Any]) -> Path:
    _frame(events).to_parquet(folder / "rows.parquet", index=False)
    return folder / "rows.parquet"


def _pandas_parquet(folder: Path, events: dict[str, Any]) -> Path:
    """A frame with an index of event and object, which pandas keeps as columns."""
    frame = _frame(events)
    frame["object"] = np.tile([0, 1], len(frame) // 2)
    frame.set_index(["event", "object"]).to_parquet(folder / "pandas.parquet")
    return folder / "pandas.parquet"


def _rows_csv(folder: Path, events: dict[str, Any]) -> Path:
    table = pa.Table.from_pandas(_frame(events), preserve_index=False)
    pyarrow.csv.write_csv(table, folder / "rows.csv")
    return folder / "rows.csv"


def _numbered(events: dict[str, Any]) -> dict[str, Any]:
    """Two jets as ``t1_px, t2_px``..., without mass, in MeV."""
    jets = events["Jet"]
    pt = ak.values_astype(jets.pt, np.float64) * 1000.0
    own = {
        "px": pt * np.cos(jets.phi),
        "py": pt * np.sin(jets.phi),
        "pz": pt * np.sinh(ak.values_astype(jets.eta, np.float64)),
        "flavour": jets.hadronFlavour,
        "score": jets.score,
    }
    columns = {name: values for name, values in events.items() if name != "Jet"}
    for number in (0, 1):
        columns |= {f"t{number + 1}_{n}": ak.to_numpy(v[:, number]) for n, v in own.items()}
    return columns


def _numbered_tree(folder: Path, events: dict[str, Any]) -> Path:
    return write_tree(folder / "numbered.root", _numbered(events), "tree")


def _numbered_csv(folder: Path, events: dict[str, Any]) -> Path:
    columns = {name: pa.array(np.asarray(v)) for name, v in _numbered(events).items()}
    pyarrow.csv.write_csv(pa.table(columns), folder / "numbered.csv")
    return folder / "numbered.csv"


def _physlite(folder: Path, events: dict[str, Any]) -> Path:
    jets, start = events["Jet"], "AnalysisJetsAuxDyn"
    columns = {
        "EventInfoAuxDyn.runNumber": events["run"],
        "EventInfoAuxDyn.lumiBlock": events["luminosityBlock"],
        "EventInfoAuxDyn.eventNumber": events["event"],
        "EventInfoAuxDyn.weight": events["genWeight"],
        f"{start}.pt": jets.pt * np.float32(1000.0),
        f"{start}.eta": jets.eta,
        f"{start}.phi": jets.phi,
        f"{start}.m": jets.mass * np.float32(1000.0),
        f"{start}.HadronConeExclTruthLabelID": jets.hadronFlavour,
        f"{start}.score": jets.score,
    }
    return write_tree(folder / "physlite.root", columns, "CollectionTree")


def _nanoaod(folder: Path, events: dict[str, Any], flavour: type) -> Path:
    """Jets with the type that the flavour has in a version."""
    values = ak.values_astype(events["Jet"].hadronFlavour, flavour)
    jets = ak.with_field(events["Jet"], values, "hadronFlavour")
    return write_tree(folder / f"{flavour.__name__}.root", events | {"Jet": jets})


MEV = {"unit": "MeV", "selection": [{"field": "pt", "min": 20_000.0}]}
MEV_AXES = {
    "pt": {"edges": [1000.0 * edge for edge in AXES["pt"]["edges"]]},
    "eta": AXES["eta"],
}
NANOAOD = ("TaskSchema", "BaseSchema")
ROWS = {"rows": "objects"}
NUMBERED = {
    name: [f"t1_{branch}", f"t2_{branch}"]
    for name, branch in (
        ("px", "px"),
        ("py", "py"),
        ("pz", "pz"),
        ("hadronFlavour", "flavour"),
        ("score", "score"),
    )
}
PHYSLITE = {
    "hadronFlavour": "AnalysisJetsAuxDyn.HadronConeExclTruthLabelID",
    "genWeight": "EventInfoAuxDyn.weight",
}

KINDS: dict[str, Kind] = {
    "TTree": Kind(_tree, schemas=NANOAOD),
    "TTree in a directory": Kind(_in_directory, input={"tree": "ntuplizer/tree"}, schemas=NANOAOD),
    "NanoAOD v9": Kind(lambda f, e: _nanoaod(f, e, np.int32), schemas=NANOAOD),
    "NanoAOD v12": Kind(lambda f, e: _nanoaod(f, e, np.uint8), schemas=NANOAOD),
    "RNTuple": Kind(_flat_rntuple, schemas=NANOAOD),
    "RNTuple, nested": Kind(_rntuple, schemas=NANOAOD),
    "parquet": Kind(_flat_parquet, schemas=NANOAOD),
    "parquet, nested": Kind(_parquet),
    "parquet, nullable": Kind(_nullable_parquet, schemas=NANOAOD),
    "parquet, one object per row": Kind(_rows_parquet, input=ROWS),
    "parquet of pandas, with an index": Kind(_pandas_parquet, input=ROWS),
    "CSV, one object per row": Kind(_rows_csv, input=ROWS),
    "TTree, numbered, MeV": Kind(
        _numbered_tree,
        task=MEV,
        input={"tree": "tree", "branches": NUMBERED},
        axes=MEV_AXES,
        schemas=("BaseSchema",),
        exact=False,
    ),
    "CSV, numbered, MeV": Kind(
        _numbered_csv, task=MEV, input={"branches": NUMBERED}, axes=MEV_AXES, exact=False
    ),
    "PHYSLITE": Kind(
        _physlite,
        task=MEV | {"collection": "AnalysisJets"},
        input={"tree": "CollectionTree", "branches": PHYSLITE},
        axes=MEV_AXES,
        schemas=("BaseSchema", "PHYSLITESchema"),
        exact=False,
    ),
}
"""All kinds of files, by the name in the documentation."""
