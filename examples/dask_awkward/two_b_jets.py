r"""Truth tagging in a task graph: NanoEvents with mode="dask" and dask-awkward.

Nothing is read before ``compute()``. Until then efficiencies, weights and tags are lazy arrays that
know their type, and which columns they need; only these are read in the end.

    hepsilon simulate jets -n 20000 --seed 1 --out train.root
    hepsilon map training/gnn.toml train.root --out map.hepsilon
    python examples/dask_awkward/two_b_jets.py train.root --efficiency map.hepsilon
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask_awkward as dak
import hist
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

import hepsilon

NanoAODSchema.warn_missing_crossrefs = False


def graph(file: Path, efficiency: hepsilon.Efficiency, parts: int = 1) -> dict[str, Any]:
    """Masses of the two tagged jets, and the weights of the events, as lazy arrays."""
    n_events = uproot.open({file: "Events"}).num_entries
    ends = [n_events * i // parts for i in range(parts + 1)]
    steps = [list(pair) for pair in pairwise(ends)]  # as coffea's preprocess writes them
    files = {str(file): {"object_path": "Events", "steps": steps}}
    events = NanoEventsFactory.from_root(files, mode="dask").events()
    jets = events.Jet[(events.Jet.pt > 20.0) & (abs(events.Jet.eta) < 2.5)]
    eps = efficiency(jets)
    weight = hepsilon.truth_tag_weight(eps, 2, jets=None) * events.genWeight
    tagged = hepsilon.sample_tags(eps, events, 2, jets=None)
    chosen = ak.sum(tagged, axis=1) == 2
    pairs = jets[tagged][chosen]
    mass = (pairs[:, 0] + pairs[:, 1]).mass
    return {"eps": eps, "weight": weight[chosen], "mass": mass}


def columns(lazy: dict[str, Any]) -> set[str]:
    """Columns of the file that the arrays need, without reading any."""
    needed = [dak.report_necessary_columns(array) for array in lazy.values()]
    return {name for each in needed for names in each.values() for name in names}


def main() -> None:
    """Build the graph, print the columns that it needs, and fill a histogram."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="NanoAOD file")
    parser.add_argument("--efficiency", type=Path, required=True, help="a map or a network")
    args = parser.parse_args()
    lazy = graph(args.file, hepsilon.load(args.efficiency), parts=2)
    print("columns:", *sorted(columns(lazy)))
    weight, mass = dask.compute(lazy["weight"], lazy["mass"])
    filled = hist.Hist.new.Reg(20, 0, 800, name="mass").Weight()
    filled.fill(mass=mass, weight=weight)
    total = filled.sum(flow=True)
    print(f"{total.value:.1f} +- {total.variance**0.5:.1f} events with two b jets")


if __name__ == "__main__":
    main()
